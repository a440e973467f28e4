"""Checkpoints that are truncated or overwritten at any moment while a program loads them."""

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
CHECKPOINT = CHECKOUT / "checkpoints/aloha_sim"
PREPARE = [CHECKOUT / "target/release/pi0_checkpoint", "prepare"]
COUNT = 100


def truncate(path, generator):
    os.truncate(path, generator.randrange(path.stat().st_size))


def overwrite(path, generator):
    """Writes over the file in place, as a copy of another checkpoint does."""
    with open(path, "r+b") as file:
        file.seek(generator.randrange(path.stat().st_size))
        file.write(bytes(100_000))


def duration_s(folder):
    began = time.monotonic()
    subprocess.run([*PREPARE, CHECKPOINT, folder / "out"], check=True, capture_output=True)
    return time.monotonic() - began


@pytest.mark.faults
@pytest.mark.parametrize("change", [truncate, overwrite])
def test_a_checkpoint_that_changes_while_it_is_read_is_refused_in_words(change, tmp_path, record_property):
    generator = random.Random(7)
    longest_s = duration_s(tmp_path)
    refused = 0
    for number in range(COUNT):
        folder = tmp_path / str(number)
        shutil.copytree(CHECKPOINT, folder / "checkpoint")
        process = subprocess.Popen(
            [*PREPARE, folder / "checkpoint", folder / "out"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(generator.uniform(0, longest_s))
        change(folder / "checkpoint/model.safetensors", generator)
        _, words = process.communicate(timeout=60)
        if process.returncode == 0:
            assert (folder / "out").exists()
        else:
            # Before it was opened, the file was as wrong as any other damaged one.
            assert process.returncode == 1, (process.returncode, words)
            assert "model.safetensors" in words or "out" in words, words
            assert not (folder / "out").exists()
            refused += "while it was read" in words
    record_property("changes", COUNT)
    record_property("refused_for_the_change", refused)
    assert refused > 0


@pytest.mark.faults
def test_a_node_whose_checkpoint_is_truncated_while_it_starts_says_so_or_plays(start_node, tmp_path, record_property):
    generator = random.Random(8)
    ended = 0
    for number in range(COUNT // 2):
        checkpoint = tmp_path / str(number)
        shutil.copytree(CHECKPOINT, checkpoint)
        log = tmp_path / f"{number}.log"
        with start_node(log, "-p", f"checkpoint:={checkpoint}") as process:
            time.sleep(generator.uniform(0.0, 0.6))
            truncate(checkpoint / "model.safetensors", generator)
            time.sleep(1.0)
            if (status := process.exit_status()) is not None:
                assert status == 1, process.failure(f"the node ended with status {status}")
                assert "truncated" in log.read_text()
                ended += 1
    record_property("truncations", COUNT // 2)
    record_property("refused", ended)
