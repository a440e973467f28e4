"""The simulated robot as a process, seen over ROS 2."""

import json
import signal

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pi0_sim.aloha_environment import JOINT_NAMES
from pi0_sim.aloha_sim import AlohaSim

MODULE = "pi0_sim.aloha_sim"
TIMEOUT_S = 60


def trajectory_to(positions, joint_names=JOINT_NAMES):
    """Begins at the target: on the way to a first point ahead, every message would start from the measured position."""
    positions = list(positions)
    points = [
        JointTrajectoryPoint(positions=positions, time_from_start=Duration(nanosec=nanoseconds))
        for nanoseconds in (0, 100_000_000)
    ]
    return JointTrajectory(joint_names=list(joint_names), points=points)


class Aloha:
    """The robot with its one command and its one camera."""

    def __init__(self, process):
        self._process = process
        self.images = process.received(Image, "/camera/top/image_raw", 2)
        self._publisher = process.publisher(JointTrajectory, "/joint_trajectory")

    def __getattr__(self, name):
        return getattr(self._process, name)

    def publish(self, trajectory):
        self._publisher.publish(trajectory)

    def move_to(self, positions, joint_names=JOINT_NAMES):
        self.publish(trajectory_to(positions, joint_names))

    def move_until_it_ends(self, positions):
        def moved_to_the_end():
            self.move_to(positions)
            return self.process.poll() is not None

        self.wait_until(moved_to_the_end)


@pytest.fixture
def start_robot(start_process):
    return lambda **parameters: Aloha(start_process(MODULE, **parameters))


def test_two_episodes_end_the_process_with_success_and_time_never_goes_back(start_robot):
    robot = start_robot(episodes=2, episode_seconds=0.5, image_width=64, image_height=48, real_time_factor=2.0)
    target = robot.position()
    target[JOINT_NAMES.index("left_waist")] += 0.3
    robot.move_until_it_ends(target)

    assert robot.process.returncode == 0, robot.log_path.read_text()
    assert [message.data for message in robot.episodes] == [0, 1]
    assert list(robot.reward_max[-1].data) == [0.0, 0.0]
    stamps = [message.clock.sec * 10**9 + message.clock.nanosec for message in robot.clocks]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_process_with_success_and_without_a_complaint(start_robot, number):
    robot = start_robot(image_width=64, image_height=48)
    robot.wait_until(lambda: robot.images)
    robot.process.send_signal(number)
    assert robot.process.wait(timeout=TIMEOUT_S) == 0, robot.log_path.read_text()
    log = robot.log_path.read_text()
    assert not any(word in log for word in ("Traceback", "Error", "EGL", "Exception")), log


def test_whoever_moves_the_robot_is_told_when_it_is_put_back(start_robot):
    robot = start_robot(episodes=2, episode_seconds=0.5, camera_covered="true")
    resets = []

    def reset(_, response):
        resets.append(robot.simulated_s())
        return response

    robot.node.create_service(Trigger, "/pi0_node/reset", reset)
    target = robot.position()
    target[JOINT_NAMES.index("left_waist")] += 0.3
    robot.move_until_it_ends(target)
    assert len(resets) == 1, robot.log_path.read_text()


def test_a_joint_goes_where_a_trajectory_in_another_joint_order_sends_it(start_robot):
    robot = start_robot(image_width=64, image_height=48)
    target = robot.position()
    target[JOINT_NAMES.index("right_elbow")] -= 0.3
    robot.wait_simulated_seconds(0.5)
    robot.move_to(reversed(target.tolist()), reversed(JOINT_NAMES))
    robot.wait_simulated_seconds(1.5)
    assert robot.position() == pytest.approx(target, abs=0.05)


def test_joint_states_and_images_come_before_any_trajectory_in_the_sizes_asked_for(start_robot):
    robot = start_robot(image_width=64, image_height=48)
    robot.wait_until(lambda: robot.images)
    image = robot.images[-1]
    assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 64, 48, 192)
    assert len(image.data) == 48 * 192
    assert robot.joint_states[-1].name == list(JOINT_NAMES)


def test_a_covered_camera_sends_black_frames(start_robot):
    robot = start_robot(image_width=64, image_height=48, camera_covered="true")
    robot.wait_until(lambda: robot.images)
    assert not any(robot.images[-1].data)


