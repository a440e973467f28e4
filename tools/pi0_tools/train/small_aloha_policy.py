"""The small policies for the simulated ALOHA robot: their sizes, their tokenizers and their statistics."""

import json
from dataclasses import replace

import torch
from lerobot.configs import FeatureType, NormalizationMode, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pi0_tools.reference.architecture import Architecture, GemmaSizes, VisionSizes
from pi0_tools.reference.prompt_tokenizer import SPECIAL_TOKENS, prompt_texts

CAMERA = f"{OBS_IMAGES}.top"
ACTION_HORIZON = 50
JOINTS = 14
# A joint that hardly moves would be normalised by almost nothing, and its noise would be all that is learned of it.
LEAST_STD = 0.02
VOCAB_SIZES = {"pi0": 384, "pi05": 576}
# In π0.5's a prompt has 33 tokens; words of others are as long as their letters.
PROMPT_TOKENS = {"pi0": 48, "pi05": 96}
# How the byte-level alphabet writes a space.
SPACE = "Ġ"
# GPT-2's words, but a sign belongs to its number.
PRE_TOKENIZER = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(r" -?\d+| ?\p{L}+| ?[^\s\p{L}\d]+|\s+"), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)
# LeRobot's training forward pass assumes 8 attention heads.
_ARCHITECTURE = Architecture(
    vision=VisionSizes(image_size=120, patch_size=20, width=64, depth=3, mlp_dim=160, num_heads=4),
    vlm=GemmaSizes(width=64, depth=4, mlp_dim=160, num_heads=8, num_kv_heads=1, head_dim=16),
    expert=GemmaSizes(width=96, depth=4, mlp_dim=256, num_heads=8, num_kv_heads=1, head_dim=16),
    vocab_size=VOCAB_SIZES["pi0"],
)


def aloha_architecture(policy_type):
    return replace(_ARCHITECTURE, vocab_size=VOCAB_SIZES[policy_type.name])


def aloha_config(policy_type, device):
    return policy_type.config_class(
        input_features={
            OBS_STATE: PolicyFeature(FeatureType.STATE, (JOINTS,)),
            CAMERA: PolicyFeature(FeatureType.VISUAL, (3, 120, 120)),
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (JOINTS,))},
        image_resolution=(120, 120),
        chunk_size=ACTION_HORIZON,
        n_action_steps=ACTION_HORIZON,
        max_state_dim=JOINTS,
        max_action_dim=JOINTS,
        # Half of the published number: a chunk takes half the time, and the skills succeed as often.
        num_inference_steps=5,
        tokenizer_max_length=PROMPT_TOKENS[policy_type.name],
        # π0.5's state has to lie between −1 and 1, where the prompt's numbers are.
        normalization_mapping={
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.QUANTILES if policy_type.state_in_prompt else NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        },
        device=device,
    )


def aloha_tokenizer(policy_type, prompts):
    """Bytes, and the words of the prompts as one token each: other words work too, in more tokens.

    π0.5's prompt has the state in it. Each of its numbers is one token, so that a joint's is always at the same place.
    """
    texts = [_text_around(policy_type, prompt) for prompt in prompts]
    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = PRE_TOKENIZER
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZES[policy_type.name],
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(texts, trainer)
    tokenizer = _with_numbers(words) if policy_type.state_in_prompt else words
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    if tokenizer.get_vocab_size() > VOCAB_SIZES[policy_type.name]:
        raise ValueError(f"{tokenizer.get_vocab_size()} pieces do not fit {VOCAB_SIZES[policy_type.name]}")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )


def number_pieces():
    """The piece of each number that π0.5 writes for a normalised value, by the number."""
    return {number: f"{SPACE}{number}" for number in range(-1, 256)}


def _text_around(policy_type, prompt):
    """What is tokenised, without a state."""
    (text,) = prompt_texts(policy_type, [prompt], torch.zeros(1, 0))
    return text


def _with_numbers(words):
    """The same tokenizer, for which every number with the space before it is one piece."""
    model = json.loads(words.to_str())["model"]
    vocabulary, merges = model["vocab"], [tuple(merge) for merge in model["merges"]]
    # Each number is made of a shorter one and its last digit; " -1" of " -".
    for piece in [f"{SPACE}-", *number_pieces().values()]:
        vocabulary[piece] = len(vocabulary)
        merges.append((piece[:-1], piece[-1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.pre_tokenizer = PRE_TOKENIZER
    return tokenizer


def robot_statistics(state, action):
    """LeRobot's statistics of a data set, from [steps, joints] of each."""

    def of(values):
        values = torch.as_tensor(values, dtype=torch.float64)
        std = values.std(0).clamp_min(LEAST_STD)
        q01, q99 = values.quantile(0.01, dim=0), values.quantile(0.99, dim=0)
        # As far apart as those of a normal distribution.
        widened = (2 * 2.326 * LEAST_STD - (q99 - q01)).clamp_min(0) / 2
        statistics = {
            "mean": values.mean(0),
            "std": std,
            "min": values.amin(0),
            "max": values.amax(0),
            "q01": q01 - widened,
            "q99": q99 + widened,
        }
        return {name: value.float() for name, value in statistics.items()}

    return {OBS_STATE: of(state), ACTION: of(action)}
