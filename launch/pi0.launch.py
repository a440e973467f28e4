"""Starts the π0 node, on a robot.

ros2 launch pi0_node pi0.launch.py checkpoint:=/path/to/checkpoint params_file:=/path/to/robot.yaml

With record:=true what the node hears and says goes into a bag, for pi0_eval and Foxglove.

Without arguments it is the policy that comes with the package, for the simulated robot (see simulation.launch.py).
"""

import sys
from datetime import datetime
from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from launch import LaunchContext, LaunchDescription

# A launch file is run by its path, so that Python does not find what lies beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent))
from node_topics import (
    CONFIGURATION,
    NODE_NAME,
    PARAMETERS,
    given_parameters,
    node_topics,
    remappings_of,
    ros_arguments,
)
from refusals import check_params_file, check_recorder

# Of the bags that are recorded.
STORAGE = "mcap"


def check(context: LaunchContext) -> None:
    """Raises when an argument is not what it must be, before anything is started."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    check_params_file(argument("params_file"), argument("namespace"), NODE_NAME)
    if argument("record") == "true":
        check_recorder(STORAGE)


def recorder(context: LaunchContext) -> list[ExecuteProcess]:
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    if argument("record") == "false":
        return []
    rules = remappings_of(argument("remappings"))
    arguments = ros_arguments(argument("params_file"), given_parameters(argument), argument("namespace"), rules)
    node = ExecutableInPackage(package="pi0_node", executable="pi0_node").perform(context)
    topics = node_topics(node, arguments)
    # The bag's stamps are in the time of the robot, which pi0_eval goes by.
    clock = ["--use-sim-time"] if topics.is_simulated else []
    bag = Path(argument("bag_directory")) / f"pi0_{datetime.now():%Y_%m_%d-%H_%M_%S}"
    recorded = sorted(topics.subscribed | topics.published)
    command = ["ros2", "bag", "record", *recorded, "--storage", STORAGE, "--output", str(bag), *clock]
    # A run that was to be recorded does not go on without its record.
    ended = Shutdown(reason="ros2 bag record ended")
    return [ExecuteProcess(cmd=command, output="screen", on_exit=ended)]


def pi0_node(context: LaunchContext) -> list[Node]:
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    return [
        Node(
            package="pi0_node",
            executable="pi0_node",
            name=NODE_NAME,
            namespace=argument("namespace"),
            output="screen",
            parameters=[argument("params_file"), given_parameters(argument)],
            remappings=remappings_of(argument("remappings")),
            # The node's own logger: the same level for ROS's inner workings would bury what the node says.
            ros_arguments=["--log-level", f"pi0_node:={argument('log_level')}"],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value="", description=f"{description} Empty: what params_file says.")
        for name, description in PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(CONFIGURATION),
            description="YAML file with the node's parameters; the package's folder config has some for known robots.",
        ),
        DeclareLaunchArgument(
            "namespace",
            default_value="",
            description="Namespace of the node, and of those of its topics that are written without a leading slash.",
        ),
        DeclareLaunchArgument(
            "remappings",
            default_value="",
            description="Other names for topics, with spaces between: /joint_states:=/left/joint_states …",
        ),
        DeclareLaunchArgument(
            "record",
            default_value="false",
            choices=["true", "false"],
            description="Whether all that the node hears and says is recorded in an MCAP bag: true or false. Where it "
            "cannot be, nothing starts; when the recorder ends, so does the node.",
        ),
        DeclareLaunchArgument(
            "bag_directory",
            default_value="bags",
            description="Folder for the bags of record:=true, each named by the time at which it begins.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error"],
            description="From which level up the node logs: debug, info, warn or error.",
        ),
    ]
    steps = [OpaqueFunction(function=function) for function in (check, recorder, pi0_node)]
    return LaunchDescription([*arguments, *steps])
