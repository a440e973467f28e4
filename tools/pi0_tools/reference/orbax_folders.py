"""Small folders as openpi's JAX training leaves them, and the weights that they hold under PyTorch's names.

    python -m pi0_tools.reference.orbax_folders tests/fixtures/orbax

Needs the packages orbax-checkpoint, tensorstore, jax, numpy and safetensors. The folders are written by orbax and
tensorstore. The expected weights are made here from the same random arrays, following openpi's
`examples/convert_jax_model_to_pytorch.py`; merged LoRA is what openpi's einsum makes of the identity.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from safetensors.numpy import save_file

ACTION_DIM, HORIZON = 7, 5
VISION = {"width": 12, "heads": 2, "depth": 3, "mlp": 20, "patch": 2, "tokens": 4}
# No width equals another one or heads · head size, so that no transposition goes unnoticed.
VLM = {"width": 16, "mlp": 28, "suffix": ""}
EXPERT = {"width": 8, "mlp": 20, "suffix": "_1"}
HEADS, HEAD_DIM, LAYERS, VOCABULARY = 4, 6, 2, 300
RANKS = {"": 16, "_1": 32}

Arrays = dict[str, np.ndarray]


def tree(generator: np.random.Generator, *, is_pi05: bool, has_lora: bool) -> Arrays:
    """Random arrays by openpi's names, whose parts are separated by slashes."""
    arrays: Arrays = {}

    def draw(name: str, *shape: int) -> None:
        arrays[name] = generator.standard_normal(shape).astype(ml_dtypes.bfloat16).astype(np.float32)

    vision_width, depth, heads = VISION["width"], VISION["depth"], VISION["heads"]
    image = "PaliGemma/img"
    draw(f"{image}/embedding/kernel", VISION["patch"], VISION["patch"], 3, vision_width)
    draw(f"{image}/embedding/bias", vision_width)
    draw(f"{image}/pos_embedding", 1, VISION["tokens"], vision_width)
    block = f"{image}/Transformer/encoderblock"
    for norm in ("LayerNorm_0", "LayerNorm_1"):
        draw(f"{block}/{norm}/scale", depth, vision_width)
        draw(f"{block}/{norm}/bias", depth, vision_width)
    draw(f"{block}/MlpBlock_0/Dense_0/kernel", depth, vision_width, VISION["mlp"])
    draw(f"{block}/MlpBlock_0/Dense_0/bias", depth, VISION["mlp"])
    draw(f"{block}/MlpBlock_0/Dense_1/kernel", depth, VISION["mlp"], vision_width)
    draw(f"{block}/MlpBlock_0/Dense_1/bias", depth, vision_width)
    attention = f"{block}/MultiHeadDotProductAttention_0"
    for part in ("query", "key", "value"):
        draw(f"{attention}/{part}/kernel", depth, vision_width, heads, vision_width // heads)
        draw(f"{attention}/{part}/bias", depth, heads, vision_width // heads)
    draw(f"{attention}/out/kernel", depth, heads, vision_width // heads, vision_width)
    draw(f"{attention}/out/bias", depth, vision_width)
    draw(f"{image}/Transformer/encoder_norm/scale", vision_width)
    draw(f"{image}/Transformer/encoder_norm/bias", vision_width)
    draw(f"{image}/head/kernel", vision_width, VLM["width"])
    draw(f"{image}/head/bias", VLM["width"])

    draw("PaliGemma/llm/embedder/input_embedding", VOCABULARY, VLM["width"])
    for sizes in (VLM, EXPERT):
        suffix, width, mlp = sizes["suffix"], sizes["width"], sizes["mlp"]
        layers = "PaliGemma/llm/layers"
        draw(f"{layers}/attn/q_einsum{suffix}/w", LAYERS, HEADS, width, HEAD_DIM)
        draw(f"{layers}/attn/kv_einsum{suffix}/w", LAYERS, 2, 1, width, HEAD_DIM)
        draw(f"{layers}/attn/attn_vec_einsum{suffix}/w", LAYERS, HEADS, HEAD_DIM, width)
        draw(f"{layers}/mlp{suffix}/gating_einsum", LAYERS, 2, width, mlp)
        draw(f"{layers}/mlp{suffix}/linear", LAYERS, mlp, width)
        for norm, leading in (
            (f"{layers}/pre_attention_norm", (LAYERS,)),
            (f"{layers}/pre_ffw_norm", (LAYERS,)),
            ("PaliGemma/llm/final_norm", ()),
        ):
            if is_pi05 and suffix:
                draw(f"{norm}{suffix}/Dense_0/kernel", *leading, width, 3 * width)
                draw(f"{norm}{suffix}/Dense_0/bias", *leading, 3 * width)
            else:
                draw(f"{norm}{suffix}/scale", *leading, width)
        if has_lora:
            rank = RANKS[suffix]
            for einsum in ("q_einsum", "kv_einsum", "attn_vec_einsum"):
                name = f"{layers}/attn/{einsum}{suffix}"
                *outer, rows, columns = arrays[f"{name}/w"].shape
                draw(f"{name}/lora_a", *outer, rows, rank)
                draw(f"{name}/lora_b", *outer, rank, columns)
            for linear in ("gating_einsum", "linear"):
                name = f"{layers}/mlp{suffix}/{linear}"
                *outer, rows, columns = arrays[name].shape
                draw(f"{name}_lora_a", *outer, rows, rank)
                draw(f"{name}_lora_b", *outer, rank, columns)

    width = EXPERT["width"]
    projections = {"action_in_proj": (ACTION_DIM, width), "action_out_proj": (width, ACTION_DIM)}
    if is_pi05:
        projections |= {"time_mlp_in": (width, width), "time_mlp_out": (width, width)}
    else:
        projections |= {
            "state_proj": (ACTION_DIM, width),
            "action_time_mlp_in": (2 * width, width),
            "action_time_mlp_out": (width, width),
        }
    for name, shape in projections.items():
        draw(f"{name}/kernel", *shape)
        draw(f"{name}/bias", shape[1])
    return arrays


def with_lora(arrays: Arrays, name: str, equation: str) -> np.ndarray:
    """The linear map of an einsum of openpi with its adapter, per layer: [layers, *input, *output].

    `equation` is the one that openpi calls the einsum with, of one token: the map is what it makes of the identity.
    """
    weight = arrays[f"{name}/w"].astype(np.float64)
    inputs, rest = equation.split(",")
    labels, outputs = rest.split("->")
    sizes = dict(zip(labels, weight.shape[1:], strict=True))
    input_shape = [sizes[label] for label in inputs]
    count = int(np.prod(input_shape))
    identity = np.eye(count).reshape(count, *input_shape)
    a_label, b_label = labels[-2:]
    mapped = []
    for layer in range(len(weight)):
        result = np.einsum(f"z{inputs},{labels}->z{outputs}", identity, weight[layer])
        if f"{name}/lora_a" in arrays:
            a_outputs = outputs.replace(b_label, "r")
            first = np.einsum(
                f"z{inputs},{labels.replace(b_label, 'r')}->z{a_outputs}", identity, arrays[f"{name}/lora_a"][layer]
            )
            result += np.einsum(
                f"z{a_outputs},{labels.replace(a_label, 'r')}->z{outputs}", first, arrays[f"{name}/lora_b"][layer]
            )
        mapped.append(result.reshape(*input_shape, *result.shape[1:]))
    return np.stack(mapped)


def merged(arrays: Arrays, name: str) -> np.ndarray:
    """A matrix of the feed-forward network with its adapter."""
    weight = arrays[name].astype(np.float64)
    if f"{name}_lora_a" in arrays:
        weight = weight + np.matmul(
            arrays[f"{name}_lora_a"].astype(np.float64), arrays[f"{name}_lora_b"].astype(np.float64)
        )
    return weight


def expected(arrays: Arrays, *, is_pi05: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values of the weights in PyTorch, with LeRobot's leading `model.`."""
    pali = "model.paligemma_with_expert.paligemma"
    tower = f"{pali}.model.vision_tower.vision_model"
    image, vision_width = "PaliGemma/img", VISION["width"]
    yield f"{tower}.embeddings.patch_embedding.weight", arrays[f"{image}/embedding/kernel"].transpose(3, 2, 0, 1)
    yield f"{tower}.embeddings.patch_embedding.bias", arrays[f"{image}/embedding/bias"]
    yield f"{tower}.embeddings.position_embedding.weight", arrays[f"{image}/pos_embedding"].reshape(-1, vision_width)
    block = f"{image}/Transformer/encoderblock"
    attention = f"{block}/MultiHeadDotProductAttention_0"
    for layer in range(VISION["depth"]):
        target = f"{tower}.encoder.layers.{layer}"
        for norm, source in (("layer_norm1", "LayerNorm_0"), ("layer_norm2", "LayerNorm_1")):
            yield f"{target}.{norm}.weight", arrays[f"{block}/{source}/scale"][layer]
            yield f"{target}.{norm}.bias", arrays[f"{block}/{source}/bias"][layer]
        for linear, source in (("fc1", "Dense_0"), ("fc2", "Dense_1")):
            yield f"{target}.mlp.{linear}.weight", arrays[f"{block}/MlpBlock_0/{source}/kernel"][layer].T
            yield f"{target}.mlp.{linear}.bias", arrays[f"{block}/MlpBlock_0/{source}/bias"][layer]
        for linear, source in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
            kernel = arrays[f"{attention}/{source}/kernel"][layer]
            yield f"{target}.self_attn.{linear}.weight", kernel.reshape(-1, vision_width).T
            yield f"{target}.self_attn.{linear}.bias", arrays[f"{attention}/{source}/bias"][layer].reshape(-1)
        kernel = arrays[f"{attention}/out/kernel"][layer]
        yield f"{target}.self_attn.out_proj.weight", kernel.reshape(-1, vision_width).T
        yield f"{target}.self_attn.out_proj.bias", arrays[f"{attention}/out/bias"][layer]
    yield f"{tower}.post_layernorm.weight", arrays[f"{image}/Transformer/encoder_norm/scale"]
    yield f"{tower}.post_layernorm.bias", arrays[f"{image}/Transformer/encoder_norm/bias"]
    yield f"{pali}.model.multi_modal_projector.linear.weight", arrays[f"{image}/head/kernel"].T
    yield f"{pali}.model.multi_modal_projector.linear.bias", arrays[f"{image}/head/bias"]
    yield f"{pali}.lm_head.weight", arrays["PaliGemma/llm/embedder/input_embedding"]

    llm = "PaliGemma/llm"
    language_model, expert = f"{pali}.model.language_model", "model.paligemma_with_expert.gemma_expert.model"
    for sizes, target in ((VLM, language_model), (EXPERT, expert)):
        suffix, width = sizes["suffix"], sizes["width"]
        query = with_lora(arrays, f"{llm}/layers/attn/q_einsum{suffix}", "D,NDH->NH")
        key_value = with_lora(arrays, f"{llm}/layers/attn/kv_einsum{suffix}", "D,SKDH->SKH")
        out = with_lora(arrays, f"{llm}/layers/attn/attn_vec_einsum{suffix}", "NH,NHD->D")
        gating = merged(arrays, f"{llm}/layers/mlp{suffix}/gating_einsum")
        down = merged(arrays, f"{llm}/layers/mlp{suffix}/linear")
        norms = [
            (f"{llm}/layers/pre_attention_norm{suffix}", "input_layernorm"),
            (f"{llm}/layers/pre_ffw_norm{suffix}", "post_attention_layernorm"),
        ]
        for layer in range(LAYERS):
            name = f"{target}.layers.{layer}"
            yield f"{name}.self_attn.q_proj.weight", query[layer].reshape(width, -1).T
            yield f"{name}.self_attn.k_proj.weight", key_value[layer, :, 0, 0].T
            yield f"{name}.self_attn.v_proj.weight", key_value[layer, :, 1, 0].T
            yield f"{name}.self_attn.o_proj.weight", out[layer].reshape(-1, width).T
            yield f"{name}.mlp.gate_proj.weight", gating[layer, 0].T
            yield f"{name}.mlp.up_proj.weight", gating[layer, 1].T
            yield f"{name}.mlp.down_proj.weight", down[layer].T
            for source, norm in norms:
                if is_pi05 and suffix:
                    yield f"{name}.{norm}.dense.weight", arrays[f"{source}/Dense_0/kernel"][layer].T
                    yield f"{name}.{norm}.dense.bias", arrays[f"{source}/Dense_0/bias"][layer]
                else:
                    yield f"{name}.{norm}.weight", arrays[f"{source}/scale"][layer]
        if is_pi05 and suffix:
            yield f"{target}.norm.dense.weight", arrays[f"{llm}/final_norm{suffix}/Dense_0/kernel"].T
            yield f"{target}.norm.dense.bias", arrays[f"{llm}/final_norm{suffix}/Dense_0/bias"]
        else:
            yield f"{target}.norm.weight", arrays[f"{llm}/final_norm{suffix}/scale"]

    times = ["time_mlp_in", "time_mlp_out"] if is_pi05 else ["state_proj", "action_time_mlp_in", "action_time_mlp_out"]
    for name in ("action_in_proj", "action_out_proj", *times):
        yield f"model.{name}.weight", arrays[f"{name}/kernel"].T
        yield f"model.{name}.bias", arrays[f"{name}/bias"]


def nested(arrays: Arrays, leaf: str | None, dtype: str) -> dict:
    """The tree of openpi; a `leaf` named "value" is what nnx puts below every parameter."""
    root: dict = {}
    for name, array in arrays.items():
        *parents, last = [*name.split("/"), *([leaf] if leaf else [])]
        node = root
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = jnp.asarray(array, dtype=dtype)
    return root


def write_with_orbax(arrays: Arrays, folder: Path, *, leaf: str | None, dtype: str, chunk_bytes: int | None) -> None:
    """What openpi's `save_state` leaves of the parameters of a step: `folder/params`."""
    params = {"params": nested(arrays, leaf, dtype)}
    save_args = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=chunk_bytes), params)
    manager = ocp.CheckpointManager(
        folder.parent,
        item_handlers={"params": ocp.PyTreeCheckpointHandler()},
        options=ocp.CheckpointManagerOptions(max_to_keep=None, create=False),
    )
    manager.save(int(folder.name), args=ocp.args.Composite(params=ocp.args.PyTreeSave(params, save_args=save_args)))
    manager.wait_until_finished()
    manager.close()


def write_by_two_processes(arrays: Arrays, folder: Path) -> None:
    """The databases of two processes and the one that orbax makes of them, which refers to their files.

    Nothing is compressed, the nodes are small, so that the trees are deep, and manifests have numbers.
    """

    def database(folder: Path) -> dict:
        return {
            "driver": "ocdbt",
            "base": {"driver": "file", "path": f"{folder}/"},
            "config": {
                "compression": None,
                "max_decoded_node_bytes": 600,
                "max_inline_value_bytes": 100,
                "manifest_kind": "numbered",
            },
        }

    context = ts.Context()
    for process in range(2):
        with ts.Transaction(atomic=True) as transaction:
            for name, array in list(arrays.items())[process::2]:
                kvstore = {**database(folder / f"ocdbt.process_{process}"), "path": f"params.{name.replace('/', '.')}/"}
                metadata = {
                    "compressor": None,
                    "dtype": "<f4",
                    "shape": array.shape,
                    "chunks": [(size + 1) // 2 for size in array.shape],
                    "dimension_separator": "/",
                }
                spec = {"driver": "zarr", "kvstore": kvstore, "metadata": metadata, "create": True}
                ts.open(spec, transaction=transaction, context=context).result().write(array).result()
    with ts.Transaction(atomic=True) as transaction:
        whole = ts.KvStore.open(database(folder), context=context).result()
        for process in range(2):
            part = ts.KvStore.open(database(folder / f"ocdbt.process_{process}"), context=context).result()
            part.experimental_copy_range_to(whole.with_transaction(transaction)).result()
    (folder / "_METADATA").write_text(json.dumps({"use_ocdbt": True, "use_zarr3": False}) + "\n")


def write_statistics(generator: np.random.Generator, folder: Path, lengths: tuple[int, int]) -> None:
    """Statistics as openpi's `normalize.save` writes them; values above `lengths` are padding."""
    statistics = {}
    for key, length in zip(("state", "actions"), lengths, strict=True):
        values = {"mean": generator.normal(size=length), "std": generator.uniform(0.5, 2, size=length)}
        values |= {"q01": values["mean"] - 2 * values["std"], "q99": values["mean"] + 2.5 * values["std"]}
        padding = [0.0] * (ACTION_DIM - length)
        statistics[key] = {name: [*np.round(value, 4).tolist(), *padding] for name, value in values.items()}
    folder.mkdir(parents=True)
    (folder / "norm_stats.json").write_text(json.dumps({"norm_stats": statistics}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    root = parser.parse_args().folder.resolve()
    shutil.rmtree(root, ignore_errors=True)
    for name, is_pi05, has_lora in (("pi0", False, False), ("pi05", True, False), ("pi05_lora", True, True)):
        generator = np.random.default_rng(17)
        arrays = tree(generator, is_pi05=is_pi05, has_lora=has_lora)
        folder = root / name / "1000"
        folder.parent.mkdir(parents=True)
        if name == "pi05":
            write_with_orbax(arrays, folder, leaf=None, dtype="bfloat16", chunk_bytes=None)
            write_statistics(generator, folder / "assets/droid", (5, 4))
            write_statistics(generator, folder / "assets/physical-intelligence/libero", (6, 7))
        else:
            write_with_orbax(arrays, folder, leaf="value", dtype="float32", chunk_bytes=256 if has_lora else None)
            write_statistics(generator, folder / "assets/trossen", (7, 6))
        weights = {name: np.ascontiguousarray(value, np.float32) for name, value in expected(arrays, is_pi05=is_pi05)}
        save_file(weights, folder.parent / "expected.safetensors")
        if name == "pi0":
            write_by_two_processes(arrays, root / "pi0_two_processes" / "1000" / "params")


if __name__ == "__main__":
    main()
