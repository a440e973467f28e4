"""Servers in the form of openpi's websocket_policy_server, for policies in Python.

Packages of PyPI speak the protocol: websockets, and msgpack_numpy of openpi-client. Nothing of pi0_node takes part.
"""

import argparse
import asyncio
import json
import sys
import time
import traceback
from contextlib import contextmanager

from openpi_client import msgpack_numpy
from websockets import ConnectionClosed
from websockets.asyncio.server import serve

from pi0_tools.evaluation.processes import started

START_TIMEOUT_S = 60.0


def server_arguments(description):
    """A parser with what every such server can be told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0 is any that is free (default)")
    return parser


def serve_policy(infer, host, port):
    """Prints its address as a line of JSON, and serves until the process ends.

    infer: answers an observation with {"actions": shape (horizon, …), …}; what it raises goes to the client.
    """
    asyncio.run(_serve(infer, host, port))


@contextmanager
def foreign_server(log_path, module, *arguments, within=()):
    """Yields the process of a module of pi0_tools.evaluation, and its address. within: a command that runs it."""
    command = [*within, sys.executable, "-m", f"pi0_tools.evaluation.{module}", *arguments]
    with started("the server", command, log_path) as server:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (text := log_path.read_text()).endswith("\n"):
            if time.monotonic() > deadline or server.exit_status() is not None:
                raise server.failure("the server did not start")
            time.sleep(0.02)
        yield server, json.loads(text.splitlines()[0])["address"]


async def _serve(infer, host, port):
    async with serve(lambda socket: _handle(infer, socket), host, port, compression=None, max_size=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        print(json.dumps({"address": f"ws://{host}:{port}"}), flush=True)
        await server.serve_forever()


async def _handle(infer, socket):
    packer = msgpack_numpy.Packer()
    await socket.send(packer.pack({}))
    while True:
        try:
            observation = msgpack_numpy.unpackb(await socket.recv())
            started_s = time.monotonic()
            answer = infer(observation)
            answer["server_timing"] = {"infer_ms": (time.monotonic() - started_s) * 1e3}
            await socket.send(packer.pack(answer))
        except ConnectionClosed:
            return
        except Exception:
            await socket.send(traceback.format_exc())
            await socket.close(code=1011, reason="the error is in the frame before")
            return
