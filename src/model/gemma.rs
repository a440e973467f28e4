//! Gemma: the transformer of the vision-language model and of the action expert (Gemma Team 2024).

use super::config::GemmaConfig;
use super::embedding::rope_table;
use super::weights::{AttentionLinears, HeadWidth, Weights, linear_without_bias, residual_linear};
use crate::device::{Activation, Device, HeadLayout, Heads, HostTensor, KeysValues, Result, RopeTable};

/// One transformer. The two of π0 have weights of their own and share attention through a [`KvCache`].
pub struct Gemma<D: Device> {
    pub layers: Vec<Layer<D>>,
    pub norm: RmsNorm<D>,
}

/// One block: attention and GeGLU MLP, each after a norm and around a residual.
pub struct Layer<D: Device> {
    pub input_layernorm: RmsNorm<D>,
    pub attention: Attention<D>,
    pub post_attention_layernorm: RmsNorm<D>,
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
    /// With the one in it.
    weight: D::Tensor,
    eps: f32,
}

/// Keys (rotated) and values that later tokens attend to, one pair `[num_kv_heads, capacity, head_dim]` a layer.
pub struct KvCache<D: Device> {
    pub layers: Vec<LayerCache<D>>,
}

/// Keys and values of one layer.
pub type LayerCache<D> = KeysValues<<D as Device>::Tensor>;

/// Where tokens stand: in the cache from `start` on, turned by their positions, seeing what `mask` lets them.
pub struct Placement<'a, D: Device> {
    /// Tokens at 0 attend to themselves alone, all others to the whole cache.
    pub start: usize,
    pub rope: &'a Rope<D>,
    /// Added to the scores, `[tokens, tokens]` at 0, else `[tokens, capacity]`.
    pub mask: Option<&'a D::Tensor>,
}

/// The rotation of tokens at their positions.
pub struct Rope<D: Device> {
    /// Has attention's scale, head_dim^−½, in it, so that the scores need no pass of their own.
    queries: RopeTable<D::Tensor>,
    keys: RopeTable<D::Tensor>,
}

impl<D: Device> Rope<D> {
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
    pub fn new(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            layers: (0..config.depth)
                .map(|layer| Layer::new(config, device, weights, &format!("{name}.layers.{layer}")))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(config, device, weights, &format!("{name}.norm"))?,
        })
    }

    /// Tokens `[tokens, width]` through all layers and the final norm, their keys and values left in the cache.
    pub fn forward(
        &self,
        device: &D,
        tokens: D::Tensor,
        placement: &Placement<D>,
        cache: &mut KvCache<D>,
    ) -> Result<D::Tensor> {
        let mut hidden = tokens;
        for (layer, cache) in self.layers.iter().zip(&mut cache.layers) {
            hidden = layer.forward(device, &hidden, placement, cache)?;
        }
        self.norm.forward(device, &hidden)
    }

    /// The same for tokens of which only the keys and values are wanted: nothing reads what the last layer does
    /// beyond them, so it is not computed.
    pub fn fill_cache(
        &self,
        device: &D,
        tokens: D::Tensor,
        placement: &Placement<D>,
        cache: &mut KvCache<D>,
    ) -> Result<()> {
        let mut hidden = tokens;
        let last = self.layers.len() - 1;
        for (layer, cache) in self.layers[..last].iter().zip(&mut cache.layers) {
            hidden = layer.forward(device, &hidden, placement, cache)?;
        }
        let normed = self.layers[last].input_layernorm.forward(device, &hidden)?;
        let attention = &self.layers[last].attention;
        let (_, tokens) = attention.project(device, &normed, placement)?;
        device.write_tokens(&mut cache.layers[last], placement.start, &tokens)
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

    /// `[tokens, width]` to the same shape.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        placement: &Placement<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let normed = self.input_layernorm.forward(device, hidden)?;
        let hidden = self
            .attention
            .forward(device, &normed, hidden, placement, cache)?;
        let normed = self.post_attention_layernorm.forward(device, &hidden)?;
        self.mlp.forward(device, &normed, &hidden)
    }
}

impl<D: Device> Attention<D> {
    /// `residual` and the attention of `[tokens, width]`, whose keys and values stay in the cache.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        residual: &D::Tensor,
        placement: &Placement<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let (queries, tokens) = self.project(device, hidden, placement)?;
        device.write_tokens(cache, placement.start, &tokens)?;
        let queries = device.rope(&queries, &placement.rope.queries)?;
        let attended = match placement.start {
            0 => &tokens,
            _ => cache,
        };
        let attended = device.attention(&queries, attended, 1, placement.mask, 1.0)?;
        device.linear_add(&attended, &self.0.out, residual)
    }

    /// The queries of tokens, not yet rotated, and their rotated keys and their values.
    fn project(
        &self,
        device: &D,
        hidden: &D::Tensor,
        placement: &Placement<D>,
    ) -> Result<(D::Tensor, KeysValues<D::Tensor>)> {
        let qkv = device.linear(hidden, &self.0.qkv, Activation::None)?;
        let Heads {
            queries,
            keys,
            values,
        } = device.split_heads(&qkv, self.0.layout)?;
        let keys = device.rope(&keys, &placement.rope.keys)?;
        Ok((queries, KeysValues { keys, values }))
    }
}

impl<D: Device> Mlp<D> {
    /// `residual` and the MLP of `[tokens, width]`.
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

    /// `[tokens, width]` to the same shape.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        device.rms_norm(hidden, &self.weight, self.eps)
    }
}

impl<D: Device> KvCache<D> {
    /// An empty cache for `capacity` tokens.
    pub fn new(config: &GemmaConfig, device: &D, capacity: usize) -> Result<Self> {
        let head_dim = HeadWidth::new(config.head_dim, device.tile()).padded;
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
