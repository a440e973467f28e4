//! openpi's statistics.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::inspect;

const CONFIG: &str = r#"{"action_dim": 32, "action_horizon": 50, "paligemma_variant": "gemma_2b",
    "action_expert_variant": "gemma_300m"}"#;

static FOLDER: LazyLock<CheckpointFolder> =
    LazyLock::new(|| CheckpointFolder::of("assets/robot/norm_stats.json").with_text("config.json", CONFIG));

fuzz_target!(|input: &[u8]| {
    let folder = FOLDER.write(input);
    pi0_fuzz::bounded(input, || {
        let _ = inspect(folder);
    });
});
