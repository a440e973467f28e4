//! Version of LeRobot that wrote a configuration.

use serde_json::Value;

/// Keys of a configuration of π0 or π0.5 and the version whose training first writes them, newest first.
const FIRST_WRITTEN: [(&str, &str); 6] = [
    ("use_visual_memory", "after 0.6.1"),
    ("pretrained_revision", "0.6.0 or later"),
    ("use_relative_actions", "0.5.1"),
    ("freeze_vision_encoder", "0.4.3 to 0.5.0"),
    ("rtc_config", "0.4.2"),
    ("num_inference_steps", "0.4.0 or 0.4.1"),
];
/// Keys that LeRobot wrote before 0.4 alone.
const BEFORE_0_4: [&str; 3] = ["num_steps", "resize_imgs_with_padding", "adapt_to_pi_aloha"];

/// Tells the version as far as the keys tell it.
pub(super) fn of(config: &Value) -> &'static str {
    let has = |key: &str| config.get(key).is_some();
    if BEFORE_0_4.iter().any(|key| has(key)) {
        return "0.3";
    }
    FIRST_WRITTEN
        .iter()
        .find(|(key, _)| has(key))
        .map_or("unknown", |(_, version)| *version)
}

/// Whether the version is one that does not tell whether images have bars of −3 and whether π0.5's state is padded.
pub(super) fn is_before_0_5_1(config: &Value) -> bool {
    !matches!(of(config), "after 0.6.1" | "0.6.0 or later" | "0.5.1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_key_tells_the_version() {
        assert_eq!(
            of(&json!({ "rtc_config": null, "num_inference_steps": 10 })),
            "0.4.2"
        );
        assert_eq!(
            of(&json!({ "rtc_config": null, "use_relative_actions": false })),
            "0.5.1"
        );
        assert_eq!(of(&json!({ "num_steps": 10, "num_inference_steps": 10 })), "0.3");
        assert_eq!(of(&json!({ "type": "pi0" })), "unknown");
    }
}
