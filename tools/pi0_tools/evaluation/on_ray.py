"""Evaluates many bags with pi0_eval on a Ray cluster: a task for each bag, a result file for each.

    pip install ray
    python -m pi0_tools.evaluation.on_ray /data/bags --output /data/results -- \\
        --params-file robot.yaml --checkpoint /data/pi0

Bags, checkpoint, parameter file and the folder of the results lie where every machine of the cluster sees them under
the same path. What comes after "--" goes to pi0_eval. Run it again after it was stopped: bags with a finished result
are not evaluated again. In the end pi0_eval makes report.json and index.html of all results.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from pi0_tools import CHECKOUT


def find_bags(folder):
    """Folders with a metadata.yaml or bag files in them, anywhere below the folder."""
    files = (file for pattern in ("metadata.yaml", "*.mcap*", "*.db3*") for file in folder.rglob(pattern))
    return sorted({file.parent for file in files})


def evaluate(program, bag, output, arguments, threads):
    """Runs pi0_eval on one bag. Returns its last words when it failed, or None."""
    command = [program, bag, "--output", output, "--quiet", "--threads", str(threads), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else ended.stderr.strip()


def split_arguments(arguments):
    """Those before the first "--", and those after it."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="What comes after -- goes to pi0_eval."
    )
    parser.add_argument("bags", type=Path, help="folder with bags below it")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--program", type=Path, default=CHECKOUT / "target/release/pi0_eval")
    parser.add_argument("--cpus-per-bag", type=int, default=1, help="cores that a bag's policy runs on")
    own, for_program = split_arguments(sys.argv[1:])
    arguments = parser.parse_args(own)
    program, output = arguments.program.resolve(), arguments.output.resolve()
    bags = find_bags(arguments.bags.resolve())
    if not bags:
        sys.exit(f"error: there is no bag in {arguments.bags} or below it")

    # Ray is not in this checkout's environment, and what is above does without it.
    import ray

    # A cluster that this machine belongs to, or else a local one.
    ray.init(log_to_driver=False)
    task = ray.remote(num_cpus=arguments.cpus_per_bag)(evaluate)
    running = {task.remote(program, bag, output, for_program, arguments.cpus_per_bag): bag for bag in bags}
    failed = 0
    while running:
        (ended,), _ = ray.wait(list(running))
        bag = running.pop(ended)
        problem = ray.get(ended)
        failed += problem is not None
        print(f"{len(bags) - len(running)} of {len(bags)}: {bag}{f': {problem}' if problem else ''}", flush=True)
    ray.shutdown()

    report = [program, *bags, "--output", output, *for_program]
    return max(subprocess.run(report, check=False).returncode, 1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
