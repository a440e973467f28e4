//! Number of floating-point operations of a policy: a multiplication and an addition are two.

use crate::model::{GemmaConfig, Pi0Config};

/// Operations of each stage of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// One camera's picture through the vision tower and the projector.
    pub vision: f64,
    /// The prefix through the language model, as far as its keys and values.
    pub prefill: f64,
    /// The state's token, as far as its keys and values.
    pub state: f64,
    /// One denoising step.
    pub step: f64,
}

impl Arithmetic {
    /// Operations behind a prefix of `prefix_tokens`, all cameras' and the prompt's.
    pub fn new(config: &Pi0Config, prefix_tokens: usize) -> Self {
        let prefix = prefix_tokens as f64;
        let horizon = config.action_horizon as f64;
        let expert = &config.expert;
        let width = expert.width as f64;
        let action_dim = config.max_action_dim as f64;
        let projections = horizon * (2.0 * action_dim * width + 3.0 * width * width);
        Self {
            vision: 2.0 * vision(config),
            prefill: 2.0 * as_far_as_keys_and_values(&config.vlm, prefix, prefix),
            state: 2.0
                * (config.max_state_dim as f64 * width
                    + as_far_as_keys_and_values(expert, 1.0, prefix + 1.0)),
            step: 2.0 * (projections + expert.depth as f64 * layer(expert, horizon, prefix + 1.0 + horizon)),
        }
    }

    /// Operations of a whole chunk with nothing reused from the last one.
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

/// Multiplications of one layer for `tokens`, each of which attends to `keys`.
fn layer(config: &GemmaConfig, tokens: f64, keys: f64) -> f64 {
    let width = config.width as f64;
    let query_width = (config.num_heads * config.head_dim) as f64;
    let rest = query_width * width + 3.0 * width * config.mlp_dim as f64;
    tokens * (query_key_value(config) + rest + 2.0 * keys * query_width)
}

/// Multiplications of the query, key and value projections for a token.
fn query_key_value(config: &GemmaConfig) -> f64 {
    (config.width * (config.num_heads + 2 * config.num_kv_heads) * config.head_dim) as f64
}

fn as_far_as_keys_and_values(config: &GemmaConfig, tokens: f64, keys: f64) -> f64 {
    (config.depth - 1) as f64 * layer(config, tokens, keys) + tokens * query_key_value(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_of_the_published_size_with_two_cameras_and_twenty_tokens_is_2_8_teraflop() {
        let arithmetic = Arithmetic::new(&Pi0Config::pi0(), 2 * 256 + 20);
        let teraflop = arithmetic.chunk(2, 10) / 1e12;
        assert!((2.6..3.0).contains(&teraflop), "{teraflop}");
    }
}
