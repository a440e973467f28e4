import pytest

from growth import BASE, foretold_seconds, name, points, stage_seconds


def run(vision_ms, prefix_ms, step_ms):
    """Every stage is of 10 GFLOP."""
    times = {"vision, a camera": vision_ms, "prefix": prefix_ms, "denoising step": step_ms}
    return {
        "stages": {
            stage: {"median_ms": milliseconds, "gflop": 10.0, "gflops": 1e4 / milliseconds}
            for stage, milliseconds in times.items()
        }
    }


def test_every_workload_differs_from_the_base_in_one_thing_and_none_is_there_twice():
    workloads = points()
    assert workloads[0] == BASE
    assert len({name(workload) for workload in workloads}) == len(workloads)
    for workload in workloads[1:]:
        assert sum(workload[key] != BASE[key] for key in BASE) == 1


def test_a_stage_s_time_is_that_of_its_fastest_run_as_often_as_a_chunk_goes_through_it():
    workload = {**BASE, "cameras": 3, "steps": 5}
    runs = [run(2000, 9000, 400), run(1000, 10000, 500)]
    assert stage_seconds(runs, workload) == {"vision": 3.0, "prefix": 9.0, "steps": 2.0}


def test_the_arithmetic_foretells_the_base_s_own_time():
    runs = [run(2000, 9000, 400), run(1000, 10000, 500)]
    measured = sum(stage_seconds(runs, BASE).values())
    assert foretold_seconds(runs, BASE, runs) == pytest.approx(measured)
