from types import SimpleNamespace

import pytest

from pi0_sim.panda_skills import KEPT_STEPS, SKILLS, PandaEpisodeJudge, is_done


def environment(task, solved=False, lifted=False):
    return SimpleNamespace(task_name=task, is_solved=lambda: solved, is_lifted=lambda: lifted)


def test_prompts_tell_the_skills_apart():
    assert len({skill.prompt for skill in SKILLS.values()}) == len(SKILLS)


@pytest.mark.parametrize(
    ("task", "solved", "lifted", "done"),
    [
        ("lift", True, True, {"lift"}),
        ("lift", False, False, set()),
        ("stack", False, True, {"lift"}),
        ("stack", True, True, {"stack"}),
        ("pick_place_can", True, False, {"pick_place_can"}),
    ],
)
def test_a_skill_is_done_by_robosuite_s_check_and_stacking_is_not_lifting(task, solved, lifted, done):
    now = environment(task, solved, lifted)
    assert {name for name in SKILLS if is_done(name, now)} == done


def test_a_skill_is_kept_when_it_is_done_in_most_of_half_a_second():
    judge = PandaEpisodeJudge(3, "stack")
    for step in range(KEPT_STEPS // 2):
        judge.stepped(environment("stack", solved=True, lifted=True), 1.0, step)
    assert judge.outcome.kept == []
    judge.stepped(environment("stack", solved=True, lifted=True), 1.0, 1.0)
    assert judge.outcome.as_dict() == {"seed": 3, "task": "stack", "reward_max": 1.0, "kept": ["stack"], "seconds": 1.0}


def test_a_cube_that_was_lifted_and_dropped_is_not_kept():
    judge = PandaEpisodeJudge(0, "lift")
    for _ in range(KEPT_STEPS):
        judge.stepped(environment("lift", solved=True, lifted=True), 1.0, 1.0)
    assert judge.outcome.kept == ["lift"]
    for _ in range(KEPT_STEPS):
        judge.stepped(environment("lift"), 0.0, 2.0)
    assert judge.outcome.kept == []
