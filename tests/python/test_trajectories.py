"""The node's trajectories as the simulated robot's controller judges them."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("skew_ms", [0, 20, -20])
def test_no_trajectory_is_rejected_while_the_robot_plays_stops_holds_and_is_reset(tmp_path, skew_ms):
    command = [sys.executable, "-m", "pi0_tools.evaluation.trajectory_check", "--minutes", "0.2"]
    command += ["--clock-skew-ms", str(skew_ms), "--lag-ms", "40", "--output", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=CHECKOUT)
    assert finished.returncode == 0, finished.stdout + finished.stderr
