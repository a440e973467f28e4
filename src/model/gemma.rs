//! Gemma: the transformer of the vision-language model and of the action expert (Gemma Team 2024).

use super::config::GemmaConfig;
use super::embedding::rope_table;
use super::weights::{AttentionLinears, HeadWidth, Weights, linear_without_bias, residual_linear};
use crate::device::{Activation, Device, HeadLayout, Heads, HostTensor, KeysValues, Result, RopeTable};

/// One transformer. The two of π0 have weights of their own and share attention through a [`KvCache`].
pub struct Gemma<D: Device> {
    /// Transformer blocks, in order.
    pub layers: Vec<Layer<D>>,
    /// Norm after the last block.
    pub norm: RmsNorm<D>,
}

/// One block: attention and GeGLU MLP, each after a norm and around a residual.
pub struct Layer<D: Device> {
    /// Norm before attention.
    pub input_layernorm: RmsNorm<D>,
    /// Attention to the tokens of the pass, or to the whole cache.
    pub attention: Attention<D>,
    /// Norm before the MLP.
    pub post_attention_layernorm: RmsNorm<D>,
    /// GeGLU MLP.
    pub mlp: Mlp<D>,
}

/// Attention in which all query heads share few key and value heads.
pub struct Attention<D: Device>(AttentionLinears<D>);

/// `down(gelu_tanh(gate(x)) · up(x))`.
pub struct Mlp<D: Device> {
    gate_up: D::Linear,
    down: D::Linear,
}

/// `x / rms(x) · (1 + weight)`.
pub struct RmsNorm<D: Device> {
    /// `1 + weight`
    weight: D::Tensor,
    eps: f32,
}

/// Keys (rotated) and values that later tokens attend to, one pair `[num_kv_heads, capacity, head_dim]` a
/// layer.
pub struct KvCache<D: Device> {
    /// Cache of every layer, in order.
    pub layers: Vec<LayerCache<D>>,
}

/// Keys and values of one layer.
pub type LayerCache<D> = KeysValues<<D as Device>::Tensor>;

/// One pass of tokens through a transformer: their positions, and the tokens that they attend to.
pub struct Pass<D: Device> {
    /// Tokens of the cache that they attend to.
    pub kind: PassKind,
    /// Rotation of the tokens at their positions.
    pub rope: Rope<D>,
    /// Added to the scores: `[tokens, tokens]` in a prefill, `[tokens, capacity]` in a suffix. `None` masks
    /// nothing.
    pub mask: Option<D::Tensor>,
}

/// Tokens of the cache that the tokens of a pass attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassKind {
    /// The first tokens of the cache, which attend to each other alone.
    Prefill,
    /// Tokens from index `start` of the cache on, which attend to the whole cache.
    Suffix {
        /// Index in the cache of the first token.
        start: usize,
    },
}

impl PassKind {
    /// Index in the cache of the first token.
    fn start(self) -> usize {
        match self {
            Self::Prefill => 0,
            Self::Suffix { start } => start,
        }
    }
}

/// Rotation of tokens at their positions.
pub struct Rope<D: Device> {
    /// Includes attention's scale, head_dim^−½, so that the scores need no pass of their own.
    queries: RopeTable<D::Tensor>,
    keys: RopeTable<D::Tensor>,
}

impl<D: Device> Rope<D> {
    /// Computes the rotation at these positions, one a token.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(config: &GemmaConfig, device: &D, positions: &[i64]) -> Result<Self> {
        let table = |scale| rope_table(device, positions, config.head_dim, config.rope_theta, scale);
        Ok(Self {
            queries: table((config.head_dim as f32).sqrt().recip())?,
            keys: table(1.0)?,
        })
    }
}

impl<D: Device> Gemma<D> {
    /// Uploads the transformer whose parameters begin with `name`.
    ///
    /// # Errors
    /// When the device has no memory for it or fails.
    pub fn new(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            layers: (0..config.depth)
                .map(|layer| Layer::new(config, device, weights, &format!("{name}.layers.{layer}")))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(config, device, weights, &format!("{name}.norm"))?,
        })
    }

    /// Runs tokens `[tokens, width]` through all layers and the final norm, and leaves their keys and values
    /// in the cache.
    pub fn forward(
        &self,
        device: &D,
        tokens: D::Tensor,
        pass: &Pass<D>,
        cache: &mut KvCache<D>,
    ) -> Result<D::Tensor> {
        let mut hidden = tokens;
        for (layer, cache) in self.layers.iter().zip(&mut cache.layers) {
            hidden = layer.forward(device, &hidden, pass, cache)?;
        }
        self.norm.forward(device, &hidden)
    }

    /// Runs tokens `[tokens, width]` for their keys and values alone: nothing reads the output of the last
    /// layer, so it is not computed.
    pub fn fill_cache(
        &self,
        device: &D,
        tokens: D::Tensor,
        pass: &Pass<D>,
        cache: &mut KvCache<D>,
    ) -> Result<()> {
        let mut hidden = tokens;
        let last = self.layers.len() - 1;
        for (layer, cache) in self.layers[..last].iter().zip(&mut cache.layers) {
            hidden = layer.forward(device, &hidden, pass, cache)?;
        }
        let normed = self.layers[last].input_layernorm.forward(device, &hidden)?;
        let attention = &self.layers[last].attention;
        let (_, tokens) = attention.project(device, &normed, pass)?;
        device.write_tokens(&mut cache.layers[last], pass.kind.start(), &tokens)
    }
}

