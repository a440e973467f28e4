"""Listens to the robot and the policy node during a run, and keeps what its result needs."""

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Int32
from std_srvs.srv import Trigger


class RunListener(Node):
    def __init__(self, robot):
        """robot: a SimulatedRobot."""
        super().__init__("run_listener")
        # Best reward of each episode so far.
        self.reward_max = []
        self.command_count = 0
        # Largest distance of a joint of the arms from where it was first, in radians.
        self.displacement_rad = 0.0
        # Counts from 0; None until the simulation says it.
        self.episode = None
        # Whether the current episode has had its first command.
        self.episode_is_running = False
        self.simulated_s = 0.0
        self._statuses = {}
        self._start_positions = None
        self._reset = self.create_client(Trigger, "/pi0_node/reset")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(Int32, "/episode", self._on_episode, latched)
        self.create_subscription(Float64MultiArray, "/reward_max", self._on_reward_max, latched)
        self.create_subscription(JointState, "/joint_states", self._on_joint_state, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        # Only their arrival counts; reading fifty points fifty times a second would take half a core.
        self.create_subscription(robot.command_type, robot.command_topic, self._on_command, 10, raw=True)

    def diagnostic(self, status_name, key):
        """The last value that the named diagnostic status gave, as text; None when there was none."""
        return self._statuses.get(status_name, {}).get(key)

    def _on_episode(self, message):
        # The robot was put back by other hands than the node's.
        if self.episode not in (None, message.data) and self._reset.service_is_ready():
            self._reset.call_async(Trigger.Request())
        self.episode = message.data
        self.episode_is_running = False

    def _on_reward_max(self, message):
        self.reward_max = list(message.data)

    def _on_joint_state(self, message):
        self.simulated_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        named_positions = zip(message.name, message.position, strict=True)
        arms = np.array([position for name, position in named_positions if "gripper" not in name])
        if self._start_positions is None:
            self._start_positions = arms
        self.displacement_rad = max(self.displacement_rad, float(np.abs(arms - self._start_positions).max()))

    def _on_command(self, _):
        self.command_count += 1
        self.episode_is_running = self.episode is not None

    def _on_diagnostics(self, message):
        for status in message.status:
            self._statuses[status.name] = {pair.key: pair.value for pair in status.values}
