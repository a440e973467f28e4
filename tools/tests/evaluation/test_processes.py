import subprocess
import sys
import time

import pytest

from pi0_tools.evaluation.processes import started


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(process_id):
    try:
        with open(f"/proc/{process_id}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_and_its_children_end_with_the_block_even_when_they_ignore_ctrl_c(tmp_path):
    log = tmp_path / "log"
    stubborn = "trap '' INT; sleep 100 & echo $!; wait; sleep 100"
    with started("stubborn", ["bash", "-c", stubborn], log) as program:
        wait_for(lambda: log.read_text().strip())
        child = int(log.read_text())
        assert is_running(child)
    assert program.exit_status() is not None
    wait_for(lambda: not is_running(child))


def test_a_program_ends_when_the_block_fails(tmp_path):
    with pytest.raises(RuntimeError), started("sleeper", ["sleep", "100"], tmp_path / "log") as program:
        raise RuntimeError
    assert program.exit_status() is not None


def test_a_program_ends_when_the_process_that_started_it_is_killed(tmp_path):
    starter = (
        "import time; from pi0_tools.evaluation.processes import started\n"
        f"with started('sleeper', ['bash', '-c', 'echo runs; exec sleep 100'], '{tmp_path}/log') as program:\n"
        "    print(program.process.pid, flush=True); time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    program_id = int(process.stdout.readline())
    # Only once the program itself runs is it tied to its starter.
    wait_for(lambda: (tmp_path / "log").read_text() == "runs\n")
    process.kill()
    process.wait()
    wait_for(lambda: not is_running(program_id))


def test_a_failure_shows_the_end_of_the_log(tmp_path):
    with started("talker", ["bash", "-c", "seq 100; echo the reason"], tmp_path / "log") as program:
        program.process.wait()
    text = str(program.failure("it ended"))
    assert text.startswith("it ended")
    assert text.endswith("the reason")
    assert "\n    1\n" not in text
