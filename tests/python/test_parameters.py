"""The node's parameters, through the parameter client that a person's own scripts use."""

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

TIMEOUT_S = 60


class Person:
    """Somebody who tunes the node and looks at its diagnostics."""

    def __init__(self):
        self.node = rclpy.create_node("person")
        self.client = AsyncParameterClient(self.node, "pi0_node")
        self.rate_hz = None
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._look, 10)
        assert self.client.wait_for_services(TIMEOUT_S), "the node has no parameter services"

    def _look(self, message):
        for status in message.status:
            if status.name == "pi0_node: control":
                rate_hz = {pair.key: pair.value for pair in status.values}["rate_hz"]
                self.rate_hz = float(rate_hz) if rate_hz else None

    def answer(self, future):
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=TIMEOUT_S)
        assert future.done(), "the node does not answer"
        return future.result()

    def get(self, name):
        (value,) = self.answer(self.client.get_parameters([name])).values
        return rclpy.parameter.parameter_value_to_python(value)

    def wait_until(self, condition):
        clock = self.node.get_clock()
        began = clock.now()
        while not condition():
            rclpy.spin_once(self.node, timeout_sec=0.1)
            assert (clock.now() - began).nanoseconds < TIMEOUT_S * 1e9, f"{self.rate_hz} Hz"


@pytest.fixture(scope="module")
def person(start_node, tmp_path_factory):
    rclpy.init()
    try:
        with start_node(tmp_path_factory.mktemp("node") / "log"):
            yield Person()
    finally:
        rclpy.shutdown()


def test_every_parameter_of_the_file_is_listed_and_described(person):
    names = person.answer(person.client.list_parameters()).result.names
    assert {"checkpoint", "control_rate_hz", "prompt", "use_sim_time"} <= set(names)
    descriptors = person.answer(person.client.describe_parameters(names)).descriptors
    assert [descriptor.name for descriptor in descriptors] == list(names)
    assert all(descriptor.description for descriptor in descriptors)


def test_a_description_tells_type_range_and_whether_it_can_be_set(person):
    names = ["control_rate_hz", "joint_names", "checkpoint"]
    rate, joints, checkpoint = person.answer(person.client.describe_parameters(names)).descriptors
    assert rate.type == ParameterType.PARAMETER_DOUBLE
    assert not rate.read_only
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (1.0, 1000.0)
    assert joints.type == ParameterType.PARAMETER_STRING_ARRAY
    assert joints.read_only
    assert checkpoint.type == ParameterType.PARAMETER_STRING
    assert not checkpoint.read_only
    assert "unconfigured" in checkpoint.description


def test_a_parameter_is_what_the_file_says(person):
    assert person.get("cameras.top.topic") == "/camera/top/image_raw"
    assert person.get("joints.left_gripper.max_velocity") == 5.0
    assert person.get("prompt") == "pick up the cube with the right arm"


def test_a_rate_that_is_set_is_the_rate_of_the_ticks(person):
    assert person.get("control_rate_hz") == 50.0
    (result,) = person.answer(person.client.set_parameters([Parameter("control_rate_hz", value=5.0)])).results
    assert result.successful, result.reason
    assert person.get("control_rate_hz") == 5.0
    person.wait_until(lambda: person.rate_hz is not None and person.rate_hz < 10.0)


def test_a_limit_of_one_joint_is_listed_described_and_set(person):
    names = person.answer(person.client.list_parameters(["joints.left_gripper"], 1)).result.names
    assert "joints.left_gripper.max_velocity" in names
    assert all(name.startswith("joints.left_gripper.") for name in names)
    limit, unlimited = "joints.left_gripper.max_velocity", "joints.left_gripper.max_acceleration"
    (descriptor,) = person.answer(person.client.describe_parameters([limit])).descriptors
    assert (descriptor.type, descriptor.read_only) == (ParameterType.PARAMETER_DOUBLE, False)
    (result,) = person.answer(person.client.set_parameters([Parameter(limit, value=4.0)])).results
    assert result.successful, result.reason
    assert (person.get(limit), person.get(unlimited)) == (4.0, float("inf"))
    (result,) = person.answer(person.client.set_parameters([Parameter(limit, value=0.0)])).results
    assert not result.successful
    assert f"{limit}: found 0.0, expected at least 0.001" in result.reason


def test_an_old_name_is_refused_with_the_new_one(person):
    (result,) = person.answer(person.client.set_parameters([Parameter("max_start_jump", value=[0.3])])).results
    assert not result.successful
    assert "joints.<name>.max_start_jump" in result.reason


def test_a_bad_set_is_refused_whole_with_the_reason(person):
    before = person.get("publish_horizon"), person.get("prompt")
    bad = [Parameter("prompt", value="wave"), Parameter("publish_horizon", value=0)]
    result = person.answer(person.client.set_parameters_atomically(bad)).result
    assert not result.successful
    assert "publish_horizon" in result.reason
    assert "0" in result.reason
    assert (person.get("publish_horizon"), person.get("prompt")) == before


def test_what_needs_a_restart_is_refused_with_that_reason(person):
    (result,) = person.answer(person.client.set_parameters([Parameter("device", value="cpu")])).results
    assert not result.successful
    assert "restart" in result.reason
    assert person.get("device") == "auto"


def test_a_value_of_another_type_is_refused(person):
    (result,) = person.answer(person.client.set_parameters([Parameter("prompt", value=3)])).results
    assert not result.successful
    assert "prompt" in result.reason
