"""The skills that the robot can be asked for on the task transfer_cube, and what came of an episode."""

from collections import deque
from dataclasses import asdict, dataclass

import numpy as np

ARMS = {"left": slice(0, 6), "right": slice(7, 13)}
LIFTED_HEIGHT_M = 0.1
# A skill counts when it is still done after this time.
KEPT_STEPS = 25
# More than an arm that holds its place is moved by the other one's work.
MOVED_RAD = 0.1

# gym-aloha's names of the bodies.
CUBE, TABLE = "red_box", "table"
ARM_OF_FINGER = {
    f"vx300s_{side}/10_{finger}_gripper_finger": side for side in ("left", "right") for finger in ("left", "right")
}


@dataclass(frozen=True)
class Skill:
    """prompt: what the policy is told. holding_arm: the one that has the cube in the end. seconds: time enough, with
    a second try. idle_arm: the one that is to stay where it is, or None.
    """

    prompt: str
    holding_arm: str
    idle_arm: str | None
    seconds: float
    task: str = "transfer_cube"


SKILLS = {
    "right_pick": Skill("pick up the cube with the right arm", "right", "left", 8.0),
    "left_pick": Skill("pick up the cube with the left arm", "left", "right", 8.0),
    "hand_over": Skill("hand the cube to the left arm", "left", None, 14.0),
}


def skill_of(prompt):
    (skill,) = [skill for skill in SKILLS.values() if skill.prompt == prompt]
    return skill


@dataclass(frozen=True)
class CubeContacts:
    """arms: those with a finger on the cube."""

    arms: frozenset[str]
    table: bool


def cube_contacts(physics):
    """What touches the cube now. Contacts come and go from one step to the next while a cube is held."""
    contacts = physics.data.contact
    arms = set()
    table = False
    for pair in zip(contacts.geom1.tolist(), contacts.geom2.tolist(), strict=True):
        names = {physics.model.id2name(geom, "geom") for geom in pair}
        if CUBE not in names:
            continue
        (other,) = names - {CUBE}
        table |= other == TABLE
        if other in ARM_OF_FINGER:
            arms.add(ARM_OF_FINGER[other])
    return CubeContacts(frozenset(arms), table)


def is_done(skill, contacts, cube_position_m):
    """Whether the cube is in the air, in the fingers of the arm that the skill asks for and of no other."""
    return _holds_alone_in_the_air(skill.holding_arm, contacts, cube_position_m)


def _holds_alone_in_the_air(arm, contacts, cube_position_m):
    return contacts.arms == {arm} and cube_position_m[2] > LIFTED_HEIGHT_M


@dataclass
class Outcome:
    """What came of an episode.

    reward_max: the best of the authors' reward, 0 to 4. touched: the arms that had a finger on the cube. lifted: those
    that held the cube alone above LIFTED_HEIGHT_M. moved: the arms that left their start by more than MOVED_RAD.
    kept: the skills that were done for most of KEPT_STEPS, the last of them at the end of the episode. seconds: its
    simulated time.
    """

    seed: int
    reward_max: float
    touched: list[str]
    lifted: list[str]
    moved: list[str]
    kept: list[str]
    cube_height_max_m: float
    seconds: float

    def as_dict(self):
        return asdict(self)


class EpisodeJudge:
    """Watches an episode of AlohaEnvironment's task transfer_cube, one step after the other."""

    def __init__(self, seed, start_positions):
        """start_positions: shape (14,), the joints before the first step."""
        self.outcome = Outcome(seed, 0.0, [], [], [], [], 0.0, 0.0)
        self._start_positions = np.array(start_positions)
        self._done = {name: deque(maxlen=KEPT_STEPS) for name in SKILLS}

    def stepped(self, environment, reward, seconds):
        """Takes what a step led to. seconds: of the episode, simulated."""
        outcome = self.outcome
        contacts = cube_contacts(environment.physics)
        cube_position_m = environment.object_poses()[:3]
        travel_rad = np.abs(environment.joint_positions() - self._start_positions)
        outcome.seconds = round(seconds, 3)
        outcome.reward_max = max(outcome.reward_max, reward)
        outcome.cube_height_max_m = max(outcome.cube_height_max_m, float(cube_position_m[2]))
        for arm, joints in ARMS.items():
            if arm in contacts.arms:
                _note(outcome.touched, arm)
            if _holds_alone_in_the_air(arm, contacts, cube_position_m):
                _note(outcome.lifted, arm)
            if travel_rad[joints].max() > MOVED_RAD:
                _note(outcome.moved, arm)
        for name, skill in SKILLS.items():
            self._done[name].append(is_done(skill, contacts, cube_position_m))
        outcome.kept = [name for name in SKILLS if self._is_kept(name)]

    def _is_kept(self, name):
        return sum(self._done[name]) > KEPT_STEPS / 2


def _note(names, name):
    if name not in names:
        names.append(name)
