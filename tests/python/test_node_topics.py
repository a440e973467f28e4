import json
import stat
import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
launched = SimpleNamespace(**run_path(str(CHECKOUT / "launch" / "node_topics.py")))

TOPICS = launched.NodeTopics(
    subscribed={"/left/top", "/joint_states", "/prompt", "/clock"},
    commands={"/left/arm/joint_trajectory"},
    published={"/left/arm/joint_trajectory", "/diagnostics", "/left/pi0_node/chunk"},
)


@pytest.fixture
def stand_in(tmp_path):
    """A program in place of the node, with these lines of Python."""

    def program(body):
        path = tmp_path / "node"
        path.write_text(f"#!{sys.executable}\nimport json, sys\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return program


def test_the_topics_are_those_that_the_node_lists(stand_in):
    lines = [f"subscribe {topic}" for topic in TOPICS.subscribed]
    lines += ["command /left/arm/joint_trajectory", "publish /diagnostics", "publish /left/pi0_node/chunk"]
    node = stand_in(f"print({chr(10).join(lines)!r})")
    found = launched.list_topics(node, [])
    assert found == TOPICS
    assert found.is_simulated


def test_the_node_is_asked_with_the_arguments_that_it_is_launched_with(stand_in, tmp_path):
    heard = tmp_path / "heard.json"
    node = stand_in(f"json.dump(sys.argv[1:], open({str(heard)!r}, 'w'))")
    given = {"checkpoint": "/data/pi0", "use_sim_time": True, "prompt": 'say "a: b" # 12'}
    rules = launched.remappings_of("/top:=/first ~/chunk:=chunk")
    assert not launched.list_topics(node, launched.ros_arguments("robot.yaml", given, "left/", rules)).is_simulated
    own, ros = json.loads(heard.read_text())[0], json.loads(heard.read_text())[1:]
    assert own == "--list-topics"
    assert ros == [
        "--ros-args",
        *("-r", "__node:=pi0_node", "-r", "__ns:=/left", "-r", "/top:=/first", "-r", "~/chunk:=chunk"),
        *("--params-file", "robot.yaml"),
        *("-p", 'checkpoint:="/data/pi0"', "-p", "use_sim_time:=true"),
        *("-p", r'prompt:="say \"a: b\" # 12"'),
    ]


def test_a_node_that_refuses_its_parameters_is_an_error_in_its_own_words(stand_in):
    node = stand_in("sys.exit('error: the parameters do not fit:\\n  camera_topics: found …')")
    with pytest.raises(RuntimeError, match="camera_topics: found"):
        launched.list_topics(node, [])


def test_a_node_that_cannot_be_run_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="cannot list its topics"):
        launched.list_topics(tmp_path / "missing", [])


def test_a_remapping_without_a_target_is_refused():
    with pytest.raises(ValueError, match="expected rules like"):
        launched.remappings_of("/top:=")


def test_only_the_simulated_robot_s_parameters_get_the_simulated_robot_s_policy():
    def given(**arguments):
        return launched.given_parameters(lambda name: arguments.get(name, ""))

    assert given(params_file=str(launched.CONFIGURATION)) == {"checkpoint": str(launched.CHECKPOINT)}
    assert given(params_file=str(launched.CONFIGURATION), checkpoint="/own") == {"checkpoint": "/own"}
    assert given(params_file="robot.yaml", use_sim_time="True") == {"use_sim_time": True}
    with pytest.raises(ValueError, match="use_sim_time is maybe"):
        given(use_sim_time="maybe")


def test_a_known_robot_s_parameter_file_is_chosen_by_its_name_unless_a_file_is_named():
    def chosen(**arguments):
        return launched.params_file(lambda name: arguments.get(name, ""))

    assert chosen() == str(launched.CONFIGURATION)
    assert chosen(robot="so101") == str(CHECKOUT / "config" / "so101.yaml")
    assert chosen(robot="so101", params_file="/own.yaml") == "/own.yaml"
    assert {"aloha_sim", "so101", "ur5e", "omx"} < set(launched.ROBOTS)
    with pytest.raises(ValueError, match="robot is so100, expected one of aloha_real, aloha_sim,"):
        chosen(robot="so100")


def test_recorded_commands_never_reach_a_controller():
    topics, remappings = launched.replayed_topics(TOPICS, [])
    assert topics == ["/joint_states", "/left/arm/joint_trajectory", "/left/top", "/prompt"]
    assert remappings == ["/left/arm/joint_trajectory:=/recorded/left/arm/joint_trajectory"]


def test_recorded_commands_reach_a_controller_where_their_topic_is_given_by_name():
    topics, remappings = launched.replayed_topics(TOPICS, ["/left/arm/joint_trajectory", "/tf"])
    assert topics == ["/joint_states", "/left/arm/joint_trajectory", "/left/top", "/prompt", "/tf"]
    assert remappings == []
