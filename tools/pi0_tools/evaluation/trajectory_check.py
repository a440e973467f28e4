"""Counts the trajectories that the simulated robot's controller accepts and rejects, and prints them as JSON.

The shipped policy plays, is stopped and enabled, runs out of chunks, and is reset in motion, again and again.
"""

import argparse
import json
import sys
import time

import rclpy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from pi0_sim.skills import SKILLS
from pi0_sim.trajectory_controller import CONTROLLER_STATUS
from pi0_tools.evaluation.closed_loop import (
    CONTROL_STATUS,
    add_setup_arguments,
    programs,
    run_program,
    setup_from,
)
from pi0_tools.evaluation.run_listener import RunListener
from pi0_tools.evaluation.simulated_robot import ALOHA

PROMPT = SKILLS["right_pick"].prompt
# The robot is put back to its start when an episode begins, as by other hands.
EPISODE_SECONDS = 30.0
TIMEOUT_S = 60.0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add_setup_arguments(parser, "target/trajectory_check")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--clock-skew-ms", type=float, default=0.0, help="how far the controller's clock is ahead")
    parser.add_argument("--lag-ms", type=float, default=0.0, help="time from a command to the hardware's")
    return parser.parse_args()


class Operator(RunListener):
    """Whoever runs the robot. simulation, node: the programs, which must not end."""

    def __init__(self, simulation, node):
        super().__init__(ALOHA)
        self._programs = (simulation, node)
        self._prompts = self.create_publisher(String, "/prompt", 1)
        self._enable = self.create_client(SetBool, "/pi0_node/enable")
        self._stop = self.create_client(Trigger, "/pi0_node/stop")

    def wait(self, seconds):
        """Listens for this time on the wall's clock. Raises RunFailed when a program ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._spin()

    def wait_for_hold(self, *reasons):
        """Waits until the node tells of a hold with one of these codes; an empty one: until it plays."""
        until = time.monotonic() + TIMEOUT_S
        while self.diagnostic(CONTROL_STATUS, "hold") not in reasons:
            self._spin()
            if time.monotonic() > until:
                found, expected = self.diagnostic(CONTROL_STATUS, "hold"), " or ".join(map(repr, reasons))
                raise self._programs[1].failure(f"the hold is {found!r} and not {expected} after {TIMEOUT_S} s")

    def prompt(self, text):
        self._prompts.publish(String(data=text))

    def stop(self):
        self._call(self._stop, Trigger.Request())

    def enable(self):
        self._call(self._enable, SetBool.Request(data=True))

    def reset_node(self):
        self._call(self._reset, Trigger.Request())

    def counts(self):
        """Numbers of accepted and rejected trajectories, and why the last one was rejected."""
        return {
            "accepted": int(self.diagnostic(CONTROLLER_STATUS, "accepted") or 0),
            "rejected": int(self.diagnostic(CONTROLLER_STATUS, "rejected") or 0),
            "last_rejection": self.diagnostic(CONTROLLER_STATUS, "last_rejection"),
        }

    def _call(self, client, request):
        future = client.call_async(request)
        until = time.monotonic() + TIMEOUT_S
        while not future.done():
            self._spin()
            if time.monotonic() > until:
                raise self._programs[1].failure(f"{client.srv_name} does not answer")

    def _spin(self):
        rclpy.spin_once(self, timeout_sec=0.05)
        for program in self._programs:
            if program.exit_status() is not None:
                raise program.failure(f"the {program.name} ended, with status {program.exit_status()}")


def round_of_everything(operator):
    """Plays, stops, holds for lack of a chunk, and resets in motion."""
    operator.wait_for_hold("")
    operator.wait(3.0)
    operator.stop()
    operator.wait_for_hold("STOPPED")
    operator.enable()
    operator.wait_for_hold("")
    operator.wait(1.0)
    operator.prompt("")
    # Without a chunk yet, when the machine is so busy that the prompt was gone before the first one.
    operator.wait_for_hold("CHUNK_SPENT", "NO_CHUNK_YET")
    operator.wait(1.0)
    operator.prompt(PROMPT)
    operator.wait_for_hold("")
    operator.wait(1.0)
    operator.reset_node()


def check(setup, minutes, clock_skew_ms=0.0, lag_ms=0.0):
    """Returns the counts of operator.counts(), and the rounds and seconds that they are of. Raises RunFailed."""
    simulation_parameters = {
        "episode_seconds": EPISODE_SECONDS,
        "clock_skew_ms": float(clock_skew_ms),
        "lag_ms": float(lag_ms),
    }
    began = time.monotonic()
    rounds = 0
    with programs(setup, "trajectory_check", PROMPT, simulation_parameters) as (simulation, node):
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            operator = Operator(simulation, node)
            while time.monotonic() - began < 60.0 * minutes:
                round_of_everything(operator)
                rounds += 1
            # The counts come each second.
            operator.wait(2.0)
            return {**operator.counts(), "rounds": rounds, "seconds": round(time.monotonic() - began)}
        finally:
            rclpy.shutdown()


def main():
    arguments = parse_arguments()
    counts = check(setup_from(arguments), arguments.minutes, arguments.clock_skew_ms, arguments.lag_ms)
    print(json.dumps(counts), flush=True)
    return 1 if counts["rejected"] or not counts["accepted"] else 0


if __name__ == "__main__":
    sys.exit(run_program("trajectory_check", main))
