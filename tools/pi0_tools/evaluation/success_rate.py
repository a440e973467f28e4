"""Measures how often the shipped policy does each skill, through ROS 2, and prints the table as JSON.

Every skill starts from the same seeds, so nothing but the prompt tells which of a task's skills is to be done.
"""

import argparse
import json
import sys
from contextlib import contextmanager
from dataclasses import replace

from pi0_tools.evaluation.closed_loop import Run, add_setup_arguments, run_episodes, run_program, setup_from
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.skill_runs import SKILL_RUNS, share


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add_setup_arguments(parser, "target/eval_demo", robots=tuple(SKILL_RUNS))
    parser.add_argument("--episodes", type=int, default=100, help="seeds of each skill (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument(
        "--skill",
        action="append",
        dest="runs",
        metavar="RUN",
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
    runs = SKILL_RUNS[arguments.robot]
    for name in arguments.runs or ():
        if name not in runs:
            parser.error(f"--skill: there is no run {name}; there are {', '.join(runs)}")
    arguments.runs = {name: runs[name] for name in arguments.runs or runs}
    return arguments


def run_of(name, skill_run, arguments):
    simulation = {
        "skill": skill_run.skill,
        "episode_seconds": skill_run.seconds,
        "real_time_factor": arguments.real_time_factor,
        **skill_run.simulation,
    }
    return Run(name, skill_run.prompt, arguments.episodes, arguments.first_seed, simulation)


def row(skill_run, outcomes):
    """Shares of the episodes, from 0 to 1: what was done, and what the run counts besides. failed_seeds: not done."""
    return {
        "episodes": len(outcomes),
        "done": share(outcomes, lambda outcome: skill_run.skill in outcome["kept"]),
        **skill_run.counts(outcomes),
        "median_s": sorted(outcome["seconds"] for outcome in outcomes)[len(outcomes) // 2],
        "failed_seeds": [outcome["seed"] for outcome in outcomes if skill_run.skill not in outcome["kept"]],
    }


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
    for name, skill_run in arguments.runs.items():
        run = run_of(name, skill_run, arguments)

        def report(number, run=run):
            print(f"eval: {run.name}, seed {run.first_seed + number}", file=sys.stderr, flush=True)

        result = run_episodes(setup, run, report)
        table[name] = {**row(skill_run, result.outcomes), "chunk_ms_p50": result.figures["chunk_ms_p50"]}
        print(f"eval: {name}: {json.dumps(table[name])}", file=sys.stderr, flush=True)
    return table


def too_seldom(runs, table, at_least):
    """The runs in which the skill was done in fewer episodes; one that is handicapped is not to succeed."""
    return [name for name, values in table.items() if not runs[name].is_handicapped and _done(values) < at_least]


def _done(values):
    return values["episodes"] - len(values["failed_seeds"])


def main():
    arguments = parse_arguments()
    table = evaluate(arguments)
    print(json.dumps(table), flush=True)
    if arguments.at_least is not None:
        for name in (failed := too_seldom(arguments.runs, table, arguments.at_least)):
            print(f"eval: {name} was done in fewer than {arguments.at_least} episodes", file=sys.stderr)
        return 1 if failed else 0
    return 0


if __name__ == "__main__":
    sys.exit(run_program("eval", main))
