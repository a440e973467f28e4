//! SigLIP vision tower: an image becomes one token a patch (Zhai et al. 2023; a pre-norm ViT).

use super::attention::AttentionMask;
use super::config::SiglipConfig;
use super::parameters::VISION_TOWER;
use super::weights::{AttentionLinears, Weights, linear_with_bias, residual_linear};
use crate::device::{Activation, Device, HeadLayout, Heads, KeysValues, Pixels, Result};

/// Vision tower of one checkpoint.
pub struct Siglip<D: Device> {
    config: SiglipConfig,
    patch_embedding: D::Linear,
    /// `[tokens, width]`
    position_embedding: D::Tensor,
    /// Masks the tokens that are no patches, `[tokens, tokens]`; `None` where all are.
    mask: Option<D::Tensor>,
    /// Transformer blocks, in order.
    pub blocks: Vec<Block<D>>,
    post_layernorm: LayerNorm<D>,
}

/// One transformer block: attention and MLP, each after a norm and around a residual.
pub struct Block<D: Device> {
    /// Norm before attention.
    pub layer_norm1: LayerNorm<D>,
    /// Attention within an image.
    pub attention: Attention<D>,
    layer_norm2: LayerNorm<D>,
    /// MLP with a GELU.
    pub mlp: Mlp<D>,
}

/// Attention of every patch to every patch of its image.
pub struct Attention<D: Device> {
    linears: AttentionLinears<D>,
    scale: f32,
}

/// Images that go through the tower together.
pub struct Images<'a, D: Device> {
    /// Number of images.
    pub count: usize,
    /// Added to the scores within an image, `[tokens, tokens]`.
    pub mask: Option<&'a D::Tensor>,
}

/// Two layers with a GELU between.
pub struct Mlp<D: Device> {
    fc1: D::Linear,
    fc2: D::Linear,
}

/// `(x − mean(x)) / √(variance(x) + eps) · weight + bias`, over each token.
pub struct LayerNorm<D: Device> {
    weight: D::Tensor,
    bias: D::Tensor,
    eps: f32,
}

