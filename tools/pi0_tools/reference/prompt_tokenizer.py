"""A small tokenizer that works like PaliGemma's: BPE with byte fallback, spaces as "▁", `<bos>` first."""

from pathlib import Path

import torch
from lerobot.lerobot_types import TransitionKey
from lerobot.processor import TokenizerProcessorStep
from lerobot.utils.constants import OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS, OBS_STATE
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pi0_tools.reference.fixture_file import save_json
from pi0_tools.reference.policy_types import PolicyType

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
    "underscores": "_pick_up_",
}
FAR_TOO_LONG = "insert the peg in the tube and then put the tube on the table "
# Exact in f32 and in JSON.
STATE = [0.0, -1.0, 0.5, 1.0, -1.5, 0.9921875]


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


def prompt_texts(policy_type: PolicyType, prompts: list[str], states: torch.Tensor) -> list[str]:
    """What LeRobot tokenises for prompts and normalised states [prompts, joints]; π0's has no state in it."""
    transition = {
        TransitionKey.OBSERVATION: {OBS_STATE: states},
        TransitionKey.COMPLEMENTARY_DATA: {"task": list(prompts)},
    }
    return policy_type.prompt_step()(transition)[TransitionKey.COMPLEMENTARY_DATA]["task"]


def tokenize(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and masks [texts, max_tokens], by LeRobot's tokenizer step."""
    step = TokenizerProcessorStep(
        tokenizer=tokenizer, max_length=max_tokens, padding_side="right", padding="max_length"
    )
    transition = {TransitionKey.OBSERVATION: {}, TransitionKey.COMPLEMENTARY_DATA: {"task": texts}}
    observation = step(transition)[TransitionKey.OBSERVATION]
    return observation[OBS_LANGUAGE_TOKENS], observation[OBS_LANGUAGE_ATTENTION_MASK]


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    # Calling a tokenizer leaves padding and truncation behind in it; the file has neither, as PaliGemma's.
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    (folder / TOKENIZER_FILE).write_text(backend.to_str(pretty=True) + "\n", encoding="utf-8")


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE), pad_token="<pad>")


def write_prompts(policy_type: PolicyType, tokenizer: PreTrainedTokenizerFast, max_tokens: int, path: Path) -> None:
    """Token ids and masks of prompts; for π0.5 also the state, the same for all, and the text that is tokenised."""
    state = torch.tensor([STATE])

    def tokens_of(prompt: str) -> tuple[str, torch.Tensor, torch.Tensor]:
        texts = prompt_texts(policy_type, [prompt], state)
        (tokens,), (mask,) = tokenize(tokenizer, texts, max_tokens)
        return texts[0], tokens, mask

    _, _, mask = tokens_of("")
    room = max_tokens - int(mask.sum())
    prompts = PROMPTS | {
        "exactly_full": "a" * room,
        "one_too_long": "a" * (room + 1),
        "far_too_long": FAR_TOO_LONG * 3,
    }
    cases = []
    for name, prompt in prompts.items():
        text, tokens, mask = tokens_of(prompt)
        case = {"name": name, "prompt": prompt}
        if policy_type.state_in_prompt:
            case |= {"state": STATE, "text": text}
        cases.append(case | {"tokens": tokens.tolist(), "mask": mask.to(torch.uint8).tolist()})
    save_json(path, cases)
