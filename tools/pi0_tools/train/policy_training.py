"""Trains the small π0 on demonstrations, with LeRobot's own policy and loss, and writes its checkpoint.

README.md says how long it takes and what comes out.
"""

import argparse
import copy
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from lerobot.utils.constants import ACTION, OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS, OBS_STATE

from pi0_sim.skills import ARMS, SKILLS
from pi0_tools.reference.lerobot_checkpoint import build_policy, write_checkpoint
from pi0_tools.train.demonstration_batches import BatchSampler, Demonstrations
from pi0_tools.train.kinematics import gripper_pose
from pi0_tools.train.small_aloha_policy import (
    ACTION_HORIZON,
    ARCHITECTURE,
    CAMERA,
    aloha_config,
    aloha_tokenizer,
    robot_statistics,
)
from pi0_tools.train.vision_pretraining import pretrain_vision

# The arm that goes for the cube first.
FIRST_ARM = {"right_pick": "right", "left_pick": "left", "hand_over": "right"}
HELD_OUT_EPISODES = 20
WEIGHT_DECAY = 1e-4
BETAS = (0.9, 0.95)
GRADIENT_NORM = 1.0
WARM_UP_STEPS = 200
AVERAGE_DECAY = 0.998
REPORT_EVERY = 100
EVALUATE_EVERY = 500


class Trainer:
    """What a training step needs: the policy, its optimiser, the data, and the average of the weights so far."""

    def __init__(self, arguments):
        torch.manual_seed(arguments.seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.demonstrations = Demonstrations(arguments.demonstrations, arguments.skills, ACTION_HORIZON)
        self.skills = arguments.skills
        held_out = self.demonstrations.held_out_episodes(HELD_OUT_EPISODES)
        self.held_out_starts = self.demonstrations.episode_starts[held_out]
        self.sampler = BatchSampler(self.demonstrations, held_out, arguments.batch_size, arguments.seed)
        self.statistics = robot_statistics(self.demonstrations.state, self.demonstrations.action)
        self.tokenizer = aloha_tokenizer(f"{prompt}\n" for prompt in self.demonstrations.prompts)
        self.policy = build_policy(aloha_config(self.device), ARCHITECTURE)
        pretrain_vision(self.policy, self.demonstrations.images, arguments.vision_steps, arguments.seed, report_vision)
        self.average = copy.deepcopy(self.policy).eval().requires_grad_(False)
        # The same arithmetic in fewer passes over memory: half as long again without it on a CPU.
        self.policy.model.forward = torch.compile(self.policy.model.forward)
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), lr=arguments.learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY
        )
        # As LeRobot's processor gives them: a newline after the prompt, padding on the right.
        tokens = self.tokenizer(
            [f"{prompt}\n" for prompt in self.demonstrations.prompts], padding=True, return_tensors="pt"
        )
        self._steps = 0
        self._tokens = tokens["input_ids"].to(self.device)
        self._token_mask = tokens["attention_mask"].bool().to(self.device)

    def step(self, learning_rate):
        """One step of the optimiser; returns the flow-matching loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, _ = self.policy.forward(self._inputs(self.sampler.next()))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        with torch.no_grad():
            averaged = list(self.average.parameters())
            # The first steps are worth forgetting sooner.
            decay = min(AVERAGE_DECAY, (1 + self._steps) / (10 + self._steps))
            torch._foreach_lerp_(averaged, list(self.policy.parameters()), 1 - decay)
        self._steps += 1
        return loss.detach()

    def localisation_error_m(self):
        """How far the gripper's place at the end of a chunk is from the expert's: median and worst of each skill.

        From the first picture of the episodes that were held out. A loss falls nicely while a policy still guesses
        where the cube is; this does not.
        """
        batch = self.demonstrations.batch(self.held_out_starts, 0)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(batch.actions.shape, generator=generator).to(self.device)
        predicted = self.average.predict_action_chunk(self._inputs(batch), noise=noise).cpu()
        action = self.statistics[ACTION]
        predicted = (predicted * action["std"] + action["mean"]).numpy()
        errors_m = [[] for _ in self.skills]
        for skill, chunk, expected in zip(batch.skill, predicted, batch.actions, strict=True):
            side = FIRST_ARM[self.skills[skill]]
            there, wanted = (gripper_pose(side, actions[-1, ARMS[side]]).position_m for actions in (chunk, expected))
            errors_m[skill].append(float(np.linalg.norm(np.subtract(there, wanted))))
        return [(float(np.median(errors)), max(errors)) for errors in errors_m]

    def _inputs(self, batch):
        """The batch after LeRobot's processor."""
        images = torch.from_numpy(batch.images).to(self.device).permute(0, 3, 1, 2).float() / 255

        def normalised(values, name):
            statistics = self.statistics[name]
            values = (torch.from_numpy(values) - statistics["mean"]) / (statistics["std"] + 1e-8)
            return values.to(self.device)

        skill = torch.from_numpy(batch.skill).to(self.device)
        return {
            CAMERA: images,
            OBS_STATE: normalised(batch.state, OBS_STATE),
            ACTION: normalised(batch.actions, ACTION),
            OBS_LANGUAGE_TOKENS: self._tokens[skill],
            OBS_LANGUAGE_ATTENTION_MASK: self._token_mask[skill],
        }

    def save(self, folder):
        write_checkpoint(self.average, self.tokenizer, self.statistics, ARCHITECTURE, folder)


