//! Parameters of π0 and π0.5: names and shapes.
//!
//! The names are those of the reference (LeRobot `PI0Pytorch` and `PI05Pytorch`, which are openpi's PyTorch names too), without
//! LeRobot's leading `model.`. A linear layer's weight is `[outputs, inputs]`.

use super::config::{GemmaConfig, ModelType, Pi0Config, SiglipConfig};

/// Prefix of the vision tower's parameters.
pub const VISION_TOWER: &str = "paligemma_with_expert.paligemma.model.vision_tower.vision_model";
/// Prefix of the parameters of the projector between vision tower and language model.
pub const PROJECTOR: &str = "paligemma_with_expert.paligemma.model.multi_modal_projector.linear";
/// Prefix of the language model's parameters.
pub const LANGUAGE_MODEL: &str = "paligemma_with_expert.paligemma.model.language_model";
/// Prefix of the action expert's parameters.
pub const EXPERT: &str = "paligemma_with_expert.gemma_expert.model";
/// Name of the embedding table.
pub const EMBED_TOKENS: &str = "paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight";

/// Name and shape of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The reference's name.
    pub name: String,
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Lists all parameters that a model of this configuration reads, in the order in which data passes them.
pub fn parameters(config: &Pi0Config) -> Vec<Parameter> {
    let mut list = List(Vec::new());
    list.siglip(&config.vision);
    list.linear(PROJECTOR, config.vlm.width, config.vision.width);
    list.push(EMBED_TOKENS.to_owned(), [config.vocab_size, config.vlm.width]);
    list.gemma(LANGUAGE_MODEL, &config.vlm, List::norm);
    let width = config.expert.width;
    match config.model_type {
        ModelType::Pi0 => {
            list.gemma(EXPERT, &config.expert, List::norm);
            list.linear("state_proj", width, config.max_state_dim);
            list.linear("action_in_proj", width, config.max_action_dim);
            list.linear("action_time_mlp_in", width, 2 * width);
            list.linear("action_time_mlp_out", width, width);
        }
        ModelType::Pi05 => {
            list.linear("time_mlp_in", width, width);
            list.linear("time_mlp_out", width, width);
            list.gemma(EXPERT, &config.expert, List::adaptive_norm);
            list.linear("action_in_proj", width, config.max_action_dim);
        }
    }
    list.linear("action_out_proj", config.max_action_dim, width);
    list.0
}

struct List(Vec<Parameter>);

impl List {
    fn push<const N: usize>(&mut self, name: String, shape: [usize; N]) {
        self.0.push(Parameter {
            name,
            shape: shape.to_vec(),
        });
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.push(format!("{name}.weight"), [outputs, inputs]);
        self.push(format!("{name}.bias"), [outputs]);
    }

    fn layer_norm(&mut self, name: &str, width: usize) {
        self.push(format!("{name}.weight"), [width]);
        self.push(format!("{name}.bias"), [width]);
    }

    fn siglip(&mut self, config: &SiglipConfig) {
        let SiglipConfig {
            width,
            patch_size,
            mlp_dim,
            ..
        } = *config;
        let embeddings = format!("{VISION_TOWER}.embeddings");
        self.push(
            format!("{embeddings}.patch_embedding.weight"),
            [width, 3, patch_size, patch_size],
        );
        self.push(format!("{embeddings}.patch_embedding.bias"), [width]);
        self.push(
            format!("{embeddings}.position_embedding.weight"),
            [config.num_patches(), width],
        );
        for layer in 0..config.depth {
            let layer = format!("{VISION_TOWER}.encoder.layers.{layer}");
            self.layer_norm(&format!("{layer}.layer_norm1"), width);
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                self.linear(&format!("{layer}.self_attn.{projection}"), width, width);
            }
            self.layer_norm(&format!("{layer}.layer_norm2"), width);
            self.linear(&format!("{layer}.mlp.fc1"), mlp_dim, width);
            self.linear(&format!("{layer}.mlp.fc2"), width, mlp_dim);
        }
        self.layer_norm(&format!("{VISION_TOWER}.post_layernorm"), width);
    }

    fn norm(&mut self, name: String, width: usize) {
        self.push(format!("{name}.weight"), [width]);
    }

    fn adaptive_norm(&mut self, name: String, width: usize) {
        self.linear(&format!("{name}.dense"), 3 * width, width);
    }

    fn gemma(&mut self, name: &str, config: &GemmaConfig, norm: fn(&mut Self, String, usize)) {
        let GemmaConfig {
            width,
            mlp_dim,
            head_dim,
            ..
        } = *config;
        let query_width = config.num_heads * head_dim;
        let key_width = config.num_kv_heads * head_dim;
        for layer in 0..config.depth {
            let layer = format!("{name}.layers.{layer}");
            norm(self, format!("{layer}.input_layernorm"), width);
            self.push(format!("{layer}.self_attn.q_proj.weight"), [query_width, width]);
            self.push(format!("{layer}.self_attn.k_proj.weight"), [key_width, width]);
            self.push(format!("{layer}.self_attn.v_proj.weight"), [key_width, width]);
            self.push(format!("{layer}.self_attn.o_proj.weight"), [width, query_width]);
            norm(self, format!("{layer}.post_attention_layernorm"), width);
            self.push(format!("{layer}.mlp.gate_proj.weight"), [mlp_dim, width]);
            self.push(format!("{layer}.mlp.up_proj.weight"), [mlp_dim, width]);
            self.push(format!("{layer}.mlp.down_proj.weight"), [width, mlp_dim]);
        }
        norm(self, format!("{name}.norm"), width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of openpi's published checkpoints, without the expert's unused output layer.
    #[test]
    fn published_sizes_have_as_many_parameters_as_published_checkpoints() {
        for (config, expected) in [
            (Pi0Config::pi0(), 3_238_048_528),
            (Pi0Config::pi05(), 3_353_433_872),
        ] {
            let total: usize = parameters(&config)
                .iter()
                .map(|parameter| parameter.shape.iter().product::<usize>())
                .sum();
            assert_eq!(total, expected, "{:?}", config.model_type);
        }
    }

    #[test]
    fn no_parameter_is_listed_twice() {
        for config in [Pi0Config::pi0(), Pi0Config::pi05()] {
            let mut names: Vec<_> = parameters(&config)
                .into_iter()
                .map(|parameter| parameter.name)
                .collect();
            let listed = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), listed);
        }
    }
}
