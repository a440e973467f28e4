"""The reference at full size (π0: 3.3 billion parameters, π0.5: 3.4; random weights).

Writes `FOLDER/checkpoint` (bfloat16) and, computed in f32 from the same values, `FOLDER/cases` and
`FOLDER/modules.safetensors`, named as the small fixtures are.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_STATE
from transformers.initialization import no_init_weights

from pi0_tools.reference.bfloat16_checkpoint import round_to_bfloat16, write_bfloat16
from pi0_tools.reference.lerobot_checkpoint import write_processors
from pi0_tools.reference.module_rows import write_modules
from pi0_tools.reference.network_cases import Case, write_cases
from pi0_tools.reference.policy_types import POLICY_TYPES, PolicyType
from pi0_tools.reference.prompt_tokenizer import build_tokenizer
from pi0_tools.reference.random_weights import randomise
from pi0_tools.reference.small_policy import JOINTS, camera_key, dataset_statistics

WEIGHTS_SEED = 500
# Through 27 and 18 layers, norms far from their rest would make the activations grow.
NORM_STD = 0.05
TOKENIZER_VOCAB_SIZE = 300
# π0.5 pads its prompts to 200 tokens; 14 joints are about 71.
CASES = {"pi0": [Case("one_camera")], "pi05": [Case("one_camera", prompt_tokens=200, valid_tokens=71)]}


def full_size_policy(policy_type: PolicyType) -> PreTrainedPolicy:
    config = policy_type.config_class(
        input_features={
            OBS_STATE: PolicyFeature(FeatureType.STATE, (len(JOINTS),)),
            camera_key("top"): PolicyFeature(FeatureType.VISUAL, (3, 480, 640)),
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (len(JOINTS),))},
        device="cpu",
    )
    # LeRobot builds some parts twice; memory that nothing writes to is never taken.
    with no_init_weights():
        policy = policy_type.policy_class(config).eval()
    # Neither policy has a use for the two language heads, which are 3 GB in f32.
    policy.model.paligemma_with_expert.paligemma.lm_head = None
    policy.model.paligemma_with_expert.gemma_expert.lm_head = None
    randomise(policy, WEIGHTS_SEED, NORM_STD)
    round_to_bfloat16(policy)
    return policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--policy", choices=POLICY_TYPES, default="pi0")
    parser.add_argument("--checkpoint-only", action="store_true", help="compute nothing with it")
    arguments = parser.parse_args()
    folder = arguments.folder
    started = time.monotonic()

    def report(what: str) -> None:
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        elapsed_s = time.monotonic() - started
        print(f"{elapsed_s:6.0f} s  {what} (peak {peak_gb:.1f} GB)", file=sys.stderr, flush=True)

    policy_type = POLICY_TYPES[arguments.policy]
    policy = full_size_policy(policy_type)
    report("weights drawn")
    tokenizer = build_tokenizer(TOKENIZER_VOCAB_SIZE)
    write_processors(policy.config, tokenizer, dataset_statistics(policy_type), folder / "checkpoint")
    write_bfloat16(policy, folder / "checkpoint" / "model.safetensors")
    report("checkpoint written")
    if arguments.checkpoint_only:
        return
    write_cases(policy, folder / "cases", CASES[policy_type.name])
    report("cases computed")
    write_modules(policy, folder / "modules.safetensors")
    report("modules computed")


if __name__ == "__main__":
    main()
