"""What goes wrong before a demonstration is recorded, so that the policy sees how the expert gets out of it."""

from dataclasses import replace

import numpy as np

from pi0_sim.skills import ARMS
from pi0_tools.train.aloha.kinematics import JOINT_LOWER_RAD, JOINT_UPPER_RAD, OutOfReach, gripper_pose
from pi0_tools.train.aloha.scene import GRIPPERS, scene_of
from pi0_tools.train.aloha.scripted_expert import CLOSED, HAND_OVER, LEFT_PICK, OPEN, RIGHT_PICK, ScriptedExpert

# Steps of the expert after which every kind of mishap can still happen.
LAST_STEP_OF_MISHAP = {RIGHT_PICK: 110, LEFT_PICK: 120, HAND_OVER: 230}
WORKING_ARMS = {RIGHT_PICK: ("right",), LEFT_PICK: ("left",), HAND_OVER: ("left", "right")}
MISTAKEN_M = (0.04, 0.08)
FEWEST_MISTAKEN_STEPS = 25
# The forearm's roll stays at zero, as in everything that the expert does.
WRONG_POSE_RAD = np.array([0.35, 0.25, 0.25, 0.0, 0.35, 0.35])
WRONG_POSE_STEPS = (15, 40)
LOWEST_GRIPPER_M = 0.06


def cause_mishap(environment, prompt, random):
    """In half of the episodes, leaves the robot in the middle of something that went wrong."""
    draw = random.random()
    if draw < 0.25:
        _mistake_the_place(environment, prompt, random)
    elif draw < 0.5:
        _move_to_wrong_pose(environment, prompt, random)


def _mistake_the_place(environment, prompt, random):
    """The arm goes for a place beside the cube, closes on nothing, or pushes the cube away."""
    direction, distance = random.uniform(0, 2 * np.pi), random.uniform(*MISTAKEN_M)
    error = distance * np.array([np.cos(direction), np.sin(direction), 0.0])
    steps = random.integers(FEWEST_MISTAKEN_STEPS, LAST_STEP_OF_MISHAP[prompt])

    def mistaken_scene():
        scene = scene_of(environment)
        return replace(scene, cube_position_m=scene.cube_position_m + error)

    expert = ScriptedExpert(prompt, mistaken_scene())
    for _ in range(steps):
        try:
            targets = expert.act(mistaken_scene())
        except OutOfReach:
            return
        environment.step(targets)


def _move_to_wrong_pose(environment, prompt, random):
    """At some moment of the skill, working arms are somewhere else."""
    expert = ScriptedExpert(prompt, scene_of(environment))
    targets = environment.joint_positions()
    for _ in range(random.integers(LAST_STEP_OF_MISHAP[prompt])):
        targets = expert.act(scene_of(environment))
        environment.step(targets)
    scene = scene_of(environment)
    arms = WORKING_ARMS[prompt]
    wrong = targets.copy()
    for side in random.permutation(arms)[: random.integers(1, len(arms) + 1)]:
        wrong[ARMS[side]] = _wrong_joints(side, targets[ARMS[side]], random)
        if not scene.holds(side):
            wrong[GRIPPERS[side]] = random.uniform(CLOSED, OPEN)
    steps = random.integers(*WRONG_POSE_STEPS)
    for step in range(1, steps + 1):
        environment.step(targets + (wrong - targets) * step / steps)


def _wrong_joints(side, joints, random):
    while True:
        wrong = np.clip(joints + random.uniform(-WRONG_POSE_RAD, WRONG_POSE_RAD), JOINT_LOWER_RAD, JOINT_UPPER_RAD)
        if gripper_pose(side, wrong).position_m[2] > LOWEST_GRIPPER_M:
            return wrong
