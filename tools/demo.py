#!/usr/bin/env python3
"""Runs the policy node on the simulated robot, and shows what the robot did.

Ends with status 0, the names of a contact sheet and a film, and one line of JSON when the node moved the robot.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
FIRST_TRAJECTORY_TIMEOUT_S = 60.0
SIMULATION_STALL_TIMEOUT_S = 30.0
LEAST_DISPLACEMENT_RAD = 0.05
CONTROL_STATUS = "pi0_node: control"
INFERENCE_STATUS = "pi0_node: inference"


def isolate_from_the_network():
    """Must run before rclpy starts.

    The node publishes on the same topics as on a robot. A domain of its own and discovery on this machine alone keep
    a demo from ever moving a real robot on the network, and two demos on one machine from meeting.
    """
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    else:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # 0 is the default domain, and above 101 the ports of a domain meet those of other programs.
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 101)


isolate_from_the_network()
sys.path.insert(0, str(CHECKOUT / "sim"))

import rclpy  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402

from demo_film import draw_frames, write_contact_sheet, write_film  # noqa: E402
from demo_processes import DemoFailed, started  # noqa: E402
from demo_recorder import Recorder  # noqa: E402
from recording import load_recording  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=2, help="episodes to run (default 2)")
    parser.add_argument("--episode-seconds", type=float, default=8.0, help="simulated seconds of each (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the objects' start poses (default 0)")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="folder of a trained checkpoint (default: a small one with random weights)",
    )
    parser.add_argument("--node", type=Path, default=CHECKOUT / "target/release/pi0_node", help="the node's program")
    parser.add_argument(
        "--config", type=Path, default=CHECKOUT / "config/aloha_sim.yaml", help="the node's parameter file"
    )
    parser.add_argument("--output", type=Path, default=CHECKOUT / "target/demo", help="folder for what it writes")
    arguments = parser.parse_args()
    if arguments.episodes < 1:
        parser.error("--episodes must be at least 1")
    return arguments


def make_random_checkpoint(folder):
    command = [sys.executable, CHECKOUT / "tools/make_random_checkpoint.py", "--output", folder]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if finished.returncode != 0:
        raise DemoFailed(f"the random checkpoint could not be made:\n{finished.stdout}{finished.stderr}")


def record(recorder, simulation, node):
    """Listens until the simulation has run all episodes. Raises DemoFailed when one of them fails."""
    waiting_since = progress_at = time.monotonic()
    simulated_s = 0.0
    shown_episode = None
    while simulation.exit_status() is None:
        rclpy.spin_once(recorder, timeout_sec=0.1)
        now = time.monotonic()
        if node.exit_status() is not None:
            raise node.failure(f"the node ended during the demo, with status {node.exit_status()}")
        if recorder.simulated_s > simulated_s:
            simulated_s = recorder.simulated_s
            progress_at = now
        if now - progress_at > SIMULATION_STALL_TIMEOUT_S:
            raise simulation.failure(f"the simulation has stood still for {SIMULATION_STALL_TIMEOUT_S:.0f} s")
        if recorder.episode_is_running:
            waiting_since = now
            if recorder.episode != shown_episode:
                shown_episode = recorder.episode
                print(f"demo: episode {shown_episode + 1} runs …", flush=True)
        elif now - waiting_since > FIRST_TRAJECTORY_TIMEOUT_S:
            raise node.failure(f"the node published no trajectory within {FIRST_TRAJECTORY_TIMEOUT_S:.0f} s")
    if simulation.exit_status() != 0:
        raise simulation.failure(f"the simulation ended with status {simulation.exit_status()}")
    # What was sent before the simulation ended is still to be read.
    quiet_at = time.monotonic() + 1.0
    while time.monotonic() < quiet_at:
        rclpy.spin_once(recorder, timeout_sec=0.1)


def summary(recorder, node, episodes):
    """What the last line of output says. Raises DemoFailed when the robot did not move or a figure is missing."""
    if recorder.displacement_rad < LEAST_DISPLACEMENT_RAD:
        raise node.failure(
            f"the robot did not move: no joint left its start by {LEAST_DISPLACEMENT_RAD} rad "
            f"(the largest displacement is {recorder.displacement_rad:.4f} rad, "
            f"after {recorder.trajectory_count} trajectories)"
        )

    def figure(status_name, key, number):
        text = recorder.diagnostic(status_name, key)
        try:
            return number(text)
        except (TypeError, ValueError):
            raise node.failure(f"/diagnostics says {key}={text!r} in '{status_name}', not a number") from None

    return {
        "episodes": episodes,
        "ticks": figure(CONTROL_STATUS, "ticks", int),
        "rate_hz": figure(CONTROL_STATUS, "rate_hz", float),
        "jitter_p99_ms": figure(CONTROL_STATUS, "jitter_p99_ms", float),
        "chunks": figure(INFERENCE_STATUS, "chunks", int),
        "chunk_ms_p50": figure(INFERENCE_STATUS, "chunk_ms_p50", float),
        "reward_max": recorder.reward_max,
    }


def run_demo(arguments):
    if not arguments.node.is_file():
        raise DemoFailed(f"{arguments.node} is missing; 'make build' makes it")
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.checkpoint
    note = ""
    if checkpoint is None:
        checkpoint = arguments.output / "checkpoint"
        note = "random weights"
        make_random_checkpoint(checkpoint)
        print(
            "demo: the checkpoint's weights are random: the robot moves, but it does not do the task",
            flush=True,
        )
    recording_path = arguments.output / "recording.npz"
    simulation_command = [sys.executable, CHECKOUT / "sim/aloha_sim.py", "--ros-args"]
    for setting in (
        f"episodes:={arguments.episodes}",
        f"episode_seconds:={arguments.episode_seconds}",
        f"seed:={arguments.seed}",
        f"recording:={recording_path.resolve()}",
    ):
        simulation_command += ["-p", setting]
    node_command = [arguments.node.resolve(), "--ros-args", "--params-file", arguments.config.resolve()]
    node_command += ["-p", f"checkpoint:={checkpoint.resolve()}", "-p", "use_sim_time:=true"]

    print("demo: starting the simulated robot and the node", flush=True)
    with (
        started("simulation", simulation_command, arguments.output / "aloha_sim.log") as simulation,
        started("node", node_command, arguments.output / "pi0_node.log") as node,
    ):
        # Ctrl-C and SIGTERM stay Python's, so that they end the demo through its own clean-up.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        recorder = Recorder()
        record(recorder, simulation, node)
        result = summary(recorder, node, arguments.episodes)

    print("demo: drawing the film …", flush=True)
    sheet_path = arguments.output / "contact_sheet.png"
    film_path = arguments.output / "film.gif"
    frames = draw_frames(load_recording(recording_path), arguments.episodes, note)
    write_contact_sheet(frames, sheet_path)
    write_film(frames, film_path)
    print(f"demo: a joint moved by {recorder.displacement_rad:.2f} rad; what the robot did is in")
    print(sheet_path)
    print(film_path)
    print(json.dumps(result), flush=True)


def main():
    # Ends through the same clean-up as any other failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run_demo(parse_arguments())
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
