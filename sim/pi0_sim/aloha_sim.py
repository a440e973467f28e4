"""The simulated ALOHA robot as a ROS 2 node. sim/README.md says what it publishes, takes and can be told."""

import sys

from trajectory_msgs.msg import JointTrajectory

from pi0_sim.aloha_environment import JOINT_NAMES, STEP_SECONDS, TASK_NAMES, AlohaEnvironment
from pi0_sim.aloha_scene import CAMERAS, DEFAULT_HEIGHT, DEFAULT_WIDTH, AlohaScene
from pi0_sim.parameters import Row, common_rows
from pi0_sim.robot_sim import RobotSim, main
from pi0_sim.skills import SKILLS, EpisodeJudge
from pi0_sim.trajectory_controller import CONTROLLER, LONGEST_LAG_S, TrajectoryController


class AlohaSim(RobotSim):
    NAME = "aloha_sim"
    STEP_SECONDS = STEP_SECONDS
    JOINT_NAMES = JOINT_NAMES
    CAMERAS = CAMERAS
    TASKS = TASK_NAMES
    SKILLS = SKILLS
    PARAMETERS = (
        *common_rows(
            tasks=TASK_NAMES,
            skills=SKILLS,
            episode_seconds=8.0,
            image_size=(DEFAULT_WIDTH, DEFAULT_HEIGHT),
            largest_image_size=(640, 480),
            no_skill="when the reward is the highest",
        ),
        Row("camera_covered", False, "Whether the camera sends black frames"),
        Row(
            "clock_skew_ms",
            0.0,
            "How far the controller's clock is ahead of that of the stamps; below 0 it is behind",
            -1000.0,
            1000.0,
        ),
        Row("lag_ms", 0.0, "Time from the controller's command to the hardware's", 0.0, 1000 * LONGEST_LAG_S),
    )

    def check(self, parameters):
        if parameters.task != "transfer_cube":
            for name in ("skill", "outcomes"):
                if getattr(parameters, name):
                    raise ValueError(f"parameter {name} needs the task transfer_cube, and task is '{parameters.task}'")

    def open_environment(self):
        return AlohaEnvironment(self.parameters.task)

    def new_controllers(self):
        self._controller = TrajectoryController(
            JOINT_NAMES,
            self.environment.joint_positions(),
            0.0,
            self.parameters.clock_skew_ms / 1e3,
            self.parameters.lag_ms / 1e3,
        )
        self.create_subscription(
            JointTrajectory, "/joint_trajectory", lambda message: self.execute(self._controller, message), 10
        )
        return {CONTROLLER: self._controller}

    def hold(self):
        self._controller.hold(self.environment.joint_positions(), self.now_s)

    def open_scene(self):
        return AlohaScene(self.parameters.task, self.parameters.image_width, self.parameters.image_height)

    def is_covered(self, camera):
        return self.parameters.camera_covered

    def advance(self):
        return self.environment.step(self._controller.command(self.now_s, self.environment.joint_positions()))

    def new_judge(self, seed):
        # It looks at every contact of every step.
        if not (self.parameters.skill or self.parameters.outcomes):
            return None
        return EpisodeJudge(seed, self.environment.joint_positions())

    def is_solved(self, reward, outcome):
        if self.parameters.skill:
            return self.parameters.skill in outcome.kept
        return reward >= self.environment.max_reward


if __name__ == "__main__":
    sys.exit(main(AlohaSim))
