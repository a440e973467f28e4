"""Runs pi0_server for as long as something needs it."""

import time
from contextlib import contextmanager
from pathlib import Path

from pi0_tools import CHECKOUT, SHIPPED_CHECKPOINT
from pi0_tools.evaluation.processes import RunFailed, started

SERVER = CHECKOUT / "target/release/pi0_server"
START_TIMEOUT_S = 60.0


@contextmanager
def policy_server(log_path, *arguments, checkpoint=SHIPPED_CHECKPOINT, port=0):
    """Yields the process and the address that clients connect to, such as ws://127.0.0.1:41234.

    arguments: further ones of pi0_server. Raises RunFailed when it is not built or does not start.
    """
    if not SERVER.is_file():
        raise RunFailed(f"{SERVER} is missing; 'make build' makes it")
    command = [SERVER, "--checkpoint", checkpoint, "--device", "cpu", "--port", port, *arguments]
    with started("pi0_server", command, log_path) as server:
        yield server, _address(server)


def _address(server):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        for line in Path(server.log_path).read_text(errors="replace").splitlines():
            if line.startswith(("ws://", "wss://")):
                return line
        if server.exit_status() is not None:
            raise server.failure(f"pi0_server ended with status {server.exit_status()}")
        time.sleep(0.02)
    raise server.failure(f"pi0_server did not start within {START_TIMEOUT_S:.0f} s")
