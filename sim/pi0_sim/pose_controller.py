"""Controllers of the simulated Panda's tool: target poses, and twists that are integrated to a target pose."""

import numpy as np
from scipy.spatial.transform import Rotation

from pi0_sim.pose import Pose

BASE_FRAME, TOOL_FRAME = "panda_link0", "grip_site"
# How far a quaternion's length may be from 1.
UNIT_TOLERANCE = 0.01
# As MoveIt Servo by default: a twist that is this old has stopped coming.
TWIST_TIMEOUT_S = 0.1


class CommandRejected(ValueError):
    """The controller does not execute the message; the text says why, naming what was found and what was expected."""


class CommandController:
    """Counts what it takes. accepted, rejected: numbers of messages. last_rejection: why, or None."""

    def __init__(self):
        self.accepted = 0
        self.rejected = 0
        self.last_rejection = None

    def receive(self, message, now_s):
        """Returns whether the message is accepted. One that is not changes nothing."""
        try:
            self.take(message, now_s)
        except CommandRejected as rejection:
            self.rejected += 1
            self.last_rejection = str(rejection)
            return False
        self.accepted += 1
        return True


class PoseController(CommandController):
    """Takes geometry_msgs/PoseStamped. A pose that stops coming stays the target."""

    MESSAGE, MESSAGES = "target pose", "target poses"

    def take(self, message, now_s):
        del now_s
        _expect_base_frame(message)
        position, orientation = message.pose.position, message.pose.orientation
        position_m = np.array([position.x, position.y, position.z])
        quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
        _expect_finite("position", position_m)
        _expect_finite("orientation", quaternion)
        length = np.linalg.norm(quaternion)
        if abs(length - 1) > UNIT_TOLERANCE:
            raise CommandRejected(f"its quaternion has the length {length:.3f}, and must have 1")
        self._target = Pose(position_m, quaternion / length)

    def target(self, now_s):
        del now_s
        return self._target


class TwistController(CommandController):
    """Takes geometry_msgs/TwistStamped: velocities of the tool along and about the axes of the base frame.

    The target starts where the tool is when a twist comes after none, and stays when twists stop coming.
    """

    MESSAGE, MESSAGES = "target twist", "target twists"

    def __init__(self, tool_pose):
        """tool_pose: a function, where the tool is."""
        super().__init__()
        self._tool_pose = tool_pose
        self.forget()

    def forget(self):
        """The next twist starts where the tool is."""
        self._target = None

    def take(self, message, now_s):
        _expect_base_frame(message)
        linear, angular = message.twist.linear, message.twist.angular
        linear_m_s = np.array([linear.x, linear.y, linear.z])
        angular_rad_s = np.array([angular.x, angular.y, angular.z])
        _expect_finite("linear velocity", linear_m_s)
        _expect_finite("angular velocity", angular_rad_s)
        if self._target is None:
            self._target, self._integrated_s = self._tool_pose(), now_s
        else:
            self.target(now_s)
        self._linear_m_s, self._angular_rad_s = linear_m_s, angular_rad_s
        self._until_s = now_s + TWIST_TIMEOUT_S

    def target(self, now_s):
        """Integrated until now. To be called as time goes on."""
        duration_s = max(0.0, min(now_s, self._until_s) - self._integrated_s)
        turn = Rotation.from_rotvec(self._angular_rad_s * duration_s)
        position_m = self._target.position_m + self._linear_m_s * duration_s
        self._target = Pose(position_m, (turn * self._target.rotation).as_quat())
        self._integrated_s = now_s
        return self._target


def _expect_base_frame(message):
    frame = message.header.frame_id
    if frame not in ("", BASE_FRAME):
        raise CommandRejected(f"its frame is '{frame}', and must be '{BASE_FRAME}' or empty")


def _expect_finite(what, values):
    if not np.all(np.isfinite(values)):
        raise CommandRejected(f"its {what} is {values.tolist()}, and must be finite")
