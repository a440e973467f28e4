"""A scripted expert for each skill of the simulated Panda. It knows where the objects are.

Every motion leads the tool along a line with minimum jerk from where it was sent last, so an expert can start from
any pose; and each script looks at what came of a motion, so that it tries again after a grasp that missed.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pi0_sim.panda_environment import STEP_SECONDS
from pi0_sim.pose import Pose
from pi0_tools.train.minimum_jerk import minimum_jerk
from pi0_tools.train.panda.scene import downward

OPEN, CLOSED = 1.0, 0.0
# Above the grasp, at which an open gripper passes over an object.
APPROACH_M = 0.09
# A gripper this far from the object, seen from above, closes on nothing or on a corner.
GRASP_TOLERANCE_M = 0.015
LIFT_M = 0.12
# Of the red cube's middle above the green cube's, on top of it.
STACKED_M = 0.045
STACK_TOLERANCE_M = 0.02
# Let go this much above the place, so that the fingers do not press the object onto it.
RELEASE_ABOVE_M = 0.004
# Of the can's middle: over the walls of the bins, and where it is let go.
CARRIED_CAN_Z_M = 0.16
RELEASED_CAN_Z_M = -0.02
# robosuite's compartment for the can, in the base frame: its middle, and how far it reaches to each side.
CAN_PLACE_M = np.array([0.6975, 0.5025])
CAN_PLACE_REACH_M = np.array([0.08, 0.1])
CAN_IN_BIN_Z_M = -0.03

FASTEST_TOOL_M_S = 0.4
FASTEST_TURN_RAD_S = 1.5
SHORTEST_MOTION_STEPS = 12
# The arm follows its target with a lag of about 0.16 s.
SETTLE_STEPS = 10
GRIP_STEPS = 8


@dataclass(frozen=True)
class Target:
    """pose: of the tool, in the base frame. opening: of the gripper, from 0 (closed) to 1 (open)."""

    pose: Pose
    opening: float


class ScriptedExpert:
    """Does a skill. act() takes the scene before each step and returns the target."""

    def __init__(self, skill, scene):
        self._scene = scene
        self._target = Target(
            scene.tool, CLOSED if any(map(self._holds_if_graspable, scene.objects)) else scene.opening
        )
        self._script = {"lift": self._lift, "stack": self._stack, "pick_place_can": self._place_can}[skill]()
        self.finished = False

    def act(self, scene):
        """Holds still when the skill is done."""
        self._scene = scene
        target = next(self._script, None)
        self.finished = target is None
        if target is not None:
            self._target = target
        return self._target

    def _lift(self):
        while True:
            if not self._scene.holds("red_cube"):
                yield from self._grasp("red_cube")
            yield from self._rise(LIFT_M)
            if self._scene.holds("red_cube"):
                return

    def _stack(self):
        while not self._is_stacked():
            if not self._scene.holds("red_cube"):
                yield from self._grasp("red_cube")
            yield from self._rise(LIFT_M)
            yield from self._carry_over(self._scene.objects["green_cube"].position_m[:2])
            if self._scene.holds("red_cube"):
                height_m = self._scene.objects["green_cube"].position_m[2] + STACKED_M + RELEASE_ABOVE_M
                yield from self._let_go_at("red_cube", height_m)

    def _place_can(self):
        while not self._is_can_placed():
            if not self._scene.holds("can"):
                yield from self._grasp("can")
            yield from self._rise_to("can", CARRIED_CAN_Z_M)
            yield from self._carry_over(CAN_PLACE_M)
            if self._scene.holds("can"):
                yield from self._let_go_at("can", RELEASED_CAN_Z_M)

    def _is_stacked(self):
        between = self._scene.objects["red_cube"].position_m - self._scene.objects["green_cube"].position_m
        return np.linalg.norm(between[:2]) < STACK_TOLERANCE_M and abs(between[2] - STACKED_M) < 0.01

    def _is_can_placed(self):
        position_m = self._scene.objects["can"].position_m
        inside = np.all(np.abs(position_m[:2] - CAN_PLACE_M) < CAN_PLACE_REACH_M)
        return bool(inside and position_m[2] < CAN_IN_BIN_Z_M)

    def _grasp(self, name):
        """Ends with the fingers closed where the object is; the object still stands."""
        while True:
            yield from self._approach(name)
            yield from self._move(self._at_grasp(name), OPEN)
            yield from self._hold(SETTLE_STEPS)
            if self._scene.distance_from_grasp_m(name) < GRASP_TOLERANCE_M:
                break
        yield from self._grip(CLOSED)

    def _approach(self, name):
        """Ends with the open gripper above the object."""
        above = self._at_grasp(name, APPROACH_M)
        lacking_m = above.position_m[2] - self._scene.tool.position_m[2]
        if lacking_m > 0 and self._scene.distance_from_grasp_m(name) > GRASP_TOLERANCE_M:
            # Straight across, the fingers would push the object along.
            yield from self._rise(lacking_m, OPEN)
            above = self._at_grasp(name, APPROACH_M)
        yield from self._move(above, OPEN)

    def _at_grasp(self, name, above_m=0.0):
        position_m = self._scene.grasp_position_m(name) + np.array([0.0, 0.0, above_m])
        return Pose(position_m, downward(self._scene.grasp_yaw_rad(name)).as_quat())

    def _rise(self, height_m, opening=CLOSED):
        yield from self._move(self._moved_by([0.0, 0.0, height_m]), opening)

    def _rise_to(self, name, height_m):
        yield from self._rise(max(0.0, height_m - self._scene.objects[name].position_m[2]))

    def _carry_over(self, position_m):
        """Brings the tool over a place, at the height that it has."""
        way_m = np.append(position_m - self._target.pose.position_m[:2], 0.0)
        yield from self._move(self._moved_by(way_m), CLOSED)
        yield from self._hold(SETTLE_STEPS)

    def _let_go_at(self, name, height_m):
        """Puts an object down so that its middle is at a height, and leaves it upwards."""
        yield from self._move(self._moved_by([0.0, 0.0, height_m - self._scene.objects[name].position_m[2]]), CLOSED)
        yield from self._hold(SETTLE_STEPS)
        yield from self._grip(OPEN)
        yield from self._rise(APPROACH_M, OPEN)

    def _moved_by(self, way_m):
        pose = self._target.pose
        return Pose(pose.position_m + way_m, pose.quaternion)

    def _move(self, pose, opening):
        """Moves the tool along a line, and turns it about one axis, from its last target."""
        start = self._target.pose
        way_m = pose.position_m - start.position_m
        turn = (pose.rotation * start.rotation.inv()).as_rotvec()
        seconds = max(np.linalg.norm(way_m) / FASTEST_TOOL_M_S, np.linalg.norm(turn) / FASTEST_TURN_RAD_S)
        for share in minimum_jerk(seconds, STEP_SECONDS, SHORTEST_MOTION_STEPS):
            rotation = Rotation.from_rotvec(share * turn) * start.rotation
            yield Target(Pose(start.position_m + share * way_m, rotation.as_quat()), opening)

    def _grip(self, opening):
        start = self._target
        for step in range(1, GRIP_STEPS + 1):
            yield Target(start.pose, start.opening + step / GRIP_STEPS * (opening - start.opening))
        yield from self._hold(SETTLE_STEPS)

    def _hold(self, steps):
        for _ in range(steps):
            yield self._target

    def _holds_if_graspable(self, name):
        return name != "green_cube" and self._scene.holds(name)
