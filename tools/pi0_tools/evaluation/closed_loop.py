"""Runs the policy node on the simulated robot: both as processes, over ROS 2, for some episodes of one skill."""

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from pi0_tools import CHECKOUT
from pi0_tools.evaluation.processes import RunFailed, started
from pi0_tools.evaluation.run_listener import RunListener
from pi0_tools.evaluation.simulated_robot import ALOHA, SIMULATED_ROBOTS, SimulatedRobot

FIRST_COMMAND_TIMEOUT_S = 60.0
SIMULATION_STALL_TIMEOUT_S = 30.0
CONTROL_STATUS = "pi0_node: control"
INFERENCE_STATUS = "pi0_node: inference"


def isolate_from_the_network():
    """Must run before rclpy.init and before the programs start.

    The node publishes on the same topics as on a robot. A domain of its own and discovery on this machine alone keep
    a run from ever moving a real robot on the network, and two runs on one machine from meeting.
    """
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    else:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    # 0 is the default domain, and above 101 the ports of a domain meet those of other programs.
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 101)


@dataclass(frozen=True)
class Setup:
    """The programs and files of a run. output: the folder for logs and results.

    node_parameters: the node's, each NAME:=VALUE, over those of the file.
    """

    node: Path
    config: Path
    checkpoint: Path
    output: Path
    node_parameters: tuple[str, ...] = ()
    robot: SimulatedRobot = ALOHA


@dataclass(frozen=True)
class Run:
    """Episodes of one skill, with the start poses of the seeds from first_seed on.

    name: of its files. simulation: further parameters of the simulation.
    """

    name: str
    prompt: str
    episodes: int
    first_seed: int
    simulation: dict = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """outcomes: those of the robot's skills, one an episode. figures: numbers from the diagnostics.

    displacement_rad: the largest distance of an arm's joint from its start.
    """

    outcomes: list[dict]
    figures: dict
    displacement_rad: float
    command_count: int


def add_setup_arguments(parser, output, robots=("aloha",)):
    """robots: the names of those that the program can run."""
    parser.set_defaults(robot=robots[0])
    if len(robots) > 1:
        parser.add_argument("--robot", choices=robots, help=f"which (default {robots[0]})")
    parser.add_argument("--checkpoint", type=Path, help="folder of another checkpoint than the robot's shipped one")
    parser.add_argument("--node", type=Path, default=CHECKOUT / "target/release/pi0_node", help="the node's program")
    parser.add_argument("--config", type=Path, help="another parameter file of the node than the robot's")
    parser.add_argument(
        "--node-parameter",
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="over the parameter file, as in precision:=int8; may be repeated",
    )
    parser.add_argument("--output", type=Path, default=CHECKOUT / output, help="folder for what it writes")


def setup_from(arguments):
    """Raises RunFailed when the node is not built."""
    if not arguments.node.is_file():
        raise RunFailed(f"{arguments.node} is missing; 'make build' makes it")
    arguments.output.mkdir(parents=True, exist_ok=True)
    robot = SIMULATED_ROBOTS[arguments.robot]
    return Setup(
        node=arguments.node,
        config=arguments.config or robot.config,
        checkpoint=arguments.checkpoint or robot.checkpoint,
        output=arguments.output,
        node_parameters=tuple(arguments.node_parameter),
        robot=robot,
    )


def run_episodes(setup, run, report):
    """Runs the episodes to their end. report(number) is called when an episode begins, with its number from 0.

    Raises RunFailed, with the end of a program's log, when the node or the simulation fails.
    """
    outcomes_path = setup.output / f"{run.name}_outcomes.json"
    outcomes_path.unlink(missing_ok=True)
    simulation_parameters = {
        "episodes": run.episodes,
        "seed": run.first_seed,
        "outcomes": outcomes_path.resolve(),
        **run.simulation,
    }
    with programs(setup, run.name, run.prompt, simulation_parameters) as (simulation, node):
        # None of the arguments is for ROS. Ctrl-C and SIGTERM stay Python's, so that they end the run through its own
        # clean-up.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            listener = RunListener(setup.robot)
            _listen(listener, simulation, node, report)
            return RunResult(
                json.loads(outcomes_path.read_text(encoding="utf-8")),
                _figures(listener, node, setup.robot.controller_status),
                listener.displacement_rad,
                listener.command_count,
            )
        finally:
            rclpy.shutdown()


