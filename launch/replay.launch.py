"""Plays a recorded bag into the π0 node, in the time of the recording.

ros2 launch pi0_node replay.launch.py bag:=/path/to/bag checkpoint:=/path/to/checkpoint params_file:=/path/to/robot.yaml

Of the bag, only the inputs and the recorded commands of the node are played. Recorded commands go to /recorded/…, and
those of the node now to /replay/…, so that neither moves a robot. Recorded ones reach a controller only where
as_recorded:=… has their topic. For metrics without ROS 2, and as fast as the machine is, use pi0_eval
(docs/evaluation.md).
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource, load_python_launch_file_as_module
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import ExecutableInPackage

# A launch file is run by its path, so that import does not find what lies beside it.
refusals = load_python_launch_file_as_module(str(Path(__file__).with_name("refusals.py")))
node_topics = load_python_launch_file_as_module(str(Path(__file__).with_name("node_topics.py")))


def replay(context: LaunchContext) -> list:
    def argument(name: str) -> str:
        return LaunchConfiguration(name, default="").perform(context)

    params_file = node_topics.params_file(argument)
    refusals.check_params_file(params_file, argument("namespace"), node_topics.NODE_NAME)
    node = ExecutableInPackage(package="pi0_node", executable="pi0_node").perform(context)

    def topics_with(rules: list[tuple[str, str]]) -> node_topics.NodeTopics:
        arguments = node_topics.ros_arguments(
            params_file, node_topics.given_parameters(argument), argument("namespace"), rules
        )
        return node_topics.list_topics(node, arguments)

    given = argument("remappings")
    as_recorded = argument("as_recorded").split()
    topics, rules = node_topics.replayed_topics(topics_with(node_topics.remappings_of(given)), as_recorded)
    # The first rule that fits a topic counts, so these go before those of the user.
    away = [f"{topic}:=/replay{topic}" for topic in sorted(topics_with([]).commands)]
    bag, rate = LaunchConfiguration("bag"), LaunchConfiguration("rate")
    player = ["ros2", "bag", "play", bag, "--clock", "100", "--rate", rate]
    return [
        SetLaunchConfiguration("remappings", " ".join([*away, given])),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(Path(__file__).parent / "pi0.launch.py")),
            launch_arguments={"use_sim_time": "true"}.items(),
        ),
        ExecuteProcess(cmd=[*player, "--topics", *topics, *(["--remap", *rules] if rules else [])], output="screen"),
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="Folder or file of the bag."),
            DeclareLaunchArgument("rate", default_value="1.0", description="Seconds of the bag in a second."),
            DeclareLaunchArgument(
                "as_recorded",
                default_value="",
                description="Topics of the bag, with spaces between, that are played too, under the names they were "
                "recorded with: what the node does without and, if you mean it, commands to a controller.",
            ),
            OpaqueFunction(function=replay),
        ]
    )
