//! Sizes of π0. Every size comes from a checkpoint's configuration; none is a constant in the model.

use serde::{Deserialize, Serialize};

use crate::device::PatchGrid;

/// Sizes of the SigLIP vision tower (Zhai et al. 2023; So400m/14 in π0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiglipConfig {
    /// Side of the square input image, in pixels.
    pub image_size: usize,
    /// Side of a square patch, in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Values of a token.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Width of the MLP's hidden layer.
    pub mlp_dim: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Added to the variance in layer norm.
    pub layer_norm_eps: f32,
}

/// Sizes of one Gemma transformer: the vision-language model or the action expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GemmaConfig {
    /// Values of a token.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Width of the MLP's hidden layer.
    pub mlp_dim: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; each serves `num_heads / num_kv_heads` query heads.
    pub num_kv_heads: usize,
    /// Values of one head.
    pub head_dim: usize,
    /// Added to the mean square in RMS norm.
    pub rms_norm_eps: f32,
    /// Base of the rotary position embedding.
    pub rope_theta: f32,
}

/// The two networks, which differ in the action expert's inputs alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum ModelType {
    /// π0 (Black et al. 2024): the state is a token, the time is fused into the action tokens.
    #[default]
    Pi0,
    /// π0.5 (Black et al. 2025): the state is text in the prompt, the time conditions the expert's norms.
    Pi05,
}

impl std::fmt::Display for ModelType {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pi0 => "π0",
            Self::Pi05 => "π0.5",
        })
    }
}

/// Sizes of π0 (Black et al. 2024) and π0.5 (Black et al. 2025).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pi0Config {
    /// Which of the two networks.
    #[serde(default)]
    pub model_type: ModelType,
    /// Vision tower.
    pub vision: SiglipConfig,
    /// Vision-language model.
    pub vlm: GemmaConfig,
    /// Action expert.
    pub expert: GemmaConfig,
    /// Token ids of the vision-language model.
    pub vocab_size: usize,
    /// Width of the padded robot state. π0.5 does not read it, some of its prompts list as many values.
    pub max_state_dim: usize,
    /// Width of a padded action.
    pub max_action_dim: usize,
    /// Actions in a chunk.
    pub action_horizon: usize,
    /// Length of the longest prompt, in tokens, with its beginning-of-sequence token and its newline.
    pub max_prompt_tokens: usize,
    /// Shortest period of the time embedding, in units of flow-matching time.
    pub min_period: f64,
    /// Longest period of the time embedding, in units of flow-matching time.
    pub max_period: f64,
    /// Actions at the beginning of a chunk that it was trained to get clean and to go on from, at most (training-time
    /// real-time chunking); 0 where it was not.
    #[serde(default)]
    pub rtc_training_max_delay: usize,
}

impl SiglipConfig {
    /// SigLIP So400m with patches of 14 pixels at 224 pixels, the tower of PaliGemma.
    pub fn so400m_14_224() -> Self {
        Self {
            image_size: 224,
            patch_size: 14,
            width: 1152,
            depth: 27,
            mlp_dim: 4304,
            num_heads: 16,
            layer_norm_eps: 1e-6,
        }
    }

    /// Values of one head.
    pub fn head_dim(&self) -> usize {
        self.width / self.num_heads
    }

    /// Division of an image into patches.
    pub fn patch_grid(&self) -> PatchGrid {
        PatchGrid {
            image_size: self.image_size,
            patch_size: self.patch_size,
        }
    }

    /// Patches of an image, which are its tokens.
    pub fn num_patches(&self) -> usize {
        self.patch_grid().num_patches()
    }

    /// Values of one RGB patch.
    pub fn patch_dim(&self) -> usize {
        self.patch_grid().patch_dim()
    }
}

impl GemmaConfig {
    /// Gemma 2B, π0's vision-language model.
    pub fn gemma_2b() -> Self {
        Self {
            width: 2048,
            depth: 18,
            mlp_dim: 16384,
            num_heads: 8,
            num_kv_heads: 1,
            head_dim: 256,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
        }
    }

    /// Gemma 300M, π0's action expert.
    pub fn gemma_300m() -> Self {
        Self {
            width: 1024,
            mlp_dim: 4096,
            ..Self::gemma_2b()
        }
    }
}

impl Pi0Config {
    /// π0 as published: 3.3 billion parameters, chunks of 50 actions of 32 values.
    pub fn pi0() -> Self {
        Self {
            model_type: ModelType::Pi0,
            vision: SiglipConfig::so400m_14_224(),
            vlm: GemmaConfig::gemma_2b(),
            expert: GemmaConfig::gemma_300m(),
            vocab_size: 257_152,
            max_state_dim: 32,
            max_action_dim: 32,
            action_horizon: 50,
            max_prompt_tokens: 48,
            min_period: 4e-3,
            max_period: 4.0,
            rtc_training_max_delay: 0,
        }
    }

    /// π0.5 as published: like π0, with longer prompts.
    pub fn pi05() -> Self {
        Self {
            model_type: ModelType::Pi05,
            max_prompt_tokens: 200,
            ..Self::pi0()
        }
    }

