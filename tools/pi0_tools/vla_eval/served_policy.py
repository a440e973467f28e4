"""A policy of pi0_server, or of openpi's server, as a model server of vla-eval.

vla-eval's benchmarks speak its own protocol. This answers them with chunks that it asks of the other server, with
openpi's client, and needs no GPU itself. Run as a program it serves vla-eval's benchmarks; README.md has an example.
"""

import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.specs import IMAGE_RGB, LANGUAGE, RAW

from pi0_tools.train.panda.pose_actions import axis_angle, gripper_action, target_of


def aloha_observation(pictures, state, prompt):
    """As openpi's ALOHA clients name it; docs/server.md has the keys."""
    return {"images": pictures, "state": state, "prompt": prompt}


def libero_observation(pictures, state, prompt):
    """As openpi's LIBERO clients name it."""
    named = {f"observation/{camera}": picture for camera, picture in pictures.items()}
    return {**named, "observation/state": state, "prompt": prompt}


OBSERVATIONS = {"aloha": aloha_observation, "libero": libero_observation}


def as_they_are(actions, state):
    """The benchmark's own actions, such as LIBERO's parts of a step of its controller."""
    del state
    return actions


def absolute_poses(actions, state):
    """Targets of the tool, from actions that count from the state at the observation (tools/pi0_tools/train).

    actions: [horizon, 7]. state: (8,). Returns [horizon, 7]: position, axis-angle vector, gripper as it was.
    """
    targets = [target_of(state, action) for action in actions]
    return np.array(
        [
            np.concatenate([position_m, axis_angle(rotation.as_quat()), [gripper_action(opening)]])
            for position_m, rotation, opening in targets
        ]
    )


ACTIONS = {"as_they_are": as_they_are, "absolute_poses": absolute_poses}


class ServedPolicy(PredictModelServer):
    """Asks a policy server for a chunk, of which chunk_size actions are played before the next observation counts.

    server: as ws://127.0.0.1:8000. keys: of OBSERVATIONS. cameras: by the benchmark's name, what the policy server
    calls it; a camera that is not there has its own name. actions: of ACTIONS, what the benchmark gets.
    observation_params: what the benchmark is told to send, in its own words.
    """

    def __init__(
        self,
        server: str,
        keys: str = "libero",
        cameras: dict[str, str] | None = None,
        actions: str = "as_they_are",
        *,
        chunk_size: int = 10,
        api_key: str | None = None,
        observation_params: dict[str, bool] | None = None,
        **kwargs,
    ):
        """Waits for the server. Raises ValueError for names that are not there."""
        super().__init__(chunk_size=chunk_size, **kwargs)
        for name, value, known in (("keys", keys, OBSERVATIONS), ("actions", actions, ACTIONS)):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; there are {', '.join(known)}")
        self._observation = OBSERVATIONS[keys]
        self._cameras = cameras or {}
        self._converted = ACTIONS[actions]
        self._observation_params = observation_params or {}
        self._client = WebsocketClientPolicy(server, api_key=api_key)

    def get_observation_params(self):
        return self._observation_params

    def get_action_spec(self):
        return {"actions": RAW}

    def get_observation_spec(self):
        return {"image": IMAGE_RGB, "state": RAW, "language": LANGUAGE}

    def predict(self, obs, ctx):
        del ctx
        # LIBERO's benchmarks say "states". What comes off the wire cannot be written to, which SciPy wants.
        state = np.array(obs["states"] if "states" in obs else obs["state"], np.float64)
        pictures = {
            self._cameras.get(camera, camera): np.asarray(picture, np.uint8)
            for camera, picture in obs["images"].items()
        }
        observation = self._observation(pictures, state, obs["task_description"])
        actions = np.array(self._client.infer(observation)["actions"], np.float64)
        return {"actions": self._converted(actions, state)}


if __name__ == "__main__":
    from vla_eval.model_servers.serve import run_server

    run_server(ServedPolicy)
