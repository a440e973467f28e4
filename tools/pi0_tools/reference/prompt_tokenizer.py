"""A small tokenizer that works like PaliGemma's: BPE with byte fallback, spaces as "▁", `<bos>` first."""

from pathlib import Path

import torch
from lerobot.lerobot_types import TransitionKey
from lerobot.policies.pi0.processor_pi0 import Pi0NewLineProcessor
from lerobot.processor import TokenizerProcessorStep
from lerobot.utils.constants import OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pi0_tools.reference.fixture_file import save_json

TOKENIZER_FILE = "tokenizer.json"
SPECIAL_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>"]
LETTERS = "▁abcdeghiklmnoprtu"
MERGES = ["▁ t", "h e", "▁t he", "u p", "▁ up", "b e", "i n", "▁ c", "▁c u", "▁cu be", "▁ p", "▁p i", "k ▁"]

PROMPTS = {
    "plain": "pick up the cube",
    "newline_given": "pick up the cube\n",
    "empty": "",
    "newline_inside": "pick up\nthe cube",
    "spaces": "  pick   up ",
    "upper_case": "Transfer the RED cube!",
    "unicode": "würfel ▁ 立方体 🤖",
    "special_token_in_text": "pick <bos> up",
    "exactly_full": "a" * 46,
    "one_too_long": "a" * 47,
    "far_too_long": "insert the peg in the tube and then put the tube on the table " * 3,
}


def build_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Ids 0 to 3 are `SPECIAL_TOKENS`, 4 is the newline, then 256 bytes, letters and merged pieces."""
    pieces = SPECIAL_TOKENS + ["\n"] + [f"<0x{byte:02X}>" for byte in range(256)] + list(LETTERS)
    merges = [tuple(merge.split(" ")) for merge in MERGES]
    pieces += ["".join(merge) for merge in merges]
    if len(pieces) > vocab_size:
        raise ValueError(f"{len(pieces)} pieces do not fit a vocabulary of {vocab_size}")
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("\n"), behavior="isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )


def tokenize(tokenizer: PreTrainedTokenizerFast, prompt: str, max_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [max_tokens] and mask [max_tokens] of a prompt, by LeRobot's newline and tokenizer steps."""
    step = TokenizerProcessorStep(
        tokenizer=tokenizer, max_length=max_tokens, padding_side="right", padding="max_length"
    )
    transition = {TransitionKey.OBSERVATION: {}, TransitionKey.COMPLEMENTARY_DATA: {"task": prompt}}
    observation = step(Pi0NewLineProcessor()(transition))[TransitionKey.OBSERVATION]
    return observation[OBS_LANGUAGE_TOKENS][0], observation[OBS_LANGUAGE_ATTENTION_MASK][0]


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    # Calling a tokenizer leaves padding and truncation behind in it; the file has neither, as PaliGemma's.
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    (folder / TOKENIZER_FILE).write_text(backend.to_str(pretty=True) + "\n", encoding="utf-8")


def write_prompts(tokenizer: PreTrainedTokenizerFast, max_tokens: int, path: Path) -> None:
    cases = []
    for name, prompt in PROMPTS.items():
        tokens, mask = tokenize(tokenizer, prompt, max_tokens)
        cases.append({"name": name, "prompt": prompt, "tokens": tokens.tolist(), "mask": mask.to(torch.uint8).tolist()})
    save_json(path, cases)
