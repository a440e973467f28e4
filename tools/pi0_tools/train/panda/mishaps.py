"""What goes wrong before a demonstration is recorded, so that the policy sees how the expert gets out of it."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from pi0_sim.pose import Pose
from pi0_tools.train.panda.scene import scene_of
from pi0_tools.train.panda.scripted_expert import CLOSED, OPEN, ScriptedExpert, Target

# Steps of the expert after which every kind of mishap can still happen.
LAST_STEP_OF_MISHAP = {"lift": 130, "stack": 330, "pick_place_can": 400}
# What the expert takes for somewhere else.
MISTAKEN_OBJECT = {"lift": "red_cube", "stack": "red_cube", "pick_place_can": "can"}
MISTAKEN_M = (0.03, 0.07)
FEWEST_MISTAKEN_STEPS = 30
WRONG_POSITION_M = np.array([0.08, 0.08, 0.08])
WRONG_TURN_RAD = np.array([0.12, 0.12, 0.5])
WRONG_POSE_STEPS = (15, 40)
LOWEST_TOOL_Z_M = -0.06


def cause_mishap(environment, execute, skill, random):
    """In half of the episodes, leaves the robot in the middle of something that went wrong.

    execute: a function that simulates a step towards a Target.
    """
    draw = random.random()
    if draw < 0.25:
        _mistake_the_place(environment, execute, skill, random)
    elif draw < 0.5:
        _move_to_wrong_pose(environment, execute, skill, random)


def _mistake_the_place(environment, execute, skill, random):
    """The arm goes for a place beside the object, closes on nothing, or pushes the object away."""
    direction, distance = random.uniform(0, 2 * np.pi), random.uniform(*MISTAKEN_M)
    error_m = distance * np.array([np.cos(direction), np.sin(direction), 0.0])
    steps = random.integers(FEWEST_MISTAKEN_STEPS, LAST_STEP_OF_MISHAP[skill])
    name = MISTAKEN_OBJECT[skill]

    def mistaken_scene():
        scene = scene_of(environment)
        mistaken = replace(scene.objects[name], position_m=scene.objects[name].position_m + error_m)
        return replace(scene, objects=scene.objects | {name: mistaken})

    expert = ScriptedExpert(skill, mistaken_scene())
    for _ in range(steps):
        execute(environment, expert.act(mistaken_scene()))


def _move_to_wrong_pose(environment, execute, skill, random):
    """At some moment of the skill, the arm is somewhere else."""
    expert = ScriptedExpert(skill, scene_of(environment))
    scene = scene_of(environment)
    target = Target(scene.tool, scene.opening)
    for _ in range(random.integers(LAST_STEP_OF_MISHAP[skill])):
        target = expert.act(scene_of(environment))
        execute(environment, target)
    scene = scene_of(environment)
    start = target.pose
    way_m = random.uniform(-WRONG_POSITION_M, WRONG_POSITION_M)
    way_m[2] = max(way_m[2], LOWEST_TOOL_Z_M - start.position_m[2])
    turn = random.uniform(-WRONG_TURN_RAD, WRONG_TURN_RAD)
    is_holding = any(scene.holds(name) for name in scene.objects if name != "green_cube")
    opening = target.opening if is_holding else random.uniform(CLOSED, OPEN)
    steps = random.integers(*WRONG_POSE_STEPS)
    for step in range(1, steps + 1):
        share = step / steps
        rotation = Rotation.from_rotvec(share * turn) * start.rotation
        pose = Pose(start.position_m + share * way_m, rotation.as_quat())
        execute(environment, Target(pose, target.opening + share * (opening - target.opening)))
