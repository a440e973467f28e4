"""What the node is launched with, and the topics that it has with that, as it lists them itself."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NODE_NAME = "pi0_node"
SHARE = Path(__file__).resolve().parent.parent
CONFIGURATIONS = SHARE / "config"
CONFIGURATION = CONFIGURATIONS / "aloha_sim.yaml"
# The robots that have a parameter file here.
ROBOTS = sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))
CHECKPOINT = SHARE / "checkpoints" / "aloha_sim"
# Arguments that are parameters of the node; an empty one leaves what the parameter file says.
PARAMETERS = {
    "checkpoint": "Folder of the checkpoint, or owner/name on the Hugging Face Hub.",
    "device": "Where the model runs: auto, cpu or tenstorrent.",
    "use_sim_time": "Whether time comes from /clock: true or false.",
    "prompt": "What the robot is to do, in words.",
}
# The node joins the network before it knows its names.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class NodeTopics:
    """Full names, with namespace and remappings."""

    subscribed: set[str]
    # Those on which it moves the robot.
    commands: set[str]
    # Commands and everything else.
    published: set[str]

    @property
    def is_simulated(self) -> bool:
        return "/clock" in self.subscribed


def params_file(argument: Callable[[str], str]) -> str:
    """The parameter file of a launch: the one that is named, else that of a known robot (default: the simulated)."""
    if argument("params_file"):
        return argument("params_file")
    robot = argument("robot") or CONFIGURATION.stem
    if robot not in ROBOTS:
        raise ValueError(f"robot is {robot}, expected one of {', '.join(ROBOTS)}; params_file names a file of your own")
    return str(CONFIGURATIONS / f"{robot}.yaml")


def given_parameters(argument: Callable[[str], str]) -> dict[str, str | bool]:
    """The node's parameters among the arguments of a launch."""
    given = {name: argument(name) for name in PARAMETERS if argument(name)}
    # A robot's own parameter file is never given the simulated robot's policy.
    if "checkpoint" not in given and params_file(argument) == str(CONFIGURATION):
        given["checkpoint"] = str(CHECKPOINT)
    if "use_sim_time" in given:
        if given["use_sim_time"].lower() not in ("true", "false"):
            raise ValueError(f"use_sim_time is {given['use_sim_time']}, expected true or false")
        given["use_sim_time"] = given["use_sim_time"].lower() == "true"
    return given


def remappings_of(text: str) -> list[tuple[str, str]]:
    rules = [rule.partition(":=") for rule in text.split()]
    for source, separator, target in rules:
        if not (source and separator and target):
            raise ValueError(f"remappings is {text!r}, expected rules like /joint_states:=/left/joint_states")
    return [(source, target) for source, _, target in rules]


def ros_arguments(
    params_file: str, given: dict[str, str | bool], namespace: str, rules: list[tuple[str, str]]
) -> list[str]:
    """What the node that is launched with these gets after --ros-args; JSON is the YAML that ROS 2 reads values as."""
    names = [("__node", NODE_NAME), *([("__ns", f"/{namespace.strip('/')}")] if namespace.strip("/") else []), *rules]
    remappings = [argument for source, target in names for argument in ("-r", f"{source}:={target}")]
    values = [argument for name, value in given.items() for argument in ("-p", f"{name}:={json.dumps(value)}")]
    return [*remappings, "--params-file", params_file, *values]


def list_topics(node: str | Path, arguments: list[str]) -> NodeTopics:
    """The topics of the program `node` with these ROS arguments. Raises RuntimeError when it refuses them, with why."""
    command = [str(node), "--list-topics", "--ros-args", *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{node} cannot list its topics: {error}") from error
    if answer.returncode != 0:
        raise RuntimeError(f"{node} cannot list its topics: {answer.stderr.strip()}")
    by_kind = {"subscribe": set(), "command": set(), "publish": set()}
    for line in answer.stdout.splitlines():
        kind, topic = line.split()
        by_kind[kind].add(topic)
    commands = by_kind["command"]
    return NodeTopics(by_kind["subscribe"], commands, commands | by_kind["publish"])


def replayed_topics(topics: NodeTopics, as_recorded: list[str]) -> tuple[list[str], list[str]]:
    """The topics of a bag that are played for a node, and the remappings of those that moved the robot.

    Nothing else of the bag is played: not its clock, for the player makes one, and no command to another controller.
    Commands go to /recorded/…, where none listens, unless as_recorded has the full name of their topic.
    """
    played = (topics.subscribed - {"/clock"}) | topics.commands | set(as_recorded)
    return sorted(played), [f"{topic}:=/recorded{topic}" for topic in sorted(topics.commands - set(as_recorded))]
