import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pi0_sim.panda_environment import (
    ARM_JOINT_NAMES,
    FINGER_JOINT_NAMES,
    STEP_SECONDS,
    TASK_NAMES,
    TOOL_SITE,
    PandaEnvironment,
)
from pi0_sim.pose import Pose

UP_M = np.array([0.0, 0.0, 0.05])
ONE_SECOND = round(1 / STEP_SECONDS)


@pytest.fixture(scope="module")
def environments():
    return {task: PandaEnvironment(task) for task in TASK_NAMES}


@pytest.fixture
def lift(environments):
    environments["lift"].reset_at_rest(seed=0)
    return environments["lift"]


def step_for(environment, seconds):
    for _ in range(round(seconds * ONE_SECOND)):
        environment.step()


def angle_between(one, other):
    return (one.rotation * other.rotation.inv()).magnitude()


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_same_seed_gives_the_same_start_and_another_seed_another(environments, task):
    environment = environments[task]

    def start(seed):
        environment.reset(seed)
        objects = [pose.position_m for pose in environment.object_poses().values()]
        return np.concatenate([environment.joint_positions(), *objects])

    first, other = start(3), start(4)
    step_for(environment, 0.2)
    assert start(3) == pytest.approx(first)
    assert np.abs(other - first).max() > 0.01


def test_objects_start_where_robosuite_s_ranges_are(environments):
    """Lift puts its cube within 3 cm of the table's middle, which is 0.56 m ahead of the robot and 0.112 m below it."""
    environment = environments["lift"]
    for seed in range(20):
        environment.reset(seed)
        x, y, _ = environment.object_poses()["red_cube"].position_m
        assert abs(x - 0.56) <= 0.03 and abs(y) <= 0.03


def test_joint_names_are_robosuite_s(lift):
    robot = lift._robot
    assert list(ARM_JOINT_NAMES) == robot.robot_model.arm_joints
    assert list(FINGER_JOINT_NAMES) == robot.gripper["right"].joints


def test_the_tool_pose_is_that_of_the_grip_site_in_the_base_frame(lift):
    site, base = lift.data.site(TOOL_SITE), lift.data.body("robot0_link0")
    tool = lift.tool_pose()
    in_base = base.xmat.reshape(3, 3).T @ (site.xpos - base.xpos)
    assert tool.position_m == pytest.approx(in_base, abs=1e-9)
    assert tool.rotation.as_matrix() == pytest.approx(base.xmat.reshape(3, 3).T @ site.xmat.reshape(3, 3), abs=1e-6)


def test_a_robot_that_is_not_commanded_stays_and_earns_nothing(lift):
    start = lift.tool_pose()
    assert max(lift.step() for _ in range(ONE_SECOND)) == 0.0
    assert lift.tool_pose().position_m == pytest.approx(start.position_m, abs=0.003)
    assert angle_between(lift.tool_pose(), start) < 0.01


def test_the_tool_goes_to_an_absolute_pose(lift):
    start = lift.tool_pose()
    turned = Rotation.from_rotvec([0.1, 0.0, 0.5]) * start.rotation
    target = Pose(start.position_m + np.array([0.05, -0.1, 0.06]), turned.as_quat())
    lift.command_pose(target)
    step_for(lift, 1.5)
    assert lift.tool_pose().position_m == pytest.approx(target.position_m, abs=0.004)
    assert angle_between(lift.tool_pose(), target) < 0.02


def test_the_tool_s_quaternion_does_not_jump_where_it_points_straight_down(lift):
    down = Rotation.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    position_m = lift.tool_pose().position_m
    quaternions = []
    for tilt in np.linspace(-0.1, 0.1, ONE_SECOND):
        lift.command_pose(Pose(position_m, (Rotation.from_rotvec([tilt, 0.0, 0.0]) * down).as_quat()))
        lift.step()
        quaternions.append(lift.tool_pose().quaternion)
    assert np.abs(np.diff(quaternions, axis=0)).max() < 0.05
    signs = np.sign(np.array(quaternions)[:, 3])
    assert {-1.0, 1.0} <= set(signs.tolist())


def test_the_arm_goes_to_joint_positions_and_back_to_poses(lift):
    target = lift.arm_positions()
    target[0] += 0.3
    target[3] += 0.2
    lift.command_joints(target)
    step_for(lift, 1.5)
    assert lift.arm_positions() == pytest.approx(target, abs=0.02)
    back = lift.tool_pose()
    lift.command_pose(Pose(back.position_m + UP_M, back.quaternion))
    step_for(lift, 1.5)
    assert lift.tool_pose().position_m == pytest.approx(back.position_m + UP_M, abs=0.004)


@pytest.mark.parametrize("opening", [0.0, 0.5, 1.0])
def test_the_gripper_opens_as_far_as_it_is_told(lift, opening):
    lift.command_opening(opening)
    step_for(lift, 1.5)
    assert lift.opening() == pytest.approx(opening, abs=0.05)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_nothing_is_solved_at_the_start(environments, task):
    environments[task].reset_at_rest(1)
    assert not environments[task].is_solved()


def test_lift_is_solved_when_the_cube_is_four_centimetres_above_where_it_lay(lift):
    joint = lift.model.joint("cube_joint0").qposadr[0]
    lift.data.qpos[joint + 2] += 0.02
    lift._environment.sim.forward()
    assert not lift.is_solved()
    lift.data.qpos[joint + 2] += 0.02
    lift._environment.sim.forward()
    assert lift.is_solved() and lift.is_lifted()
