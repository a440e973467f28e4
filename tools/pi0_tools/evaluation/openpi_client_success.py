"""Drives the simulated robot with openpi's own client through pi0_server, without ROS 2, and prints a table as JSON.

The simulation stands still while the policy thinks. Actions come one at a time from openpi's ActionChunkBroker.
"""

import argparse
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from pi0_sim.aloha_environment import STEP_SECONDS, AlohaEnvironment
from pi0_sim.aloha_scene import DEFAULT_HEIGHT, DEFAULT_WIDTH, AlohaScene
from pi0_sim.skills import SKILLS, EpisodeJudge
from pi0_tools import CHECKOUT
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import RunFailed
from pi0_tools.train.aloha.robot import TASK

CAMERA = "top"
# Half of the shipped policy's horizon, which the node plays by default.
EXECUTION_HORIZON = 25
# The server crops the frames as the node does.
ROBOT = CHECKOUT / "config/aloha_sim.yaml"


def run_episode(environment, scene, client, skill, seed):
    """The outcome of one start pose. Ends early when the skill is done and kept."""
    environment.reset_at_rest(seed)
    judge = EpisodeJudge(seed, environment.joint_positions())
    policy = ActionChunkBroker(client, EXECUTION_HORIZON)
    picture = None
    step = 0
    while step * STEP_SECONDS < SKILLS[skill].seconds and skill not in judge.outcome.kept:
        # The broker looks at an observation only when it needs a chunk.
        if step % EXECUTION_HORIZON == 0:
            picture = scene.draw(environment.physics_state(), CAMERA)
        observation = {
            "images": {CAMERA: picture},
            "state": environment.joint_positions(),
            "prompt": SKILLS[skill].prompt,
        }
        reward = environment.step(policy.infer(observation)["actions"])
        step += 1
        judge.stepped(environment, reward, step * STEP_SECONDS)
    return judge.outcome


def success_rates(address, skills, episodes, first_seed):
    """The share of the episodes in which each skill was done, and the seeds with which it was not."""
    client = WebsocketClientPolicy(address)
    environment = AlohaEnvironment(TASK)
    table = {}
    with closing(AlohaScene(TASK, DEFAULT_WIDTH, DEFAULT_HEIGHT)) as scene:
        for skill in skills:
            seeds = range(first_seed, first_seed + episodes)
            failed = [seed for seed in seeds if skill not in run_episode(environment, scene, client, skill, seed).kept]
            table[skill] = {
                "episodes": episodes,
                "done": round(1 - len(failed) / episodes, 4),
                "failed_seeds": failed,
            }
            print(f"eval: {skill}: {json.dumps(table[skill])}", file=sys.stderr, flush=True)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skill", choices=SKILLS, action="append", dest="skills", help="only this; may be repeated")
    parser.add_argument("--episodes", type=int, default=20, help="seeds of each skill (default 20)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with policy_server(Path(folder) / "log", "--params-file", ROBOT) as (_, address):
                skills = arguments.skills or list(SKILLS)
                table = success_rates(address, skills, arguments.episodes, arguments.first_seed)
        except RunFailed as failure:
            print(f"eval: {failure}", file=sys.stderr)
            return 1
    print(json.dumps(table), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
