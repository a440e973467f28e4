"""Normalised states as π0.5's prompt has them: bins, texts and token ids by LeRobot's own step."""

from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from pi0_tools.reference.fixture_file import as_bytes, save_tensors
from pi0_tools.reference.policy_types import PI05
from pi0_tools.reference.prompt_tokenizer import prompt_texts, tokenize

STATES_SEED = 600
STATES = 10_000
JOINTS = 8
TOKENISED = 300
PROMPT = "pick up the cube"


def _values() -> np.ndarray:
    """Every edge of a bin with its two neighbours in f32, what is at and beyond the ends, and random values."""
    random = np.random.default_rng(STATES_SEED)
    edges = (np.arange(-2, 260) / 128 - 1).astype(np.float32)
    no_numbers = [np.nan, np.inf, -np.inf]
    tiny = [1e-9, 1e-30, 1e-45, 0.0]
    special = [*edges, *np.nextafter(edges, np.float32(-9)), *np.nextafter(edges, np.float32(9)), *no_numbers]
    special += [sign * value for sign in (1, -1) for value in (*tiny, 2.5, 1e9)]
    missing = STATES * JOINTS - 4 * len(special)
    uniform = random.uniform(-1.1, 1.1, missing // 2)
    normal = random.normal(0, 1, missing - missing // 2)
    values = np.concatenate([np.tile(special, 4), uniform, normal]).astype(np.float32)
    return random.permutation(values).reshape(STATES, JOINTS)


def _bins(text: str) -> list[int]:
    return [int(word) for word in text.split(", State: ")[1].split(";")[0].split(" ")]


def write_state_prompts(tokenizer: PreTrainedTokenizerFast, max_tokens: int, path: Path) -> None:
    """Texts and token ids are one after the other; `….ends` says where each ends. Only the first have token ids."""
    states = torch.from_numpy(_values())
    texts = prompt_texts(PI05, [PROMPT] * STATES, states)
    tokens, masks = tokenize(tokenizer, texts[:TOKENISED], max_tokens)
    tokenised = [ids[mask.bool()] for ids, mask in zip(tokens, masks, strict=True)]
    rows = {
        "states": states,
        "bins": torch.tensor([_bins(text) for text in texts], dtype=torch.int16),
        "texts": as_bytes("".join(texts)),
        "texts.ends": torch.tensor([len(text.encode()) for text in texts]).cumsum(0),
        "tokens": torch.cat(tokenised).to(torch.int16),
        "tokens.ends": torch.tensor([len(ids) for ids in tokenised]).cumsum(0),
    }
    save_tensors(path, rows, prompt=PROMPT)
