"""What every simulated robot does as a ROS 2 node: time, episodes, cameras, joint states, rewards and outcomes."""

import array
import json
import signal
import threading
from abc import ABC, abstractmethod
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

from pi0_sim.camera import Cameras
from pi0_sim.episodes import Episodes
from pi0_sim.joint_trajectory import seconds
from pi0_sim.pace import Pace
from pi0_sim.parameters import check_common, declare_parameters
from pi0_sim.recording import RecordedStep, Recording

# In the first steps of an episode objects fall onto the table.
SETTLE_SECONDS = 0.3
DIAGNOSTICS_SECONDS = 1.0
# Of whoever moves the robot: it is told when the robot was put back by other hands.
RESET_SERVICE = "pi0_node/reset"


class RobotSim(Node, ABC):
    """Simulated time starts with the first step and runs on over episodes, so that no stamp ever goes backwards.

    A robot says what it is in these: NAME of the node, STEP_SECONDS, JOINT_NAMES, CAMERAS, TASKS, SKILLS,
    PARAMETERS (rows of pi0_sim.parameters); and in the abstract methods.
    """

    def __init__(self):
        super().__init__(self.NAME)
        self.parameters = declare_parameters(self, self.PARAMETERS)
        check_common(self.parameters, self.TASKS, self.SKILLS)
        self.check(self.parameters)
        # Whoever subscribes late still learns which episode it is.
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        self._joint_state_publisher = self.create_publisher(JointState, "/joint_states", 10)
        self._image_publishers = {
            camera: self.create_publisher(Image, f"/camera/{camera}/image_raw", 2) for camera in self.CAMERAS
        }
        self._reward_publisher = self.create_publisher(Float64, "/reward", 10)
        self._reward_max_publisher = self.create_publisher(Float64MultiArray, "/reward_max", latched)
        self._episode_publisher = self.create_publisher(Int32, "/episode", latched)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._reset_client = self.create_client(Trigger, RESET_SERVICE)

        self._nanoseconds_per_step = round(self.STEP_SECONDS * 1e9)
        self._episodes = Episodes(self.parameters.episodes, self.parameters.episode_seconds, self.STEP_SECONDS)
        self._recording = Recording(self.parameters.task)
        # None where nobody asks for skills or outcomes.
        self._judge = None
        self._outcomes = []
        self._steps = 0
        self._frames = 0
        self._episode_start_s = 0.0
        self.environment = self.open_environment()
        self.controllers = self.new_controllers()
        self._covered = [camera for camera in self.CAMERAS if self.is_covered(camera)]
        uncovered = [camera for camera in self.CAMERAS if camera not in self._covered]
        self._cameras = Cameras(self.open_scene, uncovered, self._publish_image) if uncovered else None
        self._start_episode()

    def check(self, parameters):
        """Raises ValueError for parameters that do not fit each other."""
        del parameters

    @abstractmethod
    def open_environment(self):
        """Has reset(seed), joint_positions() in the order of JOINT_NAMES, and physics_state()."""

    @abstractmethod
    def new_controllers(self):
        """By the name of each on /diagnostics; subscriptions to their topics are made here.

        Each has receive(message, now_s), accepted, rejected, last_rejection, and MESSAGE and MESSAGES, the
        words for what it takes.
        """

    @abstractmethod
    def hold(self):
        """The controllers start again where the robot is."""

    @abstractmethod
    def open_scene(self):
        """What draws the cameras; see Cameras."""

    @abstractmethod
    def is_covered(self, camera):
        """Whether a camera sends black frames."""

    @abstractmethod
    def advance(self):
        """Simulates one step of what the controllers want; returns the reward."""

    @abstractmethod
    def new_judge(self, seed):
        """What watches an episode, with stepped() and outcome; None where nobody asks for it."""

    @abstractmethod
    def is_solved(self, reward, outcome):
        """Whether nothing is left to do. outcome: the judge's, or None."""

    def publish_more(self, stamp):
        """Publishes what only this robot has, after each step."""

    @property
    def now_s(self):
        """Simulated time in seconds."""
        return self._steps * self.STEP_SECONDS

    def step(self):
        """Simulates and publishes one step; returns False after the last step of the last episode."""
        reward = self.advance()
        self._steps += 1
        best_before = self._episodes.reward_max[-1]
        episode_ended = self._episodes.stepped(reward, self._judge_step(reward))
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
        if self._cameras is not None:
            self._cameras.close()
        super().destroy_node()

    def execute(self, controller, message):
        """Gives a message with a header to a controller, which rejects it or moves the robot from now on.

        Returns whether it was accepted.
        """
        stamp_s = seconds(message.header.stamp)
        # Whoever sent it may not have seen yet that the robot was put back to its start pose.
        if self.now_s < self._episode_start_s + SETTLE_SECONDS or 0 < stamp_s < self._episode_start_s:
            return False
        if controller.receive(message, self.now_s):
            self._episodes.trajectory_received()
            return True
        # A sender repeats its mistake many times a second.
        self.get_logger().error(
            f"rejected a {controller.MESSAGE}, {controller.rejected} so far: {controller.last_rejection}",
            throttle_duration_sec=1.0,
        )
        return False

    def _judge_step(self, reward):
        """Whether the episode is solved."""
        if self._judge is None:
            return self.is_solved(reward, None)
        if self._episodes.running:
            self._judge.stepped(self.environment, reward, self._episodes.seconds + self.STEP_SECONDS)
        return self.is_solved(reward, self._judge.outcome)

    def _write_outcome(self):
        """Adds the episode that ended to the file, which is whole whenever it is read."""
        self._outcomes.append(self._judge.outcome.as_dict())
        path = Path(self.parameters.outcomes)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self._outcomes, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(path)

    def _start_episode(self):
        seed = self.parameters.seed + self._episodes.number
        self.environment.reset(seed)
        self._judge = self.new_judge(seed)
        self._episode_start_s = self.now_s
        if self._reset_client.service_is_ready():
            self._reset_client.call_async(Trigger.Request())
        self.hold()
        self._episode_publisher.publish(Int32(data=self._episodes.number))
        self._publish_reward_max()
        self.get_logger().info(
            f"episode {self._episodes.number} of task {self.parameters.task} waits for its first command"
        )

    def _stamp(self):
        whole_seconds, nanoseconds = divmod(self._steps * self._nanoseconds_per_step, 10**9)
        return Time(sec=whole_seconds, nanosec=nanoseconds)

    def _publish_state(self, reward):
        stamp = self._stamp()
        self._clock_publisher.publish(Clock(clock=stamp))
        state = JointState(name=list(self.JOINT_NAMES), position=self.environment.joint_positions().tolist())
        state.header.stamp = stamp
        self._joint_state_publisher.publish(state)
        self._reward_publisher.publish(Float64(data=reward))
        self.publish_more(stamp)
        if self._steps % round(DIAGNOSTICS_SECONDS / self.STEP_SECONDS) == 0:
            self._publish_diagnostics()
        frames_due = int(self.now_s * self.parameters.camera_rate_hz + 1e-9)
        if frames_due > self._frames:
            self._frames = frames_due
            shape = (self.parameters.image_height, self.parameters.image_width, 3)
            for camera in self._covered:
                self._publish_image(camera, np.zeros(shape, np.uint8), stamp)
            if self._cameras is not None:
                self._cameras.request(self.environment.physics_state(), stamp)

    def _publish_diagnostics(self):
        statuses = [self._status(name, controller) for name, controller in self.controllers.items()]
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self._stamp()
        self._diagnostics_publisher.publish(message)

    def _status(self, name, controller):
        values = {
            "accepted": controller.accepted,
            "rejected": controller.rejected,
            "last_rejection": controller.last_rejection or "",
        }
        return DiagnosticStatus(
            name=f"{self.NAME}: {name}",
            level=DiagnosticStatus.WARN if controller.rejected else DiagnosticStatus.OK,
            message=f"{controller.rejected} {controller.MESSAGES} rejected",
            hardware_id=self.get_fully_qualified_name(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def _publish_image(self, camera, frame, stamp):
        # A picture of the last episode that was still being drawn when it ended.
        if seconds(stamp) < self._episode_start_s:
            return
        height, width, channels = frame.shape
        image = Image(height=height, width=width, encoding="rgb8", step=width * channels)
        image.header.stamp = stamp
        image.header.frame_id = f"camera_{camera}"
        # An array of unsigned bytes is the one type that the message takes without checking each element.
        image.data = array.array("B", frame.tobytes())
        self._image_publishers[camera].publish(image)

    def _record(self, reward):
        self._recording.steps.append(
            RecordedStep(
                self._episodes.number,
                self._episodes.seconds,
                reward,
                self._episodes.reward_max[-1],
                self.environment.physics_state(),
            )
        )

    def _publish_reward_max(self):
        self._reward_max_publisher.publish(Float64MultiArray(data=self._episodes.reward_max))


def run(node, interrupted):
    """Steps at the pace of the wall clock. Returns True after the last episode, False when interrupted (an Event)."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    pace = Pace(node.STEP_SECONDS, node.parameters.real_time_factor)
    slowness_said = False
    while node.step():
        if pace.remaining_s() == 0:
            # A late step has no time to wait for messages, but takes one of each topic that has come.
            for _ in node.subscriptions:
                executor.spin_once(timeout_sec=0.0)
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


def main(robot):
    """Runs the node of a class of robot; returns the exit status or what was wrong with its parameters."""
    # rclpy's own handlers would end its context while a step or the cameras' thread publishes.
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = robot()
    except (ParameterException, ValueError) as problem:
        return f"{robot.NAME}: {problem}"
    try:
        if run(node, interrupted):
            node.close()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
