"""Meta-World as the tools here have it, beside LeRobot's own environment. tools/parity.sh runs it."""

import threading
import unittest

import numpy as np
from lerobot.envs.metaworld import TASK_DESCRIPTIONS, MetaworldEnv

from pi0_tools.train.metaworld.robot import CAMERA, ROBOT, TASKS

SEED = 1000
ACTION = np.array([0.5, -0.5, 0.2, 0.0], np.float32)


class MetaWorldBesideLeRobot(unittest.TestCase):
    def test_prompts_are_lerobot_s(self):
        for task, known in TASKS.items():
            self.assertEqual(known.prompt, TASK_DESCRIPTIONS[task])

    def test_a_seed_has_the_states_and_the_pictures_that_it_has_in_lerobot(self):
        for task in ("drawer-open-v3", "peg-insert-side-v3", "reach-v3"):
            with self.subTest(task):
                theirs = after_ten_steps_in_lerobot(task)
                environment = ROBOT.environment(task, SEED)
                for _ in range(10):
                    ROBOT.execute(environment, ACTION)
                picture = ROBOT.frames(environment, environment.physics_state())[CAMERA]
                state = ROBOT.state_row(ROBOT.scene_of(environment))
                np.testing.assert_array_equal(state, theirs["agent_pos"])
                self.assertLess(np.abs(picture.astype(int) - theirs["pixels"]).mean(), 0.1)


def after_ten_steps_in_lerobot(task):
    """LeRobot's observation. In a thread of its own: its context of OpenGL would take dm_control's place unseen."""
    observations = []

    def run():
        environment = MetaworldEnv(task, obs_type="pixels_agent_pos")
        environment.reset(seed=SEED)
        for _ in range(10):
            observation, *_ = environment.step(ACTION)
        environment.close()
        observations.append(observation)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return observations[0]


if __name__ == "__main__":
    unittest.main()
