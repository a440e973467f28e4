"""Measures how the time of a chunk grows and plots it beside what the arithmetic foretells.

Measured are cameras, tokens of the prompt, steps, actions in a chunk and threads, each alone, with pi0_bench at the
published size. Of all runs of the same arithmetic the fastest counts, stage by stage, as other work only ever adds to a
time. Runs that are in the file already are not made again. Needs matplotlib (tools/requirements/growth.txt).
"""

import argparse
import json
from pathlib import Path

from pi0_tools import CHECKOUT
from pi0_tools.bench.comparison import STAGES
from pi0_tools.bench.side_by_side import BENCH, json_of, say

# A chunk's stages, and what pi0_bench calls one of each.
REPORTED = {"vision": STAGES["vision"], "prefix": STAGES["prefix"], "steps": STAGES["step"]}
BASE = {"cameras": 2, "prompt_tokens": 20, "steps": 10, "horizon": 50, "threads": 2}
GROWTH = {
    "cameras": [1, 2, 3, 4],
    "prompt_tokens": [20, 48],
    "steps": [1, 5, 10, 20],
    "horizon": [10, 50, 100],
    "threads": [1, 2],
}
TITLES = {
    "cameras": "cameras",
    "prompt_tokens": "tokens of the prompt",
    "steps": "denoising steps",
    "horizon": "actions in a chunk",
    "threads": "threads",
}
COLOURS = {"vision": "#4477aa", "prefix": "#66ccee", "steps": "#ee6677"}


def points():
    """Every workload to be measured, each once."""
    found = [BASE]
    for key, values in GROWTH.items():
        found += [{**BASE, key: value} for value in values if value != BASE[key]]
    return found


def name(workload):
    return " ".join(f"{key}={value}" for key, value in workload.items())


def measure(workload, config, precision):
    options = [word for key, value in workload.items() for word in (f"--{key.replace('_', '-')}", value)]
    # At this size the first chunk takes as long as the others.
    return json_of(
        BENCH, "--config", config, "--precision", precision, "--warm-up", 0, "--repeats", 1, "--json", *options
    )  # fmt: skip


def fastest_ms(reports):
    """The fastest run of each stage by its arithmetic: workloads that differ elsewhere have stages that are the same.

    reports: the runs of each workload, by its name.
    """
    fastest = {}
    for run in (run for runs in reports.values() for run in runs):
        for reported in REPORTED.values():
            key = key_of(run, reported)
            fastest[key] = min(fastest.get(key, float("inf")), run["stages"][reported]["median_ms"])
    return fastest


def key_of(run, reported):
    return run["device"], reported, run["stages"][reported]["gflop"]


def stage_seconds(run, workload, fastest):
    """Seconds of each stage of a chunk."""
    return {
        stage: times_of(stage, workload) * fastest[key_of(run, reported)] / 1e3 for stage, reported in REPORTED.items()
    }


def foretold_seconds(run, workload, base_run, fastest):
    """Seconds of a chunk if every stage ran as fast as in the base workload: what its arithmetic says."""
    return sum(
        times_of(stage, workload)
        * run["stages"][reported]["gflop"]
        / base_run["stages"][reported]["gflop"]
        * fastest[key_of(base_run, reported)]
        / 1e3
        for stage, reported in REPORTED.items()
    )


def times_of(stage, workload):
    """How often a chunk goes through a stage that pi0_bench reports once."""
    return {"vision": workload["cameras"], "prefix": 1, "steps": workload["steps"]}[stage]


def plot(reports, path):
    """reports: the runs of each workload, by its name."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    # Text stays text: smaller, and searchable.
    plt.rcParams.update({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "growth"})
    fastest, base_run = fastest_ms(reports), reports[name(BASE)][0]
    figure, all_axes = plt.subplots(1, len(GROWTH), figsize=(12, 3.2), sharey=True, width_ratios=[4, 2, 4, 3, 2])
    for axes, (key, values) in zip(all_axes, GROWTH.items(), strict=True):
        workloads = [{**BASE, key: value} for value in values]
        runs = [reports[name(workload)][0] for workload in workloads]
        seconds = [stage_seconds(run, workload, fastest) for run, workload in zip(runs, workloads, strict=True)]
        bottom = [0.0] * len(values)
        for stage in REPORTED:
            heights = [times[stage] for times in seconds]
            axes.bar([str(value) for value in values], heights, bottom=bottom, color=COLOURS[stage], label=stage)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        print(
            TITLES[key],
            *(f"{value}: {sum(times.values()):.1f} s" for value, times in zip(values, seconds, strict=True)),
        )
        if key != "threads":
            foretold = [
                foretold_seconds(run, workload, base_run, fastest)
                for run, workload in zip(runs, workloads, strict=True)
            ]
            axes.plot([str(value) for value in values], foretold, "k_", markersize=22, label="by its arithmetic")
        axes.set_xlabel(TITLES[key])
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("seconds a chunk")
    all_axes[0].legend(frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="full", help="or a checkpoint of the published size, which is ready sooner")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--runs", type=int, default=3, help="of each workload (default 3)")
    parser.add_argument("--measurements", type=Path, default=CHECKOUT / "target/bench/growth.json")
    parser.add_argument("--plot", type=Path, default=CHECKOUT / "docs/images/growth.svg")
    arguments = parser.parse_args()
    file = arguments.measurements
    reports = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    # All workloads once, then all again: a busy minute does not fall on one of them alone.
    for count in range(1, arguments.runs + 1):
        for workload in points():
            runs = reports.setdefault(name(workload), [])
            if len(runs) < count:
                runs.append(measure(workload, arguments.config, arguments.precision))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(reports, indent=1), encoding="utf-8")
                chunk = runs[-1]["stages"]["chunk"]
                say(f"{name(workload)}: {chunk['median_ms'] / 1e3:.1f} s, {chunk['gflop'] / 1e3:.2f} TFLOP")
    plot(reports, arguments.plot)


if __name__ == "__main__":
    main()
