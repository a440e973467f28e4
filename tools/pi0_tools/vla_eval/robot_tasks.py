"""The skills of a robot of pi0_tools.train as a benchmark of vla-eval.

An action is what the robot is to do next: the ALOHA's 14 joint positions, the Panda's tool position in metres,
axis-angle vector and gripper from -1 (open) to 1 (closed) in the base frame, or Meta-World's own. An episode is a
success when the skill is done in most steps of half a second: by sim/README.md's rules, for the Panda by robosuite's
own check; in Meta-World when it was done in any step. The simulation stands still while the policy thinks.
"""

import numpy as np
from scipy.spatial.transform import Rotation
from vla_eval.benchmarks.base import StepBenchmark, StepResult
from vla_eval.render import configure_mujoco_render
from vla_eval.specs import IMAGE_RGB, LANGUAGE, RAW

from pi0_sim.pose import Pose
from pi0_tools.train.panda.pose_actions import gripper_opening
from pi0_tools.train.panda.scripted_expert import Target
from pi0_tools.train.robot import robot_named


def as_it_is(values):
    return values


def pose_target(values):
    return Target(Pose(values[:3], Rotation.from_rotvec(values[3:6]).as_quat()), gripper_opening(values[6]))


TARGETS = {"aloha": as_it_is, "panda": pose_target, "metaworld": as_it_is}


class RobotTasks(StepBenchmark):
    """One task a skill. The episode's number, from first_seed on, is the seed of the start pose."""

    _ALL_RECORD_FIELDS = frozenset({"reward", "success", "action"})
    render_backends = frozenset({"gpu", "cpu"})

    @classmethod
    def configure_render(cls, mode):
        # Where MuJoCo draws on the processor, MUJOCO_GL of tools/env.sh says so.
        return {} if mode == "gpu" else configure_mujoco_render(mode)

    def __init__(self, robot: str = "aloha", first_seed: int = 0):
        super().__init__()
        self._robot = robot_named(robot)
        self._first_seed = first_seed

    def get_tasks(self):
        return [{"name": skill} for skill in self._robot.skills]

    def get_metadata(self):
        seconds = max(skill.seconds for skill in self._robot.skills.values())
        return {"max_steps": round(seconds / (self._robot.step_seconds * self._robot.steps_an_action))}

    def get_action_spec(self):
        return {"actions": RAW}

    def get_observation_spec(self):
        return {"image": IMAGE_RGB, "state": RAW, "language": LANGUAGE}

    def reset(self, task):
        seed = self._first_seed + task["episode_idx"]
        self._environment = self._robot.environment(task["name"], seed)
        self._judge = self._robot.judge(self._environment, seed)
        self._steps = 0
        self._draw()

    def step(self, action):
        robot, name = self._robot, self._task["name"]
        values = np.array(action["actions"], np.float64)
        target = TARGETS[robot.name](values)
        for _ in range(robot.steps_an_action):
            reward = robot.execute(self._environment, target, None)
            self._steps += 1
            self._judge.stepped(self._environment, reward, self._steps * robot.step_seconds)
            if self._steps % robot.steps_a_picture == 0:
                self._draw()
        is_done = self._is_done()
        self._recorder.record_step(reward=reward, success=is_done, action=values.astype(np.float32))
        is_over = self._steps * robot.step_seconds >= robot.skills[name].seconds
        return StepResult(None, reward, is_done or is_over, {})

    def make_obs(self, raw_obs, task):
        del raw_obs
        return {
            "images": self._frames,
            "state": np.asarray(self._robot.state_row(self._robot.scene_of(self._environment)), np.float64),
            "task_description": self._robot.skills[task["name"]].prompt,
        }

    def get_step_result(self, step_result):
        del step_result
        return {"success": self._is_done()}

    def _is_done(self):
        return self._task["name"] in self._judge.outcome.kept

    def _draw(self):
        # What MuJoCo draws is upside down, with a negative stride.
        frames = self._robot.frames(self._environment, self._environment.physics_state())
        self._frames = {camera: np.ascontiguousarray(frame) for camera, frame in frames.items()}
