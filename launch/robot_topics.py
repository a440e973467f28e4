"""The topics of a node that runs with a parameter file, as the launch files need them."""

from collections.abc import Iterator
from pathlib import Path

import yaml

NODE_NAME = "pi0_node"
# What the node's parameters are without a parameter file.
DEFAULT_JOINT_STATES_TOPIC = "/joint_states"
DEFAULT_PROMPT_TOPIC = "/prompt"
DEFAULT_ROBOT_DESCRIPTION_TOPIC = "/robot_description"
DEFAULT_TRAJECTORY_TOPIC = "/joint_trajectory"


def parameter(params_file: str, name: str) -> list:
    """What the file sets a parameter to, for any node: its values one after the other, arrays taken apart."""

    def values(level: dict) -> Iterator:
        for key, value in level.items():
            if key == name:
                yield from value if isinstance(value, list) else [value]
            elif isinstance(value, dict):
                yield from values(value)

    return list(values(yaml.safe_load(Path(params_file).read_text()) or {}))


def output_topics(params_file: str) -> set[str]:
    """The topics on which a node with this parameter file may tell a robot to move."""
    topics = {DEFAULT_TRAJECTORY_TOPIC}
    for name in ("trajectory_topic", "output_topics"):
        topics.update(parameter(params_file, name))
    return topics


def is_simulated(params_file: str) -> bool:
    return any(value is True for value in parameter(params_file, "use_sim_time"))


def input_topics(params_file: str) -> set[str]:
    """The topics that a node with this parameter file hears, but for the clock."""
    topics = set()
    for name, default in (
        ("camera_topics", []),
        ("extra_state_topics", []),
        ("joint_states_topics", [DEFAULT_JOINT_STATES_TOPIC]),
        ("prompt_topic", [DEFAULT_PROMPT_TOPIC]),
        ("robot_description_topic", [DEFAULT_ROBOT_DESCRIPTION_TOPIC]),
    ):
        topics.update(parameter(params_file, name) or default)
    # An empty name is a topic that the node does without.
    return topics - {""}


def recorded_topics(params_file: str, simulated: bool) -> set[str]:
    """What an evaluation needs of a run, and how the node did: as the parameters and the node's own code name it."""
    topics = input_topics(params_file) | output_topics(params_file) | {"~/chunk", "/diagnostics"}
    return topics | {"/clock"} if simulated else topics


def remappings_of(text: str) -> list[tuple[str, str]]:
    rules = [rule.partition(":=") for rule in text.split()]
    for source, separator, target in rules:
        if not (source and separator and target):
            raise ValueError(f"remappings is {text!r}, expected rules like /joint_states:=/left/joint_states")
    return [(source, target) for source, _, target in rules]


def full_name(topic: str, namespace: str, rules: list[tuple[str, str]]) -> str:
    """What `ros2 topic list` calls a topic of a node in this namespace: the first remapping that fits counts."""
    prefix = f"/{namespace.strip('/')}" if namespace.strip("/") else ""

    def expanded(name: str) -> str:
        if name.startswith("~/"):
            return f"{prefix}/{NODE_NAME}{name[1:]}"
        return name if name.startswith("/") else f"{prefix}/{name}"

    name = expanded(topic)
    return next((expanded(target) for source, target in rules if expanded(source) == name), name)


def replayed_topics(
    params_file: str, namespace: str, rules: list[tuple[str, str]], as_recorded: list[str]
) -> tuple[list[str], list[str]]:
    """The topics of a bag that are played for a node, and the remappings of those that moved the robot.

    Nothing else of the bag is played: not its clock, for the player makes one, and no command to a controller that the
    parameter file does not have. What the node told controllers goes to /recorded/…, where none listens, unless
    as_recorded has the full name of its topic.
    """
    inputs = {full_name(topic, namespace, rules) for topic in input_topics(params_file)}
    outputs = {full_name(topic, namespace, rules) for topic in output_topics(params_file)}
    topics = inputs | outputs | set(as_recorded)
    return sorted(topics), [f"{topic}:=/recorded{topic}" for topic in sorted(outputs - set(as_recorded))]
