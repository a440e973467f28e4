import pytest

from pi0_tools.evaluation.success_rate import COVERED, row, too_seldom


def outcome(seed, kept=(), touched=(), lifted=(), moved=(), reward_max=0.0, seconds=3.0):
    return {
        "seed": seed,
        "kept": list(kept),
        "touched": list(touched),
        "lifted": list(lifted),
        "moved": list(moved),
        "reward_max": reward_max,
        "seconds": seconds,
    }


def test_a_row_counts_the_arm_that_was_asked_for():
    outcomes = [
        outcome(0, ["right_pick"], ["right"], ["right"], ["right"], 2.0),
        outcome(1, ["left_pick"], ["left"], ["left"], ["left", "right"], 4.0),
        outcome(2, [], ["right"], [], ["right"], 1.0),
        outcome(3, [], [], [], [], 0.0, 8.0),
    ]
    assert row("right_pick", outcomes) == {
        "episodes": 4,
        "done": 0.25,
        "touch": 0.5,
        "lift": 0.25,
        "reward_2": 0.5,
        "reward_4": 0.25,
        "idle_arm_moved": 0.25,
        "median_s": 3.0,
        "failed_seeds": [1, 2, 3],
    }


def test_no_arm_is_idle_when_the_cube_is_handed_over():
    assert "idle_arm_moved" not in row("hand_over", [outcome(0)])


@pytest.mark.parametrize(("at_least", "failed"), [(2, []), (3, ["right_pick"])])
def test_a_skill_that_was_done_too_seldom_is_named_and_the_covered_camera_never(at_least, failed):
    outcomes = [outcome(seed, ["right_pick"] if seed < 2 else []) for seed in range(4)]
    table = {"right_pick": row("right_pick", outcomes), COVERED: row(COVERED, [outcome(0)])}
    assert too_seldom(table, at_least) == failed
