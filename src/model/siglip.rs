//! SigLIP vision tower: an image becomes one token per patch (Zhai et al. 2023; a pre-norm ViT).

use super::config::SiglipConfig;
use super::parameters::VISION_TOWER;
use super::weights::{Weights, linear_with_bias};
use crate::device::{Activation, Device, DeviceError, HeadLayout, Result};

/// The tower of one checkpoint.
pub struct Siglip<D: Device> {
    config: SiglipConfig,
    patch_embedding: D::Linear,
    /// `[patches, width]`
    position_embedding: D::Tensor,
    pub blocks: Vec<Block<D>>,
    post_layernorm: LayerNorm<D>,
}

/// One transformer block: attention and MLP, each after a norm and around a residual.
pub struct Block<D: Device> {
    layer_norm1: LayerNorm<D>,
    pub attention: Attention<D>,
    layer_norm2: LayerNorm<D>,
    pub mlp: Mlp<D>,
}

/// Attention of every patch to every patch.
pub struct Attention<D: Device> {
    layout: HeadLayout,
    qkv: D::Linear,
    out: D::Linear,
}

/// Two layers with a GELU between.
pub struct Mlp<D: Device> {
    fc1: D::Linear,
    fc2: D::Linear,
}

struct LayerNorm<D: Device> {
    weight: D::Tensor,
    bias: D::Tensor,
    eps: f32,
}

impl<D: Device> Siglip<D> {
    pub fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights) -> Result<Self> {
        let embeddings = format!("{VISION_TOWER}.embeddings");
        // A convolution whose stride is its kernel is a linear layer of unfolded patches.
        let kernel = weights.tensor(&format!("{embeddings}.patch_embedding.weight"));
        let kernel = kernel.reshape(&[config.width, config.patch_dim()]);
        let bias = weights.tensor(&format!("{embeddings}.patch_embedding.bias"));
        let positions = weights.tensor(&format!("{embeddings}.position_embedding.weight"));
        Ok(Self {
            config: config.clone(),
            patch_embedding: device.upload_linear(&[kernel], &[bias])?,
            position_embedding: device.upload_parameter(&positions)?,
            blocks: (0..config.depth)
                .map(|layer| {
                    let name = format!("{VISION_TOWER}.encoder.layers.{layer}");
                    Block::new(config, device, weights, &name)
                })
                .collect::<Result<_>>()?,
            post_layernorm: LayerNorm::new(
                config,
                device,
                weights,
                &format!("{VISION_TOWER}.post_layernorm"),
            )?,
        })
    }

    /// An image `[3, image_size, image_size]` in [−1, 1] to one token per patch, `[patches, width]`.
    pub fn forward(&self, device: &D, image: &[f32]) -> Result<D::Tensor> {
        let mut hidden = self.embed_patches(device, image)?;
        for block in &self.blocks {
            hidden = block.forward(device, &hidden)?;
        }
        self.post_layernorm.forward(device, &hidden)
    }

    /// An image `[3, image_size, image_size]` to its patches' embeddings with their positions, `[patches, width]`.
    pub fn embed_patches(&self, device: &D, image: &[f32]) -> Result<D::Tensor> {
        let size = self.config.image_size;
        if image.len() != 3 * size * size {
            return Err(DeviceError::Shape {
                operation: "embed_patches",
                problem: format!("{} values, expected an image [3, {size}, {size}]", image.len()),
            });
        }
        let patches = unfold(image, size, self.config.patch_size);
        let shape = [self.config.num_patches(), self.config.patch_dim()];
        let patches = device.upload(&patches, &shape)?;
        let embedded = device.linear(&patches, &self.patch_embedding, Activation::None)?;
        device.add(&embedded, &self.position_embedding)
    }
}

impl<D: Device> Block<D> {
    fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            layer_norm1: LayerNorm::new(config, device, weights, &format!("{name}.layer_norm1"))?,
            attention: Attention::new(config, device, weights, &format!("{name}.self_attn"))?,
            layer_norm2: LayerNorm::new(config, device, weights, &format!("{name}.layer_norm2"))?,
            mlp: Mlp {
                fc1: linear_with_bias(device, weights, &[format!("{name}.mlp.fc1")])?,
                fc2: linear_with_bias(device, weights, &[format!("{name}.mlp.fc2")])?,
            },
        })
    }

    /// `[patches, width]` to the same shape.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        let normed = self.layer_norm1.forward(device, hidden)?;
        let hidden = device.add(hidden, &self.attention.forward(device, &normed)?)?;
        let normed = self.layer_norm2.forward(device, &hidden)?;
        device.add(&hidden, &self.mlp.forward(device, &normed)?)
    }
}

impl<D: Device> Attention<D> {
    fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            layout: HeadLayout {
                num_heads: config.num_heads,
                num_kv_heads: config.num_heads,
                head_dim: config.head_dim(),
            },
            qkv: linear_with_bias(
                device,
                weights,
                &["q_proj", "k_proj", "v_proj"].map(|projection| format!("{name}.{projection}")),
            )?,
            out: linear_with_bias(device, weights, &[format!("{name}.out_proj")])?,
        })
    }

    /// `[patches, width]` to the same shape.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        let qkv = device.linear(hidden, &self.qkv, Activation::None)?;
        let heads = device.split_heads(&qkv, self.layout)?;
        let patches = device.shape(hidden)[0];
        let scale = (self.layout.head_dim as f32).sqrt().recip();
        let attended = device.attention(&heads.queries, &heads.keys, &heads.values, patches, None, scale)?;
        device.linear(&attended, &self.out, Activation::None)
    }
}

impl<D: Device> Mlp<D> {
    /// `[patches, width]` to the same shape.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        let hidden = device.linear(hidden, &self.fc1, Activation::GeluTanh)?;
        device.linear(&hidden, &self.fc2, Activation::None)
    }
}

impl<D: Device> LayerNorm<D> {
    fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            weight: device.upload_parameter(&weights.tensor(&format!("{name}.weight")))?,
            bias: device.upload_parameter(&weights.tensor(&format!("{name}.bias")))?,
            eps: config.layer_norm_eps,
        })
    }

    fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        device.layer_norm(hidden, &self.weight, &self.bias, self.eps)
    }
}

/// Pixels in the order in which a convolution reads them: `[3, size, size]` to `[patches, 3 · patch_size²]`.
fn unfold(image: &[f32], size: usize, patch_size: usize) -> Vec<f32> {
    let patches = size / patch_size;
    let mut unfolded = Vec::with_capacity(image.len());
    for patch_row in 0..patches {
        for patch_column in 0..patches {
            for channel in 0..3 {
                for row in 0..patch_size {
                    let y = patch_row * patch_size + row;
                    let start = (channel * size + y) * size + patch_column * patch_size;
                    unfolded.extend_from_slice(&image[start..start + patch_size]);
                }
            }
        }
    }
    unfolded
}
