"""Writes a small SentencePiece model with Gemma's settings, and the ids that SentencePiece gives 10,000 prompts.

    python -m pi0_tools.reference.make_sentencepiece        # in any Python that has the package sentencepiece (0.2.3)

SentencePiece is the tokenizer that openpi runs, of which `tests/fixtures/sentencepiece/` is the judge.
"""

import io
import json
import random

import sentencepiece

from pi0_tools import CHECKOUT

FOLDER = CHECKOUT / "tests/fixtures/sentencepiece"
VERBS = ["pick up", "put down", "place", "push", "open", "close", "fold", "pour", "stack", "hand over", "insert"]
THINGS = ["the red cube", "a green block", "the towel", "the drawer", "a bowl of rice", "the T-shirt", "the USB cable"]
THINGS += ["the banana", "toy #3", "the 1.5 l bottle", "crème brûlée", "Würfel", "the_blue_ball", "立方体", "🤖"]
PLACES = ["into the box", "on the table", "with the right arm", "to the left", "in 2 steps", "carefully", "as before"]
USER_DEFINED = ["<mask>", "<2mass>", "[@BOS@]", "<unused0>", "<unused1>", "<table>", "</table>", "<h1>", "</h1>"]
USER_DEFINED += ["\n" * count for count in range(1, 4)] + ["▁" * count for count in range(2, 5)]
STRANGE = ["<bos>", "<eos>", "<unk>", "<0x0A>", "▁", "\t", "\r\n", "\x00", "é", "\u200b", "<h1", "2mass>", "½"]


def task(generator: random.Random) -> str:
    words = [generator.choice(VERBS), generator.choice(THINGS), generator.choice(PLACES)]
    return " ".join(words[: generator.choice([2, 3, 3])])


def with_state(generator: random.Random) -> str:
    state = " ".join(str(generator.randrange(-1, 256)) for _ in range(generator.randrange(1, 6)))
    return f"Task: {task(generator)}, State: {state};\nAction: "


def of_few_letters(generator: random.Random) -> str:
    """Letters whose pieces overlap, so that the order of merges matters."""
    letters = generator.choice(["an", "ton", "the ", "a ", "e d", "\n ", "le", "0 1", "<h1>", "State"])
    return "".join(generator.choice(letters) for _ in range(generator.randrange(1, 16)))


def strange(generator: random.Random) -> str:
    parts = USER_DEFINED + STRANGE + ["the", " ", "  ", "cube", "Task:"]
    return "".join(generator.choice(parts) for _ in range(generator.randrange(1, 7)))


def prompts(count: int) -> list[str]:
    generator = random.Random(0)
    kinds = [task, with_state, of_few_letters, strange]
    return ["", *(generator.choice(kinds)(generator) for _ in range(count - 1))]


def trained_model() -> bytes:
    """A model of tasks and states. It would name a file of its training by its path."""
    generator = random.Random(1)
    lines = [generator.choice([task, with_state])(generator).replace("\n", " ") for _ in range(4000)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=680,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=USER_DEFINED,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    model = trained_model()
    (FOLDER / "tokenizer.model").write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    lines = [
        json.dumps([prompt, processor.encode(prompt, add_bos=True)], ensure_ascii=False, separators=(",", ":"))
        for prompt in prompts(10_000)
    ]
    (FOLDER / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
