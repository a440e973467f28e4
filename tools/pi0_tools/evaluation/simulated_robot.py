"""The simulated robots as programs that the node moves: what is started, what commands them, what they can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geometry_msgs.msg import PoseStamped
from trajectory_msgs.msg import JointTrajectory

from pi0_sim import panda_skills, skills
from pi0_sim.trajectory_controller import CONTROLLER_STATUS
from pi0_tools import CHECKOUT, SHIPPED_CHECKPOINT


@dataclass(frozen=True)
class SimulatedRobot:
    """program: a module of pi0_sim. config, checkpoint: the node's parameter file and the shipped policy.

    command_type and command_topic: of what moves it. controller_status: the name of that controller's counts.
    """

    program: str
    config: Path
    checkpoint: Path
    skills: Mapping
    command_type: type
    command_topic: str
    controller_status: str


ALOHA = SimulatedRobot(
    "aloha_sim",
    CHECKOUT / "config/aloha_sim.yaml",
    SHIPPED_CHECKPOINT,
    skills.SKILLS,
    JointTrajectory,
    "/joint_trajectory",
    CONTROLLER_STATUS,
)
PANDA = SimulatedRobot(
    "panda_sim",
    CHECKOUT / "config/panda_sim.yaml",
    CHECKOUT / "checkpoints/panda_sim_pi05",
    panda_skills.SKILLS,
    PoseStamped,
    "/target_pose",
    "panda_sim: pose_controller",
)
SIMULATED_ROBOTS = {"aloha": ALOHA, "panda": PANDA}
