import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from make_random_checkpoint import ACTION_CHANNELS, CONTRACTION, EXPERT, STD_RAD, make_weights, write_checkpoint

SIZE_LIMIT_BYTES = 4_000_000
# gym-aloha's tasks start here.
START_POSE = [0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.0] * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, seed=0)
    return folder


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_it_is_small(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) < SIZE_LIMIT_BYTES


def test_its_readme_says_that_the_weights_are_random(folder):
    assert "random" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    first, same, other = (make_weights(seed, vocab_size=260) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not np.array_equal(first["model.action_out_proj.weight"], other["model.action_out_proj.weight"])


def test_weights_are_finite_and_named_as_lerobot_does(folder):
    weights = load_file(folder / "model.safetensors")
    assert all(np.isfinite(values).all() for values in weights.values())
    assert all(name.startswith("model.") for name in weights)
    embeddings = weights["model.paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight"]
    assert embeddings.shape[0] == read(folder / "architecture.json")["vocab_size"]


@pytest.mark.parametrize(
    ("pipeline", "feature"), [("policy_preprocessor", "observation.state"), ("policy_postprocessor", "action")]
)
def test_statistics_are_around_the_start_pose(folder, pipeline, feature):
    steps = read(folder / f"{pipeline}.json")["steps"]
    (file,) = (step["state_file"] for step in steps if "state_file" in step)
    statistics = load_file(folder / file)
    np.testing.assert_allclose(statistics[f"{feature}.mean"], START_POSE)
    np.testing.assert_allclose(statistics[f"{feature}.std"], STD_RAD)


def test_the_tokenizer_begins_a_prompt_and_gives_a_token_a_byte(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    printable = "".join(map(chr, range(32, 127))) + "\n"
    encoding = tokenizer.encode(printable)
    assert encoding.tokens[0] == "<bos>"
    assert encoding.ids[0] == 2
    assert len(encoding.ids) == 1 + len(printable)
    assert len(set(encoding.ids)) == len(encoding.ids)
    assert tokenizer.token_to_id("<unk>") not in encoding.ids
    assert tokenizer.decode(encoding.ids) == printable


def test_the_noisy_action_passes_the_time_mlp_unchanged():
    weights = make_weights(seed=0, vocab_size=260)
    width = EXPERT["width"]
    actions = np.random.default_rng(0).normal(size=(5, width // 2)).astype(np.float32)
    tokens = actions @ weights["model.action_in_proj.weight"].T
    hidden = np.concatenate([tokens, np.ones((5, width))], axis=1) @ weights["model.action_time_mlp_in.weight"].T
    output = hidden / (1 + np.exp(-hidden)) @ weights["model.action_time_mlp_out.weight"].T
    joints = ACTION_CHANNELS.stop
    np.testing.assert_allclose(output[:, ACTION_CHANNELS], actions[:, :joints], atol=1e-5)


def test_ten_steps_take_the_noise_out():
    assert abs(1 - CONTRACTION / 10) ** 10 < 0.01


def test_bad_arguments_are_refused(tmp_path):
    tool = Path(__file__).parents[1] / "make_random_checkpoint.py"
    for arguments in (["--seed", "0"], ["--output", tmp_path, "--seed", "-1"], ["--output", tmp_path, "--seed", "x"]):
        finished = subprocess.run([sys.executable, tool, *arguments], capture_output=True, text=True)
        assert finished.returncode == 2, finished.stderr
        assert "error:" in finished.stderr
