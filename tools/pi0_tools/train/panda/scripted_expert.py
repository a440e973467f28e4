"""A scripted expert for each skill of the simulated Panda. It knows where the objects are.

Every motion leads the tool along a line with minimum jerk from where it was sent last, so an expert can start from
any pose. Each script looks at what came of a motion, so that it tries again after a grasp that missed, and at what is
done already, so that one that begins in the middle of a skill goes on as one that has come so far itself.
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
# With its fingers turned less than this from square to the object, and so far open, a gripper can go down to it.
GRASP_TOLERANCE_RAD = 0.1
LEAST_OPENING_TO_GRASP = 0.9
LIFT_M = 0.12
# Of the red cube's middle above the green cube's, on top of it.
STACKED_M = 0.045
STACK_TOLERANCE_M = 0.02
# So near, seen from above, the red cube is over the green one and needs no more height to be centred.
NEAR_STACK_M = 0.03
# What is carried is brought over its place until it is so near, seen from above.
CENTRED_CUBE_M = 0.005
CENTRED_CAN_M = 0.03
MOST_MOTIONS_TO_CENTRE = 3
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
            green_m = self._scene.objects["green_cube"].position_m
            release_z_m = green_m[2] + STACKED_M + RELEASE_ABOVE_M
            is_near = self._way_to("red_cube", green_m[:2], NEAR_STACK_M) is None
            height_m = release_z_m if is_near else green_m[2] + LIFT_M
            yield from self._carry_over("red_cube", green_m[:2], height_m, CENTRED_CUBE_M)
            if self._scene.holds("red_cube"):
                yield from self._let_go_at("red_cube", release_z_m)

    def _place_can(self):
        while not self._is_can_placed():
            if not self._scene.holds("can"):
                yield from self._grasp("can")
            yield from self._carry_over("can", CAN_PLACE_M, CARRIED_CAN_Z_M, CENTRED_CAN_M)
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
            if not self._can_go_down_to(name):
                yield from self._approach(name)
            yield from self._move(self._at_grasp(name), OPEN)
            yield from self._hold(SETTLE_STEPS)
            if self._scene.distance_from_grasp_m(name) < GRASP_TOLERANCE_M:
                break
        yield from self._grip(CLOSED)

    def _can_go_down_to(self, name):
        """Whether the open gripper is above the object already, square to it."""
        grasp, tool = self._at_grasp(name), self._scene.tool
        return (
            self._scene.opening > LEAST_OPENING_TO_GRASP
            and self._scene.distance_from_grasp_m(name) < GRASP_TOLERANCE_M
            and tool.position_m[2] > grasp.position_m[2]
            and (grasp.rotation * tool.rotation.inv()).magnitude() < GRASP_TOLERANCE_RAD
        )

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

    def _carry_over(self, name, place_m, height_m, within_m):
        """Brings what is held over a place, at a height of its middle where it is not there yet.

        place_m: shape (2,). within_m: as near as this, unless it was lost on the way.
        """
        lacking_m = height_m - self._scene.objects[name].position_m[2]
        if lacking_m > 0 and self._way_to(name, place_m, within_m) is not None:
            yield from self._rise(lacking_m)
        for _ in range(MOST_MOTIONS_TO_CENTRE):
            if not self._scene.holds(name) or (way_m := self._way_to(name, place_m, within_m)) is None:
                return
            yield from self._move(self._moved_by(way_m), CLOSED)
            yield from self._hold(SETTLE_STEPS)

    def _way_to(self, name, place_m, within_m):
        """From an object to a place, seen from above, or None where it is as near as this."""
        way_m = place_m - self._scene.objects[name].position_m[:2]
        return None if np.linalg.norm(way_m) < within_m else np.append(way_m, 0.0)

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
