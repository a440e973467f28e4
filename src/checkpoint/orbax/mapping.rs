//! openpi's arrays and the tensors of PyTorch that are made of them.
//!
//! openpi stacks the layers of a transformer on the first axis, and its kernels are `[inputs, outputs]`, where a linear
//! layer of PyTorch is `[outputs, inputs]`. Axes are named as in einops.

use super::rearrangement::Rearrangement;
use crate::model::ModelType;
use crate::model::parameters::{EXPERT, LANGUAGE_MODEL, PROJECTOR, VISION_TOWER};

/// PaliGemma's output layer, under which LeRobot stores the token embedding: the two are tied.
const LANGUAGE_HEAD: &str = "paligemma_with_expert.paligemma.lm_head";
/// Name of the axis of a transformer's layers.
pub(super) const LAYERS: &str = "layers";

/// One of openpi's arrays and what becomes of it.
pub(super) struct Source {
    /// Name, whose parts are separated by dots.
    pub array: String,
    /// Names of the axes: a number is a size, a name a size of the network, `3*width` three times that size.
    pub axes: Vec<String>,
    pub targets: Vec<Target>,
    /// Adapter that a LoRA training adds.
    pub adapter: Option<AdapterNames>,
}

/// Tensor that an array, or each of its layers, becomes.
pub(super) struct Target {
    /// Name in LeRobot, with `{layer}` for the number of the layer.
    name: String,
    /// Part of the first axis after the layers, which is then no axis of the tensor.
    pub part: Option<usize>,
    pub rearrangement: Rearrangement,
}

impl Target {
    /// Name of a layer's tensor, or of the one tensor of an array without layers.
    pub fn name(&self, layer: usize) -> String {
        format!("model.{}", self.name.replace("{layer}", &layer.to_string()))
    }
}

/// Arrays of a low-rank adapter (openpi `models/lora.py`).
pub(super) struct AdapterNames {
    pub a: String,
    pub b: String,
    /// Expert whose weight it adapts.
    pub scope: &'static str,
    pub kind: AdapterKind,
}

/// Way in which an adapter's product is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AdapterKind {
    /// `W + scale · A·B`, for each head.
    Heads,
    /// `W + scale · A·ΣB`: the einsum of the output projection sums over the heads of each of the two.
    SummedHeads,
    /// `W + A·B`: the feed-forward network does not scale.
    FeedForward,
}

/// Finds the network that these arrays are of: the norms of π0.5's expert are conditioned on time.
pub(super) fn model_type<'a>(mut arrays: impl Iterator<Item = &'a str>) -> ModelType {
    match arrays.any(|name| name.starts_with("PaliGemma.llm.final_norm_1.Dense_0.")) {
        true => ModelType::Pi05,
        false => ModelType::Pi0,
    }
}

/// Lists the arrays of a network.
pub(super) fn sources(model_type: ModelType) -> Vec<Source> {
    let is_pi05 = model_type == ModelType::Pi05;
    let mut list = List(Vec::new());
    list.siglip();
    list.gemma("vlm", "", LANGUAGE_MODEL, false);
    list.add(
        "vlm",
        "PaliGemma.llm.embedder.input_embedding",
        "vocabulary width",
        &[(&format!("{LANGUAGE_HEAD}.weight"), "vocabulary width")],
    );
    list.gemma("expert", "_1", EXPERT, is_pi05);
    let mut linear = |name: &str, inputs: &str, outputs: &str| {
        list.dense("expert", name, "", inputs, outputs, name);
    };
    linear("action_in_proj", "action_dim", "width");
    linear("action_out_proj", "width", "action_dim");
    if is_pi05 {
        linear("time_mlp_in", "width", "width");
        linear("time_mlp_out", "width", "width");
    } else {
        linear("state_proj", "state_dim", "width");
        linear("action_time_mlp_in", "2*width", "width");
        linear("action_time_mlp_out", "width", "width");
    }
    list.0
}

struct List(Vec<Source>);

