"""Training with clean prefixes, by LeRobot's own policies.

LeRobot's environment has no pytest: `.env/lerobot/bin/python -m unittest` with this file runs it, as parity.sh does.
"""

import json
import tempfile
import unittest
from pathlib import Path

import torch
from lerobot.policies.pi_gemma import PiGemmaRMSNorm
from lerobot.utils.constants import ACTION, OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS, OBS_STATE

from pi0_tools.reference.lerobot_checkpoint import build_policy, load_policy, write_checkpoint
from pi0_tools.reference.policy_types import PI0, PI05
from pi0_tools.reference.random_weights import randomise
from pi0_tools.train.aloha.robot import ROBOT
from pi0_tools.train.clean_prefixes import draw_clean_rows, train_with_clean_prefixes, write_training_delay
from pi0_tools.train.small_robot_policy import (
    camera_feature,
    robot_statistics,
    small_architecture,
    small_config,
    small_tokenizer,
)

CAMERA = camera_feature("top")
ACTION_HORIZON = ROBOT.horizon
JOINTS = len(ROBOT.action_names)
SAMPLES = 6
MAX_DELAY = 20


def small_policy(policy_type):
    policy = build_policy(small_config(ROBOT, policy_type, "cpu"), small_architecture(ROBOT, policy_type))
    randomise(policy, 1)
    return policy


def samples():
    generator = torch.Generator().manual_seed(0)
    return {
        CAMERA: torch.rand(SAMPLES, 3, 120, 120, generator=generator),
        OBS_STATE: torch.randn(SAMPLES, JOINTS, generator=generator),
        ACTION: torch.randn(SAMPLES, ACTION_HORIZON, JOINTS, generator=generator),
        OBS_LANGUAGE_TOKENS: torch.randint(4, 300, (SAMPLES, 9), generator=generator),
        OBS_LANGUAGE_ATTENTION_MASK: torch.ones(SAMPLES, 9, dtype=torch.bool),
    }


class CleanPrefixes(unittest.TestCase):
    def setUp(self):
        forward = PiGemmaRMSNorm.forward
        self.addCleanup(setattr, PiGemmaRMSNorm, "forward", forward)

    def test_delays_are_drawn_for_each_sample_up_to_the_longest(self):
        torch.manual_seed(0)
        rows = draw_clean_rows(2000, ACTION_HORIZON, 3, "cpu")
        self.assertEqual(sorted(set(rows.sum(1).tolist())), [0, 1, 2, 3])
        self.assertTrue(rows[:, :-1].logical_or(~rows[:, 1:]).all(), "clean actions are the first")

    def test_clean_actions_enter_clean_at_time_0_and_do_not_count(self):
        for policy_type in (PI0, PI05):
            policy, seen = small_policy(policy_type), {}
            embed_suffix, losses_of = policy.model.embed_suffix, policy.model.forward

            def embedded(*arguments, embed_suffix=embed_suffix, seen=seen):
                seen.setdefault("times", []).append(arguments[-1])
                seen["x_t"] = arguments[-2]
                return embed_suffix(*arguments)

            def forward(*arguments, losses_of=losses_of, seen=seen):
                seen["losses"] = losses_of(*arguments)
                return seen["losses"]

            policy.model.embed_suffix, policy.model.forward = embedded, forward
            train_with_clean_prefixes(policy, MAX_DELAY)
            batch = samples()
            torch.manual_seed(3)
            loss, _ = policy.forward(batch)
            is_clean = (seen["x_t"] - batch[ACTION]).abs().amax(2) < 1e-5
            delays = is_clean.sum(1)
            self.assertGreater(len(set(delays.tolist())), 1, "each sample has a delay of its own")
            torch.testing.assert_close(is_clean, torch.arange(ACTION_HORIZON) < delays[:, None])
            noisy, clean = seen["times"]
            self.assertTrue((noisy > 0).all() and (clean == 0).all())
            torch.testing.assert_close(loss, seen["losses"][~is_clean].mean())
            self.assertGreater(abs(loss - seen["losses"].mean()).item(), 0.01, "the mean over all rows is another")

    def test_a_few_steps_lower_the_loss(self):
        for policy_type in (PI0, PI05):
            policy = small_policy(policy_type)
            train_with_clean_prefixes(policy, MAX_DELAY)
            optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
            losses = []
            for _ in range(4):
                torch.manual_seed(5)
                loss, _ = policy.forward(samples())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            self.assertLess(losses[-1], losses[0], policy_type.name)

    def test_the_checkpoint_says_how_it_was_trained_and_lerobot_reads_its_weights(self):
        policy = small_policy(PI05)
        prompts = ["wave"]
        tokenizer = small_tokenizer(ROBOT, PI05, prompts)
        robot = torch.rand(10, JOINTS).numpy()
        statistics = robot_statistics(ROBOT, robot, robot)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_checkpoint(policy, tokenizer, statistics, small_architecture(ROBOT, PI05), folder)
            write_training_delay(folder, 7)
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self.assertEqual(config["rtc_training_max_delay"], 7)
            loaded = load_policy(folder).state_dict()
        for name, value in policy.state_dict().items():
            self.assertTrue(torch.equal(value, loaded[name]), name)


if __name__ == "__main__":
    unittest.main()
