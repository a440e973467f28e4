"""Programs whose disk is full: files that may have only so many bytes, and a device that has no room at all."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAMS = CHECKOUT / "target/release"
FIXTURES = CHECKOUT / "tests/fixtures"
BAG = FIXTURES / "bags/mcap_zstd"
ENOUGH = 10**9
# Room within a header, behind it, within the weights, and for everything.
LIMITS = [0, 1, 100, 1000, 5000, 60_000, 1_000_000, ENOUGH]


def run(command, limit, **environment):
    """Runs a program whose files may have so many bytes; another write fails, as on a full disk."""

    def limited():
        # Else the system ends the process at such a write.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        preexec_fn=limited,
        restore_signals=False,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused_in_a_line(ended, *words):
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    # pi0_eval keeps 1 for a policy that is worse.
    assert ended.returncode == (2 if "pi0_eval" in ended.args[0] else 1), ended
    assert len(lines) == 1, ended.stderr
    assert all(str(word) in lines[0] for word in ["error", *words]), lines[0]


def sweep(record_property, folder, command_of, *words):
    """Runs a command with ever more room: it says why it failed and leaves nothing, or writes everything."""
    whole = set()
    for limit in LIMITS:
        out = folder / str(limit) / "out"
        out.parent.mkdir()
        ended = run(command_of(out), limit)
        if ended.returncode == 0:
            whole.add(limit)
            assert out.exists()
        else:
            refused_in_a_line(ended, "File too large", *words)
            assert list(out.parent.iterdir()) == [], f"left with room for {limit} bytes"
    assert ENOUGH in whole
    record_property("limits", len(LIMITS))
    record_property("refused", len(LIMITS) - len(whole))
    assert 0 not in whole


@pytest.mark.faults
@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", FIXTURES / "reference/checkpoint"],
        ["prepare", FIXTURES / "adapters/lerobot_default", "--base", FIXTURES / "reference/checkpoint"],
        ["convert", FIXTURES / "orbax/pi0/1000"],
    ],
    ids=["prepare", "merge", "convert"],
)
def test_a_checkpoint_is_written_whole_or_not_at_all(arguments, tmp_path, record_property):
    sweep(record_property, tmp_path, lambda out: [PROGRAMS / "pi0_checkpoint", *arguments, out])


def evaluation(*arguments):
    of_robot = ["--params-file", CHECKOUT / "config/aloha_sim.yaml", "-p", "cameras.top.crop:=[]"]
    of_policy = ["--checkpoint", CHECKOUT / "checkpoints/aloha_sim", "--no-loss", "--quiet"]
    return [PROGRAMS / "pi0_eval", BAG, *of_robot, *of_policy, *arguments]


@pytest.mark.faults
@pytest.mark.parametrize("form", ["json", "parquet", "html"])
def test_a_report_is_written_whole_or_not_at_all(form, tmp_path, record_property):
    sweep(record_property, tmp_path, lambda out: evaluation(f"--{form}", out), "out")


@pytest.mark.faults
def test_a_parameter_file_is_written_whole_or_not_at_all(tmp_path, record_property):
    checked = [PROGRAMS / "pi0_node", "--check", CHECKOUT / "checkpoints/aloha_sim", "--bag", BAG]
    for limit in [0, 1, 100, 1000]:
        out = tmp_path / f"{limit}.yaml"
        ended = run([*checked, "--write", out], limit)
        refused_in_a_line(ended, out, "File too large")
        assert not out.exists()
    run([*checked, "--write", tmp_path / "whole.yaml"], ENOUGH)
    assert (tmp_path / "whole.yaml").read_text().endswith("\n")
    record_property("limits", 5)


@pytest.mark.faults
@pytest.mark.parametrize("limit", [0, 1, 100, 10_000])
def test_a_trace_ends_where_its_disk_is_full_and_the_program_goes_on(limit, tmp_path, record_property):
    trace = tmp_path / "trace.json"
    command = [PROGRAMS / "pi0_bench", "--cameras", "1", "--steps", "2", "--warm-up", "0", "--repeats", "20", "--json"]
    ended = run(command, limit, PI0_CHROME_TRACE=str(trace))
    assert ended.returncode == 0, ended
    assert ended.stderr.count(str(trace)) == 1, ended.stderr
    if limit > 2:
        json.loads(trace.read_text())
    record_property("bytes", trace.stat().st_size)


@pytest.mark.faults
def test_a_recording_is_written_whole_or_not_at_all(tmp_path, record_property):
    for limit in [1000, 100_000, ENOUGH]:
        bag = tmp_path / str(limit) / "bag"
        bag.parent.mkdir()
        ended = run([sys.executable, "-m", "pi0_tools.evaluation.record_bag", "right_pick", bag], limit)
        if limit == ENOUGH:
            assert ended.returncode == 0, ended
            assert (bag / "metadata.yaml").exists()
        else:
            refused_in_a_line(ended, bag, "File too large")
            assert list(bag.parent.iterdir()) == []
    record_property("limits", 3)


@pytest.mark.faults
def test_a_node_whose_log_and_trace_find_no_room_moves_the_robot(
    node_command, robot_beside, joint_names, watch, record_property
):
    with robot_beside(joint_names) as robot, open("/dev/full", "wb") as full:
        commands = watch(robot)
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *[str(part) for part in node_command]],
            env={**os.environ, "PI0_CHROME_TRACE": "/dev/full"},
            stdout=full,
            stderr=full,
        )
        try:
            robot.wait_until(lambda: robot.hold() == "", "a robot that moves")
            # Each change of a hold is a line of the log.
            for _ in range(3):
                robot.enable(False)
                robot.wait_for_hold("DISABLED")
                robot.enable(True)
                robot.wait_until(lambda: robot.hold() == "", "a robot that moves again")
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
        commands.check(record_property)
