"""The reference at full size (3.3 billion parameters, random weights).

Writes `FOLDER/checkpoint` (bfloat16) and, computed in f32 from the same values, `FOLDER/cases` and
`FOLDER/modules.safetensors`, named as the small fixtures are.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.pi0.configuration_pi0 import PI0Config
from lerobot.policies.pi0.modeling_pi0 import PI0Policy
from lerobot.utils.constants import ACTION, OBS_STATE
from transformers.initialization import no_init_weights

from pi0_tools.reference.bfloat16_checkpoint import round_to_bfloat16, write_bfloat16
from pi0_tools.reference.lerobot_checkpoint import write_processors
from pi0_tools.reference.module_rows import write_modules
from pi0_tools.reference.network_cases import Case, write_cases
from pi0_tools.reference.prompt_tokenizer import build_tokenizer
from pi0_tools.reference.random_weights import randomise
from pi0_tools.reference.small_policy import JOINTS, camera_key, dataset_statistics

WEIGHTS_SEED = 500
# Through 27 and 18 layers, norms far from their rest would make the activations grow.
NORM_STD = 0.05
TOKENIZER_VOCAB_SIZE = 300
CASES = [Case("one_camera")]


def full_size_policy() -> PI0Policy:
    config = PI0Config(
        input_features={
            OBS_STATE: PolicyFeature(FeatureType.STATE, (len(JOINTS),)),
            camera_key("top"): PolicyFeature(FeatureType.VISUAL, (3, 480, 640)),
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (len(JOINTS),))},
        device="cpu",
    )
    # LeRobot builds some parts twice; memory that nothing writes to is never taken.
    with no_init_weights():
        policy = PI0Policy(config).eval()
    # π0 has no use for the two language heads, which are 3 GB in f32.
    policy.model.paligemma_with_expert.paligemma.lm_head = None
    policy.model.paligemma_with_expert.gemma_expert.lm_head = None
    randomise(policy, WEIGHTS_SEED, NORM_STD)
    round_to_bfloat16(policy)
    return policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint-only", action="store_true", help="compute nothing with it")
    arguments = parser.parse_args()
    folder = arguments.folder
    started = time.monotonic()

    def report(what: str) -> None:
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        elapsed_s = time.monotonic() - started
        print(f"{elapsed_s:6.0f} s  {what} (peak {peak_gb:.1f} GB)", file=sys.stderr, flush=True)

    policy = full_size_policy()
    report("weights drawn")
    tokenizer = build_tokenizer(TOKENIZER_VOCAB_SIZE)
    write_processors(policy.config, tokenizer, dataset_statistics(), folder / "checkpoint")
    write_bfloat16(policy, folder / "checkpoint" / "model.safetensors")
    report("checkpoint written")
    if arguments.checkpoint_only:
        return
    write_cases(policy, folder / "cases", CASES)
    report("cases computed")
    write_modules(policy, folder / "modules.safetensors")
    report("modules computed")


if __name__ == "__main__":
    main()
