import numpy as np
import pytest

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.skills import KEPT_STEPS, SKILLS, CubeContacts, EpisodeJudge, cube_contacts, is_done, skill_of

LIFTED, LYING = np.array([0.0, 0.5, 0.2]), np.array([0.0, 0.5, 0.02])


@pytest.fixture(scope="module")
def environment():
    environment = AlohaEnvironment("transfer_cube")
    environment.reset(seed=0)
    return environment


@pytest.fixture
def judge(environment, monkeypatch):
    """A judge, and a function that lets it see a step with these arms on the cube at this place."""
    judge = EpisodeJudge(0, environment.joint_positions())

    def see(arms, cube_position_m, reward=0.0):
        monkeypatch.setattr("pi0_sim.skills.cube_contacts", lambda _: CubeContacts(frozenset(arms), False))
        monkeypatch.setattr(environment, "object_poses", lambda: cube_position_m)
        judge.stepped(environment, reward, 0.02)

    return judge, see


def test_the_cube_falls_from_the_air_onto_the_table(environment):
    environment.reset(seed=0)
    at_rest = environment.joint_positions()
    assert cube_contacts(environment.physics) == CubeContacts(frozenset(), False)
    for _ in range(KEPT_STEPS):
        environment.step(at_rest)
    assert cube_contacts(environment.physics) == CubeContacts(frozenset(), True)


@pytest.mark.parametrize(
    ("arms", "position", "done"),
    [
        ({"right"}, LIFTED, True),
        ({"left"}, LIFTED, False),
        ({"left", "right"}, LIFTED, False),
        ({"right"}, LYING, False),
    ],
)
def test_a_skill_is_done_when_the_arm_that_it_names_alone_has_the_cube_in_the_air(arms, position, done):
    assert is_done(SKILLS["right_pick"], CubeContacts(frozenset(arms), False), position) == done


def test_a_skill_is_found_by_its_prompt():
    assert skill_of("hand the cube to the left arm") is SKILLS["hand_over"]


def test_a_cube_that_is_held_for_a_moment_is_not_kept(judge):
    judge, see = judge
    for _ in range(KEPT_STEPS // 2):
        see({"right"}, LIFTED)
    assert judge.outcome.kept == [] and judge.outcome.lifted == ["right"]
    see({"right"}, LIFTED)
    assert judge.outcome.kept == ["right_pick"]


def test_a_cube_that_is_lost_again_is_not_kept(judge):
    judge, see = judge
    for _ in range(KEPT_STEPS):
        see({"left"}, LIFTED)
    assert judge.outcome.kept == ["left_pick", "hand_over"]
    for _ in range(KEPT_STEPS):
        see(set(), LYING)
    assert judge.outcome.kept == []
    assert judge.outcome.touched == ["left"]
    assert judge.outcome.cube_height_max_m == LIFTED[2]


def test_the_best_reward_counts(judge):
    judge, see = judge
    for reward in (1.0, 2.0, 0.0):
        see({"right"}, LYING, reward)
    assert judge.outcome.reward_max == 2.0


def test_an_arm_that_left_its_start_is_noted(environment):
    environment.reset(seed=0)
    judge = EpisodeJudge(0, environment.joint_positions())
    target = environment.joint_positions()
    target[7] += 0.3
    for step in range(50):
        judge.stepped(environment, environment.step(target), step * 0.02)
    assert judge.outcome.moved == ["right"]
