"""Programs that may have only so much memory from their start, and a checkpoint whose sizes ask for more."""

import json
import os
import resource
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
CHECKPOINT = CHECKOUT / "checkpoints/aloha_sim"
PROGRAMS = CHECKOUT / "target/release"
MIB = 2**20
TOKENS = 3_000_000
# pi0_eval keeps 1 for a policy that is worse.
FAILED = 2


def run(command, limit_mib):
    limit = (limit_mib * MIB, limit_mib * MIB)
    return subprocess.run(
        [str(part) for part in command],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def evaluation(checkpoint):
    bag = CHECKOUT / "tests/fixtures/bags/mcap_zstd"
    of_robot = ["--params-file", CHECKOUT / "config/aloha_sim.yaml", "-p", "cameras.top.crop:=[]", "--threads", "1"]
    return [PROGRAMS / "pi0_eval", bag, *of_robot, "--checkpoint", checkpoint, "--no-loss", "--quiet"]


def with_a_large_vocabulary(folder):
    """The shipped policy with an embedding table of 768 MB, most of which is a hole in its file."""
    shutil.copytree(CHECKPOINT, folder)
    architecture = folder / "architecture.json"
    sizes = json.loads(architecture.read_text())
    sizes["vocab_size"] = TOKENS
    architecture.write_text(json.dumps(sizes))
    path = folder / "model.safetensors"
    stored = path.read_bytes()
    (length,) = struct.unpack("<Q", stored[:8])
    header, data = json.loads(stored[8 : 8 + length]), stored[8 + length :]
    (table,) = (tensor for name, tensor in header.items() if name.endswith("embed_tokens.weight"))
    begin, end = table["data_offsets"]
    row = (end - begin) // table["shape"][0]
    table["shape"][0] = TOKENS
    # Behind all others.
    for tensor in header.values():
        if "data_offsets" in tensor and tensor["data_offsets"][0] >= end:
            tensor["data_offsets"] = [offset - (end - begin) for offset in tensor["data_offsets"]]
    rest = data[:begin] + data[end:]
    table["data_offsets"] = [len(rest), len(rest) + TOKENS * row]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)
    os.truncate(path, 8 + len(text) + len(rest) + TOKENS * row)
    return folder


@pytest.mark.faults
def test_a_checkpoint_whose_sizes_ask_for_more_than_there_is_ends_the_program_in_words(tmp_path, record_property):
    checkpoint = with_a_large_vocabulary(tmp_path / "checkpoint")
    outcomes = {}
    for limit_mib in [512, 1024, 1536, 2048, 3072, 4096, 6144, 8192]:
        ended = run(evaluation(checkpoint), limit_mib)
        assert ended.returncode in (0, FAILED), (limit_mib, ended.returncode, ended.stderr)
        lines = ended.stderr.splitlines()
        if ended.returncode == FAILED:
            assert len(lines) == 1 and lines[0].startswith("error: "), ended.stderr
        outcomes[limit_mib] = lines[0][:100] if lines else "done"
    record_property("outcomes", outcomes)
    assert outcomes[512] != "done" and outcomes[8192] == "done", outcomes


@pytest.mark.faults
def test_a_benchmark_of_a_model_that_does_not_fit_ends_in_words(record_property):
    ended = run([PROGRAMS / "pi0_bench", "--device", "cpu", "--config", "full", "--threads", "1"], 1024)
    assert ended.returncode == 1, ended
    assert ended.stderr.startswith("error: "), ended.stderr
    record_property("message", ended.stderr.strip()[:150])
