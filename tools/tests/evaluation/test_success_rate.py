import pytest

from pi0_tools.evaluation.skill_runs import SKILL_RUNS
from pi0_tools.evaluation.success_rate import row, too_seldom

ALOHA, PANDA = SKILL_RUNS["aloha"], SKILL_RUNS["panda"]
COVERED = "right_pick_camera_covered"


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
    assert row(ALOHA["right_pick"], outcomes) == {
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
    assert "idle_arm_moved" not in row(ALOHA["hand_over"], [outcome(0)])


@pytest.mark.parametrize(("at_least", "failed"), [(2, []), (3, ["right_pick"])])
def test_a_skill_that_was_done_too_seldom_is_named_and_the_covered_camera_never(at_least, failed):
    outcomes = [outcome(seed, ["right_pick"] if seed < 2 else []) for seed in range(4)]
    table = {"right_pick": row(ALOHA["right_pick"], outcomes), COVERED: row(ALOHA[COVERED], [outcome(0)])}
    assert too_seldom(ALOHA, table, at_least) == failed


def test_a_run_of_another_skill_than_the_task_s_counts_how_often_the_task_was_solved_instead():
    outcomes = [
        {"seed": 0, "kept": ["lift"], "reward_max": 0.0, "seconds": 3.0},
        {"seed": 1, "kept": [], "reward_max": 1.0, "seconds": 9.0},
    ]
    assert row(PANDA["lift_in_stack"], outcomes) == {
        "episodes": 2,
        "done": 0.5,
        "task_solved": 0.5,
        "median_s": 9.0,
        "failed_seeds": [1],
    }
    # The episode goes on after the cube was lifted: it may yet be stacked.
    assert PANDA["lift_in_stack"].simulation == {"task": "stack", "skill": "''"}


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_each_of_the_panda_s_skills_is_also_tried_with_a_camera_covered_and_need_not_succeed_then(camera):
    for skill in ("lift", "stack", "pick_place_can"):
        run = PANDA[f"{skill}_{camera}_camera_covered"]
        assert run.is_handicapped and run.simulation == {"task": skill, f"{camera}_camera_covered": "true"}
