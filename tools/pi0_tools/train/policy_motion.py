"""A policy that moves a simulated robot. The simulation stands still while it thinks: no ROS and no node takes part."""

import numpy as np

# While the node infers a chunk it plays on from the one before.
ACTIONS_PLAYED_WHILE_INFERRING = 1


def played_actions(robot):
    """How many actions of a chunk are played, as the node plays them."""
    return robot.execution_horizon + ACTIONS_PLAYED_WHILE_INFERRING


def policy_motion(robot, environment, policy, prompt, seed, actions_to_execute, black_cameras=()):
    """Simulates one step after the other, without end, and yields the reward of each.

    policy: as LeRobotPolicy. seed: of the noise. actions_to_execute: of each chunk. black_cameras: they see nothing.
    """
    noise = policy.noise(seed)
    step = 0
    pictured = environment.physics_state()
    while True:
        pictures = robot.draw(environment, pictured)
        for camera in black_cameras:
            pictures[camera] = np.zeros_like(pictures[camera])
        state = robot.state_row(robot.scene_of(environment))
        for action in policy.actions(pictures, state, prompt, next(noise))[:actions_to_execute]:
            target = robot.target_of(state, action)
            for _ in range(robot.steps_an_action):
                reward = robot.execute(environment, target, None)
                step += 1
                if step % robot.steps_a_picture == 0:
                    pictured = environment.physics_state()
                yield reward
