"""The simulated Panda as a process, seen over ROS 2."""

import json

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pi0_sim.panda_environment import ARM_JOINT_NAMES, JOINT_NAMES

MODULE = "pi0_sim.panda_sim"
COVERED = {"front_camera_covered": "true", "wrist_camera_covered": "true"}


def trajectory(joint_names, positions):
    point = JointTrajectoryPoint(positions=[float(value) for value in positions], time_from_start=Duration(sec=1))
    return JointTrajectory(joint_names=list(joint_names), points=[point])


class Panda:
    """The robot, and where its tool was last."""

    def __init__(self, process):
        self._process = process
        self.poses = process.received(PoseStamped, "/end_effector_pose")
        self.wait_until(lambda: self.poses)
        # Commands that come while the objects still fall are left out.
        self.wait_simulated_seconds(0.5)

    def __getattr__(self, name):
        return getattr(self._process, name)

    def tool_position(self):
        position = self.poses[-1].pose.position
        return np.array([position.x, position.y, position.z])

    def moved(self, way_m):
        """A target pose beside the tool's."""
        message = PoseStamped()
        message.header.frame_id = "panda_link0"
        message.pose.orientation = self.poses[-1].pose.orientation
        position = message.pose.position
        position.x, position.y, position.z = (self.tool_position() + way_m).tolist()
        return message


@pytest.fixture
def start_robot(start_process):
    return lambda **parameters: Panda(start_process(MODULE, **parameters))


def test_both_cameras_and_all_joints_are_published_before_any_command(start_process):
    robot = start_process(MODULE, image_width=64, image_height=48)
    front = robot.received(Image, "/camera/front/image_raw", 2)
    wrist = robot.received(Image, "/camera/wrist/image_raw", 2)
    robot.wait_until(lambda: front and wrist)
    for image in (front[-1], wrist[-1]):
        assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 64, 48, 192)
        assert any(image.data)
    assert front[-1].header.frame_id == "camera_front"
    assert robot.joint_states[-1].name == list(JOINT_NAMES)


@pytest.mark.parametrize("covered", ["front", "wrist"])
def test_a_covered_camera_sends_black_frames_and_the_other_one_sees(start_process, covered):
    robot = start_process(MODULE, image_width=64, image_height=48, **{f"{covered}_camera_covered": "true"})
    images = {name: robot.received(Image, f"/camera/{name}/image_raw", 2) for name in ("front", "wrist")}
    robot.wait_until(lambda: all(images.values()))
    assert {name: any(received[-1].data) for name, received in images.items()} == {
        "front": covered != "front",
        "wrist": covered != "wrist",
    }


def test_the_tool_goes_to_a_target_pose_and_stays_when_no_more_come(start_robot):
    robot = start_robot(**COVERED)
    poses = robot.publisher(PoseStamped, "/target_pose")
    target = robot.moved(np.array([0.05, -0.05, 0.05]))
    wanted = robot.tool_position() + np.array([0.05, -0.05, 0.05])
    poses.publish(target)
    robot.wait_simulated_seconds(1.5)
    assert robot.tool_position() == pytest.approx(wanted, abs=0.005)
    robot.wait_simulated_seconds(1.0)
    assert robot.tool_position() == pytest.approx(wanted, abs=0.005)
    assert robot.poses[-1].header.frame_id == "panda_link0"


def test_a_twist_moves_the_tool_until_twists_stop_coming(start_robot):
    robot = start_robot(**COVERED)
    twists = robot.publisher(TwistStamped, "/target_twist")
    start = robot.tool_position()
    twist = TwistStamped()
    twist.twist.linear.y = 0.1
    end_s = robot.simulated_s() + 1.0
    while robot.simulated_s() < end_s:
        twists.publish(twist)
        robot.wait_simulated_seconds(0.02)
    robot.wait_simulated_seconds(1.0)
    there = robot.tool_position()
    assert there - start == pytest.approx([0.0, 0.1, 0.0], abs=0.03)
    robot.wait_simulated_seconds(0.5)
    assert robot.tool_position() == pytest.approx(there, abs=0.002)


def test_joints_follow_a_trajectory_and_the_newest_kind_of_command_moves_the_arm(start_robot):
    robot = start_robot(**COVERED)
    trajectories = robot.publisher(JointTrajectory, "/joint_trajectory")
    poses = robot.publisher(PoseStamped, "/target_pose")
    target = robot.position()[:7]
    target[0] += 0.3
    trajectories.publish(trajectory(reversed(ARM_JOINT_NAMES), reversed(target.tolist())))
    robot.wait_simulated_seconds(2.0)
    assert robot.position()[:7] == pytest.approx(target, abs=0.02)
    wanted = robot.tool_position() + np.array([0.0, 0.0, 0.05])
    poses.publish(robot.moved(np.array([0.0, 0.0, 0.05])))
    robot.wait_simulated_seconds(1.5)
    assert robot.tool_position() == pytest.approx(wanted, abs=0.005)


@pytest.mark.parametrize(("opening", "finger_m"), [(0.0, 0.0), (1.0, 0.04)])
def test_the_gripper_follows_its_own_trajectory_from_zero_closed_to_one_open(start_robot, opening, finger_m):
    robot = start_robot(**COVERED)
    robot.publisher(JointTrajectory, "/gripper_trajectory").publish(trajectory(["gripper"], [opening]))
    robot.wait_simulated_seconds(2.5)
    assert robot.position()[7:9] == pytest.approx([finger_m, -finger_m], abs=0.003)
    assert robot.position()[9] == pytest.approx(opening, abs=0.05)


def test_a_rejected_pose_is_logged_and_counted_and_the_arm_stays(start_robot):
    robot = start_robot(**COVERED)
    poses = robot.publisher(PoseStamped, "/target_pose")
    statuses = robot.received(DiagnosticArray, "/diagnostics")
    wrong = robot.moved(np.array([0.1, 0.0, 0.0]))
    wrong.header.frame_id = "world"
    start = robot.tool_position()
    poses.publish(wrong)

    def rejected():
        newest = [status for message in statuses for status in message.status if "pose_controller" in status.name]
        return newest and {pair.key: pair.value for pair in newest[-1].values}["rejected"] == "1"

    robot.wait_until(rejected)
    assert robot.tool_position() == pytest.approx(start, abs=0.005)
    assert "rejected a target pose, 1 so far: its frame is 'world'" in robot.log_path.read_text()


def test_what_came_of_each_episode_is_in_the_outcomes(start_process, tmp_path):
    outcomes = tmp_path / "outcomes.json"
    robot = start_process(
        MODULE, task="stack", skill="lift", episodes=2, episode_seconds=0.5, seed=3, outcomes=outcomes, **COVERED
    )
    gripper = robot.publisher(JointTrajectory, "/gripper_trajectory")

    def commanded_to_the_end():
        gripper.publish(trajectory(["gripper"], [1.0]))
        return robot.process.poll() is not None

    robot.wait_until(commanded_to_the_end)
    assert robot.process.returncode == 0, robot.log_path.read_text()
    first, second = json.loads(outcomes.read_text())
    assert (first["seed"], second["seed"], first["task"]) == (3, 4, "stack")
    assert first["kept"] == [] and first["seconds"] == 0.5


def test_a_skill_that_the_task_does_not_have_ends_the_process(refused):
    said = refused(MODULE, task="lift", skill="stack")
    assert "parameter skill is 'stack', which needs the task stack, and task is 'lift'" in said
