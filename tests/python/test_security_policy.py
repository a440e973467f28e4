"""What the node asks SROS 2 to allow, beside what the graph says that it has."""

import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

# What makes an action, by its name: ROS 2's own division (design.ros2.org, "Actions").
ACTION_TOPICS = ["_action/feedback", "_action/status"]
ACTION_SERVICES = ["_action/cancel_goal", "_action/get_result", "_action/send_goal"]
USE_SIM_TIME = ["-p", "use_sim_time:=false"]


def printed_policy(*arguments):
    command = [CHECKOUT / "target/release/pi0_node", "--security-policy", "--ros-args"]
    command += ["--params-file", CHECKOUT / "config/aloha_sim.yaml", *arguments]
    command += ["-p", f"checkpoint:={CHECKOUT / 'checkpoints/aloha_sim'}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def allowed(policy, element, use):
    """Full names of the elements (topic, service, action) that may be used in this way."""
    root = ElementTree.fromstring(policy)
    groups = [group for group in root.iter(f"{element}s") if group.get(use) == "ALLOW"]
    return {entry.text for group in groups for entry in group.iter(element)}


def parts(actions, names):
    return {f"{action}/{name}" for action in actions for name in names}


@pytest.fixture(scope="module")
def node_of_the_graph(start_node, robot_beside, tmp_path_factory):
    with start_node(tmp_path_factory.mktemp("node") / "log"), robot_beside([]) as robot:
        robot.wait_until(lambda: "pi0_node: control" in robot.statuses, "diagnostics")
        yield robot.node


def test_the_policy_allows_what_the_node_has_in_the_graph_and_no_more(node_of_the_graph):
    policy = printed_policy(*USE_SIM_TIME)

    def names(endpoints):
        return {name for name, _ in endpoints("pi0_node", "/")}

    actions = allowed(policy, "action", "execute")
    published = allowed(policy, "topic", "publish") | parts(actions, ACTION_TOPICS)
    assert names(node_of_the_graph.get_publisher_names_and_types_by_node) == published
    assert names(node_of_the_graph.get_subscriber_names_and_types_by_node) == allowed(policy, "topic", "subscribe")
    services = allowed(policy, "service", "reply") | parts(actions, ACTION_SERVICES)
    assert names(node_of_the_graph.get_service_names_and_types_by_node) == services
    assert names(node_of_the_graph.get_client_names_and_types_by_node) == set()


def test_the_names_are_those_of_the_namespace_and_the_remappings():
    policy = printed_policy("-r", "__ns:=/left", "-r", "/joint_states:=/left/joints", *USE_SIM_TIME)
    assert "/left/joints" in allowed(policy, "topic", "subscribe")
    assert "/joint_states" not in allowed(policy, "topic", "subscribe")
    assert "/left/pi0_node/stop" in allowed(policy, "service", "reply")
    assert '<enclave path="/left/pi0_node">' in policy


def test_simulated_time_is_subscribed_to():
    assert "/clock" in allowed(printed_policy("-p", "use_sim_time:=true"), "topic", "subscribe")
