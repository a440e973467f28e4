"""Evaluates a policy in pi0_server with vla-eval's harness on a simulated robot, and prints its result as JSON.

vla-eval's record of every step, and its own result file, are in the output folder.
"""

import argparse
import json
import sys
from pathlib import Path

import vla_eval
from vla_eval.protocol.numpy_codec import set_image_format

from pi0_tools import CHECKOUT
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import RunFailed
from pi0_tools.evaluation.simulated_robot import SIMULATED_ROBOTS
from pi0_tools.train.robot import robot_named
from pi0_tools.vla_eval.served_policy import ServedPolicy

BENCHMARK = "pi0_tools.vla_eval.robot_tasks:RobotTasks"
CHECKPOINTS = {
    **{name: robot.checkpoint for name, robot in SIMULATED_ROBOTS.items()},
    "metaworld": CHECKOUT / "checkpoints/metaworld_sim",
}
# How the policy's actions become the benchmark's.
ACTIONS = {"aloha": "as_they_are", "panda": "absolute_poses", "metaworld": "as_they_are"}


def server_settings(robot):
    """pi0_server's arguments: with the ALOHA's file it crops the pictures as the node does.

    With the Panda's it would take poses of the robot, where the benchmark has states of the policy.
    """
    return ("--params-file", SIMULATED_ROBOTS[robot].config) if robot == "aloha" else ()


def evaluate(robot, address, output, tasks, episodes, first_seed):
    """vla-eval's result for a server at an address. robot: its name. tasks: names of its skills, or none for all."""
    configuration = {
        "output_dir": str(output),
        # MUJOCO_GL stays as the environment has it.
        "render": "gpu",
        "benchmarks": [
            {
                "benchmark": BENCHMARK,
                "name": robot,
                "mode": "sync",
                "episodes_per_task": episodes,
                "params": {"robot": robot, "first_seed": first_seed},
                **({"tasks": tasks} if tasks else {}),
            }
        ],
    }
    policy = ServedPolicy(
        address, keys="aloha", actions=ACTIONS[robot], chunk_size=robot_named(robot).execution_horizon
    )
    # Within one machine a picture is sent faster than PNG is made of it, and comes out the same.
    set_image_format("raw")
    (result,) = vla_eval.evaluate(policy, configuration, docker=False)
    return result


def summary(result):
    """The shares of episodes that succeeded, by task, with the version of the harness.

    Raises RunFailed for episodes that ended with an error, which the harness counts as failures of the policy.
    """
    for task in result["tasks"]:
        for episode in task["episodes"]:
            if episode.get("failure_reason"):
                detail = (episode.get("failure_detail") or "").strip().splitlines() or [""]
                raise RunFailed(f"{task['task']}, episode {episode['episode_id']}: {detail[-1]}")
    return {
        "harness": f"vla-eval {result['harness_version']}",
        "tasks": {
            task["task"]: {"episodes": len(task["episodes"]), "success": round(task["mean_success"], 4)}
            for task in result["tasks"]
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", choices=ACTIONS, default="aloha", help="which (default aloha)")
    parser.add_argument("--checkpoint", type=Path, help="folder of another one than the robot's shipped one")
    parser.add_argument("--task", action="append", default=[], dest="tasks", help="only this; may be repeated")
    parser.add_argument("--episodes", type=int, default=50, help="seeds of each task (default 50)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "target/vla_eval", help="folder for what it writes")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.checkpoint or CHECKPOINTS[arguments.robot]
    try:
        with policy_server(
            arguments.output / "pi0_server.log", *server_settings(arguments.robot), checkpoint=checkpoint
        ) as (_, address):
            result = evaluate(
                arguments.robot,
                address,
                arguments.output,
                arguments.tasks,
                arguments.episodes,
                arguments.first_seed,
            )
        table = summary(result)
    except RunFailed as failure:
        print(f"vla_eval: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(table), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
