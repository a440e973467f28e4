//! openpi's statistics.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::inspect;

static FOLDER: LazyLock<CheckpointFolder> = LazyLock::new(|| {
    CheckpointFolder::new(
        "tests/fixtures/reference/checkpoint",
        "assets/robot/norm_stats.json",
        |name| name != "model.safetensors",
    )
});

fuzz_target!(|input: &[u8]| {
    let folder = FOLDER.write(input);
    pi0_fuzz::bounded(input, || {
        let _ = inspect(folder);
    });
});
