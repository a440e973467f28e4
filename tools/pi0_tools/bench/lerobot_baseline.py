"""LeRobot's π0 or π0.5 at the published size with random weights.

Prints one line of JSON. Runs in the environment of tools/install_lerobot.sh. The observation is what
pi0_bench makes: so many cameras, a prompt of so many tokens (LeRobot pads it to 48, for π0.5 to 200), 10 steps, 50
actions. `--products` measures PyTorch's matrix products instead.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from pi0_tools.bench.torch_products import best_seconds

DTYPES = ("float32", "bfloat16")
# Values drawn once; every parameter reads them from its beginning.
DRAWN = 1 << 20
WEIGHT_STD = 0.02
# A product that tells which type is the faster one, small enough to wait for where bfloat16 is emulated.
PROBE = (256, 2048, 4096)


def build_policy(policy, dtype):
    """LeRobot's policy of a type, "pi0" or "pi05"."""
    from transformers.initialization import no_init_weights

    from pi0_tools.reference.policy_types import POLICY_TYPES

    policy_type = POLICY_TYPES[policy]
    # Every weight is overwritten below.
    with no_init_weights():
        built = policy_type.policy_class(policy_type.config_class(dtype=dtype, device="cpu")).eval()
    drawn = torch.randn(DRAWN, generator=torch.Generator().manual_seed(0)) * WEIGHT_STD
    with torch.no_grad():
        for parameter in built.parameters():
            for piece in parameter.view(-1).split(DRAWN):
                piece.copy_(drawn[: piece.numel()])
    return built, policy_type.state_in_prompt


def resident_bytes(key):
    """VmRSS: bytes resident now; VmHWM: the most so far. pi0_bench reads the same."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    return None


def chunk_seconds(policy, state_in_prompt, cameras, prompt_tokens, repeats):
    """Seconds of each chunk, after one that is not measured."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(1, 3, 224, 224, generator=generator) * 2 - 1 for _ in range(cameras)]
    image_masks = [torch.ones(1, dtype=torch.bool) for _ in range(cameras)]
    padded = policy.config.tokenizer_max_length
    tokens = torch.randint(0, 1000, (1, padded), generator=generator)
    token_mask = torch.arange(padded)[None] < prompt_tokens
    states = () if state_in_prompt else (torch.randn(1, 32, generator=generator),)
    noise = torch.randn(1, 50, 32, generator=generator)
    seconds = []
    with torch.inference_mode():
        for _ in range(1 + repeats):
            started = time.perf_counter()
            policy.model.sample_actions(images, image_masks, tokens, token_mask, *states, noise=noise, num_steps=10)
            seconds.append(time.perf_counter() - started)
    return seconds[1:]


def product_gflops(shape, dtype):
    rows, inputs, outputs = shape
    return 2 * rows * inputs * outputs / best_seconds(rows, inputs, outputs, dtype) / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", choices=("pi0", "pi05"), default="pi0")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0 is one for each core")
    parser.add_argument("--products", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    result = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if arguments.products:
        result["gflops"] = {dtype: product_gflops(PROBE, dtype) for dtype in DTYPES}
    else:
        policy, state_in_prompt = build_policy(arguments.policy, arguments.dtype)
        result["chunk_s"] = chunk_seconds(
            policy, state_in_prompt, arguments.cameras, arguments.prompt_tokens, arguments.repeats
        )
        result["resident_bytes"] = resident_bytes("VmRSS")
        result["peak_resident_bytes"] = resident_bytes("VmHWM")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
