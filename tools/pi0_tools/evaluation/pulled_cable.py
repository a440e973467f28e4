"""Pulls the cable between the node and its server for some seconds, several times, and prints what happens as JSON.

The server is in a network namespace; the cable is a pair of virtual interfaces whose far end is taken down. Needs root.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import rclpy

from pi0_tools.evaluation.closed_loop import run_program
from pi0_tools.evaluation.processes import RunFailed
from pi0_tools.evaluation.remote_robot import MAX_AGE_S, ObedientRobot, remote_node, steady_server

NAMESPACE, NEAR_END, FAR_END = "pi0_cable", "pi0_near", "pi0_far"
# Of a network that is for documentation alone (RFC 5737).
ROBOT_ADDRESS, SERVER_ADDRESS = "198.51.100.1", "198.51.100.2"
WITHIN = ("ip", "netns", "exec", NAMESPACE)


def run(*command):
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise RunFailed(f"{' '.join(command)}: {str(reason).strip()}; iproute2 and root are needed") from None


@contextmanager
def cable():
    """Yields a function that pulls the cable (False) or puts it back (True)."""
    run("ip", "netns", "add", NAMESPACE)
    try:
        run("ip", "link", "add", NEAR_END, "type", "veth", "peer", "name", FAR_END, "netns", NAMESPACE)
        run("ip", "address", "add", f"{ROBOT_ADDRESS}/30", "dev", NEAR_END)
        run("ip", "link", "set", NEAR_END, "up")
        run(*WITHIN, "ip", "address", "add", f"{SERVER_ADDRESS}/30", "dev", FAR_END)
        run(*WITHIN, "ip", "link", "set", FAR_END, "up")
        yield lambda is_in: run(*WITHIN, "ip", "link", "set", FAR_END, "up" if is_in else "down")
    finally:
        # The interfaces end with it.
        run("ip", "netns", "delete", NAMESPACE)


def pull(robot, node, put, seconds):
    """What the robot did in one pull, in seconds after the pull and after the cable was back."""
    robot.until(lambda: robot.hold == "", node)
    robot.until(robot.moves_after(time.monotonic() + 1.0), node)
    pulled_at = time.monotonic()
    put(False)
    robot.listen(seconds)
    moved_until, hold = robot.moved_at, robot.hold
    back_at = time.monotonic()
    put(True)
    robot.until(robot.moves_after(back_at), node)
    return {
        "moved_for_s": round(moved_until - pulled_at, 3),
        "hold": hold,
        "moves_again_after_s": round(robot.moved_at - back_at, 3),
    }


def measure(pulls, seconds):
    rclpy.init(args=[])
    try:
        robot = ObedientRobot()
        with (
            tempfile.TemporaryDirectory() as folder,
            cable() as put,
            steady_server(Path(folder) / "server", host=SERVER_ADDRESS, within=WITHIN) as (_, address),
            remote_node(Path(folder) / "node", address) as node,
        ):
            return {"max_age_s": MAX_AGE_S, "pulls": [pull(robot, node, put, seconds) for _ in range(pulls)]}
    finally:
        rclpy.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pulls", type=int, default=5, help="how often (default 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each time (default 5)")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.pulls, arguments.seconds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_program("cable", main))
