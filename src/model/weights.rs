//! From named parameters to layers on a device.

use crate::device::{Device, HostTensor, Result};

/// Where the model takes its parameters from.
pub trait Weights {
    /// The tensor of a name from [`parameters`](super::parameters::parameters), with the shape given there.
    fn tensor(&self, name: &str) -> HostTensor<'_>;
}

/// Layers of one input with weight and bias, as one product.
pub(super) fn linear_with_bias<D: Device>(
    device: &D,
    weights: &dyn Weights,
    names: &[String],
) -> Result<D::Linear> {
    device.upload_linear(
        &tensors(weights, names, "weight"),
        &tensors(weights, names, "bias"),
    )
}

/// Layers of one input with weight alone, as one product.
pub(super) fn linear_without_bias<D: Device>(
    device: &D,
    weights: &dyn Weights,
    names: &[String],
) -> Result<D::Linear> {
    device.upload_linear(&tensors(weights, names, "weight"), &[])
}

fn tensors<'a>(weights: &'a dyn Weights, names: &[String], kind: &str) -> Vec<HostTensor<'a>> {
    names
        .iter()
        .map(|name| weights.tensor(&format!("{name}.{kind}")))
        .collect()
}
