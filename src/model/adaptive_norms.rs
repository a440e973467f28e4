//! Adaptive norms of π0.5's action expert: how flow-matching time conditions them (AdaRMS, openpi `gemma.py`).
//!
//! Scale, shift and gate depend on the time alone. They are computed on the host, once a
//! [`Schedule`](super::Schedule), so that their 116 million parameters never take memory of the device.

use std::collections::BTreeMap;

use super::config::Pi0Config;
use super::embedding::sinusoidal_embedding;
use super::norms::{Norms, RmsNorm};
use super::parameters::EXPERT;
use super::weights::Weights;
use crate::device::{Device, HostTensor, Result};

/// Time MLP and modulation of every norm, on the host in the type in which they are stored.
pub struct AdaptiveNorms {
    time_mlp_in: Dense,
    time_mlp_out: Dense,
    /// By the norm's name within the expert.
    modulations: BTreeMap<String, Dense>,
}

/// A linear layer on the host.
struct Dense {
    /// `[outputs, inputs]`
    weight: HostTensor<'static>,
    /// `[outputs]`
    bias: Vec<f32>,
}

impl AdaptiveNorms {
    /// Copies the parameters.
    pub fn new(config: &Pi0Config, weights: &dyn Weights) -> Self {
        let dense = |name: &str| Dense {
            weight: weights.tensor(&format!("{name}.weight")).into_owned(),
            bias: weights.tensor(&format!("{name}.bias")).to_f32(),
        };
        let layers = (0..config.expert.depth).flat_map(|layer| {
            ["input_layernorm", "post_attention_layernorm"].map(|norm| format!("layers.{layer}.{norm}"))
        });
        Self {
            time_mlp_in: dense("time_mlp_in"),
            time_mlp_out: dense("time_mlp_out"),
            modulations: layers
                .chain(["norm".to_owned()])
                .map(|norm| {
                    let modulation = dense(&format!("{EXPERT}.{norm}.dense"));
                    (norm, modulation)
                })
                .collect(),
        }
    }

    /// Computes the condition of flow-matching times, `[times, expert.width]`: their sine-cosine embedding
    /// through the time MLP (LeRobot `PI05Pytorch.embed_suffix`).
    pub fn condition(&self, config: &Pi0Config, times: &[f32]) -> Vec<f32> {
        let embed = |time: &f32| {
            sinusoidal_embedding(*time, config.expert.width, config.min_period, config.max_period)
        };
        let embedded: Vec<f32> = times.iter().flat_map(embed).collect();
        let hidden = silu(self.time_mlp_in.forward(&embedded));
        silu(self.time_mlp_out.forward(&hidden))
    }

    /// Computes what the norms are under conditions `[times, expert.width]`: scale, shift and gate one behind
    /// the other, `[times, 3 · expert.width]`, by the norm's name within the expert.
    pub fn modulations(&self, condition: &[f32]) -> BTreeMap<&str, Vec<f32>> {
        // A weight is read once for all times: reading is what takes the time.
        self.modulations
            .iter()
            .map(|(norm, dense)| (norm.as_str(), dense.forward(condition)))
            .collect()
    }

    /// Uploads the expert's norms at each of these flow-matching times.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn at<D: Device>(&self, config: &Pi0Config, device: &D, times: &[f32]) -> Result<Vec<Norms<D>>> {
        let modulations = self.modulations(&self.condition(config, times));
        let width = 3 * config.expert.width;
        (0..times.len())
            .map(|time| {
                Norms::new(&config.expert, |norm| {
                    let modulation = &modulations[norm][time * width..][..width];
                    RmsNorm::adaptive(&config.expert, device, modulation)
                })
            })
            .collect()
    }
}

impl Dense {
    /// `x · weightᵀ + bias`: rows of `[inputs]` to rows of `[outputs]`.
    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y = self.weight.project(x);
        for row in y.chunks_exact_mut(self.bias.len()) {
            for (y, bias) in row.iter_mut().zip(&self.bias) {
                *y += bias;
            }
        }
        y
    }
}

fn silu(mut values: Vec<f32>) -> Vec<f32> {
    for x in &mut values {
        *x /= 1.0 + (-*x).exp();
    }
    values
}
