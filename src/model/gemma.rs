//! Gemma: the transformer of the vision-language model and of the action expert (Gemma Team 2024).

use super::attention::AttentionMask;
use super::by_row::ByRow;
use super::config::GemmaConfig;
use super::embedding::Rotation;
use super::norms::{LayerNorms, Norms};
use super::weights::{AttentionLinears, HeadWidth, Weights, residual_linear};
use crate::device::{Activation, Device, HeadLayout, Heads, KeysValues, Result, RopeTable};

/// One transformer, without its [`Norms`], which in π0.5's action expert change from step to step. The two
/// transformers of π0 have weights of their own and share attention through a [`KvCache`].
pub struct Gemma<D: Device> {
    /// Transformer blocks, in order.
    pub layers: Vec<Layer<D>>,
}

/// One block: attention and GeGLU MLP, each behind a norm and beside a residual.
pub struct Layer<D: Device> {
    /// Attention to the tokens of the pass, or to the whole cache.
    pub attention: Attention<D>,
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

/// What the result of a sublayer is added to, `hidden + gate · result`.
pub struct Residual<'a, D: Device> {
    /// `[width]`, or `[tokens, width]` where it differs by token; 1 when `None`.
    pub gate: Option<&'a D::Tensor>,
    /// `[tokens, width]`
    pub hidden: &'a D::Tensor,
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
        let [queries, keys] = Self::rotations(config);
        Ok(Self {
            queries: queries.table(device, positions)?,
            keys: keys.table(device, positions)?,
        })
    }

    /// Overwrites the rotation by that of as many tokens at other positions.
    fn write(&mut self, config: &GemmaConfig, device: &D, positions: &[i64]) -> Result<()> {
        let [queries, keys] = Self::rotations(config);
        queries.write(device, &mut self.queries, positions)?;
        keys.write(device, &mut self.keys, positions)
    }

    fn rotations(config: &GemmaConfig) -> [Rotation; 2] {
        [(config.head_dim as f32).sqrt().recip(), 1.0].map(|scale| Rotation {
            head_dim: config.head_dim,
            theta: config.rope_theta,
            scale,
        })
    }
}

impl<D: Device> Pass<D> {
    /// Uploads a pass of tokens at these positions, one a row of the mask.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn new(
        config: &GemmaConfig,
        device: &D,
        kind: PassKind,
        positions: &[i64],
        mask: &AttentionMask,
    ) -> Result<Self> {
        Ok(Self {
            kind,
            rope: Rope::new(config, device, positions)?,
            mask: mask.upload(device)?,
        })
    }

    /// Overwrites mask and positions by others of as many tokens; `None` leaves the positions as they are.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn write(
        &mut self,
        config: &GemmaConfig,
        device: &D,
        positions: Option<&[i64]>,
        mask: &AttentionMask,
    ) -> Result<()> {
        if let Some(positions) = positions {
            self.rope.write(config, device, positions)?;
        }
        match &mut self.mask {
            Some(tensor) => device.write(tensor, &mask.additive()),
            None => {
                self.mask = mask.upload(device)?;
                Ok(())
            }
        }
    }

    /// Tensors that [`write`](Self::write) fills.
    pub(super) fn written(&self) -> Vec<D::Tensor> {
        let Rope { queries, keys } = &self.rope;
        let ropes = [&queries.cos, &queries.sin, &keys.cos, &keys.sin];
        ropes.into_iter().chain(&self.mask).cloned().collect()
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
        })
    }

    /// Runs tokens `[tokens, width]` through all layers and the final norm, and leaves their keys and values
    /// in the cache.
    pub fn forward(
        &self,
        device: &D,
        norms: ByRow<Norms<D>, D>,
        tokens: D::Tensor,
        pass: &Pass<D>,
        cache: &mut KvCache<D>,
    ) -> Result<D::Tensor> {
        let mut hidden = tokens;
        let layers = self.layers.iter().zip(&mut cache.layers);
        for (index, (layer, cache)) in layers.enumerate() {
            let norms = norms.map(|norms| &norms.layers[index]);
            hidden = layer.forward(device, norms, &hidden, pass, cache)?;
        }
        let norm = norms.map(|norms| &norms.norm);
        norm.rows(device, |norm| norm.forward(device, &hidden))
    }

    /// Runs tokens `[tokens, width]` for their keys and values alone: nothing reads the output of the last
    /// layer, so it is not computed.
    pub fn fill_cache(
        &self,
        device: &D,
        norms: &Norms<D>,
        tokens: D::Tensor,
        pass: &Pass<D>,
        cache: &mut KvCache<D>,
    ) -> Result<()> {
        let mut hidden = tokens;
        let last = self.layers.len() - 1;
        let layers = self.layers[..last].iter().zip(&norms.layers);
        for ((layer, norms), cache) in layers.zip(&mut cache.layers) {
            hidden = layer.forward(device, ByRow::all(norms), &hidden, pass, cache)?;
        }
        let normed = norms.layers[last].input_layernorm.forward(device, &hidden)?;
        let attention = &self.layers[last].attention;
        let (_, tokens) = attention.project(device, &normed, pass)?;
        device.write_tokens(&mut cache.layers[last], pass.kind.start(), &tokens)
    }
}

impl<D: Device> Layer<D> {
    fn new(config: &GemmaConfig, device: &D, weights: &dyn Weights, name: &str) -> Result<Self> {
        let [gate, up] =
            ["gate_proj", "up_proj"].map(|part| weights.tensor(&format!("{name}.mlp.{part}.weight")));
        Ok(Self {
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
            mlp: Mlp {
                gate_up: device.upload_gated_linear(&gate, &up)?,
                down: residual_linear(device, weights, &format!("{name}.mlp.down_proj"), false)?,
            },
        })
    }

    /// Runs the block: `[tokens, width]` to the same shape.
    pub fn forward(
        &self,
        device: &D,
        norms: ByRow<LayerNorms<D>, D>,
        hidden: &D::Tensor,
        pass: &Pass<D>,
        cache: &mut LayerCache<D>,
    ) -> Result<D::Tensor> {
        let (normed, gate) = norms
            .map(|norms| &norms.input_layernorm)
            .forward_and_gate(device, hidden)?;
        let residual = Residual {
            gate: gate.as_ref(),
            hidden,
        };
        let hidden = self.attention.forward(device, &normed, residual, pass, cache)?;
        let (normed, gate) = norms
            .map(|norms| &norms.post_attention_layernorm)
            .forward_and_gate(device, &hidden)?;
        let residual = Residual {
            gate: gate.as_ref(),
            hidden: &hidden,
        };
        self.mlp.forward(device, &normed, residual)
    }
}

impl<D: Device> Attention<D> {
    /// Adds the attention of `[tokens, width]` to a residual, and leaves keys and values in the cache.
    pub fn forward(
        &self,
        device: &D,
        hidden: &D::Tensor,
        residual: Residual<D>,
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
        device.linear_add(&attended, &self.0.out, residual.gate, residual.hidden)
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
    /// Adds the MLP of `[tokens, width]` to a residual.
    pub fn forward(&self, device: &D, hidden: &D::Tensor, residual: Residual<D>) -> Result<D::Tensor> {
        let gated = device.geglu(hidden, &self.gate_up)?;
        device.linear_add(&gated, &self.down, residual.gate, residual.hidden)
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
