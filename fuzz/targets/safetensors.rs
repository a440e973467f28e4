//! Tensors in safetensors: the names and shapes of weights, and the values of statistics.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::inspect;

static WEIGHTS: LazyLock<CheckpointFolder> = LazyLock::new(|| CheckpointFolder::of("model.safetensors"));
static STATISTICS: LazyLock<CheckpointFolder> = LazyLock::new(|| {
    CheckpointFolder::of("policy_preprocessor_step_6_normalizer_processor.safetensors").with(&[
        "config.json",
        "policy_preprocessor.json",
        "policy_postprocessor.json",
        "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
    ])
});

fuzz_target!(|input: &[u8]| {
    for folder in [&WEIGHTS, &STATISTICS] {
        let folder = folder.write(input);
        pi0_fuzz::bounded(input, || {
            let _ = inspect(folder);
        });
    }
});
