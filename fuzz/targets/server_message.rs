//! Messages to and from a server: decoded, and read as each kind of message.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_node::policy::ActionPrefix;
use pi0_node::protocol::{Answer, DecodeLimits, KeyPreset, Metadata, ObservationKeys, decode, encode};

static KEYS: LazyLock<[ObservationKeys; 3]> = LazyLock::new(|| {
    [KeyPreset::Aloha, KeyPreset::Droid, KeyPreset::Libero]
        .map(|preset| ObservationKeys::new(preset, [("base_0_rgb", false), ("top", true)]))
});

fuzz_target!(|input: &[u8]| {
    pi0_fuzz::bounded(input, || {
        let Ok(message) = decode(input, DecodeLimits::default()) else {
            return;
        };
        for keys in KEYS.iter() {
            let _ = keys.images(&message);
            let _ = keys.state(&message);
            let _ = keys.prompt(&message);
        }
        let _ = ActionPrefix::from_observation(&message, 2);
        let _ = Answer::from_value(&message);
        let _ = Metadata::from_value(&message);
        let encoded = encode(&message);
        let again = decode(&encoded, DecodeLimits::default()).expect("what was encoded");
        assert_eq!(encode(&again), encoded);
    });
});
