"""Measures how often the shipped policy does each skill, through ROS 2, and prints the table as JSON.

Every skill starts from the same seeds, so nothing but the prompt tells which arm is to move.
"""

import argparse
import json
import sys
from contextlib import contextmanager
from dataclasses import replace

from pi0_sim.skills import SKILLS
from pi0_tools.evaluation.closed_loop import Run, add_setup_arguments, run_episodes, run_program, setup_from
from pi0_tools.evaluation.policy_server import policy_server

COVERED = "right_pick_camera_covered"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add_setup_arguments(parser, "target/eval_demo")
    parser.add_argument("--episodes", type=int, default=100, help="seeds of each skill (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument(
        "--skill",
        choices=[*SKILLS, COVERED],
        action="append",
        dest="runs",
        help="only this; may be repeated (default: all)",
    )
    parser.add_argument("--at-least", type=int, help="fail when a skill is done in fewer episodes")
    parser.add_argument("--real-time-factor", type=float, default=1.0, help="simulated seconds in a second")
    parser.add_argument(
        "--through-server", action="store_true", help="the policy runs in pi0_server, whose client the node is"
    )
    arguments = parser.parse_args()
    if arguments.episodes < 1:
        parser.error("--episodes must be at least 1")
    arguments.runs = arguments.runs or [*SKILLS, COVERED]
    return arguments


def skill_asked_for(name):
    """The skill of a run, by the run's name."""
    return "right_pick" if name == COVERED else name


def run_of(name, arguments):
    skill = skill_asked_for(name)
    simulation = {
        "skill": skill,
        "episode_seconds": SKILLS[skill].seconds,
        "camera_covered": "true" if name == COVERED else "false",
        "real_time_factor": arguments.real_time_factor,
    }
    return Run(name, SKILLS[skill].prompt, arguments.episodes, arguments.first_seed, simulation)


def row(name, outcomes):
    """Shares of the episodes, from 0 to 1.

    touch and lift are the asked arm's; idle_arm_moved is missing where both arms work. failed_seeds: not done.
    """
    skill = skill_asked_for(name)
    arm, idle_arm = SKILLS[skill].holding_arm, SKILLS[skill].idle_arm

    def share(condition):
        return round(sum(condition(outcome) for outcome in outcomes) / len(outcomes), 4)

    values = {
        "episodes": len(outcomes),
        "done": share(lambda outcome: skill in outcome["kept"]),
        "touch": share(lambda outcome: arm in outcome["touched"]),
        "lift": share(lambda outcome: arm in outcome["lifted"]),
        "reward_2": share(lambda outcome: outcome["reward_max"] >= 2),
        "reward_4": share(lambda outcome: outcome["reward_max"] >= 4),
    }
    if idle_arm is not None:
        values["idle_arm_moved"] = share(lambda outcome: idle_arm in outcome["moved"])
    values["median_s"] = sorted(outcome["seconds"] for outcome in outcomes)[len(outcomes) // 2]
    values["failed_seeds"] = [outcome["seed"] for outcome in outcomes if skill not in outcome["kept"]]
    return values


@contextmanager
def chosen_device(setup, is_on_server):
    """Yields the setup, with the policy in the node or in a server that runs meanwhile."""
    if not is_on_server:
        yield setup
        return
    with policy_server(setup.output / "pi0_server.log", checkpoint=setup.checkpoint) as (_, address):
        remote = ("device:=remote", f"server:={address}")
        yield replace(setup, node_parameters=(*setup.node_parameters, *remote))


def evaluate(arguments):
    with chosen_device(setup_from(arguments), arguments.through_server) as setup:
        return evaluate_with(setup, arguments)


def evaluate_with(setup, arguments):
    table = {}
    for name in arguments.runs:
        run = run_of(name, arguments)

        def report(number, run=run):
            print(f"eval: {run.name}, seed {run.first_seed + number}", file=sys.stderr, flush=True)

        result = run_episodes(setup, run, report)
        table[name] = {**row(name, result.outcomes), "chunk_ms_p50": result.figures["chunk_ms_p50"]}
        print(f"eval: {name}: {json.dumps(table[name])}", file=sys.stderr, flush=True)
    return table


def too_seldom(table, at_least):
    """The skills that were done in fewer episodes; a covered camera is not to succeed."""
    return [name for name, values in table.items() if name != COVERED and _done(values) < at_least]


def _done(values):
    return values["episodes"] - len(values["failed_seeds"])


def main():
    arguments = parse_arguments()
    table = evaluate(arguments)
    print(json.dumps(table), flush=True)
    if arguments.at_least is not None:
        for name in (failed := too_seldom(table, arguments.at_least)):
            print(f"eval: {name} was done in fewer than {arguments.at_least} episodes", file=sys.stderr)
        return 1 if failed else 0
    return 0


if __name__ == "__main__":
    sys.exit(run_program("eval", main))
