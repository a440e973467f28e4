"""A scripted expert for each skill of the simulated ALOHA robot. It knows where the cube is.

Every motion is planned in joint space from where the arm is, with minimum jerk, so an expert can start from any pose;
and each script looks at what came of a motion, so that it tries again after a grasp that missed.
"""

from dataclasses import dataclass, replace
from math import pi, radians

import numpy as np

from pi0_sim.aloha_environment import STEP_SECONDS
from pi0_sim.skills import ARMS, SKILLS
from pi0_tools.train.aloha.kinematics import GripperPose, arm_joints, backed_off, gripper_pose, square_roll_rad
from pi0_tools.train.aloha.scene import GRIPPERS
from pi0_tools.train.minimum_jerk import minimum_jerk

RIGHT_PICK, LEFT_PICK, HAND_OVER = PROMPTS = tuple(skill.prompt for skill in SKILLS.values())

OTHER = {"left": "right", "right": "left"}
CLOSED, OPEN = 0.1, 0.975

# A gripper that points straight down hides the cube from the camera above, and the left arm would not reach the far
# cubes with it.
PICK_PITCH_RAD = radians(50)
GRASP_HEIGHT_M = 0.022
# Straight ahead to the cube, from a height at which the fingers pass over it.
APPROACH_M = 0.1
PASSING_HEIGHT_M = 0.08
# A gripper this far from the cube, seen from above, closes on nothing or on a corner.
GRASP_TOLERANCE_M = 0.015
LIFTED = {
    "left": GripperPose((-0.05, 0.5, 0.2), PICK_PITCH_RAD),
    "right": GripperPose((0.15, 0.5, 0.2), PICK_PITCH_RAD),
}
# With the pitch of the grasp, the cube's sides stay level for the left fingers.
MEETING = GripperPose((0.0, 0.5, 0.25), PICK_PITCH_RAD)
# Fingers above and below the cube, where the right arm has its own on the two sides.
TAKING_ROLL_RAD = pi / 2
TAKING = GripperPose(MEETING.position_m, 0.0, TAKING_ROLL_RAD)
# Far enough for two open grippers to pass.
PARTING_M = 0.1
TAKEN = GripperPose((-0.12, 0.5, 0.25), 0.0, TAKING_ROLL_RAD)

FASTEST_JOINT_RAD_S = 2.0
# Faster, the joints lag behind so differently that the gripper leaves the line by more than a centimetre.
FASTEST_GRIPPER_M_S = 0.3
SHORTEST_MOTION_STEPS = 12
SETTLE_STEPS = 5
GRIP_STEPS = 14


@dataclass(frozen=True)
class ArmTarget:
    joints: np.ndarray
    gripper: float


# Where gym-aloha starts an episode.
AT_START = ArmTarget(np.array([0, -0.96, 1.16, 0, -0.3, 0]), CLOSED)


