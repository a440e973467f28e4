"""Inverse and forward kinematics of one arm of the simulated ALOHA robot, in closed form.

The forearm's roll stays at zero. The waist then turns a vertical plane towards the target, and shoulder, elbow and
wrist angle move in that plane like the joints of a planar arm.
"""

from dataclasses import dataclass, replace
from math import atan, atan2, cos, hypot, pi, sin, tan

import numpy as np

from pi0_tools.train.robot import OutOfReach

# Metres, from gym-aloha's model of the arm.
BASE_Y = 0.5
BASE_X = {"left": -0.469, "right": 0.469}
# The arms face each other. The model rounds half a turn to four digits.
BASE_YAW_RAD = {"left": 0.0, "right": 3.1416}
SHOULDER_HEIGHT = 0.079 + 0.04805
# The elbow is not straight above the shoulder when the shoulder is at zero.
ELBOW_FORWARD, ELBOW_UP = 0.05955, 0.3
UPPER_ARM_LENGTH = hypot(ELBOW_FORWARD, ELBOW_UP)
UPPER_ARM_TILT_RAD = atan2(ELBOW_FORWARD, ELBOW_UP)
FOREARM_LENGTH = 0.2 + 0.1
# From the joint of the wrist angle to the point between the fingers, 14 mm short of their tips.
GRIPPER_LINK_OFFSET = 0.069744
PINCH_OFFSET = 0.14
TOOL_LENGTH = GRIPPER_LINK_OFFSET + PINCH_OFFSET

ARM_JOINT_NAMES = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
JOINT_LOWER_RAD = np.array([-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158])
JOINT_UPPER_RAD = np.array([3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158])


@dataclass(frozen=True)
class GripperPose:
    """Where the point between the fingers is, and how the gripper is turned.

    position_m: x, y, z in the world. pitch_rad: 0 when the gripper is level, pi / 2 when it points straight down.
    roll_rad: about the gripper's own axis; at 0 the fingers open sideways.
    """

    position_m: tuple[float, float, float]
    pitch_rad: float
    roll_rad: float = 0.0


def arm_joints(side, pose):
    """The six joint positions, in radians, that bring the gripper of an arm ("left" or "right") to a pose."""
    waist, distance = _waist_and_distance(side, pose.position_m)
    wrist_forward = distance - TOOL_LENGTH * cos(pose.pitch_rad)
    wrist_up = pose.position_m[2] + TOOL_LENGTH * sin(pose.pitch_rad) - SHOULDER_HEIGHT
    wrist_distance = hypot(wrist_forward, wrist_up)
    if not abs(UPPER_ARM_LENGTH - FOREARM_LENGTH) < wrist_distance < UPPER_ARM_LENGTH + FOREARM_LENGTH:
        raise OutOfReach(
            f"{side} arm to {_in_words(pose)}: the wrist would be {wrist_distance:.3f} m from the shoulder, "
            f"and the arm reaches {UPPER_ARM_LENGTH + FOREARM_LENGTH:.3f} m"
        )
    at_elbow = _angle_between(UPPER_ARM_LENGTH, FOREARM_LENGTH, wrist_distance)
    at_shoulder = _angle_between(UPPER_ARM_LENGTH, wrist_distance, FOREARM_LENGTH)
    # Of the two ways to bend, the one with the elbow up; pitches count downwards from level.
    upper_arm_pitch = -atan2(wrist_up, wrist_forward) - at_shoulder
    forearm_pitch = upper_arm_pitch + pi - at_elbow
    shoulder = upper_arm_pitch + pi / 2 - UPPER_ARM_TILT_RAD
    elbow = forearm_pitch - shoulder
    joints = np.array([waist, shoulder, elbow, 0.0, pose.pitch_rad - forearm_pitch, pose.roll_rad])
    outside = (joints < JOINT_LOWER_RAD) | (joints > JOINT_UPPER_RAD)
    if outside.any():
        joint = int(np.argmax(outside))
        raise OutOfReach(
            f"{side} arm to {_in_words(pose)}: {ARM_JOINT_NAMES[joint]} would be {joints[joint]:.3f} rad, and its "
            f"limits are {JOINT_LOWER_RAD[joint]} to {JOINT_UPPER_RAD[joint]}"
        )
    return joints


def gripper_pose(side, joints):
    """Where six joint positions bring the gripper of an arm. The forearm's roll is taken as zero."""
    waist, shoulder, elbow, _, wrist_angle, wrist_rotate = joints
    upper_arm_pitch = shoulder - pi / 2 + UPPER_ARM_TILT_RAD
    forearm_pitch = shoulder + elbow
    pitch = forearm_pitch + wrist_angle
    forward = UPPER_ARM_LENGTH * cos(upper_arm_pitch) + FOREARM_LENGTH * cos(forearm_pitch) + TOOL_LENGTH * cos(pitch)
    down = UPPER_ARM_LENGTH * sin(upper_arm_pitch) + FOREARM_LENGTH * sin(forearm_pitch) + TOOL_LENGTH * sin(pitch)
    heading = BASE_YAW_RAD[side] + waist
    position = (BASE_X[side] + forward * cos(heading), BASE_Y + forward * sin(heading), SHOULDER_HEIGHT - down)
    return GripperPose(position, pitch, wrist_rotate)


def backed_off(side, pose, distance_m):
    """The pose from which the gripper gets to this one straight ahead, over a distance."""
    x, y, z = pose.position_m
    waist, _ = _waist_and_distance(side, pose.position_m)
    heading = BASE_YAW_RAD[side] + waist
    back = distance_m * cos(pose.pitch_rad)
    behind = (x - back * cos(heading), y - back * sin(heading), z + distance_m * sin(pose.pitch_rad))
    return replace(pose, position_m=behind)


def square_roll_rad(side, position_m, pitch_rad):
    """The roll at which the fingers open along the world's y, seen from above. Not for a level gripper."""
    waist, _ = _waist_and_distance(side, position_m)
    return atan(tan(waist) / sin(pitch_rad))


def _waist_and_distance(side, position_m):
    x, y = position_m[0] - BASE_X[side], position_m[1] - BASE_Y
    waist = atan2(y, x) - BASE_YAW_RAD[side]
    # The shortest turn.
    return (waist + pi) % (2 * pi) - pi, hypot(x, y)


def _angle_between(one, other, opposite):
    """The angle of a triangle between two sides, from the lengths of all three."""
    cosine = (one**2 + other**2 - opposite**2) / (2 * one * other)
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _in_words(pose):
    x, y, z = pose.position_m
    return f"({x:.3f}, {y:.3f}, {z:.3f}) m at a pitch of {pose.pitch_rad:.3f} rad"