impl List {
    /// Adds an array with the tensors it becomes. The names of `axes` without a dot are of `scope`.
    fn add(&mut self, scope: &str, array: &str, axes: &str, targets: &[(&str, &str)]) -> &mut Source {
        let without_layers = axes.strip_prefix(LAYERS).unwrap_or(axes);
        let parts = without_layers.split_whitespace().next() == Some("2");
        let within = if parts {
            without_layers.trim_start().trim_start_matches('2')
        } else {
            without_layers
        };
        let targets = targets.iter().enumerate().map(|(index, (name, after))| Target {
            name: (*name).to_owned(),
            part: parts.then_some(index),
            rearrangement: Rearrangement::new(within, after),
        });
        let qualified = |axis: &str| match axis.rsplit_once('*') {
            Some((factor, axis)) => format!("{factor}*{scope}.{axis}"),
            None if axis.parse::<usize>().is_ok() || axis.contains('.') => axis.to_owned(),
            None => format!("{scope}.{axis}"),
        };
        self.0.push(Source {
            array: array.to_owned(),
            axes: axes.split_whitespace().map(qualified).collect(),
            targets: targets.collect(),
            adapter: None,
        });
        self.0.last_mut().expect("an array was added")
    }

    /// Adds the kernel and the bias of a linear layer; `layers` is empty or the axis of the layers.
    fn dense(&mut self, scope: &str, array: &str, layers: &str, inputs: &str, outputs: &str, name: &str) {
        // Inputs and outputs may have one size, and so one name.
        self.add(
            scope,
            &format!("{array}.kernel"),
            &format!("{layers} {inputs} {outputs}"),
            &[],
        )
        .targets = vec![Target {
            name: format!("{name}.weight"),
            part: None,
            rearrangement: Rearrangement::new("inputs outputs", "outputs inputs"),
        }];
        self.vector(
            scope,
            &format!("{array}.bias"),
            layers,
            outputs,
            &format!("{name}.bias"),
        );
    }

    fn vector(&mut self, scope: &str, array: &str, layers: &str, size: &str, name: &str) {
        self.add(scope, array, &format!("{layers} {size}"), &[(name, size)]);
    }

    fn layer_norm(&mut self, array: &str, layers: &str, name: &str) {
        for (stored, part) in [("scale", "weight"), ("bias", "bias")] {
            self.vector(
                "vision",
                &format!("{array}.{stored}"),
                layers,
                "width",
                &format!("{name}.{part}"),
            );
        }
    }

    fn siglip(&mut self) {
        let scope = "vision";
        let embeddings = format!("{VISION_TOWER}.embeddings");
        self.add(
            scope,
            "PaliGemma.img.embedding.kernel",
            "patch_rows patch_columns 3 width",
            &[(
                &format!("{embeddings}.patch_embedding.weight"),
                "width 3 patch_rows patch_columns",
            )],
        );
        self.vector(
            scope,
            "PaliGemma.img.embedding.bias",
            "",
            "width",
            &format!("{embeddings}.patch_embedding.bias"),
        );
        self.add(
            scope,
            "PaliGemma.img.pos_embedding",
            "1 patches width",
            &[(
                &format!("{embeddings}.position_embedding.weight"),
                "(1 patches) width",
            )],
        );
        let block = "PaliGemma.img.Transformer.encoderblock";
        let layer = format!("{VISION_TOWER}.encoder.layers.{{layer}}");
        for (norm, name) in [("LayerNorm_0", "layer_norm1"), ("LayerNorm_1", "layer_norm2")] {
            self.layer_norm(&format!("{block}.{norm}"), LAYERS, &format!("{layer}.{name}"));
        }
        let attention = format!("{block}.MultiHeadDotProductAttention_0");
        for (part, name) in [("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")] {
            self.add(
                scope,
                &format!("{attention}.{part}.kernel"),
                "layers width heads head_dim",
                &[(
                    &format!("{layer}.self_attn.{name}.weight"),
                    "(heads head_dim) width",
                )],
            );
            self.add(
                scope,
                &format!("{attention}.{part}.bias"),
                "layers heads head_dim",
                &[(&format!("{layer}.self_attn.{name}.bias"), "(heads head_dim)")],
            );
        }
        self.add(
            scope,
            &format!("{attention}.out.kernel"),
            "layers heads head_dim width",
            &[(
                &format!("{layer}.self_attn.out_proj.weight"),
                "width (heads head_dim)",
            )],
        );
        self.vector(
            scope,
            &format!("{attention}.out.bias"),
            LAYERS,
            "width",
            &format!("{layer}.self_attn.out_proj.bias"),
        );
        for (dense, inputs, outputs, name) in [
            ("Dense_0", "width", "mlp_dim", "fc1"),
            ("Dense_1", "mlp_dim", "width", "fc2"),
        ] {
            let array = format!("{block}.MlpBlock_0.{dense}");
            self.dense(
                scope,
                &array,
                LAYERS,
                inputs,
                outputs,
                &format!("{layer}.mlp.{name}"),
            );
        }
        self.layer_norm(
            "PaliGemma.img.Transformer.encoder_norm",
            "",
            &format!("{VISION_TOWER}.post_layernorm"),
        );
        self.dense(scope, "PaliGemma.img.head", "", "width", "vlm.width", PROJECTOR);
    }

