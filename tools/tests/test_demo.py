import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from demo import CONTROL_STATUS, INFERENCE_STATUS, LEAST_DISPLACEMENT_RAD, summary
from demo_processes import DemoFailed, LoggedProcess

DEMO = Path(__file__).resolve().parent.parent / "demo.py"
FIGURES = {
    (CONTROL_STATUS, "ticks"): "800",
    (CONTROL_STATUS, "rate_hz"): "49.9",
    (CONTROL_STATUS, "jitter_p99_ms"): "1.5",
    (INFERENCE_STATUS, "chunks"): "12",
    (INFERENCE_STATUS, "chunk_ms_p50"): "104.2",
}


@pytest.fixture
def node(tmp_path):
    (tmp_path / "log").write_text("last words of the node\n")
    return LoggedProcess("node", None, tmp_path / "log")


def recorder(displacement_rad=0.5, figures=FIGURES):
    return SimpleNamespace(
        displacement_rad=displacement_rad,
        trajectory_count=3,
        reward_max=[0.0, 1.0],
        diagnostic=lambda status_name, key: figures.get((status_name, key)),
    )


def test_the_summary_has_the_node_s_last_figures_as_numbers(node):
    assert summary(recorder(), node, 2) == {
        "episodes": 2,
        "ticks": 800,
        "rate_hz": 49.9,
        "jitter_p99_ms": 1.5,
        "chunks": 12,
        "chunk_ms_p50": 104.2,
        "reward_max": [0.0, 1.0],
    }


def test_a_robot_that_did_not_move_fails_the_demo(node):
    with pytest.raises(DemoFailed, match=r"did not move(?s:.*)last words of the node"):
        summary(recorder(displacement_rad=0.9 * LEAST_DISPLACEMENT_RAD), node, 2)


@pytest.mark.parametrize("found", [{}, {**FIGURES, (INFERENCE_STATUS, "chunks"): "many"}])
def test_a_figure_that_is_missing_or_no_number_fails_the_demo(node, found):
    with pytest.raises(DemoFailed, match="/diagnostics says"):
        summary(recorder(figures=found), node, 2)


def test_a_node_that_ends_fails_the_demo_with_the_end_of_its_log(tmp_path):
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\necho no such weight\nexit 3\n")
    program.chmod(0o755)
    finished = subprocess.run(
        [sys.executable, DEMO, "--node", program, "--checkpoint", tmp_path, "--output", tmp_path / "output"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert "the node ended during the demo, with status 3" in finished.stderr
    assert "no such weight" in finished.stderr
