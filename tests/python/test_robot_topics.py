from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = CHECKOUT / "config"
robot_topics = SimpleNamespace(**run_path(str(CHECKOUT / "launch" / "robot_topics.py")))

TWO_ARMS = """
/**:
  ros__parameters:
    camera_topics: [/top, wrist/image]
    joint_states_topics: [/left/joint_states, /right/joint_states]
    extra_state_topics: [/tcp]
    prompt_topic: /task
    output_topics: [/left/commands, /right/commands]
    use_sim_time: false
"""


@pytest.fixture
def two_arms(tmp_path):
    params_file = tmp_path / "two_arms.yaml"
    params_file.write_text(TWO_ARMS)
    return str(params_file)


def test_every_input_and_output_of_the_parameter_file_is_recorded(two_arms):
    assert robot_topics.recorded_topics(two_arms, simulated=False) == {
        "/top",
        "wrist/image",
        "/left/joint_states",
        "/right/joint_states",
        "/tcp",
        "/task",
        "/robot_description",
        "/left/commands",
        "/right/commands",
        "/joint_trajectory",
        "~/chunk",
        "/diagnostics",
    }


def test_the_clock_is_recorded_where_time_is_simulated(two_arms):
    simulated = str(CONFIGURATIONS / "aloha_sim.yaml")
    assert robot_topics.is_simulated(simulated)
    assert not robot_topics.is_simulated(two_arms)
    assert robot_topics.recorded_topics(simulated, simulated=True) == {
        "/camera/top/image_raw",
        "/joint_states",
        "/prompt",
        "/robot_description",
        "/joint_trajectory",
        "~/chunk",
        "/diagnostics",
        "/clock",
    }


def test_a_parameter_file_that_says_nothing_has_the_node_s_own_topics(tmp_path):
    params_file = tmp_path / "empty.yaml"
    params_file.write_text("")
    inputs = {"/joint_states", "/prompt", "/robot_description"}
    expected = inputs | {"/joint_trajectory", "~/chunk", "/diagnostics"}
    assert robot_topics.recorded_topics(str(params_file), simulated=False) == expected


def test_a_topic_is_told_to_move_a_robot_by_any_of_its_parameters(tmp_path):
    params_file = tmp_path / "outputs.yaml"
    params_file.write_text("/**:\n  ros__parameters:\n    trajectory_topic: /arm\n/other:\n  output_topics: [/hand]\n")
    assert robot_topics.output_topics(str(params_file)) == {"/joint_trajectory", "/arm", "/hand"}


@pytest.mark.parametrize("configuration", sorted(CONFIGURATIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_has_cameras_to_record(configuration):
    assert robot_topics.recorded_topics(str(configuration), simulated=False) > robot_topics.output_topics(
        str(configuration)
    )


@pytest.mark.parametrize(
    ("topic", "namespace", "rules", "expected"),
    [
        ("/top", "left", "", "/top"),
        ("wrist/image", "left", "", "/left/wrist/image"),
        ("wrist/image", "", "", "/wrist/image"),
        ("~/chunk", "", "", "/pi0_node/chunk"),
        ("~/chunk", "/left", "", "/left/pi0_node/chunk"),
        ("/joint_states", "", "/joint_states:=/left/joint_states", "/left/joint_states"),
        ("~/chunk", "left", "~/chunk:=chunk", "/left/chunk"),
        ("/top", "", "/top:=/first /top:=/second", "/first"),
    ],
)
def test_topics_are_recorded_by_the_names_that_the_node_gives_them(topic, namespace, rules, expected):
    assert robot_topics.full_name(topic, namespace, robot_topics.remappings_of(rules)) == expected


def test_a_remapping_without_a_target_is_refused():
    with pytest.raises(ValueError, match="expected rules like"):
        robot_topics.remappings_of("/top:=")


# Names of topics, namespaces and remappings with which the commands of a run were recorded.
RUNS = [
    ("", "", "/arm/joint_trajectory"),
    ("left", "", "/left/arm/joint_trajectory"),
    ("/left/", "arm/joint_trajectory:=/robot/commands", "/robot/commands"),
    ("", "arm/joint_trajectory:=commands", "/commands"),
]


@pytest.fixture
def relative(tmp_path):
    params_file = tmp_path / "relative.yaml"
    params_file.write_text(
        "/**:\n  ros__parameters:\n    trajectory_topic: arm/joint_trajectory\n    camera_topics: [top]\n"
    )
    return str(params_file)


@pytest.mark.parametrize(("namespace", "rules", "commands"), RUNS)
def test_recorded_commands_never_reach_a_controller(relative, namespace, rules, commands):
    topics, remappings = robot_topics.replayed_topics(relative, namespace, robot_topics.remappings_of(rules), [])
    assert commands in topics
    assert f"{commands}:=/recorded{commands}" in remappings
    moves_a_robot = {topic for topic in topics if "command" in topic or "trajectory" in topic}
    assert moves_a_robot == {rule.partition(":=")[0] for rule in remappings}


@pytest.mark.parametrize(("namespace", "rules", "commands"), RUNS)
def test_recorded_commands_reach_a_controller_where_they_are_asked_for_by_name(relative, namespace, rules, commands):
    topics, remappings = robot_topics.replayed_topics(
        relative, namespace, robot_topics.remappings_of(rules), [commands]
    )
    assert commands in topics
    assert not any(rule.startswith(f"{commands}:=") for rule in remappings)


def test_of_a_bag_only_what_the_node_hears_and_said_is_played(relative):
    topics, _ = robot_topics.replayed_topics(relative, "left", [], ["/tf"])
    assert topics == [
        "/joint_states",
        "/joint_trajectory",
        "/left/arm/joint_trajectory",
        "/left/top",
        "/prompt",
        "/robot_description",
        "/tf",
    ]


def test_a_topic_that_the_node_does_without_is_not_played(tmp_path):
    params_file = tmp_path / "no_description.yaml"
    params_file.write_text("/**:\n  ros__parameters:\n    robot_description_topic: ''\n")
    topics, _ = robot_topics.replayed_topics(str(params_file), "", [], [])
    assert topics == ["/joint_states", "/joint_trajectory", "/prompt"]