    /// Adds one of the two transformers, whose arrays end in `suffix`.
    fn gemma(&mut self, scope: &'static str, suffix: &str, model: &str, is_conditioned: bool) {
        let layers = "PaliGemma.llm.layers";
        let layer = format!("{model}.layers.{{layer}}");
        let mut einsum = |name: &str, axes: &str, targets: &[(&str, &str)], kind| {
            let array = format!("{layers}.attn.{name}{suffix}");
            let named: Vec<_> = targets
                .iter()
                .map(|(target, after)| (format!("{layer}.self_attn.{target}.weight"), *after))
                .collect();
            let named: Vec<_> = named
                .iter()
                .map(|(name, after)| (name.as_str(), *after))
                .collect();
            self.add(scope, &format!("{array}.w"), axes, &named).adapter = Some(AdapterNames {
                a: format!("{array}.lora_a"),
                b: format!("{array}.lora_b"),
                scope,
                kind,
            });
        };
        einsum(
            "q_einsum",
            "layers heads width head_dim",
            &[("q_proj", "(heads head_dim) width")],
            AdapterKind::Heads,
        );
        einsum(
            "kv_einsum",
            "layers 2 kv_heads width head_dim",
            &[
                ("k_proj", "(kv_heads head_dim) width"),
                ("v_proj", "(kv_heads head_dim) width"),
            ],
            AdapterKind::Heads,
        );
        einsum(
            "attn_vec_einsum",
            "layers heads head_dim width",
            &[("o_proj", "width (heads head_dim)")],
            AdapterKind::SummedHeads,
        );
        let mut feed_forward = |name: &str, axes: &str, targets: &[&str], after: &str| {
            let array = format!("{layers}.mlp{suffix}.{name}");
            let named: Vec<_> = targets
                .iter()
                .map(|target| format!("{layer}.mlp.{target}.weight"))
                .collect();
            let named: Vec<_> = named.iter().map(|name| (name.as_str(), after)).collect();
            self.add(scope, &array, axes, &named).adapter = Some(AdapterNames {
                a: format!("{array}_lora_a"),
                b: format!("{array}_lora_b"),
                scope,
                kind: AdapterKind::FeedForward,
            });
        };
        feed_forward(
            "gating_einsum",
            "layers 2 width mlp_dim",
            &["gate_proj", "up_proj"],
            "mlp_dim width",
        );
        feed_forward("linear", "layers mlp_dim width", &["down_proj"], "width mlp_dim");
        for (array, layers, name) in [
            (
                format!("{layers}.pre_attention_norm{suffix}"),
                LAYERS,
                format!("{layer}.input_layernorm"),
            ),
            (
                format!("{layers}.pre_ffw_norm{suffix}"),
                LAYERS,
                format!("{layer}.post_attention_layernorm"),
            ),
            (
                format!("PaliGemma.llm.final_norm{suffix}"),
                "",
                format!("{model}.norm"),
            ),
        ] {
            if is_conditioned {
                let dense = format!("{array}.Dense_0");
                self.dense(
                    scope,
                    &dense,
                    layers,
                    "width",
                    "3*width",
                    &format!("{name}.dense"),
                );
            } else {
                let scale = format!("{array}.scale");
                self.vector(scope, &scale, layers, "width", &format!("{name}.weight"));
            }
        }
    }
}
