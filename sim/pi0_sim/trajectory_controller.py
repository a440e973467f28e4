"""The controller of the simulated robot: ros2_controllers' joint_trajectory_controller, as its behaviour is documented.

- A message that it rejects changes nothing: what was accepted last goes on.
- An accepted message replaces the whole trajectory, without blending.
- Until the first point it moves from the measured position, as it is when the message is first executed.
"""

from collections import deque

import numpy as np

from pi0_sim.joint_trajectory import Trajectory, TrajectoryRejected, trajectory_from_message

CONTROLLER = "joint_trajectory_controller"
# The name of its counts on /diagnostics, of the simulated ALOHA.
CONTROLLER_STATUS = f"aloha_sim: {CONTROLLER}"
# Longest lag of the hardware, in seconds.
LONGEST_LAG_S = 0.5


class TrajectoryController:
    """Positions are in the order of joint_names, shape (joints,).

    clock_skew_s: how far the controller's clock is ahead of the time that it is told. lag_s: time from a command to
    the hardware's.
    accepted, rejected: numbers of messages. last_rejection: why, or None.
    """

    MESSAGE, MESSAGES = "trajectory", "trajectories"

    def __init__(self, joint_names, positions, now_s, clock_skew_s=0.0, lag_s=0.0):
        self._joint_names = tuple(joint_names)
        self._clock_skew_s = clock_skew_s
        self._lag_s = lag_s
        self.accepted = 0
        self.rejected = 0
        self.last_rejection = None
        self.hold(positions, now_s)

    def hold(self, positions, now_s):
        """Starts again at the positions, without a trajectory. The counts go on."""
        self._trajectory = Trajectory(np.array([now_s + self._clock_skew_s]), np.array([positions], dtype=float))
        self._is_new = False
        # Times and commands, the oldest first, of which one is from before the lag.
        self._commands = deque([(now_s, np.array(positions, dtype=float))])

    def receive(self, message, now_s):
        """Takes a trajectory_msgs/JointTrajectory. Returns whether it is accepted."""
        try:
            trajectory = trajectory_from_message(message, self._joint_names, now_s + self._clock_skew_s)
        except TrajectoryRejected as rejection:
            self.rejected += 1
            self.last_rejection = str(rejection)
            return False
        self.accepted += 1
        self._trajectory = trajectory
        self._is_new = True
        return True

    def desired(self, now_s, measured):
        """Where the trajectory wants the joints now. measured: where they are."""
        now_s += self._clock_skew_s
        trajectory = self._trajectory
        if self._is_new and trajectory.times_s[0] > now_s:
            self._trajectory = trajectory = _beginning_at(now_s, np.asarray(measured, dtype=float), trajectory)
        self._is_new = False
        return trajectory.target_at(now_s)

    def command(self, now_s, measured):
        """What reaches the hardware now: the desired positions of the lag before. To be called as time goes on."""
        self._commands.append((now_s, self.desired(now_s, measured)))
        due_s = now_s - self._lag_s
        while len(self._commands) > 2 and self._commands[1][0] <= due_s:
            self._commands.popleft()
        (before_s, before), (after_s, after) = self._commands[0], self._commands[1]
        share = np.clip((due_s - before_s) / (after_s - before_s), 0.0, 1.0) if after_s > before_s else 1.0
        return before + (after - before) * share


def _beginning_at(time_s, positions, trajectory):
    """The trajectory with a line from the positions, whose velocities are not known, to its first point in front."""
    velocities = trajectory.velocities
    if velocities is not None:
        velocities = np.concatenate([np.full((1, len(positions)), np.nan), velocities])
    return Trajectory(
        np.concatenate([[time_s], trajectory.times_s]),
        np.concatenate([[positions], trajectory.positions]),
        velocities,
    )
