//! The model's name of each stored tensor.

use crate::model::ModelType;

const LANGUAGE_HEAD: &str = "paligemma_with_expert.paligemma.lm_head.weight";
const PALIGEMMA: &str = "paligemma_with_expert.paligemma.";
const EXPERT_HEAD: &str = "paligemma_with_expert.gemma_expert.lm_head.weight";

/// Use of a stored tensor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The parameter of this name, or a tensor that the model does not have.
    Parameter(String),
    /// PaliGemma's output layer. It is tied to the token embedding and stands in for it where that is not
    /// stored.
    LanguageHead,
    /// A tensor that the reference stores and the model never reads: the action expert predicts no tokens, and
    /// statistics are no part of the network.
    Unused,
}

/// Finds the use of a tensor of a LeRobot or openpi checkpoint.
///
/// LeRobot writes a leading `model.`, openpi's conversion does not, and early conversions call π0's time MLP
/// as π0.5 does. The reference maps the same names (`PI0Policy._fix_pytorch_state_dict_keys`). Compiled models
/// have `_orig_mod` in between, and PaliGemma's parts have other names in old and new versions of transformers.
pub(super) fn role(stored: &str, model_type: ModelType) -> Role {
    let compiled = stored.replace("_orig_mod.", "");
    if is_old_statistic(&compiled) {
        return Role::Unused;
    }
    if model_type == ModelType::Pi0
        && (compiled.starts_with("time_mlp_in.") || compiled.starts_with("time_mlp_out."))
    {
        return Role::Parameter(format!("action_{compiled}"));
    }
    let name = compiled.strip_prefix("model.").unwrap_or(&compiled);
    let name = match name.strip_prefix(PALIGEMMA) {
        Some(part) => format!("{PALIGEMMA}{}", of_paligemma(part)),
        None => name.to_owned(),
    };
    match name.as_str() {
        LANGUAGE_HEAD => Role::LanguageHead,
        EXPERT_HEAD => Role::Unused,
        _ => Role::Parameter(name),
    }
}

/// Name of a part of PaliGemma as in transformers 4.52 to 5.5.
///
/// Before, the language model was a `language_model.model` with an output layer of its own, and no `model.` came
/// before the parts. Since 5.6 the vision tower has no `vision_model.`.
fn of_paligemma(part: &str) -> String {
    if let Some(layer) = part.strip_prefix("language_model.model.") {
        return format!("model.language_model.{layer}");
    }
    if part.starts_with("language_model.lm_head.") {
        return part.replacen("language_model.", "", 1);
    }
    let nested = match ["vision_tower.", "multi_modal_projector."]
        .iter()
        .any(|old| part.starts_with(old))
    {
        true => format!("model.{part}"),
        false => part.to_owned(),
    };
    match nested.strip_prefix("model.vision_tower.") {
        Some(layer) if !layer.starts_with("vision_model.") => {
            format!("model.vision_tower.vision_model.{layer}")
        }
        _ => nested,
    }
}

/// Finds the network that tensors of these names are of: the norms of π0.5's expert are conditioned on time, and
/// so are layers.
pub(super) fn model_type<'a>(mut stored: impl Iterator<Item = &'a str>) -> ModelType {
    let is_pi05 = |stored: &str| {
        let compiled = stored.replace("_orig_mod.", "");
        compiled.contains("gemma_expert.model.layers.0.input_layernorm.dense.")
    };
    match stored.any(is_pi05) {
        true => ModelType::Pi05,
        false => ModelType::Pi0,
    }
}

/// Whether LeRobot before version 0.4 kept a normalisation statistic under this name.
pub(super) fn is_old_statistic(stored: &str) -> bool {
    let name = stored.strip_prefix("model.").unwrap_or(stored);
    [
        "normalize_inputs.buffer_",
        "normalize_targets.buffer_",
        "unnormalize_outputs.buffer_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str) -> Role {
        Role::Parameter(name.to_owned())
    }

    fn pi0_role(stored: &str) -> Role {
        role(stored, ModelType::Pi0)
    }

    #[test]
    fn a_leading_model_is_taken_off_once() {
        assert_eq!(
            pi0_role("model.state_proj.weight"),
            parameter("state_proj.weight")
        );
        assert_eq!(pi0_role("state_proj.weight"), parameter("state_proj.weight"));
        assert_eq!(
            pi0_role("model.model.state_proj.weight"),
            parameter("model.state_proj.weight")
        );
    }

    #[test]
    fn the_time_mlp_is_renamed_only_where_the_reference_does() {
        assert_eq!(pi0_role("time_mlp_in.bias"), parameter("action_time_mlp_in.bias"));
        assert_eq!(
            pi0_role("time_mlp_out.weight"),
            parameter("action_time_mlp_out.weight")
        );
        assert_eq!(pi0_role("model.time_mlp_in.bias"), parameter("time_mlp_in.bias"));
        assert_eq!(
            role("time_mlp_in.bias", ModelType::Pi05),
            parameter("time_mlp_in.bias")
        );
    }

    #[test]
    fn adaptive_norms_are_pi05_s() {
        let norm = "paligemma_with_expert.gemma_expert.model.layers.0.input_layernorm";
        for prefix in ["", "model.", "model._orig_mod."] {
            let tensors = [format!("{prefix}{norm}.dense.weight")];
            assert_eq!(model_type(tensors.iter().map(String::as_str)), ModelType::Pi05);
            let tensors = [format!("{prefix}{norm}.weight")];
            assert_eq!(model_type(tensors.iter().map(String::as_str)), ModelType::Pi0);
        }
    }

    #[test]
    fn output_layers_are_no_parameters() {
        for prefix in ["", "model."] {
            assert_eq!(pi0_role(&format!("{prefix}{LANGUAGE_HEAD}")), Role::LanguageHead);
            assert_eq!(pi0_role(&format!("{prefix}{EXPERT_HEAD}")), Role::Unused);
        }
    }

    #[test]
    fn parts_of_paligemma_have_one_name_whatever_version_wrote_them() {
        for (stored, name) in [
            (
                "language_model.model.layers.3.mlp.up_proj.weight",
                "model.language_model.layers.3.mlp.up_proj.weight",
            ),
            (
                "language_model.model.norm.weight",
                "model.language_model.norm.weight",
            ),
            (
                "vision_tower.vision_model.post_layernorm.bias",
                "model.vision_tower.vision_model.post_layernorm.bias",
            ),
            (
                "model.vision_tower.post_layernorm.bias",
                "model.vision_tower.vision_model.post_layernorm.bias",
            ),
            (
                "multi_modal_projector.linear.bias",
                "model.multi_modal_projector.linear.bias",
            ),
        ] {
            for prefix in ["", "model.", "model._orig_mod.", "_orig_mod.model."] {
                assert_eq!(
                    pi0_role(&format!("{prefix}{PALIGEMMA}{stored}")),
                    parameter(&format!("{PALIGEMMA}{name}"))
                );
            }
        }
        assert_eq!(
            pi0_role(&format!("model.{PALIGEMMA}language_model.lm_head.weight")),
            Role::LanguageHead
        );
    }

    #[test]
    fn statistics_among_the_weights_are_no_parameters() {
        assert_eq!(
            pi0_role("normalize_inputs.buffer_observation_state.mean"),
            Role::Unused
        );
        assert_eq!(pi0_role("unnormalize_outputs.buffer_action.std"), Role::Unused);
        assert_eq!(
            pi0_role("normalize_inputs.weight"),
            parameter("normalize_inputs.weight")
        );
    }
}
