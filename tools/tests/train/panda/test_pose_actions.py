import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pi0_tools.train.panda.pose_actions import axis_angle, gripper_action, gripper_opening, relative_actions, target_of

DOWN = Rotation.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]])


def state_at(position_m, rotation):
    return np.concatenate([position_m, axis_angle(rotation.as_quat()), [0.04, -0.04]])


def target_at(position_m, rotation, gripper):
    return np.concatenate([position_m, rotation.as_quat(), [gripper]])


@pytest.mark.parametrize(
    ("quaternion", "expected"),
    [
        # robosuite 1.5.2, transform_utils.quat2axisangle.
        ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0]),
        ([1.0, 0.0, 0.0, 0.0], [np.pi, 0.0, 0.0]),
        ([0.0, 0.6, 0.0, 0.8], [0.0, 1.2870022175866, 0.0]),
        ([0.6, 0.0, 0.0, -0.8], [4.9961830895930, 0.0, 0.0]),
    ],
)
def test_axis_angle_vectors_are_robosuite_s_and_keep_the_sign_of_w(quaternion, expected):
    assert axis_angle(np.array(quaternion)) == pytest.approx(expected)


def test_axis_angle_vectors_do_not_jump_where_half_a_turn_is_passed():
    angles = np.linspace(np.pi - 0.1, np.pi + 0.1, 50)
    vectors = [axis_angle(np.array([np.sin(angle / 2), 0.0, 0.0, np.cos(angle / 2)])) for angle in angles]
    assert np.array(vectors)[:, 0] == pytest.approx(angles)


def test_actions_are_metres_and_turns_in_the_base_frame_from_the_measured_pose():
    turn = Rotation.from_rotvec([0.0, 0.1, 0.3])
    state = state_at([0.5, 0.1, 0.2], DOWN)
    target = target_at([0.52, 0.1, 0.1], turn * DOWN, 1.0)
    (action,) = relative_actions(state[None], target[None, None])[0]
    assert action == pytest.approx([0.02, 0.0, -0.1, 0.0, 0.1, 0.3, 1.0], abs=1e-6)


def test_an_action_leads_back_to_its_target():
    random = np.random.default_rng(0)
    for _ in range(100):
        state = state_at(random.normal(size=3), Rotation.random(random_state=random.integers(1000)) * DOWN)
        rotation = Rotation.from_rotvec(random.uniform(-0.5, 0.5, 3)) * Rotation.from_rotvec(state[3:6])
        target = target_at(random.normal(size=3), rotation, 0.5)
        (action,) = relative_actions(state[None], target[None, None])[0]
        position_m, turned, opening = target_of(state, action)
        assert position_m == pytest.approx(target[:3], abs=1e-6)
        assert (turned * rotation.inv()).magnitude() < 1e-6
        assert opening == pytest.approx(0.25)


def test_the_gripper_is_libero_s_from_minus_one_open_to_one_closed():
    assert (gripper_action(1.0), gripper_action(0.0)) == (-1.0, 1.0)
    assert (gripper_opening(-1.0), gripper_opening(1.0)) == (1.0, 0.0)
