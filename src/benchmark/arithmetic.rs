//! Floating-point operations of the policy: a product and a sum are two.

use crate::model::{GemmaConfig, ModelType, Pi0Config};

/// Operations of each stage of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// Vision tower and projector for one camera.
    pub vision: f64,
    /// Language model on the prefix, up to the keys and values of its last layer.
    pub prefill: f64,
    /// Action expert on π0's state token, up to the keys and values of its last layer.
    pub state: f64,
    /// Denoising step.
    pub step: f64,
}

impl Arithmetic {
    /// Counts the operations for a prefix of `prefix_tokens`: of all cameras and the prompt.
    pub fn new(config: &Pi0Config, prefix_tokens: usize) -> Self {
        let prefix = prefix_tokens as f64;
        let horizon = config.action_horizon as f64;
        let expert = &config.expert;
        let width = expert.width as f64;
        let action_dim = config.max_action_dim as f64;
        let state_width = config.state_width() as f64;
        // π0's state is a token more, and fused with the time are the actions alone.
        let (state, keys, time_fusion) = match config.model_type {
            ModelType::Pi0 => (
                state_width * width + up_to_keys_and_values(expert, 1.0, prefix + 1.0),
                prefix + 1.0 + horizon,
                3.0 * width * width,
            ),
            ModelType::Pi05 => (0.0, prefix + horizon, 0.0),
        };
        let projections = horizon * (2.0 * action_dim * width + time_fusion);
        Self {
            vision: 2.0 * vision(config),
            prefill: 2.0 * up_to_keys_and_values(&config.vlm, prefix, prefix),
            state: 2.0 * state,
            step: 2.0 * (projections + expert.depth as f64 * layer(expert, horizon, keys)),
        }
    }

    /// Operations of a whole chunk with nothing cached from the last one.
    pub fn chunk(&self, cameras: usize, steps: usize) -> f64 {
        self.vision * cameras as f64 + self.prefill + self.state + self.step * steps as f64
    }
}

fn vision(config: &Pi0Config) -> f64 {
    let vision = &config.vision;
    let (patches, width) = (vision.num_patches() as f64, vision.width as f64);
    let block = 4.0 * width * width + 2.0 * width * vision.mlp_dim as f64 + 2.0 * patches * width;
    let ends = vision.patch_dim() as f64 * width + width * config.vlm.width as f64;
    patches * (ends + vision.depth as f64 * block)
}

/// Products of one layer for `tokens`, each of which attends to `keys`.
fn layer(config: &GemmaConfig, tokens: f64, keys: f64) -> f64 {
    let width = config.width as f64;
    let query_width = (config.num_heads * config.head_dim) as f64;
    let rest = query_width * width + 3.0 * width * config.mlp_dim as f64;
    tokens * (query_key_value(config) + rest + 2.0 * keys * query_width)
}

/// Products of a token's query, keys and values.
fn query_key_value(config: &GemmaConfig) -> f64 {
    (config.width * (config.num_heads + 2 * config.num_kv_heads) * config.head_dim) as f64
}

fn up_to_keys_and_values(config: &GemmaConfig, tokens: f64, keys: f64) -> f64 {
    (config.depth - 1) as f64 * layer(config, tokens, keys) + tokens * query_key_value(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pi05_saves_the_state_and_the_time_fusion() {
        let [pi0, pi05] = [Pi0Config::pi0(), Pi0Config::pi05()].map(|config| Arithmetic::new(&config, 532));
        assert_eq!((pi05.vision, pi05.prefill), (pi0.vision, pi0.prefill));
        assert_eq!(pi05.state, 0.0);
        assert!((0.98..0.999).contains(&(pi05.step / pi0.step)));
    }

    #[test]
    fn a_chunk_of_the_published_size_with_two_cameras_and_twenty_tokens_is_2_8_teraflop() {
        let arithmetic = Arithmetic::new(&Pi0Config::pi0(), 2 * 256 + 20);
        let teraflop = arithmetic.chunk(2, 10) / 1e12;
        assert!((2.6..3.0).contains(&teraflop), "{teraflop}");
    }
}
