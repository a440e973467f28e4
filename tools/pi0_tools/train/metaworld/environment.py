"""A task of Meta-World with the start poses, the camera and the success of LeRobot's `MetaworldEnv`."""

import metaworld
import mujoco
import numpy as np
from dm_control.mujoco import Physics
from dm_control.mujoco.wrapper import MjModel

from pi0_sim.panda_scene import state_of

# MT1's own steps: five of 2.5 ms.
STEP_SECONDS = 0.0125
# Values of an observation: the hand's position (3) and how far it is open, then its first and second object.
STATE_VALUES = 4
FIRST_OBJECT, SECOND_OBJECT = slice(4, 7), slice(11, 14)
CAMERA = "corner2"
# LeRobot's view: nearer than Meta-World's own.
CAMERA_POSITION_M = (0.75, 0.075, 0.7)
PICTURE_SIZE = 480
# Meta-World ends an episode after 500 steps by itself, and refuses another.
NEVER = 1_000_000_000


class MetaWorldEnvironment:
    """task: a name as drawer-open-v3. observation: Meta-World's, shape (39,).

    is_solved: whether the task has succeeded in a step since the reset.
    """

    def __init__(self, task):
        self.task = task
        benchmark = metaworld.MT1(task, seed=42)
        self._environment = benchmark.train_classes[task]()
        self._environment.set_task(benchmark.train_tasks[0])
        self._environment.max_path_length = NEVER
        # Otherwise every episode has the same places.
        self._environment._freeze_rand_vec = False
        self._environment.seeded_rand_vec = True
        self.model = self._environment.model
        self.model.camera(CAMERA).pos = CAMERA_POSITION_M
        self.observation = None
        self.is_solved = False

    def reset(self, seed):
        self._environment.seed(seed)
        self.observation, _ = self._environment.reset(seed=seed)
        self.is_solved = False

    def step(self, action):
        """Takes how the hand moves (3) and how the fingers press, each from -1 to 1; returns the reward."""
        self.observation, reward, _, _, info = self._environment.step(np.clip(action, -1, 1).astype(np.float32))
        self.is_solved = self.is_solved or bool(info["success"])
        return float(reward)

    def object_places(self):
        """Where the objects and the goal are in metres, shape (9,); 0 for an object that is not there."""
        goal = self._environment._target_pos
        return np.concatenate([self.observation[FIRST_OBJECT], self.observation[SECOND_OBJECT], goal])

    def physics_state(self):
        """What MetaWorldScene draws."""
        return state_of(self.model, self._environment.data)


class MetaWorldScene:
    """Draws what the camera sees of an environment since its last reset, which moves the scenery in the model."""

    def __init__(self, environment):
        self._physics = Physics.from_model(MjModel(environment.model))
        self._model, self._data = environment.model, self._physics.data.ptr

    def draw(self, physics_state):
        """uint8 RGB [480, 480, 3], as LeRobot turns it: this camera hangs upside down."""
        mujoco.mj_setState(self._model, self._data, physics_state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        mujoco.mj_forward(self._model, self._data)
        return np.flip(self._physics.render(PICTURE_SIZE, PICTURE_SIZE, CAMERA), (0, 1))
