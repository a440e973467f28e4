"""The small π0 for the simulated ALOHA robot: its sizes, its tokenizer and its statistics."""

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.pi0.configuration_pi0 import PI0Config
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pi0_tools.reference.architecture import Architecture, GemmaSizes, VisionSizes
from pi0_tools.reference.prompt_tokenizer import SPECIAL_TOKENS

CAMERA = f"{OBS_IMAGES}.top"
ACTION_HORIZON = 50
JOINTS = 14
# A joint that hardly moves would be normalised by almost nothing, and its noise would be all that is learned of it.
LEAST_STD = 0.02
VOCAB_SIZE = 384
# LeRobot's training forward pass assumes 8 attention heads.
ARCHITECTURE = Architecture(
    vision=VisionSizes(image_size=120, patch_size=20, width=64, depth=3, mlp_dim=160, num_heads=4),
    vlm=GemmaSizes(width=64, depth=4, mlp_dim=160, num_heads=8, num_kv_heads=1, head_dim=16),
    expert=GemmaSizes(width=96, depth=4, mlp_dim=256, num_heads=8, num_kv_heads=1, head_dim=16),
    vocab_size=VOCAB_SIZE,
)


def aloha_config(device):
    return PI0Config(
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
        device=device,
    )


def aloha_tokenizer(prompts):
    """Bytes, and the words of the prompts as one token each: other words work too, in more tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(prompts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )


def robot_statistics(state, action):
    """LeRobot's statistics of a data set, from [steps, joints] of each."""

    def of(values):
        values = torch.as_tensor(values, dtype=torch.float64)
        std = values.std(0).clamp_min(LEAST_STD)
        statistics = {"mean": values.mean(0), "std": std, "min": values.amin(0), "max": values.amax(0)}
        return {name: value.float() for name, value in statistics.items()}

    return {OBS_STATE: of(state), ACTION: of(action)}
