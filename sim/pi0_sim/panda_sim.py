"""The simulated Panda as a ROS 2 node. sim/README.md says what it publishes, takes and can be told."""

import sys

from geometry_msgs.msg import PoseStamped, TransformStamped, TwistStamped
from trajectory_msgs.msg import JointTrajectory

from pi0_sim.panda_environment import (
    ARM_JOINT_NAMES,
    GRIPPER_JOINT,
    JOINT_NAMES,
    STEP_SECONDS,
    TASK_NAMES,
    PandaEnvironment,
)
from pi0_sim.panda_scene import CAMERAS, DEFAULT_SIZE, PandaScene
from pi0_sim.panda_skills import SKILLS, PandaEpisodeJudge
from pi0_sim.parameters import Row, common_rows
from pi0_sim.pose_controller import BASE_FRAME, TOOL_FRAME, PoseController, TwistController
from pi0_sim.robot_sim import RobotSim, main
from pi0_sim.trajectory_controller import CONTROLLER, TrajectoryController


class PandaSim(RobotSim):
    NAME = "panda_sim"
    STEP_SECONDS = STEP_SECONDS
    JOINT_NAMES = JOINT_NAMES
    CAMERAS = tuple(CAMERAS)
    TASKS = TASK_NAMES
    SKILLS = SKILLS
    PARAMETERS = (
        *common_rows(
            tasks=TASK_NAMES,
            skills=SKILLS,
            episode_seconds=15.0,
            image_size=(DEFAULT_SIZE, DEFAULT_SIZE),
            largest_image_size=(640, 480),
            no_skill="when the task is solved",
        ),
        Row("front_camera_covered", False, "Whether the camera front sends black frames"),
        Row("wrist_camera_covered", False, "Whether the camera wrist sends black frames"),
    )

    def check(self, parameters):
        self._ending_skill = parameters.skill or parameters.task
        tasks = SKILLS[self._ending_skill].tasks
        if parameters.task not in tasks:
            raise ValueError(
                f"parameter skill is '{parameters.skill}', which needs the task {' or '.join(tasks)}, "
                f"and task is '{parameters.task}'"
            )

    def open_environment(self):
        return PandaEnvironment(self.parameters.task)

    def new_controllers(self):
        environment = self.environment
        self._poses = PoseController()
        self._twists = TwistController(environment.tool_pose)
        self._joints = TrajectoryController(ARM_JOINT_NAMES, environment.arm_positions(), 0.0)
        self._gripper = TrajectoryController([GRIPPER_JOINT], [environment.opening()], 0.0)
        # What moves the arm: whatever was accepted last. None before that: it stays.
        self._arm = None
        for message_type, topic, controller in (
            (PoseStamped, "/target_pose", self._poses),
            (TwistStamped, "/target_twist", self._twists),
            (JointTrajectory, "/joint_trajectory", self._joints),
            (JointTrajectory, "/gripper_trajectory", self._gripper),
        ):
            self.create_subscription(message_type, topic, self._receiver(controller), 10)
        self._pose_publisher = self.create_publisher(PoseStamped, "/end_effector_pose", 10)
        self._transform_publisher = self._new_transform_publisher()
        return {
            "pose_controller": self._poses,
            "twist_controller": self._twists,
            CONTROLLER: self._joints,
            "gripper_controller": self._gripper,
        }

    def hold(self):
        self._arm = None
        self._twists.forget()
        self._joints.hold(self.environment.arm_positions(), self.now_s)
        self._gripper.hold([self.environment.opening()], self.now_s)

    def open_scene(self):
        return PandaScene(self.environment.model, self.parameters.image_width, self.parameters.image_height)

    def is_covered(self, camera):
        return getattr(self.parameters, f"{camera}_camera_covered")

    def advance(self):
        environment = self.environment
        if self._arm is self._joints:
            environment.command_joints(self._joints.command(self.now_s, environment.arm_positions()))
        elif self._arm is not None:
            environment.command_pose(self._arm.target(self.now_s))
        (opening,) = self._gripper.command(self.now_s, [environment.opening()])
        environment.command_opening(opening)
        return environment.step()

    def new_judge(self, seed):
        return PandaEpisodeJudge(seed, self.parameters.task)

    def is_solved(self, reward, outcome):
        return self._ending_skill in outcome.kept

    def publish_more(self, stamp):
        tool = self.environment.tool_pose()
        message = PoseStamped()
        message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
        position, orientation = message.pose.position, message.pose.orientation
        position.x, position.y, position.z = tool.position_m.tolist()
        orientation.x, orientation.y, orientation.z, orientation.w = tool.quaternion.tolist()
        self._pose_publisher.publish(message)
        if self._transform_publisher is not None:
            self._publish_transform(message)

    def _receiver(self, controller):
        def receive(message):
            if self.execute(controller, message) and controller is not self._gripper:
                if controller is not self._twists:
                    self._twists.forget()
                self._arm = controller

        return receive

    def _new_transform_publisher(self):
        """Of /tf; None where ROS 2 has no tf2_msgs."""
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self.get_logger().warning(
                "tf2_msgs is not installed, so /tf is not published; /end_effector_pose has the same"
            )
            return None
        self._new_transforms = TFMessage
        return self.create_publisher(TFMessage, "/tf", 100)

    def _publish_transform(self, pose):
        transform = TransformStamped(header=pose.header, child_frame_id=TOOL_FRAME)
        translation, position = transform.transform.translation, pose.pose.position
        translation.x, translation.y, translation.z = position.x, position.y, position.z
        transform.transform.rotation = pose.pose.orientation
        self._transform_publisher.publish(self._new_transforms(transforms=[transform]))


if __name__ == "__main__":
    sys.exit(main(PandaSim))
