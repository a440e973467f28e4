//! LeRobot's and openpi's configuration of a policy, and peft's of an adapter.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_fuzz::CheckpointFolder;
use pi0_node::checkpoint::inspect;

static POLICY: LazyLock<CheckpointFolder> = LazyLock::new(|| CheckpointFolder::of("config.json"));
static ADAPTER: LazyLock<CheckpointFolder> = LazyLock::new(|| CheckpointFolder::of("adapter_config.json"));

fuzz_target!(|input: &[u8]| {
    for folder in [&POLICY, &ADAPTER] {
        let folder = folder.write(input);
        pi0_fuzz::bounded(input, || {
            let _ = inspect(folder);
        });
    }
});
