"""Trains the small π0 or π0.5 on demonstrations, with LeRobot's own policy and loss, and writes its checkpoint.

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

from pi0_tools.reference.bfloat16_checkpoint import round_to_bfloat16, store_as_bfloat16
from pi0_tools.reference.lerobot_checkpoint import build_policy, build_processors, write_checkpoint
from pi0_tools.reference.policy_types import POLICY_TYPES
from pi0_tools.train.clean_prefixes import train_with_clean_prefixes, write_training_delay
from pi0_tools.train.demonstration_batches import BatchSampler, Demonstrations
from pi0_tools.train.initial_weights import start_from, start_numbers
from pi0_tools.train.prompt_pretraining import pretrain_prompt
from pi0_tools.train.robot import add_robot_arguments, take_robot
from pi0_tools.train.small_robot_policy import (
    camera_feature,
    robot_statistics,
    small_architecture,
    small_config,
    small_tokenizer,
)
from pi0_tools.train.vision_pretraining import pretrain_vision, vision_labels

HELD_OUT_EPISODES = 20
WEIGHT_DECAY = 1e-4
BETAS = (0.9, 0.95)
GRADIENT_NORM = 1.0
WARM_UP_STEPS = 200
AVERAGE_DECAY = 0.998
REPORT_EVERY = 50
EVALUATE_EVERY = 500


class Trainer:
    """What a training step needs: the policy, its optimiser, the data, and the average of the weights so far."""

    def __init__(self, arguments):
        torch.manual_seed(arguments.seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.robot = arguments.robot
        folders = [arguments.demonstrations, *arguments.more_demonstrations]
        self.demonstrations = Demonstrations(folders, self.robot, arguments.skills)
        self.skills = arguments.skills
        held_out = self.demonstrations.held_out_episodes(HELD_OUT_EPISODES)
        self.held_out_starts = self.demonstrations.episode_starts[held_out]
        self.sampler = BatchSampler(
            self.demonstrations, held_out, arguments.batch_size, arguments.seed, arguments.shares
        )
        self.statistics = robot_statistics(self.robot, self.demonstrations.state, self.demonstrations.sampled_actions())
        policy_type = POLICY_TYPES[arguments.policy]
        self.architecture = small_architecture(self.robot, policy_type)
        self.tokenizer = small_tokenizer(self.robot, policy_type, self.demonstrations.prompts)
        self.policy = build_policy(small_config(self.robot, policy_type, self.device), self.architecture)
        self.processors = build_processors(self.policy.config, self.tokenizer, self.statistics)
        if arguments.start_from is None:
            images = list(self.demonstrations.images.values())
            labels = vision_labels(self.demonstrations, self.robot.colours)
            pretrain_vision(self.policy, images, labels, arguments.vision_steps, arguments.seed, report_vision)
            if policy_type.state_in_prompt:
                start_numbers(self.policy, self.tokenizer, arguments.seed)
        else:
            actions = self._inputs(self.sampler.next())[ACTION]
            start_from(arguments.start_from, self.policy, self.tokenizer, actions, arguments.seed)
        if arguments.prompt_steps > 0:
            states = self._normalised_states()
            prompts = self.demonstrations.prompts
            pretrain_prompt(
                self.policy, self.tokenizer, prompts, states, arguments.prompt_steps, arguments.seed, report_prompt
            )
        self.average = copy.deepcopy(self.policy).eval().requires_grad_(False)
        # The same arithmetic in fewer passes over memory: half as long again without it on a CPU.
        self.policy.model.forward = torch.compile(self.policy.model.forward)
        self.max_delay = arguments.rtc_training_max_delay
        if self.max_delay > 0:
            train_with_clean_prefixes(self.policy, self.max_delay)
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), lr=arguments.learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY
        )
        self._steps = 0

    def _normalised_states(self):
        """States of the demonstrations [steps, joints], as the prompt has them."""
        of_state = self.statistics[OBS_STATE]
        q01, q99 = of_state["q01"].numpy(), of_state["q99"].numpy()
        return 2 * (self.demonstrations.state - q01) / (q99 - q01) - 1

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
        """How far the tool's place at the end of a chunk is from the expert's: median and worst of each skill.

        From the first pictures of the episodes that were held out. A loss falls nicely while a policy still guesses
        where the objects are; this does not.
        """
        batch = self.demonstrations.batch(self.held_out_starts, 0)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(batch.actions.shape, generator=generator).to(self.device)
        _, postprocessor = self.processors
        predicted = postprocessor(self.average.predict_action_chunk(self._inputs(batch), noise=noise)).numpy()
        errors_m = [[] for _ in self.skills]
        for skill, state, chunk, expected in zip(batch.skill, batch.state, predicted, batch.actions, strict=True):
            there, wanted = (
                self.robot.tool_position_m(self.skills[skill], state, actions) for actions in (chunk, expected)
            )
            errors_m[skill].append(float(np.linalg.norm(there - wanted)))
        return [(float(np.median(errors)), max(errors)) for errors in errors_m]

    def _inputs(self, batch):
        """The batch after LeRobot's processor, without the padding that all of its prompts have."""
        prompts = self.demonstrations.prompts
        preprocessor, _ = self.processors
        inputs = preprocessor(
            {
                **{
                    camera_feature(camera): torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
                    for camera, images in batch.images.items()
                },
                OBS_STATE: torch.from_numpy(batch.state),
                ACTION: torch.from_numpy(batch.actions),
                "task": [prompts[skill] for skill in batch.skill],
            }
        )
        longest = int(inputs[OBS_LANGUAGE_ATTENTION_MASK].sum(1).max())
        for name in (OBS_LANGUAGE_TOKENS, OBS_LANGUAGE_ATTENTION_MASK):
            inputs[name] = inputs[name][:, :longest]
        return inputs

    def save(self, folder):
        """Writes the average of the weights, rounded to bfloat16."""
        rounded = copy.deepcopy(self.average)
        # Whoever loads it may have no GPU.
        rounded.config.device = "cpu"
        round_to_bfloat16(rounded)
        write_checkpoint(rounded, self.tokenizer, self.statistics, self.architecture, folder)
        store_as_bfloat16(folder)
        if self.max_delay > 0:
            write_training_delay(folder, self.max_delay)


