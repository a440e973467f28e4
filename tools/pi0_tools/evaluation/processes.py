"""Starts programs whose output goes to a log file, and never leaves one behind."""

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class RunFailed(Exception):
    """The run cannot go on; the text says why, and for a program's failure it ends with the tail of its log."""


@dataclass
class LoggedProcess:
    name: str
    process: subprocess.Popen
    log_path: Path

    def exit_status(self):
        """None while it runs."""
        return self.process.poll()

    def failure(self, reason):
        """A RunFailed with the reason and the last lines of the log."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-30:]
        tail = "\n".join(f"    {line}" for line in lines) or "    (it is empty)"
        return RunFailed(f"{reason}\n  the end of {self.log_path}:\n{tail}")

    def stop(self):
        """Asks with SIGINT, as Ctrl-C does; whatever is left of it after five seconds is killed."""
        try:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=5)
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            # Nothing of the group is left.
            pass
        self.process.wait()


@contextmanager
def started(name, command, log_path):
    """Runs a command while the block runs; it is stopped however the block ends.

    The command gets a process group of its own, so that a Ctrl-C in the terminal reaches it once, through stop().
    """
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            # If this process is killed outright, the kernel ends the command.
            ["setpriv", "--pdeathsig", "KILL", *[str(part) for part in command]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    logged = LoggedProcess(name, process, Path(log_path))
    try:
        yield logged
    finally:
        logged.stop()


def resident_mib(process):
    """Resident memory of a process that setpriv became."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def slope(samples):
    """Growth in MiB an hour of (seconds, MiB), by least squares."""
    return round(float(np.polyfit(*np.array(samples).T, 1)[0]) * 3600, 2)
