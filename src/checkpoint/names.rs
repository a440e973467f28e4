//! The model's name of each stored tensor.

const LANGUAGE_HEAD: &str = "paligemma_with_expert.paligemma.lm_head.weight";
const EXPERT_HEAD: &str = "paligemma_with_expert.gemma_expert.lm_head.weight";

/// Use of a stored tensor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The parameter of this name, or a tensor that the model does not have.
    Parameter(String),
    /// PaliGemma's output layer. It is tied to the token embedding and stands in for it where that is not
    /// stored.
    LanguageHead,
    /// A tensor that the reference stores and never reads: the action expert predicts no tokens.
    Unused,
}

/// Finds the use of a tensor of a LeRobot or openpi checkpoint.
///
/// LeRobot writes a leading `model.`, openpi's conversion does not, and early conversions call π0's time MLP
/// as π0.5 does. The reference maps the same names (`PI0Policy._fix_pytorch_state_dict_keys`).
pub(super) fn role(stored: &str) -> Role {
    let name = stored.strip_prefix("model.").unwrap_or(stored);
    if name == LANGUAGE_HEAD {
        return Role::LanguageHead;
    }
    if name == EXPERT_HEAD {
        return Role::Unused;
    }
    if stored.starts_with("time_mlp_in.") || stored.starts_with("time_mlp_out.") {
        return Role::Parameter(format!("action_{stored}"));
    }
    Role::Parameter(name.to_owned())
}

/// Whether only π0.5 has a tensor of this name: its expert's norms are conditioned on time, and so are
/// layers.
pub(super) fn is_pi05(stored: &str) -> bool {
    stored.contains("gemma_expert.model.layers.0.input_layernorm.dense.")
}

/// Whether LeRobot before version 0.4 kept a normalisation statistic under this name.
pub(super) fn is_old_statistic(stored: &str) -> bool {
    ["normalize_inputs.", "normalize_targets.", "unnormalize_outputs."]
        .iter()
        .any(|prefix| stored.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str) -> Role {
        Role::Parameter(name.to_owned())
    }

    #[test]
    fn a_leading_model_is_taken_off_once() {
        assert_eq!(role("model.state_proj.weight"), parameter("state_proj.weight"));
        assert_eq!(role("state_proj.weight"), parameter("state_proj.weight"));
        assert_eq!(
            role("model.model.state_proj.weight"),
            parameter("model.state_proj.weight")
        );
    }

    #[test]
    fn the_time_mlp_is_renamed_only_where_the_reference_does() {
        assert_eq!(role("time_mlp_in.bias"), parameter("action_time_mlp_in.bias"));
        assert_eq!(
            role("time_mlp_out.weight"),
            parameter("action_time_mlp_out.weight")
        );
        assert_eq!(role("model.time_mlp_in.bias"), parameter("time_mlp_in.bias"));
    }

    #[test]
    fn output_layers_are_no_parameters() {
        for prefix in ["", "model."] {
            assert_eq!(role(&format!("{prefix}{LANGUAGE_HEAD}")), Role::LanguageHead);
            assert_eq!(role(&format!("{prefix}{EXPERT_HEAD}")), Role::Unused);
        }
    }
}
