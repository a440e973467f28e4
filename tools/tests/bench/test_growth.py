import pytest

from pi0_tools.bench.growth import BASE, fastest_ms, foretold_seconds, name, points, stage_seconds


def run(vision_ms, prefix_ms, step_ms, prefix_gflop=10.0):
    times = {
        "vision, a camera": (vision_ms, 10.0),
        "prefix": (prefix_ms, prefix_gflop),
        "denoising step": (step_ms, 10.0),
    }
    stages = {stage: {"median_ms": time, "gflop": gflop} for stage, (time, gflop) in times.items()}
    return {"device": "CPU, 2 threads", "stages": stages}


def test_every_workload_differs_from_the_base_in_one_thing_and_none_is_there_twice():
    workloads = points()
    assert workloads[0] == BASE
    assert len({name(workload) for workload in workloads}) == len(workloads)
    for workload in workloads[1:]:
        assert sum(workload[key] != BASE[key] for key in BASE) == 1


THREE_CAMERAS = {**BASE, "cameras": 3, "steps": 5}
REPORTS = {
    name(BASE): [run(2000, 9000, 400), run(1000, 10000, 500)],
    name(THREE_CAMERAS): [run(3000, 19000, 300, prefix_gflop=20.0)],
}
FASTEST = fastest_ms(REPORTS)


def test_a_stage_s_time_is_that_of_the_fastest_run_of_the_same_arithmetic():
    seconds = stage_seconds(REPORTS[name(THREE_CAMERAS)][0], THREE_CAMERAS, FASTEST)
    assert seconds == {"vision": 3.0, "prefix": 19.0, "steps": 1.5}


def test_the_arithmetic_foretells_the_base_s_own_time_and_twice_the_prefix_for_twice_its_operations():
    base_run = REPORTS[name(BASE)][0]
    measured = sum(stage_seconds(base_run, BASE, FASTEST).values())
    assert foretold_seconds(base_run, BASE, base_run, FASTEST) == pytest.approx(measured)
    foretold = foretold_seconds(REPORTS[name(THREE_CAMERAS)][0], THREE_CAMERAS, base_run, FASTEST)
    assert foretold == pytest.approx(3 * 1.0 + 2 * 9.0 + 5 * 0.3)