def report_vision(step, error):
    print(f"vision, step {step}: an object is found within {50 * error:.2f} % of the range of places", flush=True)


def report_prompt(step, error):
    print(f"prompt, step {step}: a value is read within {50 * error:.2f} % of its range", flush=True)


def learning_rate(progress, step, peak):
    """Linear warm-up, then a cosine down to a hundredth of the peak. progress: from 0 to 1."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return peak * warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def train(arguments):
    trainer = Trainer(arguments)
    pictures = len(next(iter(trainer.demonstrations.images.values())))
    parameters = sum(parameter.numel() for parameter in trainer.policy.parameters())
    print(
        f"{parameters / 1e6:.2f} M parameters on {trainer.device}; {len(trainer.demonstrations.state)} steps, "
        f"{pictures} pictures a camera of {len(trainer.demonstrations.episode_starts)} episodes",
        flush=True,
    )
    started_s = time.monotonic()
    losses = []
    done, progress = 0, 0.0
    while progress < 1.0:
        losses.append(trainer.step(learning_rate(progress, done, arguments.learning_rate)))
        done += 1
        taken_s = time.monotonic() - started_s
        progress = max(done / arguments.steps, taken_s / 60 / arguments.minutes)
        if done % REPORT_EVERY == 0:
            left_min = taken_s * (1 / progress - 1) / 60
            loss = torch.stack(losses).mean().item()
            losses.clear()
            print(f"step {done}: loss {loss:.4f}, {taken_s / done:.2f} s a step, {left_min:.0f} min left", flush=True)
        if done % EVALUATE_EVERY == 0:
            errors = ", ".join(
                f"{skill} {100 * median:.1f} ({100 * worst:.1f})"
                for skill, (median, worst) in zip(arguments.skills, trainer.localisation_error_m(), strict=True)
            )
            print(f"step {done}: median (worst) distance from the expert's tool in cm: {errors}", flush=True)
            trainer.save(arguments.output)
    trainer.save(arguments.output)
    started_from = arguments.start_from
    start = {"vision_steps": arguments.vision_steps} if started_from is None else {"start_from": started_from.name}
    (arguments.output / "dataset_info.json").write_text(
        json.dumps(arguments.robot.dataset_info(), indent=2) + "\n", encoding="utf-8"
    )
    (arguments.output / "training.json").write_text(
        json.dumps(
            {
                "robot": arguments.robot.name,
                "policy": arguments.policy,
                "seed": arguments.seed,
                **start,
                "prompt_steps": arguments.prompt_steps,
                "steps": done,
                "batch_size": arguments.batch_size,
                "shares": arguments.shares,
                "learning_rate": arguments.learning_rate,
                "rtc_training_max_delay": arguments.rtc_training_max_delay,
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
    parser.add_argument(
        "--more-demonstrations",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="further episodes of some skills; may be repeated",
    )
    add_robot_arguments(parser)
    parser.add_argument("--policy", choices=POLICY_TYPES, default="pi0")
    parser.add_argument(
        "--start-from", type=Path, help="a checkpoint to go on from, or a π0 for a π0.5, in place of pretraining"
    )
    parser.add_argument("--vision-steps", type=int, default=1500, help="of pretraining (default 1500)")
    parser.add_argument("--prompt-steps", type=int, default=0, help="of learning to read π0.5's prompt (default 0)")
    parser.add_argument("--steps", type=int, default=6500, help="of training (default 6500)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of training, when the steps take longer")
    parser.add_argument("--batch-size", type=int, default=64, help="samples of a step (default 64)")
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        help="of each skill among the samples, in their order (default: every step is as likely)",
    )
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the highest")
    parser.add_argument(
        "--rtc-training-max-delay",
        type=int,
        default=0,
        help="actions that a chunk is trained to be given clean, at most: for rtc_mode trained (default 0, none)",
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    take_robot(parser, arguments)
    if arguments.shares is not None:
        if len(arguments.shares) != len(arguments.skills):
            parser.error(f"--shares: expected a number for each of {', '.join(arguments.skills)}")
        if min(arguments.shares) <= 0:
            parser.error("--shares: expected numbers above 0")
    longest = arguments.robot.horizon - 1
    if not 0 <= arguments.rtc_training_max_delay <= longest:
        parser.error(f"--rtc-training-max-delay: expected 0 to {longest}, fewer than a chunk's actions")
    if arguments.prompt_steps > 0 and not POLICY_TYPES[arguments.policy].state_in_prompt:
        parser.error(f"--prompt-steps: the prompt of {arguments.policy} has no state in it")
    return arguments


if __name__ == "__main__":
    sys.exit(train(parse_arguments()))
