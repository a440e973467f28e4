//! Descriptions of robots (URDF).
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_node::control::joint_limits;

static JOINTS: LazyLock<[String; 2]> = LazyLock::new(|| ["waist", "elbow"].map(str::to_owned));

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    pi0_fuzz::bounded(input, || {
        if let Ok(limits) = joint_limits(text, &*JOINTS) {
            assert_eq!(limits.len(), JOINTS.len());
        }
    });
});
