"""The simulated ALOHA robot as a ROS 2 node. sim/README.md says what it publishes, takes and can be told."""

import array
import json
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64, Float64MultiArray, Int32
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from pi0_sim.aloha_environment import JOINT_NAMES, STEP_SECONDS, AlohaEnvironment
from pi0_sim.camera import Camera
from pi0_sim.episodes import Episodes
from pi0_sim.joint_trajectory import seconds
from pi0_sim.pace import Pace
from pi0_sim.parameters import declare_parameters
from pi0_sim.recording import RecordedStep, Recording
from pi0_sim.skills import EpisodeJudge
from pi0_sim.trajectory_controller import CONTROLLER_STATUS, TrajectoryController

NANOSECONDS_PER_STEP = round(STEP_SECONDS * 1e9)
CAMERA = "top"
# In the first steps of an episode objects fall onto the table.
SETTLE_SECONDS = 0.3
DIAGNOSTICS_SECONDS = 1.0
# Of whoever moves the robot: it is told when the robot was put back by other hands.
RESET_SERVICE = "pi0_node/reset"


class AlohaSim(Node):
    """Simulated time starts with the first step and runs on over episodes, so that no stamp ever goes backwards."""

    def __init__(self):
        super().__init__("aloha_sim")
        self.parameters = declare_parameters(self)
        # Whoever subscribes late still learns which episode it is.
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        self._joint_state_publisher = self.create_publisher(JointState, "/joint_states", 10)
        self._image_publisher = self.create_publisher(Image, f"/camera/{CAMERA}/image_raw", 2)
        self._reward_publisher = self.create_publisher(Float64, "/reward", 10)
        self._reward_max_publisher = self.create_publisher(Float64MultiArray, "/reward_max", latched)
        self._episode_publisher = self.create_publisher(Int32, "/episode", latched)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(JointTrajectory, "/joint_trajectory", self._execute, 10)
        self._reset_client = self.create_client(Trigger, RESET_SERVICE)

        self._environment = AlohaEnvironment(self.parameters.task)
        self._episodes = Episodes(
            self.parameters.episodes,
            self.parameters.episode_seconds,
            STEP_SECONDS,
        )
        self._camera = Camera(
            self.parameters.task,
            CAMERA,
            self.parameters.image_width,
            self.parameters.image_height,
            self._publish_image,
        )
        self._recording = Recording(self.parameters.task)
        self._controller = TrajectoryController(
            JOINT_NAMES,
            self._environment.joint_positions(),
            0.0,
            self.parameters.clock_skew_ms / 1e3,
            self.parameters.lag_ms / 1e3,
        )
        # None where nobody asks for skills or outcomes: it looks at every contact of every step.
        self._judge = None
        self._outcomes = []
        self._steps = 0
        self._frames = 0
        self._episode_start_s = 0.0
        self._start_episode()

    @property
    def now_s(self):
        """Simulated time in seconds."""
        return self._steps * STEP_SECONDS

    def step(self):
        """Simulates and publishes one step; returns False after the last step of the last episode."""
        reward = self._environment.step(self._controller.command(self.now_s, self._environment.joint_positions()))
        self._steps += 1
        best_before = self._episodes.reward_max[-1]
        episode_ended = self._episodes.stepped(reward, self._is_solved(reward))
        self._publish_state(reward)
        if self.parameters.recording and self._episodes.running:
            self._record(reward)
        if self._episodes.reward_max[-1] > best_before:
            self._publish_reward_max()
        if not episode_ended:
            return True
        self.get_logger().info(f"episode {self._episodes.number} ended, reward_max {self._episodes.reward_max[-1]:g}")
        if self.parameters.outcomes:
            self._write_outcome()
        if self._episodes.all_done():
            return False
        self._episodes.start_next()
        self._start_episode()
        return True

    def close(self):
        """After the last episode: writes the recording and waits until subscribers have the results."""
        if self.parameters.recording:
            self._recording.save(self.parameters.recording)
        self._publish_diagnostics()
        for publisher in (self._reward_max_publisher, self._episode_publisher, self._diagnostics_publisher):
            publisher.wait_for_all_acked(Duration(seconds=1))

    def destroy_node(self):
        # OpenGL complains about a context that is still there when the interpreter ends.
        self._camera.close()
        super().destroy_node()

    def _is_solved(self, reward):
        if self._judge is not None and self._episodes.running:
            self._judge.stepped(self._environment, reward, self._episodes.seconds + STEP_SECONDS)
        if self.parameters.skill:
            return self.parameters.skill in self._judge.outcome.kept
        return reward >= self._environment.max_reward

    def _write_outcome(self):
        """Adds the episode that ended to the file, which is whole whenever it is read."""
        self._outcomes.append(self._judge.outcome.as_dict())
        path = Path(self.parameters.outcomes)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._outcomes, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(path)

    def _start_episode(self):
        seed = self.parameters.seed + self._episodes.number
        self._environment.reset(seed)
        if self.parameters.skill or self.parameters.outcomes:
            self._judge = EpisodeJudge(seed, self._environment.joint_positions())
        self._episode_start_s = self.now_s
        if self._reset_client.service_is_ready():
            self._reset_client.call_async(Trigger.Request())
        self._controller.hold(self._environment.joint_positions(), self.now_s)
        self._episode_publisher.publish(Int32(data=self._episodes.number))
        self._publish_reward_max()
        self.get_logger().info(
            f"episode {self._episodes.number} of task {self.parameters.task} waits for its first trajectory"
        )

    def _execute(self, message):
        stamp_s = seconds(message.header.stamp)
        # Whoever sent it may not have seen yet that the robot was put back to its start pose.
        if self.now_s < self._episode_start_s + SETTLE_SECONDS or 0 < stamp_s < self._episode_start_s:
            return
        if self._controller.receive(message, self.now_s):
            self._episodes.trajectory_received()
            return
        # A sender repeats its mistake many times a second.
        self.get_logger().error(
            f"rejected a trajectory, {self._controller.rejected} so far: {self._controller.last_rejection}",
            throttle_duration_sec=1.0,
        )

    def _stamp(self):
        whole_seconds, nanoseconds = divmod(self._steps * NANOSECONDS_PER_STEP, 10**9)
        return Time(sec=whole_seconds, nanosec=nanoseconds)

    def _publish_state(self, reward):
        stamp = self._stamp()
        self._clock_publisher.publish(Clock(clock=stamp))
        state = JointState(name=list(JOINT_NAMES), position=self._environment.joint_positions().tolist())
        state.header.stamp = stamp
        self._joint_state_publisher.publish(state)
        self._reward_publisher.publish(Float64(data=reward))
        if self._steps % round(DIAGNOSTICS_SECONDS / STEP_SECONDS) == 0:
            self._publish_diagnostics()
        frames_due = int(self.now_s * self.parameters.camera_rate_hz + 1e-9)
        if frames_due > self._frames:
            self._frames = frames_due
            if self.parameters.camera_covered:
                shape = (self.parameters.image_height, self.parameters.image_width, 3)
                self._publish_image(np.zeros(shape, np.uint8), stamp)
            else:
                self._camera.request(self._environment.physics.get_state(), stamp)

    def _publish_diagnostics(self):
        controller = self._controller
        values = {
            "accepted": controller.accepted,
            "rejected": controller.rejected,
            "last_rejection": controller.last_rejection or "",
        }
        status = DiagnosticStatus(
            name=CONTROLLER_STATUS,
            level=DiagnosticStatus.WARN if controller.rejected else DiagnosticStatus.OK,
            message=f"{controller.rejected} trajectories rejected",
            hardware_id=self.get_fully_qualified_name(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._stamp()
        self._diagnostics_publisher.publish(message)

    def _publish_image(self, frame, stamp):
        # A picture of the last episode that was still being drawn when it ended.
        if seconds(stamp) < self._episode_start_s:
            return
        height, width, channels = frame.shape
        image = Image(height=height, width=width, encoding="rgb8", step=width * channels)
        image.header.stamp = stamp
        image.header.frame_id = f"camera_{CAMERA}"
        # An array of unsigned bytes is the one type that the message takes without checking each element.
        image.data = array.array("B", frame.tobytes())
        self._image_publisher.publish(image)

    def _record(self, reward):
        self._recording.steps.append(
            RecordedStep(
                self._episodes.number,
                self._episodes.seconds,
                reward,
                self._episodes.reward_max[-1],
                self._environment.physics.get_state(),
            )
        )

    def _publish_reward_max(self):
        self._reward_max_publisher.publish(Float64MultiArray(data=self._episodes.reward_max))


def run(node, interrupted):
    """Steps at the pace of the wall clock. Returns True after the last episode, False when interrupted (an Event)."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    pace = Pace(STEP_SECONDS, node.parameters.real_time_factor)
    slowness_said = False
    while node.step():
        while not interrupted.is_set():
            remaining_s = pace.remaining_s()
            executor.spin_once(timeout_sec=min(remaining_s, 0.1))
            if pace.remaining_s() == 0:
                break
        if interrupted.is_set():
            return False
        if not pace.next_step() and not slowness_said:
            slowness_said = True
            node.get_logger().warning(
                "the simulation cannot keep pace with the wall clock; simulated time runs slower than real time"
            )
    return True


def main():
    # rclpy's own handlers would end its context while a step or the camera's thread publishes.
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = AlohaSim()
    except (ParameterException, ValueError) as problem:
        return f"aloha_sim: {problem}"
    try:
        if run(node, interrupted):
            node.close()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
