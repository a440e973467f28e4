//! Random weights for benchmarks and tests, which need no checkpoint.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use half::bf16;

use crate::device::{Dtype, HostTensor};
use crate::model::denoise::sample_noise;
use crate::model::parameters::parameters;
use crate::model::{Pi0Config, Weights};

/// Number of values that are drawn; every tensor reads them from an offset of its own.
const DRAWN: usize = 1 << 20;

/// Random weights with which activations stay near one. Each tensor is made on request.
pub struct RandomWeights {
    shapes: HashMap<String, Vec<usize>>,
    drawn: Vec<f32>,
}

impl RandomWeights {
    /// Draws the values for a model of this configuration.
    pub fn new(config: &Pi0Config) -> Self {
        Self {
            shapes: parameters(config)
                .into_iter()
                .map(|parameter| (parameter.name, parameter.shape))
                .collect(),
            drawn: sample_noise(0, 0, DRAWN),
        }
    }
}

impl Weights for RandomWeights {
    fn tensor(&self, name: &str) -> HostTensor<'_> {
        let shape = &self.shapes[name];
        let inputs: usize = shape[1..].iter().product();
        let scale = match shape.len() {
            1 => 0.1,
            _ => (inputs as f32).sqrt().recip(),
        };
        let scaled: Vec<u8> = self
            .drawn
            .iter()
            .flat_map(|value| bf16::from_f32(value * scale).to_le_bytes())
            .collect();
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let start = 2 * (hasher.finish() as usize % DRAWN);
        let count = 2 * shape.iter().product::<usize>();
        let mut bytes = Vec::with_capacity(count);
        bytes.extend_from_slice(&scaled[start..][..count.min(scaled.len() - start)]);
        while bytes.len() < count {
            let left = count - bytes.len();
            bytes.extend_from_slice(&scaled[..left.min(scaled.len())]);
        }
        HostTensor {
            dtype: Dtype::Bf16,
            shape: shape.clone(),
            bytes: Cow::Owned(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelType;

    #[test]
    fn every_parameter_of_the_model_has_its_shape() {
        for model_type in [ModelType::Pi0, ModelType::Pi05] {
            let config = Pi0Config {
                model_type,
                ..super::super::demo_sized()
            };
            let weights = RandomWeights::new(&config);
            for parameter in parameters(&config) {
                let tensor = weights.tensor(&parameter.name);
                assert_eq!(tensor.shape, parameter.shape);
                assert_eq!(tensor.to_f32().len(), tensor.len(), "{}", parameter.name);
            }
        }
    }

    #[test]
    fn a_weight_s_variance_is_one_over_its_inputs() {
        let config = super::super::demo_sized();
        let weights = RandomWeights::new(&config);
        let tensor = weights.tensor("action_time_mlp_in.weight");
        let values = tensor.to_f32();
        let variance = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        assert!(
            (variance * tensor.shape[1] as f32 - 1.0).abs() < 0.05,
            "{variance}"
        );
    }
}