impl<D: Device> Siglip<D> {
    /// Uploads the weights.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights) -> Result<Self> {
        let embeddings = format!("{VISION_TOWER}.embeddings");
        // A convolution whose stride is its kernel is a linear layer of unfolded patches.
        let kernel = weights.tensor(&format!("{embeddings}.patch_embedding.weight"));
        let kernel = kernel.reshape(&[config.width, config.patch_dim()]);
        let bias = weights.tensor(&format!("{embeddings}.patch_embedding.bias"));
        let positions = weights.tensor(&format!("{embeddings}.position_embedding.weight"));
        let (patches, tokens) = (config.num_patches(), tokens_of_an_image(config, device));
        let positions = positions.pad_groups(
            patches * config.width,
            tokens * config.width,
            &[tokens, config.width],
        );
        let valid: Vec<bool> = (0..tokens).map(|token| token < patches).collect();
        Ok(Self {
            mask: AttentionMask::padding(tokens, &valid).upload(device)?,
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

    /// Runs images `[3, image_size, image_size]` that are on the device to one token a patch, `[images ·
    /// tokens, width]`.
    pub fn forward(&self, device: &D, images: &[&D::Tensor]) -> Result<D::Tensor> {
        let mut hidden = self.embed_patches(device, images)?;
        let images = Images {
            count: images.len(),
            mask: self.mask.as_ref(),
        };
        for block in &self.blocks {
            hidden = block.forward(device, &hidden, &images)?;
        }
        self.post_layernorm.forward(device, &hidden)
    }

    /// Embeds the patches of images `[3, image_size, image_size]` with their positions: `[images · tokens,
    /// width]`.
    pub fn embed_patches(&self, device: &D, images: &[&D::Tensor]) -> Result<D::Tensor> {
        let embedded = device.linear(
            &self.patches(device, images)?,
            &self.patch_embedding,
            Activation::None,
        )?;
        device.add(&embedded, &self.position_embedding)
    }

    /// `[images · tokens, patch_dim]`
    fn patches(&self, device: &D, images: &[&D::Tensor]) -> Result<D::Tensor> {
        let grid = self.config.patch_grid();
        if let [image] = images {
            return device.patches(image, grid);
        }
        let patches: Vec<D::Tensor> = images
            .iter()
            .map(|image| device.patches(image, grid))
            .collect::<Result<_>>()?;
        device.concat_rows(&patches.iter().collect::<Vec<_>>())
    }

    /// Uploads an image `[3, image_size, image_size]`.
    ///
    /// # Errors
    /// When it has another size, or the device fails.
    pub fn upload_image(&self, device: &D, pixels: &Pixels) -> Result<D::Tensor> {
        device.upload_image(pixels, self.config.image_size)
    }
}

/// Tokens of an image on a device: its patches, padded to a tile.
pub fn tokens_of_an_image<D: Device>(config: &SiglipConfig, device: &D) -> usize {
    config.num_patches().next_multiple_of(device.tile_size())
}

impl<D: Device> Block<D> {
    fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            layer_norm1: LayerNorm::new(config, device, weights, &format!("{name}.layer_norm1"))?,
            attention: Attention::new(config, device, weights, &format!("{name}.self_attn"))?,
            layer_norm2: LayerNorm::new(config, device, weights, &format!("{name}.layer_norm2"))?,
            mlp: Mlp {
                fc1: linear_with_bias(device, weights, &[format!("{name}.mlp.fc1")])?,
                fc2: residual_linear(device, weights, &format!("{name}.mlp.fc2"), true)?,
            },
        })
    }

    /// Runs the block: `[images · tokens, width]` to the same shape.
    pub fn forward(&self, device: &D, hidden: &D::Tensor, images: &Images<D>) -> Result<D::Tensor> {
        let normed = self.layer_norm1.forward(device, hidden)?;
        let hidden = self.attention.forward(device, &normed, hidden, images)?;
        let normed = self.layer_norm2.forward(device, &hidden)?;
        self.mlp.forward(device, &normed, &hidden)
    }
}

impl<D: Device> Attention<D> {
    fn new(config: &SiglipConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        let layout = HeadLayout {
            sequences: 1,
            num_heads: config.num_heads,
            num_kv_heads: config.num_heads,
            head_dim: config.head_dim(),
        };
        let qkv = ["q_proj", "k_proj", "v_proj"].map(|projection| format!("{name}.{projection}"));
        let out = format!("{name}.out_proj");
        AttentionLinears::new(device, weights, layout, &qkv, &out, true).map(|linears| Self {
            linears,
            scale: (config.head_dim() as f32).sqrt().recip(),
        })
    }

    /// Adds the attention within each image of `[images · tokens, width]` to `residual`.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        residual: &D::Tensor,
        images: &Images<D>,
    ) -> Result<D::Tensor> {
        let AttentionLinears { layout, qkv, out } = &self.linears;
        let qkv = device.linear(hidden, qkv, Activation::None)?;
        let layout = HeadLayout {
            sequences: images.count,
            ..*layout
        };
        let Heads {
            queries,
            keys,
            values,
        } = device.split_heads(&qkv, layout)?;
        let attended = KeysValues { keys, values };
        let attended = device.attention(&queries, &attended, images.count, images.mask, self.scale)?;
        device.linear_add(&attended, out, None, residual)
    }
}

impl<D: Device> Mlp<D> {
    /// Adds the MLP of `[images · tokens, width]` to `residual`.
    pub fn forward(&self, device: &D, hidden: &D::Tensor, residual: &D::Tensor) -> Result<D::Tensor> {
        let hidden = device.linear(hidden, &self.fc1, Activation::GeluTanh)?;
        device.linear_add(&hidden, &self.fc2, None, residual)
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

    /// Normalises `[images · tokens, width]`.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        device.layer_norm(hidden, &self.weight, &self.bias, self.eps)
    }
}
