//! LeRobot's pipelines around a policy.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::inspect;

static FOLDER: LazyLock<CheckpointFolder> = LazyLock::new(|| {
    CheckpointFolder::of("policy_preprocessor.json").with(&[
        "config.json",
        "policy_preprocessor_step_6_normalizer_processor.safetensors",
        "policy_postprocessor.json",
        "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
    ])
});

fuzz_target!(|input: &[u8]| {
    let folder = FOLDER.write(input);
    pi0_fuzz::bounded(input, || {
        let _ = inspect(folder);
    });
});