impl<D: Device> Layer<D> {
    fn new(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        let linear = |parts: &[&str]| {
            let names: Vec<_> = parts.iter().map(|part| format!("{name}.{part}")).collect();
            linear_without_bias(device, weights, &names)
        };
        let norm = |part| RmsNorm::new(config, device, weights, &format!("{name}.{part}"));
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            attention: Attention(AttentionLinears::new(
                device,
                weights,
                HeadLayout {
                    sequences: 1,
                    num_heads: config.num_heads,
                    num_kv_heads: config.num_kv_heads,
                    head_dim: config.head_dim,
                },
                &["q_proj", "k_proj", "v_proj"].map(|part| format!("{name}.self_attn.{part}")),
                &format!("{name}.self_attn.o_proj"),
                false,
            )?),
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: Mlp {
                gate_up: linear(&["mlp.gate_proj", "mlp.up_proj"])?,
                down: residual_linear(device, weights, &format!("{name}.mlp.down_proj"), false)?,
            },
        })
    }

    /// Runs the block: `[tokens, width]` to the same shape.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        pass: &Pass<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let normed = self.input_layernorm.forward(device, hidden)?;
        let hidden = self.attention.forward(device, &normed, hidden, pass, cache)?;
        let normed = self.post_attention_layernorm.forward(device, &hidden)?;
        self.mlp.forward(device, &normed, &hidden)
    }
}

impl<D: Device> Attention<D> {
    /// Adds the attention of `[tokens, width]` to `residual`, and leaves keys and values in the cache.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        residual: &D::Tensor,
        pass: &Pass<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let (queries, tokens) = self.project(device, hidden, pass)?;
        device.write_tokens(cache, pass.kind.start(), &tokens)?;
        let queries = device.rope(&queries, &pass.rope.queries)?;
        let attended = match pass.kind {
            PassKind::Prefill => &tokens,
            PassKind::Suffix { .. } => cache,
        };
        let attended = device.attention(&queries, attended, 1, pass.mask.as_ref(), 1.0)?;
        device.linear_add(&attended, &self.0.out, residual)
    }

    /// Projects tokens to queries, which are not yet rotated, to rotated keys, and to values.
    fn project(
        &self,
        device: &D,
        hidden: &D::Tensor,
        pass: &Pass<D>,
    ) -> Result<(D::Tensor, KeysValues<D::Tensor>)> {
        let qkv = device.linear(hidden, &self.0.qkv, Activation::None)?;
        let Heads {
            queries,
            keys,
            values,
        } = device.split_heads(&qkv, self.0.layout)?;
        let keys = device.rope(&keys, &pass.rope.keys)?;
        Ok((queries, KeysValues { keys, values }))
    }
}

impl<D: Device> Mlp<D> {
    /// Adds the MLP of `[tokens, width]` to `residual`.
    pub fn forward(&self, device: &D, hidden: &D::Tensor, residual: &D::Tensor) -> Result<D::Tensor> {
        let gated = device.geglu(hidden, &self.gate_up)?;
        device.linear_add(&gated, &self.down, residual)
    }
}

impl<D: Device> RmsNorm<D> {
    fn new(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"));
        let scale: Vec<f32> = weight.to_f32().iter().map(|weight| 1.0 + weight).collect();
        Ok(Self {
            weight: device.upload_parameter(&HostTensor::from_f32(&scale, &weight.shape))?,
            eps: config.rms_norm_eps,
        })
    }

    /// Normalises `[tokens, width]`.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        device.rms_norm(hidden, &self.weight, self.eps)
    }
}

impl<D: Device> KvCache<D> {
    /// Allocates a cache for `capacity` tokens.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn new(config: &GemmaConfig, device: &D, capacity: usize) -> Result<Self> {
        let head_dim = HeadWidth::new(config.head_dim, device.tile_size()).padded;
        let shape = [config.num_kv_heads, capacity, head_dim];
        let layer = |_| -> Result<LayerCache<D>> {
            Ok(KeysValues {
                keys: device.zeros(&shape)?,
                values: device.zeros(&shape)?,
            })
        };
        Ok(Self {
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
        })
    }
}
