"""A server in the form of openpi's websocket_policy_server, whose policy moves the first joint at a steady speed.

Packages of PyPI speak the protocol: websockets, and msgpack_numpy of openpi-client. Nothing of pi0_node takes part.
"""

import argparse
import asyncio
import json
import time
import traceback

import numpy as np
from openpi_client import msgpack_numpy
from websockets import ConnectionClosed
from websockets.asyncio.server import serve

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


async def handle(socket):
    packer = msgpack_numpy.Packer()
    await socket.send(packer.pack({}))
    while True:
        try:
            observation = msgpack_numpy.unpackb(await socket.recv())
            started = time.monotonic()
            answer = infer(observation)
            answer["server_timing"] = {"infer_ms": (time.monotonic() - started) * 1e3}
            await socket.send(packer.pack(answer))
        except ConnectionClosed:
            return
        except Exception:
            await socket.send(traceback.format_exc())
            await socket.close(code=1011, reason="the error is in the frame before")
            return


async def run(host, port):
    async with serve(handle, host, port, compression=None, max_size=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        print(json.dumps({"address": f"ws://{host}:{port}"}), flush=True)
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0 is any that is free (default)")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
