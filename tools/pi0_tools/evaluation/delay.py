"""Measures how often the shipped policy does each skill when inference takes longer, for every way of joining chunks.

The node's parameter added_inference_latency_s holds every chunk back. The table goes to results.json in the output
folder and to the standard output; the plot is drawn from it. Runs that are in results.json already are not repeated.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from pi0_sim.skills import SKILLS
from pi0_tools import CHECKOUT
from pi0_tools.evaluation.closed_loop import Run, add_setup_arguments, run_episodes, run_program, setup_from
from pi0_tools.evaluation.delay_plot import plot
from pi0_tools.evaluation.skill_runs import SKILL_RUNS
from pi0_tools.evaluation.success_rate import row

STRATEGIES = ["replace", "blend", "ensemble", "inpaint", "rtc"]
LATENCIES_MS = [0, 50, 100, 200, 500]
# None of them is in the training data, nor in the other tables of success.
FIRST_SEED = 200


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add_setup_arguments(parser, "target/eval_delay")
    parser.add_argument("--episodes", type=int, default=50, help="seeds of each skill (default 50)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"the first of them (default {FIRST_SEED})")
    parser.add_argument("--skill", choices=SKILLS, action="append", dest="skills", help="only this; may be repeated")
    parser.add_argument(
        "--strategy", choices=STRATEGIES, action="append", dest="strategies", help="only this; may be repeated"
    )
    parser.add_argument(
        "--latency-ms", type=int, action="append", dest="latencies_ms", help="only this; may be repeated"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        default=CHECKOUT / "docs/images/success_by_latency.svg",
        help="file of the plot",
    )
    arguments = parser.parse_args()
    if arguments.episodes < 1:
        parser.error("--episodes must be at least 1")
    arguments.skills = arguments.skills or list(SKILLS)
    arguments.strategies = arguments.strategies or STRATEGIES
    arguments.latencies_ms = arguments.latencies_ms or LATENCIES_MS
    if any(latency < 0 for latency in arguments.latencies_ms):
        parser.error("--latency-ms must not be negative")
    return arguments


def node_parameters(strategy, latency_ms):
    return (f"chunk_blending:={strategy}", f"added_inference_latency_s:={latency_ms / 1e3}")


def key(strategy, latency_ms, skill, first_seed, episodes):
    """Identifies a run: another one with the same key would repeat it."""
    return f"{strategy}, {latency_ms} ms, {skill}, seeds {first_seed} to {first_seed + episodes - 1}"


def measure(setup, arguments, strategy, latency_ms, skill):
    run = Run(
        f"{strategy}_{latency_ms}ms_{skill}",
        SKILLS[skill].prompt,
        arguments.episodes,
        arguments.first_seed,
        {"skill": skill, "episode_seconds": SKILLS[skill].seconds},
    )
    added = setup.node_parameters + node_parameters(strategy, latency_ms)
    result = run_episodes(replace(setup, node_parameters=added), run, lambda number: None)
    return {
        "strategy": strategy,
        "added_latency_ms": latency_ms,
        "skill": skill,
        "first_seed": arguments.first_seed,
        **row(SKILL_RUNS["aloha"][skill], result.outcomes),
        "chunk_ms_p50": result.figures["chunk_ms_p50"],
    }


def evaluate(arguments):
    setup = setup_from(arguments)
    path = setup.output / "results.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for skill in arguments.skills:
        for latency_ms in arguments.latencies_ms:
            for strategy in arguments.strategies:
                name = key(strategy, latency_ms, skill, arguments.first_seed, arguments.episodes)
                if name in results:
                    continue
                results[name] = measure(setup, arguments, strategy, latency_ms, skill)
                print(f"delay: {name}: done {results[name]['done']}", file=sys.stderr, flush=True)
                path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return list(results.values())


def main():
    arguments = parse_arguments()
    rows = evaluate(arguments)
    arguments.plot.write_text(plot(rows), encoding="utf-8")
    print(json.dumps(rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_program("delay", main))
