from math import degrees, pi, radians

import numpy as np
import pytest

from pi0_sim.aloha_scene import load_physics
from pi0_tools.train.aloha.kinematics import (
    PINCH_OFFSET,
    GripperPose,
    OutOfReach,
    arm_joints,
    gripper_pose,
    square_roll_rad,
)

SIDES = ("left", "right")
# In front of the arm, from the table up.
WORKSPACE_M = {"left": ((-0.1, 0.1), (0.4, 0.6), (0.02, 0.3)), "right": ((-0.1, 0.2), (0.4, 0.6), (0.02, 0.3))}


@pytest.fixture(scope="module")
def physics():
    return load_physics("transfer_cube")


def simulated_gripper(physics, side, joints):
    """Position between the fingers, the axis along the gripper and the axis along which the fingers open."""
    with physics.reset_context():
        start = 0 if side == "left" else 8
        physics.data.qpos[start : start + 6] = joints
    axes = physics.named.data.xmat[f"vx300s_{side}/gripper_link"].reshape(3, 3)
    position = physics.named.data.xpos[f"vx300s_{side}/gripper_link"] + PINCH_OFFSET * axes[:, 0]
    return position, axes[:, 0], axes[:, 1]


@pytest.mark.parametrize("side", SIDES)
def test_the_simulated_gripper_is_where_the_joints_were_to_bring_it(physics, side):
    random = np.random.default_rng(0)
    reached = 0
    for _ in range(300):
        position = tuple(random.uniform(*limits) for limits in WORKSPACE_M[side])
        pose = GripperPose(position, random.uniform(0, pi / 2), random.uniform(-pi / 2, pi / 2))
        try:
            joints = arm_joints(side, pose)
        except OutOfReach:
            continue
        reached += 1
        simulated, forward, _ = simulated_gripper(physics, side, joints)
        assert np.linalg.norm(simulated - position) < 1e-4
        assert degrees(np.arcsin(-forward[2])) == pytest.approx(degrees(pose.pitch_rad), abs=0.1)
    assert reached > 250


@pytest.mark.parametrize("side", SIDES)
def test_forward_and_inverse_kinematics_agree(side):
    pose = GripperPose((0.05, 0.55, 0.2), 1.0, 0.3)
    there_and_back = gripper_pose(side, arm_joints(side, pose))
    assert there_and_back.position_m == pytest.approx(pose.position_m)
    assert there_and_back.pitch_rad == pytest.approx(pose.pitch_rad)
    assert there_and_back.roll_rad == pose.roll_rad


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("pitch_deg", [50, 90])
@pytest.mark.parametrize("y", [0.4, 0.6])
def test_square_fingers_open_along_y(physics, side, pitch_deg, y):
    position, pitch_rad = (0.05, y, 0.1), radians(pitch_deg)
    pose = GripperPose(position, pitch_rad, square_roll_rad(side, position, pitch_rad))
    _, _, opening = simulated_gripper(physics, side, arm_joints(side, pose))
    # Seen from above; a tilted gripper cannot keep its fingers level as well.
    assert abs(degrees(np.arctan2(opening[0], abs(opening[1])))) < 0.1


def test_a_pose_beyond_the_arm_is_refused_with_the_distance():
    with pytest.raises(OutOfReach, match=r"right arm to \(-0.400, .* the arm reaches 0.606 m"):
        arm_joints("right", GripperPose((-0.4, 0.5, 0.1), 0.0))


def test_a_pose_beyond_a_joint_limit_is_refused_with_the_joint():
    with pytest.raises(OutOfReach, match="wrist_angle would be"):
        arm_joints("right", GripperPose((0.1, 0.5, 0.3), -2.0))
