"""A server that is none of ours, whose policy is the scripted expert of the simulated Panda.

It has LIBERO's states and the Panda's own actions, as a policy that is trained on the expert's demonstrations
(tools/pi0_tools/train/README.md). The expert knows where the objects are from the simulation's seed, and has done the
skill in a simulation of its own before: an observation is answered with what it wanted where its robot was most like
that.
"""

import numpy as np

from pi0_tools.evaluation.foreign_server import serve_policy, server_arguments
from pi0_tools.train.recorded_episode import record_episode
from pi0_tools.train.robot import robot_named

ROBOT = robot_named("panda")
# How much further the robot can be than at the observation before, in steps of the simulation: two chunks.
MOST_STEPS_BETWEEN = 2 * ROBOT.horizon * ROBOT.steps_an_action
# What counts as much as a metre, when the likeness of two states is judged.
M_A_RAD, M_A_FINGER_M = 0.1, 1.0
# A state that is less like the expert's is that of another robot, or in other units or frames.
FARTHEST_M = 0.06


class ExpertPolicy:
    def __init__(self, skill, seed):
        """Raises RuntimeError when the expert fails at the seed."""
        episode = record_episode(ROBOT, skill, seed, perturbed=False)
        if episode is None:
            raise RuntimeError(f"the expert does not do {skill} from the seed {seed}")
        self._states, self._targets = episode.state, episode.target
        self._prompt = ROBOT.skills[skill].prompt
        self._step = 0

    def infer(self, observation):
        """Raises where the observation is not one of the simulated Panda on its way. Stays for any other prompt."""
        for camera, picture in ROBOT.cameras.items():
            image = observation["images"][camera]
            if image.dtype != np.uint8 or image.shape != (*picture.frame[::-1], 3):
                raise ValueError(f"the picture of {camera} is {image.dtype} {image.shape}")
        if observation["prompt"] != self._prompt:
            return {"actions": np.zeros((ROBOT.horizon, len(ROBOT.action_names)))}
        state = observation["state"].astype(np.float64)
        self._step = self._most_like(state)
        ahead = self._step + ROBOT.steps_an_action * np.arange(ROBOT.horizon)
        targets = self._targets[np.minimum(ahead, len(self._targets) - 1)]
        return {"actions": ROBOT.actions(state[None], targets[None])[0].astype(np.float64)}

    def _most_like(self, state):
        """The step at which the expert's robot was most like it, from that of the observation before on."""
        states = self._states[self._step : self._step + MOST_STEPS_BETWEEN]
        # The rotation's values themselves are compared: where they jump, a policy is lost.
        weights = np.repeat([1.0, M_A_RAD, M_A_FINGER_M], [3, 3, 2])
        distances_m = np.linalg.norm((states - state) * weights, axis=1)
        nearest = int(np.argmin(distances_m))
        if distances_m[nearest] > FARTHEST_M:
            raise ValueError(
                f"the state is {state.tolist()}; the expert's nearest, at step {self._step + nearest}, "
                f"is {states[nearest].tolist()}"
            )
        return self._step + nearest


def main():
    parser = server_arguments(__doc__)
    parser.add_argument("--skill", choices=ROBOT.skills, default="lift", help="which (default lift)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation's episode (default 0)")
    arguments = parser.parse_args()
    serve_policy(ExpertPolicy(arguments.skill, arguments.seed).infer, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