class ScriptedExpert:
    """Does the skill of a prompt. act() takes the scene before each step and returns 14 joint targets."""

    def __init__(self, prompt, scene):
        self._scene = scene
        self._targets = scene.joint_positions.copy()
        for side, gripper in GRIPPERS.items():
            # The fingers' own position, as a target, would not press on the cube.
            if scene.holds(side):
                self._targets[gripper] = CLOSED
        self._script = {
            RIGHT_PICK: lambda: self._pick_up("right"),
            LEFT_PICK: lambda: self._pick_up("left"),
            HAND_OVER: self._hand_over,
        }[prompt]()
        self.finished = False

    def act(self, scene):
        """Absolute joint targets, radians; grippers from 0 (closed) to 1 (open). Holds still when the skill is done."""
        self._scene = scene
        targets = next(self._script, None)
        self.finished = targets is None
        if targets is not None:
            self._targets = targets
        return self._targets.copy()

    def _pick_up(self, side):
        while True:
            if not self._scene.holds(side):
                yield from self._grasp(side)
            yield from self._move({side: _arm_target(side, LIFTED[side], CLOSED), OTHER[side]: AT_START})
            if self._scene.holds(side):
                return

    def _hand_over(self):
        while not self._scene.holds("left"):
            if not self._scene.holds("right"):
                yield from self._grasp("right")
            yield from self._meet()
            if self._scene.holds("right"):
                yield from self._take()
        yield from self._part()

    def _grasp(self, side):
        """Ends with the fingers closed where the cube is; the cube is still on the table."""
        while True:
            yield from self._approach(side)
            yield from self._move_straight(side, self._at_cube(side))
            yield from self._hold(SETTLE_STEPS)
            if self._distance_from_cube_m(side) < GRASP_TOLERANCE_M:
                break
        yield from self._grip(side, CLOSED)

    def _approach(self, side):
        """Ends with the open gripper in front of the cube."""
        pose = self._scene.gripper_pose(side)
        if pose.position_m[2] < PASSING_HEIGHT_M and self._distance_from_cube_m(side) > GRASP_TOLERANCE_M:
            # Straight across, the fingers would push the cube along.
            yield from self._move({side: _arm_target(side, backed_off(side, pose, APPROACH_M), OPEN)})
        in_front = backed_off(side, self._at_cube(side), APPROACH_M)
        yield from self._move({side: _arm_target(side, in_front, OPEN), OTHER[side]: AT_START})

    def _meet(self):
        """Brings the cube to the middle, and the left gripper in front of it."""
        waiting = backed_off("left", TAKING, PARTING_M)
        yield from self._move(
            {"right": _arm_target("right", MEETING, CLOSED), "left": _arm_target("left", waiting, OPEN)}
        )
        yield from self._hold(SETTLE_STEPS)

    def _take(self):
        """Ends with the left fingers closed on the cube that the right ones still hold."""
        around_cube = replace(TAKING, position_m=tuple(self._scene.cube_position_m))
        yield from self._move_straight("left", around_cube)
        yield from self._hold(SETTLE_STEPS)
        yield from self._grip("left", CLOSED)

    def _part(self):
        yield from self._grip("right", OPEN)
        yield from self._move_straight("right", backed_off("right", self._scene.gripper_pose("right"), PARTING_M))
        yield from self._move({"right": AT_START, "left": _arm_target("left", TAKEN, CLOSED)})

    def _at_cube(self, side):
        """The pose in which an arm's fingers are around the cube on the table, square to it."""
        position = (*self._scene.cube_position_m[:2], GRASP_HEIGHT_M)
        return GripperPose(position, PICK_PITCH_RAD, square_roll_rad(side, position, PICK_PITCH_RAD))

    def _distance_from_cube_m(self, side):
        """Between the middle of the fingers and the middle of the cube, seen from above."""
        return np.linalg.norm(np.subtract(self._scene.gripper_pose(side).position_m, self._scene.cube_position_m)[:2])

    def _move(self, arm_targets):
        """Moves arms together, with minimum jerk, each from its last target."""
        start, end = self._targets, self._targets.copy()
        for side, target in arm_targets.items():
            end[ARMS[side]], end[GRIPPERS[side]] = target.joints, target.gripper
        turn_rad = max(np.abs(end[joints] - start[joints]).max() for joints in ARMS.values())
        for share in minimum_jerk(turn_rad / FASTEST_JOINT_RAD_S, STEP_SECONDS, SHORTEST_MOTION_STEPS):
            yield start + share * (end - start)

    def _move_straight(self, side, pose):
        """Moves a gripper along a line; a motion with all joints at once would leave it by up to 9 mm."""
        start = gripper_pose(side, self._targets[ARMS[side]])
        way = np.subtract(pose.position_m, start.position_m)
        seconds = np.linalg.norm(way) / FASTEST_GRIPPER_M_S
        for share in minimum_jerk(seconds, STEP_SECONDS, SHORTEST_MOTION_STEPS):
            on_the_way = GripperPose(
                tuple(start.position_m + share * way),
                start.pitch_rad + share * (pose.pitch_rad - start.pitch_rad),
                start.roll_rad + share * (pose.roll_rad - start.roll_rad),
            )
            targets = self._targets.copy()
            targets[ARMS[side]] = arm_joints(side, on_the_way)
            yield targets

    def _grip(self, side, gripper):
        start = self._targets
        end = start.copy()
        end[GRIPPERS[side]] = gripper
        for step in range(1, GRIP_STEPS + 1):
            yield start + step / GRIP_STEPS * (end - start)
        yield from self._hold(SETTLE_STEPS)

    def _hold(self, steps):
        for _ in range(steps):
            yield self._targets


def _arm_target(side, pose, gripper):
    return ArmTarget(arm_joints(side, pose), gripper)
