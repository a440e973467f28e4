//! How long each stage of a chunk takes, and how much of the machine it uses.

mod arithmetic;
#[cfg(feature = "tenstorrent")]
mod card_graph;
mod memory;
mod products;
mod random_weights;
mod report;
mod stages;

pub use arithmetic::Arithmetic;
#[cfg(feature = "tenstorrent")]
pub use card_graph::{CardGraph, Chip, MockedCard, Replayed};
pub use products::{Products, measure_products};
pub use random_weights::RandomWeights;
pub use report::{Report, Stage};
pub use stages::{Workload, run};

use crate::model::{GemmaConfig, Pi0Config, SiglipConfig};

/// The sizes of the policy that comes with the package.
pub fn demo_sized() -> Pi0Config {
    let gemma = |width, mlp_dim| GemmaConfig {
        width,
        depth: 4,
        mlp_dim,
        num_heads: 8,
        num_kv_heads: 1,
        head_dim: 16,
        ..GemmaConfig::gemma_2b()
    };
    Pi0Config {
        vision: SiglipConfig {
            image_size: 120,
            patch_size: 20,
            width: 64,
            depth: 3,
            mlp_dim: 160,
            num_heads: 4,
            layer_norm_eps: 1e-6,
        },
        vlm: gemma(64, 160),
        expert: gemma(96, 256),
        vocab_size: 384,
        max_state_dim: 14,
        max_action_dim: 14,
        ..Pi0Config::pi0()
    }
}
