"""Ten thousand parameters set at random while the robot moves."""

import math
import random

import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters

COUNT = 10_000
# Sets, after which every parameter is again what it was.
UNTIL_RESET = 20
# The limit that the robot's speed is judged by.
LEFT_OUT = "max_velocity"
FLOATS = [0.0, -0.0, -1.0, 0.5, 1.0, 100.0, 5e-324, 1e308, math.inf, -math.inf, math.nan]
INTEGERS = [0, -1, 1, 2, 50, 2**31 - 1, 2**63 - 1, -(2**63)]
STRINGS = [
    "",
    "replace",
    "blend",
    "rtc",
    "auto",
    "pick up the cube with the left arm",
    "\N{SNOWMAN}" * 50,
    "x" * 10_000,
]


def some_value(generator):
    """A value of any type, as likely as not one that no parameter may have."""
    value = ParameterValue(type=generator.choice(range(ParameterType.PARAMETER_STRING_ARRAY + 1)))
    length = generator.choice([0, 1, 4, 14])
    value.bool_value = generator.random() < 0.5
    value.integer_value = generator.choice(INTEGERS)
    value.double_value = generator.choice([*FLOATS, generator.uniform(-10, 10)])
    value.string_value = generator.choice(STRINGS)
    value.byte_array_value = [bytes([generator.randrange(256)]) for _ in range(length)]
    value.bool_array_value = [generator.random() < 0.5 for _ in range(length)]
    value.integer_array_value = [generator.choice(INTEGERS) for _ in range(length)]
    value.double_array_value = [generator.choice(FLOATS) for _ in range(length)]
    value.string_array_value = [generator.choice(STRINGS) for _ in range(length)]
    return value


def near(generator, value):
    """A value of the same type, often one that the parameter may have."""
    other = some_value(generator)
    other.type = value.type
    if value.type == ParameterType.PARAMETER_DOUBLE and math.isfinite(value.double_value):
        other.double_value = value.double_value * generator.choice([0.0, 0.5, 0.9, 1.0, 1.1, 2.0, -1.0])
    if value.type == ParameterType.PARAMETER_INTEGER and abs(value.integer_value) < 1000:
        other.integer_value = value.integer_value + generator.choice([-1, 0, 1])
    return other


@pytest.mark.faults
def test_a_refused_parameter_changes_nothing_and_none_makes_the_robot_jump(
    start_node, robot_beside, joint_names, watch, tmp_path, record_property
):
    generator = random.Random(23)
    with start_node(tmp_path / "log") as process, robot_beside(joint_names) as robot:
        commands = watch(robot)
        robot.wait_until(lambda: robot.hold() == "", "a robot that moves")
        listed = robot.call(ListParameters, "list_parameters", ListParameters.Request()).result.names
        names = [name for name in listed if not name.endswith(LEFT_OUT)]

        getter = robot.node.create_client(GetParameters, "/pi0_node/get_parameters")
        setter = robot.node.create_client(SetParameters, "/pi0_node/set_parameters")

        def value_of(name):
            (value,) = robot.answer(getter, GetParameters.Request(names=[name])).values
            return value

        accepted = 0
        first = {}
        for number in range(COUNT):
            if number % UNTIL_RESET == 0:
                # Most of what is accepted keeps the robot from moving.
                again = [Parameter(name=name, value=value) for name, value in first.items()]
                answer = robot.answer(setter, SetParameters.Request(parameters=again))
                assert all(result.successful for result in answer.results), answer
                first.clear()
            name = generator.choice(names)
            before = value_of(name)
            value = near(generator, before) if generator.random() < 0.6 else some_value(generator)
            request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
            (result,) = robot.answer(setter, request).results
            assert process.exit_status() is None, process.failure(f"the node ended after {name} = {value}")
            if result.successful:
                accepted += 1
                first.setdefault(name, before)
            else:
                assert result.reason, f"{name} = {value} is refused without a reason"
                assert repr(value_of(name)) == repr(before), f"{name} changed although {value} was refused"
        record_property("sets", COUNT)
        record_property("accepted", accepted)
        record_property("trajectories", commands.count)
        assert 0.02 < accepted / COUNT < 0.98
        commands.check(record_property)