@contextmanager
def programs(setup, name, prompt, simulation_parameters):
    """The simulation and the node, both running while the block runs. name: of their logs."""
    node_parameters = {
        "checkpoint": setup.checkpoint.resolve(),
        "prompt": json.dumps(prompt),
        "use_sim_time": "true",
    }
    program = setup.robot.program
    simulation_command = [sys.executable, "-m", f"pi0_sim.{program}", "--ros-args", *_settings(simulation_parameters)]
    node_command = [setup.node.resolve(), "--ros-args", "--params-file", setup.config.resolve()]
    node_command += _settings(node_parameters)
    node_command += [part for parameter in setup.node_parameters for part in ("-p", parameter)]
    with (
        started("simulation", simulation_command, setup.output / f"{name}_{program}.log") as simulation,
        started("node", node_command, setup.output / f"{name}_pi0_node.log") as node,
    ):
        yield simulation, node


def run_program(name, main):
    """Runs main() on a ROS 2 of this machine alone, and returns its exit status.

    A failed run and an interruption are printed in a line that begins with the name.
    """
    isolate_from_the_network()
    # Ends through the same clean-up as any other failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return main()
    except RunFailed as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _settings(parameters):
    return [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]


def _listen(listener, simulation, node, report):
    """Listens until the simulation has run all episodes. Raises RunFailed when one of the two fails."""
    waiting_since = progress_at = time.monotonic()
    simulated_s = 0.0
    shown_episode = None
    while simulation.exit_status() is None:
        rclpy.spin_once(listener, timeout_sec=0.1)
        now = time.monotonic()
        if node.exit_status() is not None:
            raise node.failure(f"the node ended during the run, with status {node.exit_status()}")
        if listener.simulated_s > simulated_s:
            simulated_s = listener.simulated_s
            progress_at = now
        if now - progress_at > SIMULATION_STALL_TIMEOUT_S:
            raise simulation.failure(f"the simulation has stood still for {SIMULATION_STALL_TIMEOUT_S:.0f} s")
        if listener.episode_is_running:
            waiting_since = now
            if listener.episode != shown_episode:
                shown_episode = listener.episode
                report(shown_episode)
        elif now - waiting_since > FIRST_COMMAND_TIMEOUT_S:
            raise node.failure(f"the node published no command within {FIRST_COMMAND_TIMEOUT_S:.0f} s")
    if simulation.exit_status() != 0:
        raise simulation.failure(f"the simulation ended with status {simulation.exit_status()}")
    # What was sent before the simulation ended is still to be read.
    quiet_at = time.monotonic() + 1.0
    while time.monotonic() < quiet_at:
        rclpy.spin_once(listener, timeout_sec=0.1)


def _figures(listener, node, controller_status):
    """Raises RunFailed when a figure is missing."""

    def figure(status_name, key, number):
        text = listener.diagnostic(status_name, key)
        try:
            return number(text)
        except (TypeError, ValueError):
            raise node.failure(f"/diagnostics says {key}={text!r} in '{status_name}', not a number") from None

    return {
        "ticks": figure(CONTROL_STATUS, "ticks", int),
        "rate_hz": figure(CONTROL_STATUS, "rate_hz", float),
        "jitter_p99_ms": figure(CONTROL_STATUS, "jitter_p99_ms", float),
        "chunks": figure(INFERENCE_STATUS, "chunks", int),
        "chunk_ms_p50": figure(INFERENCE_STATUS, "chunk_ms_p50", float),
        "commands_accepted": figure(controller_status, "accepted", int),
        "commands_rejected": figure(controller_status, "rejected", int),
    }
