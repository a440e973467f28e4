//! Layers on a device, made of named parameters.

use crate::device::{Device, HeadLayout, HostTensor, Result};

/// A source of the model's parameters.
pub trait Weights {
    /// Tensor of a name from [`parameters`](super::parameters::parameters), with the shape given there.
    fn tensor(&self, name: &str) -> HostTensor<'_>;
}

/// Uploads layers of one input, with weight and bias, as one product.
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

/// Uploads a layer whose product is added to a residual.
pub(super) fn residual_linear<D: Device>(
    device: &D,
    weights: &dyn Weights,
    name: &str,
    with_bias: bool,
) -> Result<D::Linear> {
    let bias = with_bias.then(|| weights.tensor(&format!("{name}.bias")));
    device.upload_residual_linear(&weights.tensor(&format!("{name}.weight")), bias.as_ref())
}

fn tensors<'a>(weights: &'a dyn Weights, names: &[String], kind: &str) -> Vec<HostTensor<'a>> {
    names
        .iter()
        .map(|name| weights.tensor(&format!("{name}.{kind}")))
        .collect()
}

/// The projections around one layer's attention.
pub(super) struct AttentionLinears<D: Device> {
    /// Heads of one sequence.
    pub layout: HeadLayout,
    pub qkv: D::Linear,
    pub out: D::Linear,
}

/// Width of a head on a device: that of the model, padded to a tile.
///
/// Zeros are added behind each half of a head: they change no product of a query and a key, put zeros behind
/// the values, and rotation still pairs the halves.
#[derive(Clone, Copy)]
pub(super) struct HeadWidth {
    head_dim: usize,
    pub padded: usize,
}

impl<D: Device> AttentionLinears<D> {
    /// Uploads queries, keys and values of the named layers as one product, and the output layer.
    pub fn new(
        device: &D,
        weights: &dyn Weights,
        layout: HeadLayout,
        qkv: &[String; 3],
        out: &str,
        with_bias: bool,
    ) -> Result<Self> {
        let width = HeadWidth::new(layout.head_dim, device.tile_size());
        let heads = |kind| -> Vec<HostTensor> {
            let tensors = tensors(weights, qkv, kind);
            tensors
                .into_iter()
                .map(|tensor| width.pad_outputs(tensor))
                .collect()
        };
        let out_weight = width.pad_inputs(weights.tensor(&format!("{out}.weight")));
        let (biases, out_bias) = if with_bias {
            (heads("bias"), Some(weights.tensor(&format!("{out}.bias"))))
        } else {
            (Vec::new(), None)
        };
        Ok(Self {
            layout: HeadLayout {
                head_dim: width.padded,
                ..layout
            },
            qkv: device.upload_linear(&heads("weight"), &biases)?,
            out: device.upload_residual_linear(&out_weight, out_bias.as_ref())?,
        })
    }
}

impl HeadWidth {
    pub fn new(head_dim: usize, tile: usize) -> Self {
        Self {
            head_dim,
            padded: head_dim.next_multiple_of(tile),
        }
    }

    /// Pads a row `[head_dim]` to `[padded]`.
    pub fn pad_row(self, row: impl ExactSizeIterator<Item = f32>) -> Vec<f32> {
        let row: Vec<f32> = row.collect();
        self.pad_outputs(HostTensor::from_f32(&row, &[self.head_dim]))
            .to_f32()
    }

    /// Pads `[heads · head_dim, …]`.
    fn pad_outputs<'a>(self, tensor: HostTensor<'a>) -> HostTensor<'a> {
        let mut shape = tensor.shape.clone();
        shape[0] = shape[0] / self.head_dim * self.padded;
        let inner = tensor.shape[1..].iter().product();
        self.pad_halves(tensor, inner, &shape)
    }

    /// Pads `[outputs, heads · head_dim]`.
    fn pad_inputs<'a>(self, tensor: HostTensor<'a>) -> HostTensor<'a> {
        let shape = [tensor.shape[0], tensor.shape[1] / self.head_dim * self.padded];
        self.pad_halves(tensor, 1, &shape)
    }

    fn pad_halves<'a>(self, tensor: HostTensor<'a>, inner: usize, shape: &[usize]) -> HostTensor<'a> {
        if self.padded == self.head_dim {
            return tensor;
        }
        tensor.pad_groups(self.head_dim / 2 * inner, self.padded / 2 * inner, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_padded_behind_each_half() {
        let width = HeadWidth::new(4, 6);
        let weight = HostTensor::from_f32(&[1.0, 2.0, 3.0, 4.0], &[4, 1]);
        let padded = width.pad_outputs(weight.clone());
        assert_eq!(padded.shape, [6, 1]);
        assert_eq!(padded.to_f32(), [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
        let padded = width.pad_inputs(weight.reshape(&[1, 4]));
        assert_eq!(padded.shape, [1, 6]);
        assert_eq!(padded.to_f32(), [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
    }

    #[test]
    fn a_head_that_fits_the_tiles_stays_as_it_is() {
        assert_eq!(HeadWidth::new(256, 32).padded, 256);
        assert_eq!(HeadWidth::new(72, 32).padded, 96);
        assert_eq!(HeadWidth::new(7, 1).padded, 7);
    }
}
