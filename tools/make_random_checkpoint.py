"""Makes a small π0 with random weights for the simulated ALOHA robot: everything but the training is there.

Its files are those of a LeRobot checkpoint, with `architecture.json` for the sizes and `tokenizer.json` beside them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

JOINTS_OF_AN_ARM = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
JOINT_NAMES = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS_OF_AN_ARM)
# Where gym-aloha's episodes start, in rad; the gripper from 0 (closed) to 1 (open).
START_POSE_OF_AN_ARM = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.0)
STD_RAD = 0.2

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>")
MAX_PROMPT_TOKENS = 200
ACTION_HORIZON = 50
MAX_DIM = 32
DENOISE_STEPS = 10

VISION = {
    "image_size": 224,
    "patch_size": 14,
    "width": 64,
    "depth": 2,
    "mlp_dim": 128,
    "num_heads": 4,
    "layer_norm_eps": 1e-6,
}
VLM = {
    "width": 64,
    "depth": 3,
    "mlp_dim": 128,
    "num_heads": 4,
    "num_kv_heads": 1,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
}
EXPERT = dict(VLM)

# Divisions of the expert's width. The noisy action itself comes first, then constants that keep the norm of a token
# about the same whatever the action is, then what the layers compute.
ACTION_CHANNELS = slice(0, len(JOINT_NAMES))
CONSTANT_CHANNELS = slice(len(JOINT_NAMES), 30)
CONTENT_CHANNELS = slice(30, EXPERT["width"])
CONSTANT = 2.0
# The root mean square of a token of constants alone, by which the last norm divides.
CONSTANT_RMS = CONSTANT * np.sqrt((CONSTANT_CHANNELS.stop - CONSTANT_CHANNELS.start) / EXPERT["width"])

# The velocity contains the noisy action, times this, so that ten steps take 99 % of the noise out, as a trained flow
# does. Without it the actions would be the noise.
CONTRACTION = 5.0
# Standard deviation of the normalised actions.
ACTION_SPREAD = 0.6
# Sharpness of the action tokens' attention: where they look decides what they do.
ATTENTION_GAIN = 7.0


class RandomWeights:
    """Tensors under LeRobot's names, with variances that keep activations at about one."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.tensors = {}

    def normal(self, shape, std):
        return self.random.normal(0.0, std, shape)

    def put(self, name, values):
        # A fresh array: views of a larger one would be saved with the wrong values.
        self.tensors[f"model.{name}"] = np.array(values, dtype=np.float32, order="C")

    def linear(self, name, outputs, inputs, bias=True):
        self.put(f"{name}.weight", self.normal((outputs, inputs), inputs**-0.5))
        if bias:
            self.put(f"{name}.bias", self.normal(outputs, 0.1))

    def layer_norm(self, name, width):
        self.put(f"{name}.weight", np.ones(width))
        self.put(f"{name}.bias", np.zeros(width))

    def siglip(self, name, config):
        width, patch = config["width"], config["patch_size"]
        patches = (config["image_size"] // patch) ** 2
        self.put(f"{name}.embeddings.patch_embedding.weight", self.normal((width, 3, patch, patch), 2.0 / patch))
        self.put(f"{name}.embeddings.patch_embedding.bias", self.normal(width, 0.1))
        self.put(f"{name}.embeddings.position_embedding.weight", self.normal((patches, width), 0.5))
        for index in range(config["depth"]):
            layer = f"{name}.encoder.layers.{index}"
            self.layer_norm(f"{layer}.layer_norm1", width)
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                self.linear(f"{layer}.self_attn.{projection}", width, width)
            self.layer_norm(f"{layer}.layer_norm2", width)
            self.linear(f"{layer}.mlp.fc1", config["mlp_dim"], width)
            self.linear(f"{layer}.mlp.fc2", width, config["mlp_dim"])
        self.layer_norm(f"{name}.post_layernorm", width)

    def gemma(self, name, config):
        width, mlp_dim, head_dim = config["width"], config["mlp_dim"], config["head_dim"]
        query_width = config["num_heads"] * head_dim
        key_width = config["num_kv_heads"] * head_dim
        for index in range(config["depth"]):
            layer = f"{name}.layers.{index}"
            # Gemma's norm multiplies by one more than its weight.
            self.put(f"{layer}.input_layernorm.weight", np.zeros(width))
            self.linear(f"{layer}.self_attn.q_proj", query_width, width, bias=False)
            self.linear(f"{layer}.self_attn.k_proj", key_width, width, bias=False)
            self.linear(f"{layer}.self_attn.v_proj", key_width, width, bias=False)
            self.linear(f"{layer}.self_attn.o_proj", width, query_width, bias=False)
            self.put(f"{layer}.post_attention_layernorm.weight", np.zeros(width))
            self.linear(f"{layer}.mlp.gate_proj", mlp_dim, width, bias=False)
            self.linear(f"{layer}.mlp.up_proj", mlp_dim, width, bias=False)
            self.linear(f"{layer}.mlp.down_proj", width, mlp_dim, bias=False)
        self.put(f"{name}.norm.weight", np.zeros(width))


def calm_expert(weights, name, config):
    """Makes what the action tokens look at change slowly along the chunk, and keeps the noisy action to itself."""
    heads, head_dim = config["num_heads"], config["head_dim"]
    # Rope turns pair i by 10000^(-i / (head_dim / 2)) rad a token; the first two turn within a few actions.
    slow = np.ones(head_dim // 2)
    slow[:2] = 0.0
    query_gain = ATTENTION_GAIN * np.tile(np.concatenate([slow, slow]), heads)
    for index in range(config["depth"]):
        layer = f"model.{name}.layers.{index}"
        weights.tensors[f"{layer}.self_attn.q_proj.weight"] *= query_gain[:, None].astype(np.float32)
        for projection in ("self_attn.o_proj", "mlp.down_proj"):
            tensor = weights.tensors[f"{layer}.{projection}.weight"]
            tensor[: CONTENT_CHANNELS.start] = 0.0
        for projection in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"):
            weights.tensors[f"{layer}.{projection}.weight"][:, ACTION_CHANNELS] = 0.0


def put_projections(weights):
    """The linear layers around the expert: state and noisy action in, velocity out."""
    width = EXPERT["width"]
    joints = len(JOINT_NAMES)
    content = CONTENT_CHANNELS.stop - CONTENT_CHANNELS.start
    weights.put("state_proj.weight", weights.normal((width, MAX_DIM), joints**-0.5))
    weights.put("state_proj.bias", weights.normal(width, 0.5))

    action_in = np.zeros((width, MAX_DIM))
    action_in[:joints, :joints] = np.eye(joints)
    weights.put("action_in_proj.weight", action_in)
    weights.put("action_in_proj.bias", np.zeros(width))

    # silu(x) − silu(−x) = x: two hidden values carry one value of the action through the MLP unchanged.
    mlp_in = np.zeros((width, 2 * width))
    mlp_in[: 2 * joints : 2, :joints] = np.eye(joints)
    mlp_in[1 : 2 * joints : 2, :joints] = -np.eye(joints)
    mlp_in[2 * joints :, width:] = weights.normal((width - 2 * joints, width), width**-0.5)
    weights.put("action_time_mlp_in.weight", mlp_in)
    weights.put("action_time_mlp_in.bias", np.zeros(width))

    mlp_out = np.zeros((width, width))
    mlp_out[ACTION_CHANNELS, : 2 * joints : 2] = np.eye(joints)
    mlp_out[ACTION_CHANNELS, 1 : 2 * joints : 2] = -np.eye(joints)
    mlp_out[CONTENT_CHANNELS, 2 * joints :] = weights.normal((content, width - 2 * joints), width**-0.5)
    bias = np.zeros(width)
    bias[CONSTANT_CHANNELS] = CONSTANT
    weights.put("action_time_mlp_out.weight", mlp_out)
    weights.put("action_time_mlp_out.bias", bias)

    action_out = np.zeros((MAX_DIM, width))
    action_out[:joints, ACTION_CHANNELS] = CONTRACTION * CONSTANT_RMS * np.eye(joints)
    spread = CONTRACTION * ACTION_SPREAD * content**-0.5
    action_out[:joints, CONTENT_CHANNELS] = weights.normal((joints, content), spread)
    weights.put("action_out_proj.weight", action_out)
    weights.put("action_out_proj.bias", np.zeros(MAX_DIM))


def make_weights(seed, vocab_size):
    """Every tensor that LeRobot saves of a π0 of these sizes."""
    weights = RandomWeights(seed)
    paligemma = "paligemma_with_expert.paligemma"
    expert = "paligemma_with_expert.gemma_expert.model"
    weights.siglip(f"{paligemma}.model.vision_tower.vision_model", VISION)
    weights.linear(f"{paligemma}.model.multi_modal_projector.linear", VLM["width"], VISION["width"])
    # Gemma multiplies embeddings by the square root of their width.
    embeddings = weights.normal((vocab_size, VLM["width"]), VLM["width"] ** -0.5)
    weights.put(f"{paligemma}.model.language_model.embed_tokens.weight", embeddings)
    weights.put(f"{paligemma}.lm_head.weight", embeddings)
    weights.gemma(f"{paligemma}.model.language_model", VLM)
    weights.gemma(expert, EXPERT)
    calm_expert(weights, expert, EXPERT)
    put_projections(weights)
    return weights.tensors


def make_tokenizer():
    """One token a byte, behind `<bos>`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return tokenizer


def make_config():
    """LeRobot's `config.json`."""
    return {
        "type": "pi0",
        "n_obs_steps": 1,
        "input_features": {
            "observation.state": {"type": "STATE", "shape": [len(JOINT_NAMES)]},
            "observation.images.top": {"type": "VISUAL", "shape": [3, VISION["image_size"], VISION["image_size"]]},
        },
        "output_features": {"action": {"type": "ACTION", "shape": [len(JOINT_NAMES)]}},
        "paligemma_variant": "gemma_2b",
        "action_expert_variant": "gemma_300m",
        "dtype": "float32",
        "chunk_size": ACTION_HORIZON,
        "n_action_steps": ACTION_HORIZON,
        "max_state_dim": MAX_DIM,
        "max_action_dim": MAX_DIM,
        "num_inference_steps": DENOISE_STEPS,
        "min_period": 4e-3,
        "max_period": 4.0,
        "use_relative_actions": False,
        "relative_exclude_joints": ["gripper"],
        "action_feature_names": list(JOINT_NAMES),
        "image_resolution": [VISION["image_size"], VISION["image_size"]],
        "empty_cameras": 0,
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
        "tokenizer_max_length": MAX_PROMPT_TOKENS,
    }


def make_statistics():
    """Mean and standard deviation of states and actions, (14,) each: around the start pose."""
    mean = np.array(START_POSE_OF_AN_ARM * 2, dtype=np.float32)
    std = np.full(len(JOINT_NAMES), STD_RAD, dtype=np.float32)
    names = ("observation.state", "action")
    return {f"{name}.{key}": value for name in names for key, value in (("mean", mean), ("std", std))}


def make_pipelines(config):
    """LeRobot's pre- and postprocessor, each a list of steps; statistics go with the (un)normaliser."""
    outputs = config["output_features"]
    normalise = {
        "eps": 1e-8,
        "features": {**config["input_features"], **outputs},
        "norm_map": config["normalization_mapping"],
    }
    before = [
        ("rename_observations_processor", {"rename_map": {}}),
        ("to_batch_processor", {}),
        ("pi0_new_line_processor", {}),
        (
            "tokenizer_processor",
            {
                "max_length": config["tokenizer_max_length"],
                "task_key": "task",
                "padding_side": "right",
                "padding": "max_length",
                "truncation": True,
                "tokenizer_name": "google/paligemma-3b-pt-224",
            },
        ),
        ("device_processor", {"device": "cpu", "float_dtype": None}),
        ("relative_actions_processor", {"enabled": False, "exclude_joints": ["gripper"], "action_names": None}),
        ("normalizer_processor", normalise),
    ]
    after = [
        ("unnormalizer_processor", {**normalise, "features": outputs}),
        ("absolute_actions_processor", {"enabled": False}),
        ("device_processor", {"device": "cpu", "float_dtype": None}),
    ]
    return {"policy_preprocessor": before, "policy_postprocessor": after}


def write_pipeline(folder, name, steps):
    entries = []
    for index, (step, config) in enumerate(steps):
        entry = {"registry_name": step, "config": config}
        if "norm_map" in config:
            entry["state_file"] = f"{name}_step_{index}_{step}.safetensors"
            save_file(make_statistics(), folder / entry["state_file"])
        entries.append(entry)
    write_json(folder / f"{name}.json", {"name": name, "steps": entries})


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_checkpoint(folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    vocab_size = tokenizer.get_vocab_size()
    config = make_config()
    save_file(make_weights(seed, vocab_size), folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "config.json", config)
    architecture = {"vision": VISION, "vlm": VLM, "expert": EXPERT, "vocab_size": vocab_size}
    write_json(folder / "architecture.json", architecture)
    for name, steps in make_pipelines(config).items():
        write_pipeline(folder, name, steps)
    readme = f"The weights of this checkpoint are random (seed {seed}): it moves the robot, but has learnt nothing.\n"
    (folder / "README.md").write_text(readme, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint; files in it are replaced")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error("--seed must not be negative")
    write_checkpoint(arguments.output, arguments.seed)


if __name__ == "__main__":
    main()
