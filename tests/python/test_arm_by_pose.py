"""The node moves the simulated Panda by poses and by velocities, for a policy that is none of ours."""

from dataclasses import replace

import pytest
from geometry_msgs.msg import TwistStamped

from pi0_tools import CHECKOUT
from pi0_tools.evaluation.closed_loop import Run, Setup, run_episodes
from pi0_tools.evaluation.foreign_server import foreign_server
from pi0_tools.evaluation.simulated_robot import PANDA

NODE = CHECKOUT / "target" / "release" / "pi0_node"
# Of the task lift; odd ones have the cubes of stack.
SEED = 0
# The expert does not look, and pictures take longer to draw than all the rest.
COVERED = {"front_camera_covered": "true", "wrist_camera_covered": "true"}
BY_TWIST = replace(
    PANDA,
    command_type=TwistStamped,
    command_topic="/target_twist",
    controller_status="panda_sim: twist_controller",
)
TWIST_OUTPUT = ("outputs.arm.type:=twist", "outputs.arm.topic:=/target_twist")


@pytest.mark.parametrize(("robot", "output"), [(PANDA, ()), (BY_TWIST, TWIST_OUTPUT)], ids=["pose", "twist"])
def test_the_expert_s_relative_actions_lift_the_cube_through_the_node(tmp_path, robot, output):
    with foreign_server(tmp_path / "server", "expert_server", "--skill", "lift", "--seed", SEED) as (_, address):
        remote = ("device:=remote", f"server:={address}", *output)
        setup = Setup(NODE, robot.config, tmp_path, tmp_path, remote, robot)
        run = Run("lift", robot.skills["lift"].prompt, 1, SEED, {"task": "lift", **COVERED})
        result = run_episodes(setup, run, report=lambda _: None)
    (outcome,) = result.outcomes
    assert outcome["kept"] == ["lift"], outcome
    assert result.figures["commands_rejected"] == 0
    assert result.figures["commands_accepted"] > 50