def report_vision(step, error):
    print(f"vision, step {step}: the cube is found within {50 * error:.2f} % of the picture's side", flush=True)


def learning_rate(progress, step, peak):
    """Linear warm-up, then a cosine down to a hundredth of the peak. progress: from 0 to 1."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return peak * warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def train(arguments):
    trainer = Trainer(arguments)
    parameters = sum(parameter.numel() for parameter in trainer.policy.parameters())
    print(
        f"{parameters / 1e6:.2f} M parameters on {trainer.device}; {len(trainer.demonstrations.state)} steps, "
        f"{len(trainer.demonstrations.images)} pictures of {len(trainer.demonstrations.episode_starts)} episodes",
        flush=True,
    )
    started_s = time.monotonic()
    losses = []
    for step in range(arguments.steps):
        rate = learning_rate(step / arguments.steps, step, arguments.learning_rate)
        losses.append(trainer.step(rate))
        done = step + 1
        if done % REPORT_EVERY == 0:
            taken_s = time.monotonic() - started_s
            left_min = taken_s * (arguments.steps / done - 1) / 60
            loss = torch.stack(losses).mean().item()
            losses.clear()
            print(f"step {done}: loss {loss:.4f}, {taken_s / done:.2f} s a step, {left_min:.0f} min left", flush=True)
        if done % EVALUATE_EVERY == 0:
            errors = ", ".join(
                f"{skill} {100 * median:.1f} ({100 * worst:.1f})"
                for skill, (median, worst) in zip(arguments.skills, trainer.localisation_error_m(), strict=True)
            )
            print(f"step {done}: median (worst) distance from the expert's gripper in cm: {errors}", flush=True)
            trainer.save(arguments.output)
    trainer.save(arguments.output)
    (arguments.output / "training.json").write_text(
        json.dumps(
            {
                "seed": arguments.seed,
                "vision_steps": arguments.vision_steps,
                "steps": arguments.steps,
                "batch_size": arguments.batch_size,
                "learning_rate": arguments.learning_rate,
                "episodes": len(trainer.demonstrations.episode_starts),
                "parameters": parameters,
                "minutes": round((time.monotonic() - started_s) / 60, 1),
                "device": trainer.device,
                "torch": torch.__version__,
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demonstrations", type=Path, help="folder that make_demonstrations wrote")
    parser.add_argument("output", type=Path, help="folder of the checkpoint")
    parser.add_argument("--skill", choices=SKILLS, action="append", dest="skills", help="only this; may be repeated")
    parser.add_argument("--vision-steps", type=int, default=1500, help="of pretraining (default 1500)")
    parser.add_argument("--steps", type=int, default=6500, help="of training (default 6500)")
    parser.add_argument("--batch-size", type=int, default=64, help="samples of a step (default 64)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the highest")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.skills = arguments.skills or list(SKILLS)
    return arguments


if __name__ == "__main__":
    sys.exit(train(parse_arguments()))
