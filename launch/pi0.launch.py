"""Starts the π0 node, on a robot.

ros2 launch pi0_node pi0.launch.py checkpoint:=/path/to/checkpoint params_file:=/path/to/robot.yaml

robot:=so101 is a known robot's file in the package's folder config.

With record:=true every input and output of the node goes into a bag, for pi0_eval and Foxglove.

Without arguments it is the policy that comes with the package, for the simulated robot (see simulation.launch.py).
"""

from datetime import datetime
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.launch_description_sources import load_python_launch_file_as_module
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

# A launch file is run by its path, so that import does not find what lies beside it.
refusals = load_python_launch_file_as_module(str(Path(__file__).with_name("refusals.py")))
node_topics = load_python_launch_file_as_module(str(Path(__file__).with_name("node_topics.py")))

# Of the bags that are recorded.
STORAGE = "mcap"


def check(context: LaunchContext) -> None:
    """Raises when an argument is not what it must be, before anything is started."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    refusals.check_params_file(node_topics.params_file(argument), argument("namespace"), node_topics.NODE_NAME)
    if argument("record") == "true":
        refusals.check_recorder(STORAGE)


def recorder(context: LaunchContext) -> list[ExecuteProcess]:
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    if argument("record") == "false":
        return []
    rules = node_topics.remappings_of(argument("remappings"))
    given = node_topics.given_parameters(argument)
    arguments = node_topics.ros_arguments(node_topics.params_file(argument), given, argument("namespace"), rules)
    node = ExecutableInPackage(package="pi0_node", executable="pi0_node").perform(context)
    topics = node_topics.list_topics(node, arguments)
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
            name=node_topics.NODE_NAME,
            namespace=argument("namespace"),
            output="screen",
            parameters=[node_topics.params_file(argument), node_topics.given_parameters(argument)],
            remappings=node_topics.remappings_of(argument("remappings")),
            # The node's own logger: the same level for ROS's inner workings would bury what the node says.
            ros_arguments=["--log-level", f"pi0_node:={argument('log_level')}"],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value="", description=f"{description} Empty: what params_file says.")
        for name, description in node_topics.PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(
            "robot",
            default_value=node_topics.CONFIGURATION.stem,
            choices=node_topics.ROBOTS,
            description="Known robot whose parameter file in the package's folder config is used.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="YAML file with the node's parameters. Empty: that of robot.",
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
            description="Whether every input and output of the node is recorded in an MCAP bag: true or false. Where "
            "that fails, nothing starts; when the recorder ends, so does the node.",
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
