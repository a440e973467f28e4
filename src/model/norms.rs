//! Norms of a Gemma transformer: stored with the weights, or made for one flow-matching time.

use super::by_row::ByRow;
use super::config::GemmaConfig;
use super::weights::Weights;
use crate::device::{Device, HostTensor, Result};

/// Norms of all layers, and the one behind the last.
pub struct Norms<D: Device> {
    /// Norms of every layer, in order.
    pub layers: Vec<LayerNorms<D>>,
    /// Norm behind the last layer. Its gate is not used.
    pub norm: RmsNorm<D>,
}

/// Norms of one layer.
pub struct LayerNorms<D: Device> {
    /// Norm before attention.
    pub input_layernorm: RmsNorm<D>,
    /// Norm before the MLP.
    pub post_attention_layernorm: RmsNorm<D>,
}

/// `x / rms(x) · (1 + scale) + shift` before a sublayer, and the gate of the sublayer's result.
pub struct RmsNorm<D: Device> {
    /// `1 + scale`, `[width]`
    weight: D::Tensor,
    modulation: Option<Modulation<D>>,
    eps: f32,
}

/// What an adaptive norm has beside its scale, `[width]` each.
struct Modulation<D: Device> {
    shift: D::Tensor,
    gate: D::Tensor,
}

impl<D: Device> Norms<D> {
    /// Uploads the norms of the transformer whose parameters begin with `name`.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn stored(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Self::new(config, |norm| {
            RmsNorm::stored(config, device, weights, &format!("{name}.{norm}"))
        })
    }

    /// Makes every norm from its name, in the order in which data passes them.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(super) fn new(
        config: &GemmaConfig,
        mut norm: impl FnMut(&str) -> Result<RmsNorm<D>>,
    ) -> Result<Self> {
        let layer = |layer: usize| -> Result<LayerNorms<D>> {
            Ok(LayerNorms {
                input_layernorm: norm(&format!("layers.{layer}.input_layernorm"))?,
                post_attention_layernorm: norm(&format!("layers.{layer}.post_attention_layernorm"))?,
            })
        };
        Ok(Self {
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
            norm: norm("norm")?,
        })
    }
}

impl<D: Device> RmsNorm<D> {
    fn stored(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        let scale = weights.tensor(&format!("{name}.weight")).to_f32();
        Ok(Self {
            weight: upload_weight(device, &scale)?,
            modulation: None,
            eps: config.rms_norm_eps,
        })
    }

    /// Makes an adaptive norm of one condition from its scale, shift and gate, `[3 · width]`.
    pub(super) fn adaptive(config: &GemmaConfig, device: &D, modulation: &[f32]) -> Result<Self> {
        let (scale, rest) = modulation.split_at(config.width);
        let (shift, gate) = rest.split_at(config.width);
        let row = |values: &[f32]| device.upload_parameter(&HostTensor::from_f32(values, &[values.len()]));
        Ok(Self {
            weight: upload_weight(device, scale)?,
            modulation: Some(Modulation {
                shift: row(shift)?,
                gate: row(gate)?,
            }),
            eps: config.rms_norm_eps,
        })
    }

    /// Normalises `[tokens, width]`.
    ///
    /// # Errors
    /// When the width is another, or the device fails.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        let shift = self.modulation.as_ref().map(|modulation| &modulation.shift);
        device.rms_norm(hidden, &self.weight, shift, self.eps)
    }

    /// Gate that the result of the sublayer behind the norm is multiplied with, `[width]`, before it is added
    /// to the residual; `None` for 1.
    pub fn gate(&self) -> Option<&D::Tensor> {
        self.modulation.as_ref().map(|modulation| &modulation.gate)
    }
}

impl<D: Device> ByRow<'_, RmsNorm<D>, D> {
    /// Normalises `[tokens, width]`, and gives the gate of the sublayer behind the norm: `[width]`, or `[tokens, width]`
    /// where it differs by row.
    ///
    /// # Errors
    /// When the width is another, or the device fails.
    pub(super) fn forward_and_gate(
        self,
        device: &D,
        hidden: &D::Tensor,
    ) -> Result<(D::Tensor, Option<D::Tensor>)> {
        let normed = self.rows(device, |norm| norm.forward(device, hidden))?;
        let gate = self.and_then(RmsNorm::gate);
        let gate = gate.map(|gate| gate.rows(device, |gate| Ok(gate.clone())));
        Ok((normed, gate.transpose()?))
    }
}

fn upload_weight<D: Device>(device: &D, scale: &[f32]) -> Result<D::Tensor> {
    let weight: Vec<f32> = scale.iter().map(|scale| 1.0 + scale).collect();
    device.upload_parameter(&HostTensor::from_f32(&weight, &[weight.len()]))
}
