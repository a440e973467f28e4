//! Gemma: the transformer of the vision-language model and of the action expert (Gemma Team 2024).

use super::config::GemmaConfig;
use super::weights::{Weights, linear_without_bias};
use crate::device::{Activation, Device, HeadLayout, Heads, Result, RopeTable};

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
pub struct Attention<D: Device> {
    layout: HeadLayout,
    qkv: D::Linear,
    out: D::Linear,
}

/// `down(gelu_tanh(gate(x)) · up(x))`.
pub struct Mlp<D: Device> {
    gate_up: D::Linear,
    down: D::Linear,
}

/// `x / rms(x) · (1 + weight)`.
pub struct RmsNorm<D: Device> {
    weight: D::Tensor,
    eps: f32,
}

/// Keys (rotated) and values that later tokens attend to, one pair `[num_kv_heads, capacity, head_dim]` a layer.
pub struct KvCache<D: Device> {
    pub layers: Vec<LayerCache<D>>,
}

/// Keys and values of one layer.
pub struct LayerCache<D: Device> {
    pub keys: D::Tensor,
    pub values: D::Tensor,
}

/// Where tokens stand: behind `start` cached ones, turned by `rope`, seeing what `mask` lets them.
pub struct Placement<'a, D: Device> {
    pub start: usize,
    pub rope: &'a RopeTable<D::Tensor>,
    /// Added to the scores, `[tokens, start + tokens]`.
    pub mask: Option<&'a D::Tensor>,
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
        self.layers[last]
            .attention
            .cache_tokens(device, &normed, placement, &mut cache.layers[last])?;
        Ok(())
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
            attention: Attention {
                layout: HeadLayout {
                    num_heads: config.num_heads,
                    num_kv_heads: config.num_kv_heads,
                    head_dim: config.head_dim,
                },
                qkv: linear(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"])?,
                out: linear(&["self_attn.o_proj"])?,
            },
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: Mlp {
                gate_up: linear(&["mlp.gate_proj", "mlp.up_proj"])?,
                down: linear(&["mlp.down_proj"])?,
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
        let attended = self.attention.forward(device, &normed, placement, cache)?;
        let hidden = device.add(hidden, &attended)?;
        let normed = self.post_attention_layernorm.forward(device, &hidden)?;
        device.add(&hidden, &self.mlp.forward(device, &normed)?)
    }
}

impl<D: Device> Attention<D> {
    /// Attention of `[tokens, width]` to the cached tokens before them and to themselves.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        placement: &Placement<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let queries = self.cache_tokens(device, hidden, placement, cache)?;
        let queries = device.rope(&queries, placement.rope)?;
        let valid_keys = placement.start + device.shape(hidden)[0];
        let scale = (self.layout.head_dim as f32).sqrt().recip();
        let attended = device.attention(
            &queries,
            &cache.keys,
            &cache.values,
            valid_keys,
            placement.mask,
            scale,
        )?;
        device.linear(&attended, &self.out, Activation::None)
    }

    /// Leaves the tokens' keys and values in the cache and returns their queries, not yet rotated.
    fn cache_tokens(
        &self,
        device: &D,
        hidden: &D::Tensor,
        placement: &Placement<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let qkv = device.linear(hidden, &self.qkv, Activation::None)?;
        let Heads {
            queries,
            keys,
            values,
        } = device.split_heads(&qkv, self.layout)?;
        let keys = device.rope(&keys, placement.rope)?;
        device.write_tokens(&mut cache.keys, placement.start, &keys)?;
        device.write_tokens(&mut cache.values, placement.start, &values)?;
        Ok(queries)
    }
}

impl<D: Device> Mlp<D> {
    /// `[tokens, width]` to the same shape.
    pub fn forward(&self, device: &D, hidden: &D::Tensor) -> Result<D::Tensor> {
        let gate_up = device.linear(hidden, &self.gate_up, Activation::None)?;
        device.linear(&device.geglu(&gate_up)?, &self.down, Activation::None)
    }
}

impl<D: Device> RmsNorm<D> {
    fn new(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        Ok(Self {
            weight: device.upload_parameter(&weights.tensor(&format!("{name}.weight")))?,
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
        let shape = [config.num_kv_heads, capacity, config.head_dim];
        let layer = |_| {
            Ok(LayerCache {
                keys: device.zeros(&shape)?,
                values: device.zeros(&shape)?,
            })
        };
        Ok(Self {
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
        })
    }
}
