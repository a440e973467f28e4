"""Puts nginx with config/nginx_servers.conf before two pi0_servers, and prints as JSON which client was with which.

Clients connect from addresses of the loopback network of their own, send observations, and connect again. Then the
server with the most clients is killed, and its clients connect once more.
"""

import argparse
import json
import re
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from openpi_client import msgpack_numpy
from websockets.sync.client import connect

from pi0_tools import CHECKOUT
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import RunFailed, started

CONFIGURATION = CHECKOUT / "config/nginx_servers.conf"
NGINX_PORT, PORTS = 8000, (8001, 8002)
CLIENTS = [f"127.0.0.{number}" for number in range(2, 10)]
OBSERVATIONS = 3
START_TIMEOUT_S = 10.0


def observation(step):
    return {
        "images": {"top": np.full((120, 120, 3), step, np.uint8)},
        "state": np.full(14, 0.01 * step),
        "prompt": "pick up the cube with the right arm",
    }


def chunks(address):
    """The chunks that a client at this address gets through nginx on one connection."""
    with (
        socket.create_connection(("127.0.0.1", NGINX_PORT), source_address=(address, 0)) as stream,
        connect(f"ws://127.0.0.1:{NGINX_PORT}", sock=stream, compression=None, max_size=None) as client,
    ):
        client.recv()
        answers = []
        for step in range(OBSERVATIONS):
            client.send(msgpack_numpy.packb(observation(step)))
            answer = client.recv()
            if isinstance(answer, str):
                raise RunFailed(answer)
            answers.append(msgpack_numpy.unpackb(answer)["actions"])
        return np.array(answers)


def served(logs):
    """How many clients each server has had."""
    return [len(re.findall("is connected from", log.read_text(errors="replace"))) for log in logs]


def server_of(address, logs):
    """Index of the server that a new connection of this address is with, and its chunks."""
    before = served(logs)
    found = chunks(address)
    (index,) = [index for index, (old, new) in enumerate(zip(before, served(logs), strict=True)) if new > old]
    return index, found


def measure(nginx):
    with tempfile.TemporaryDirectory() as folder, ExitStack() as programs:
        folder = Path(folder)
        logs = [folder / f"server_{port}" for port in PORTS]
        servers = [
            programs.enter_context(policy_server(log, "--seed", 7, "--threads", 1, port=port))[0]
            for log, port in zip(logs, PORTS, strict=True)
        ]
        command = [nginx, "-p", CHECKOUT, "-c", CONFIGURATION]
        proxy = programs.enter_context(started("nginx", command, folder / "nginx"))
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                expected = chunks("127.0.0.1")
                break
            except OSError:
                if proxy.exit_status() is not None or time.monotonic() > deadline:
                    raise proxy.failure("nginx does not answer") from None
                time.sleep(0.1)
        first = {address: server_of(address, logs) for address in CLIENTS}
        again = {address: server_of(address, logs) for address in CLIENTS}
        homes = [index for index, _ in first.values()]
        killed = max(set(homes), key=homes.count)
        servers[killed].stop()
        moved = [address for address, (index, _) in first.items() if index == killed]
        after = {address: server_of(address, logs) for address in moved}
        same = [np.array_equal(found, expected) for _, found in (*first.values(), *again.values(), *after.values())]
        return {
            "clients_of_each_server": [homes.count(index) for index in range(len(PORTS))],
            "same_server_after_reconnection": sum(first[address][0] == again[address][0] for address in CLIENTS),
            "clients": len(CLIENTS),
            "clients_of_the_killed_server": len(moved),
            "served_by_the_other": sum(index != killed for index, _ in after.values()),
            "chunks_as_of_a_server_alone": f"{sum(same)} of {len(same)}",
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nginx", default="nginx", help="the program (default: the one of the path)")
    try:
        print(json.dumps(measure(parser.parse_args().nginx)), flush=True)
    except RunFailed as failure:
        print(f"nginx: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
