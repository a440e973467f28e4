import subprocess
import sys

import pytest

from pi0_tools.demo.__main__ import LEAST_DISPLACEMENT_RAD, summary
from pi0_tools.evaluation.closed_loop import RunResult
from pi0_tools.evaluation.processes import RunFailed

DEMO = [sys.executable, "-m", "pi0_tools.demo"]
FIGURES = {"ticks": 800, "chunk_ms_p50": 5.2}


def result(displacement_rad=0.5):
    outcomes = [{"kept": ["right_pick"], "reward_max": 2.0}, {"kept": [], "reward_max": 1.0}]
    return RunResult(outcomes, FIGURES, displacement_rad, command_count=3)


def test_the_summary_counts_what_was_done_and_has_the_node_s_figures():
    assert summary({"right_pick": result()}) == {
        "right_pick": {"episodes": 2, "done": 1, "reward_max": [2.0, 1.0], "ticks": 800, "chunk_ms_p50": 5.2}
    }


def test_a_robot_that_did_not_move_fails_the_demo():
    with pytest.raises(RunFailed, match="did not move in left_pick"):
        summary({"right_pick": result(), "left_pick": result(0.9 * LEAST_DISPLACEMENT_RAD)})


def test_a_node_that_ends_fails_the_demo_with_the_end_of_its_log(tmp_path):
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\necho no such weight\nexit 3\n")
    program.chmod(0o755)
    finished = subprocess.run(
        [*DEMO, "--node", program, "--checkpoint", tmp_path, "--output", tmp_path / "output"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 1
    assert "the node ended during the run, with status 3" in finished.stderr
    assert "no such weight" in finished.stderr


def test_a_prompt_of_one_s_own_excludes_a_skill():
    finished = subprocess.run(
        [*DEMO, "--prompt", "wave", "--skill", "hand_over"], capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 2
    assert "--prompt and --skill exclude each other" in finished.stderr