def test_what_came_of_each_episode_is_in_the_outcomes(start_robot, tmp_path):
    outcomes = tmp_path / "outcomes.json"
    robot = start_robot(
        episodes=2, episode_seconds=0.5, seed=3, skill="right_pick", outcomes=outcomes, camera_covered="true"
    )
    target = robot.position()
    target[JOINT_NAMES.index("left_waist")] += 0.3
    robot.move_until_it_ends(target)
    first, second = json.loads(outcomes.read_text())
    assert (first["seed"], second["seed"]) == (3, 4)
    assert first["moved"] == ["left"] and first["kept"] == [] and first["seconds"] == 0.5


def test_a_trajectory_that_comes_while_the_objects_still_fall_is_left_out():
    rclpy.init(args=["--ros-args", "-p", "camera_covered:=true"])
    robot = AlohaSim()
    (subscription,) = [one for one in robot.subscriptions if one.topic_name == "/joint_trajectory"]
    positions = []
    robot.create_subscription(
        JointState, "/joint_states", lambda message: positions.append(np.array(message.position)), 10
    )

    def step_for(seconds):
        end_s = robot.now_s + seconds
        while robot.now_s < end_s:
            robot.step()
            rclpy.spin_once(robot, timeout_sec=TIMEOUT_S)

    step_for(0.1)
    before = positions[-1]
    subscription.callback(trajectory_to(before + 0.3))
    step_for(0.5)
    ignored = positions[-1]
    subscription.callback(trajectory_to(before + 0.3))
    step_for(0.5)
    executed = positions[-1]
    robot.close()
    robot.destroy_node()
    rclpy.shutdown()
    assert ignored == pytest.approx(before, abs=0.05)
    assert executed[:5] == pytest.approx(before[:5] + 0.3, abs=0.1)


def test_a_rejected_trajectory_is_logged_and_counted_and_the_one_before_goes_on(start_robot):
    robot = start_robot(image_width=64, image_height=48)
    statuses = []
    robot.node.create_subscription(DiagnosticArray, "/diagnostics", lambda message: statuses.extend(message.status), 10)
    robot.wait_simulated_seconds(0.5)
    target = robot.position()
    target[JOINT_NAMES.index("left_waist")] += 0.3
    robot.move_to(target)
    for _ in range(5):
        robot.move_to([*target[:-1], np.nan])
        robot.wait_simulated_seconds(0.2)
    assert robot.position()[:5] == pytest.approx(target[:5], abs=0.05)

    def counts():
        values = [{pair.key: pair.value for pair in status.values} for status in statuses]
        return [(one["accepted"], one["rejected"]) for one in values]

    robot.wait_until(lambda: ("1", "5") in counts())
    log = robot.log_path.read_text()
    assert "rejected a trajectory, 1 so far: point 0 has positions of right_gripper that are not finite" in log
    assert 1 <= log.count("rejected a trajectory") < 5


@pytest.mark.parametrize(("skew_ms", "rejected"), [(0.0, 0), (200.0, 1)])
def test_a_clock_ahead_of_the_stamps_rejects_what_ends_before_it(start_robot, skew_ms, rejected):
    robot = start_robot(image_width=64, image_height=48, clock_skew_ms=skew_ms)
    robot.wait_simulated_seconds(0.5)
    stamped = trajectory_to(robot.position())
    stamped.header.stamp = robot.joint_states[-1].header.stamp
    robot.publish(stamped)
    robot.wait_simulated_seconds(0.5)
    assert robot.log_path.read_text().count("s before it arrived") == rejected


def test_a_parameter_out_of_range_ends_the_process_with_its_name(refused):
    assert "image_width out of range" in refused(MODULE, image_width=5000)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"skill": "juggle"}, "parameter skill is 'juggle', and must be empty or one of right_pick"),
        ({"task": "insertion", "skill": "hand_over"}, "parameter skill needs the task transfer_cube"),
        ({"task": "insertion", "outcomes": "outcomes.json"}, "parameter outcomes needs the task transfer_cube"),
    ],
)
def test_a_skill_that_the_task_does_not_have_ends_the_process(refused, parameters, problem):
    assert problem in refused(MODULE, **parameters)
