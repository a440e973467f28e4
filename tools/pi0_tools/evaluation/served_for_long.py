"""Serves a node and openpi's client with one pi0_server for some minutes; prints what was lost, and memory, as JSON."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import rclpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from pi0_tools.evaluation.closed_loop import run_program
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import RunFailed, resident_mib, slope
from pi0_tools.evaluation.remote_robot import BEGIN, ObedientRobot, remote_node

START_S = 30.0
SAMPLE_S = 5.0
# Between two observations of openpi's client.
PAUSE_S = 0.2


class Client(Thread):
    """openpi's client, whose picture and state are others every time."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.ended = Event()
        self.answers = 0
        self.failure = None

    def run(self):
        try:
            policy, noise = WebsocketClientPolicy(self.address), np.random.default_rng(0)
            while not self.ended.wait(PAUSE_S):
                answer = policy.infer(
                    {
                        "images": {"top": noise.integers(256, size=(120, 120, 3), dtype=np.uint8)},
                        "state": noise.normal(size=14) * 0.1,
                        "prompt": "pick up the cube with the right arm",
                    }
                )
                if not np.isfinite(answer["actions"]).all():
                    raise ValueError("actions are not finite")
                self.answers += 1
        except Exception as error:
            self.failure = repr(error)


def measure(minutes):
    rclpy.init(args=[])
    try:
        robot = ObedientRobot()
        robot.positions = np.array(BEGIN)
        with (
            tempfile.TemporaryDirectory() as folder,
            policy_server(Path(folder) / "server") as (server, address),
            remote_node(Path(folder) / "node", address) as node,
        ):
            client = Client(address)
            client.start()
            # Allocators keep what the first minutes need.
            robot.listen(START_S)
            first_chunk, first_answer = int(robot.diagnostics["chunks"]), client.answers
            began = time.monotonic()
            memory = {"server": [], "node": []}
            holds = set()
            while time.monotonic() - began < 60 * minutes:
                robot.listen(SAMPLE_S)
                holds.add(robot.hold)
                for name, process in (("server", server), ("node", node)):
                    if process.exit_status() is not None:
                        raise process.failure("it ended")
                    memory[name].append((time.monotonic() - began, resident_mib(process)))
                if client.failure is not None:
                    raise RunFailed(f"openpi's client: {client.failure}")
            client.ended.set()
            server_log = (Path(folder) / "server").read_text(errors="replace")
            return {
                "minutes": minutes,
                "chunks_of_the_node": int(robot.diagnostics["chunks"]) - first_chunk,
                "answers_of_openpi_s_client": client.answers - first_answer,
                "clients_that_left": server_log.count("has left"),
                "holds": sorted(hold for hold in holds if hold),
                **{
                    f"{name}_{key}": value
                    for name, samples in memory.items()
                    for key, value in (
                        ("first_mib", round(samples[0][1], 1)),
                        ("last_mib", round(samples[-1][1], 1)),
                        ("mib_an_hour", slope(samples)),
                    )
                },
            }
    finally:
        rclpy.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    print(json.dumps(measure(parser.parse_args().minutes)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_program("served", main))
