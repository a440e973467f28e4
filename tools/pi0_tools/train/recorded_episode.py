"""One episode of the scripted expert, as training needs it."""

from dataclasses import dataclass

import numpy as np

from pi0_sim.skills import is_done, skill_of
from pi0_tools.train.kinematics import OutOfReach
from pi0_tools.train.perturbation import JointNoise, cause_mishap
from pi0_tools.train.scene import scene_of
from pi0_tools.train.scripted_expert import PROMPTS, ScriptedExpert

# So much of holding still at the end is recorded: the policy must learn to stay.
STILL_STEPS = 25
LONGEST_EPISODE_STEPS = 500


@dataclass(frozen=True)
class RecordedEpisode:
    """state and action: shape (steps, 14), float32, what the robot was and what the expert wanted at each step.

    physics_states: what dm_control's Physics.set_state takes, for every step.
    """

    state: np.ndarray
    action: np.ndarray
    physics_states: list[np.ndarray]
    reward_max: float


def record_episode(environment, prompt, seed, perturbed):
    """Runs the expert on the start pose of a seed; returns None when it failed."""
    random = np.random.default_rng((seed, PROMPTS.index(prompt)))
    environment.reset_at_rest(seed)
    try:
        if perturbed:
            cause_mishap(environment, prompt, random)
        return _record(environment, prompt, JointNoise(random) if perturbed else None)
    except OutOfReach:
        return None


def _record(environment, prompt, noise):
    scene = scene_of(environment)
    expert = ScriptedExpert(prompt, scene)
    states, actions, physics_states = [], [], []
    reward_max, still_steps, done_steps = 0.0, 0, 0
    while still_steps < STILL_STEPS:
        if len(states) == LONGEST_EPISODE_STEPS:
            return None
        action = expert.act(scene)
        states.append(scene.joint_positions)
        actions.append(action)
        physics_states.append(environment.physics.get_state())
        reward = environment.step(action if noise is None else action + noise.next())
        reward_max = max(reward_max, reward)
        scene = scene_of(environment)
        if expert.finished:
            still_steps += 1
            done_steps += is_done(skill_of(prompt), scene.contacts, scene.cube_position_m)
    # Contacts come and go from one step to the next while a cube is held.
    if done_steps <= STILL_STEPS / 2:
        return None
    return RecordedEpisode(np.float32(states), np.float32(actions), physics_states, reward_max)
