"""A server that is none of ours, whose policy moves the first joint at a steady speed."""

import numpy as np

from pi0_tools.evaluation.foreign_server import serve_policy, server_arguments

HORIZON = 50
STEP_RAD = 0.005


def infer(observation):
    """Raises where the observation is not that of openpi's ALOHA with this camera."""
    picture, state = observation["images"]["top"], observation["state"]
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"the picture is {picture.dtype} {picture.shape}")
    if not isinstance(observation["prompt"], str):
        raise ValueError(f"the prompt is {observation['prompt']!r}")
    actions = np.tile(state.astype(np.float64), (HORIZON, 1))
    actions[:, 0] += STEP_RAD * np.arange(HORIZON)
    return {"actions": actions, "policy_timing": {"infer_ms": 0.0}}


def main():
    arguments = server_arguments(__doc__).parse_args()
    serve_policy(infer, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
