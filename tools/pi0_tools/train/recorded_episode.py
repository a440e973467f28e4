"""One episode of a scripted expert, as training needs it.

What goes wrong on purpose is no label: mishaps, and what a policy did, happen before an episode is recorded, and noise
is on what the robot executes while the expert's own targets are recorded.
"""

from dataclasses import dataclass

import numpy as np

from pi0_tools.train.robot import OutOfReach

# So long is holding still at the end recorded: the policy must learn to stay.
STILL_SECONDS = 0.5
LONGEST_EPISODE_STEPS = 800


@dataclass(frozen=True)
class RecordedEpisode:
    """state and target: shape (steps, …), float32, what the robot was and what the expert wanted at each step.

    physics_states: what the robot's scene draws, for every step. object_places: as the robot has them, for every step.
    environment: in which it was recorded.
    """

    state: np.ndarray
    target: np.ndarray
    physics_states: list[np.ndarray]
    object_places: np.ndarray
    reward_max: float
    environment: object


def record_episode(robot, skill, seed, perturbed, move_first=None):
    """Runs the expert on the start pose of a seed; returns None when it failed.

    move_first(environment, skill, random): what moves the robot before, in place of mishaps.
    """
    random = np.random.default_rng((seed, robot.index_of(skill)))
    environment = robot.environment(skill, seed)
    try:
        if move_first is not None:
            move_first(environment, skill, random)
        elif perturbed:
            robot.cause_mishap(environment, skill, random)
        return _record(robot, environment, skill, robot.noise(random) if perturbed else None)
    except OutOfReach:
        return None


def _record(robot, environment, skill, noise):
    scene = robot.scene_of(environment)
    expert = robot.expert(skill, scene)
    states, targets, physics_states, object_places = [], [], [], []
    reward_max, still_steps, done_steps = 0.0, 0, 0
    steps_to_stay = round(STILL_SECONDS / robot.step_seconds)
    while still_steps < steps_to_stay:
        if len(states) == LONGEST_EPISODE_STEPS:
            return None
        target = expert.act(scene)
        states.append(robot.state_row(scene))
        targets.append(robot.target_row(target))
        physics_states.append(environment.physics_state())
        object_places.append(robot.object_places(environment))
        reward = robot.execute(environment, target, None if noise is None else noise.next())
        reward_max = max(reward_max, reward)
        scene = robot.scene_of(environment)
        if expert.finished:
            still_steps += 1
            done_steps += robot.is_done(skill, environment)
    # Contacts come and go from one step to the next while an object is held.
    if done_steps <= steps_to_stay / 2:
        return None
    states, targets, object_places = map(np.float32, (states, targets, object_places))
    return RecordedEpisode(states, targets, physics_states, object_places, reward_max, environment)