    /// Sizes of the published network of a type.
    pub fn published(model_type: ModelType) -> Self {
        match model_type {
            ModelType::Pi0 => Self::pi0(),
            ModelType::Pi05 => Self::pi05(),
        }
    }

    /// Width of the state that the network reads as a token; 0 where it is text in the prompt.
    pub fn state_width(&self) -> usize {
        match self.model_type {
            ModelType::Pi0 => self.max_state_dim,
            ModelType::Pi05 => 0,
        }
    }

    /// Problems of these sizes, one sentence each; empty when such a network can be built.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let Self {
            vision, vlm, expert, ..
        } = self;
        for (name, value) in [
            ("vision.image_size", vision.image_size),
            ("vision.patch_size", vision.patch_size),
            ("vision.width", vision.width),
            ("vision.depth", vision.depth),
            ("vision.mlp_dim", vision.mlp_dim),
            ("vision.num_heads", vision.num_heads),
            ("vlm.width", vlm.width),
            ("vlm.depth", vlm.depth),
            ("vlm.mlp_dim", vlm.mlp_dim),
            ("vlm.num_heads", vlm.num_heads),
            ("vlm.num_kv_heads", vlm.num_kv_heads),
            ("vlm.head_dim", vlm.head_dim),
            ("expert.width", expert.width),
            ("expert.mlp_dim", expert.mlp_dim),
            ("vocab_size", self.vocab_size),
            ("max_state_dim", self.max_state_dim),
            ("max_action_dim", self.max_action_dim),
            ("action_horizon", self.action_horizon),
            ("max_prompt_tokens", self.max_prompt_tokens),
        ] {
            require(value > 0, format!("{name} is 0, expected at least 1"));
        }
        require(
            vision.patch_size > 0 && vision.image_size.is_multiple_of(vision.patch_size),
            format!(
                "vision.image_size {} is not a multiple of vision.patch_size {}",
                vision.image_size, vision.patch_size
            ),
        );
        require(
            vision.num_heads > 0 && vision.width.is_multiple_of(vision.num_heads),
            format!(
                "vision.width {} is not a multiple of vision.num_heads {}",
                vision.width, vision.num_heads
            ),
        );
        require(
            vlm.num_kv_heads > 0 && vlm.num_heads.is_multiple_of(vlm.num_kv_heads),
            format!(
                "vlm.num_heads {} is not a multiple of vlm.num_kv_heads {}",
                vlm.num_heads, vlm.num_kv_heads
            ),
        );
        require(
            vlm.head_dim.is_multiple_of(2),
            format!("vlm.head_dim {} is odd, rope rotates pairs", vlm.head_dim),
        );
        require(
            expert.width.is_multiple_of(2),
            format!(
                "expert.width {} is odd, the time embedding is half sine, half cosine",
                expert.width
            ),
        );
        for (name, vlm, expert) in [
            ("depth", vlm.depth, expert.depth),
            ("num_heads", vlm.num_heads, expert.num_heads),
            ("num_kv_heads", vlm.num_kv_heads, expert.num_kv_heads),
            ("head_dim", vlm.head_dim, expert.head_dim),
        ] {
            require(
                vlm == expert,
                format!("vlm.{name} {vlm} and expert.{name} {expert} differ, but the two share attention"),
            );
        }
        require(
            vlm.rope_theta == expert.rope_theta && vlm.rope_theta > 0.0,
            format!(
                "vlm.rope_theta {} and expert.rope_theta {} must be equal and positive",
                vlm.rope_theta, expert.rope_theta
            ),
        );
        require(
            0.0 < self.min_period && self.min_period < self.max_period,
            format!(
                "min_period {} must be positive and below max_period {}",
                self.min_period, self.max_period
            ),
        );
        require(
            self.rtc_training_max_delay < self.action_horizon.max(1),
            format!(
                "rtc_training_max_delay {} must be below the {} actions of a chunk",
                self.rtc_training_max_delay, self.action_horizon
            ),
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_have_no_problems() {
        assert_eq!(Pi0Config::pi0().problems(), Vec::<String>::new());
        assert_eq!(Pi0Config::pi05().problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let mut config = Pi0Config::pi0();
        config.vision.patch_size = 13;
        config.expert.head_dim = 128;
        config.action_horizon = 0;
        config.min_period = 5.0;
        config.rtc_training_max_delay = 1;
        let problems = config.problems().join("\n");
        assert_eq!(problems.lines().count(), 5, "{problems}");
        for named in [
            "action_horizon",
            "vision.patch_size 13",
            "expert.head_dim 128",
            "min_period 5",
            "rtc_training_max_delay 1",
        ] {
            assert!(problems.contains(named), "{named} not in: {problems}");
        }
    }

    #[test]
    fn zero_sizes_are_problems_and_not_divisions_by_zero() {
        let mut config = Pi0Config::pi0();
        config.vision.patch_size = 0;
        config.vision.num_heads = 0;
        config.vlm.num_kv_heads = 0;
        assert!(config.problems().len() >= 3);
    }
}
