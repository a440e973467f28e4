"""The small policies for the simulated robots: their configurations, their tokenizers and their statistics."""

import json

import torch
from lerobot.configs import FeatureType, NormalizationMode, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pi0_tools.reference.prompt_tokenizer import SPECIAL_TOKENS, prompt_texts

# How the byte-level alphabet writes a space.
SPACE = "Ġ"
# GPT-2's words, but a sign belongs to its number.
PRE_TOKENIZER = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(r" -?\d+| ?\p{L}+| ?[^\s\p{L}\d]+|\s+"), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)


def small_architecture(robot, policy_type):
    return robot.architecture(robot.vocab_sizes[policy_type.name])


def camera_feature(camera):
    return f"{OBS_IMAGES}.{camera}"


def small_config(robot, policy_type, device):
    (size,) = {picture.size for picture in robot.cameras.values()}
    images = {camera_feature(camera): PolicyFeature(FeatureType.VISUAL, (3, size, size)) for camera in robot.cameras}
    return policy_type.config_class(
        input_features={OBS_STATE: PolicyFeature(FeatureType.STATE, (len(robot.state_names),)), **images},
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (len(robot.action_names),))},
        image_resolution=(size, size),
        chunk_size=robot.horizon,
        n_action_steps=robot.horizon,
        max_state_dim=len(robot.state_names),
        max_action_dim=len(robot.action_names),
        # Half of the published number: a chunk takes half the time, and the skills succeed as often.
        num_inference_steps=5,
        tokenizer_max_length=robot.prompt_tokens[policy_type.name],
        # π0.5's state has to lie between −1 and 1, where the prompt's numbers are.
        normalization_mapping={
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.QUANTILES if policy_type.state_in_prompt else NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        },
        device=device,
    )


def small_tokenizer(robot, policy_type, prompts):
    """Bytes, and the words of the prompts as one token each: other words work too, in more tokens.

    π0.5's prompt has the state in it. Each of its numbers is one token, so that a value's is always at the same place.
    """
    vocab_size = robot.vocab_sizes[policy_type.name]
    texts = [_text_around(policy_type, prompt) for prompt in prompts]
    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = PRE_TOKENIZER
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
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
    if tokenizer.get_vocab_size() > vocab_size:
        raise ValueError(f"{tokenizer.get_vocab_size()} pieces do not fit {vocab_size}")
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


def robot_statistics(robot, states, actions):
    """LeRobot's statistics of a data set, from states [samples, …] and actions [samples, …]."""
    return {
        feature: _statistics(torch.as_tensor(values, dtype=torch.float64), smallest_std)
        for feature, values, smallest_std in zip(
            (OBS_STATE, ACTION), (states, actions), robot.smallest_std, strict=True
        )
    }


def _statistics(values, smallest_std):
    q01, q99 = values.quantile(0.01, dim=0), values.quantile(0.99, dim=0)
    # As far apart as those of a normal distribution.
    widened = (2 * 2.326 * smallest_std - (q99 - q01)).clamp_min(0) / 2
    statistics = {
        "mean": values.mean(0),
        "std": values.std(0).clamp_min(smallest_std),
        "min": values.amin(0),
        "max": values.amax(0),
        "q01": q01 - widened,
        "q99": q99 + widened,
    }
    return {name: value.float() for name, value in statistics.items()}
