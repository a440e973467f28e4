"""Plays a recorded bag into the π0 node, in the time of the recording.

ros2 launch pi0_node replay.launch.py bag:=/path/to/bag checkpoint:=/path/to/checkpoint params_file:=/path/to/robot.yaml

What the node tells controllers goes to /replay/…, and what was recorded of that to /recorded/…, so that neither moves a
robot. For figures without ROS 2, and as fast as the machine is, use pi0_eval (docs/evaluation.md).
"""

import sys
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription

# A launch file is run by its path, so that Python does not find what lies beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent))
from robot_topics import output_topics

CONFIGURATION = Path(__file__).resolve().parent.parent / "config" / "aloha_sim.yaml"


def of_parameter_file(context: LaunchContext) -> list[str]:
    return sorted(output_topics(LaunchConfiguration("params_file", default=str(CONFIGURATION)).perform(context)))


def keep_node_away_from_the_robot(context: LaunchContext) -> list[SetLaunchConfiguration]:
    given = LaunchConfiguration("remappings", default="").perform(context)
    rules = [f"{topic}:=/replay/{topic.lstrip('/')}" for topic in of_parameter_file(context)]
    return [SetLaunchConfiguration("remappings", " ".join([*rules, given]))]


def player(context: LaunchContext) -> list[ExecuteProcess]:
    rules = [f"{topic}:=/recorded/{topic.lstrip('/')}" for topic in of_parameter_file(context)]
    command = [
        "ros2",
        "bag",
        "play",
        LaunchConfiguration("bag"),
        "--clock",
        "100",
        "--rate",
        LaunchConfiguration("rate"),
    ]
    return [ExecuteProcess(cmd=[*command, "--remap", *rules], output="screen")]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="Folder or file of the bag."),
            DeclareLaunchArgument("rate", default_value="1.0", description="Seconds of the bag in a second."),
            OpaqueFunction(function=keep_node_away_from_the_robot),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(Path(__file__).parent / "pi0.launch.py")),
                launch_arguments={"use_sim_time": "true"}.items(),
            ),
            OpaqueFunction(function=player),
        ]
    )
