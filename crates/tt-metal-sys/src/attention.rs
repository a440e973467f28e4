//! Heads, their rotation, and attention. Shapes are `[batch, heads, rows, width]`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::Call;
use crate::{ComputeKernel, Device, Memory, Result, Tensor};

/// Heads of a joint product: `[batch, heads, rows, head_dim]`.
pub struct QkvHeads {
    /// Queries.
    pub queries: Tensor,
    /// Keys.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
}

/// How attention is cut among cores: each takes heads, and of them so many queries against so many keys at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionBlocks {
    /// Queries at once, a multiple of 32.
    pub queries: usize,
    /// Keys at once, a multiple of 32.
    pub keys: usize,
    /// Columns and rows of the cores that take part.
    pub grid: (u32, u32),
}

/// The softmax's exponential function. TT-NN 0.81 computes the approximated one whatever it is asked for where sums are bfloat16
/// ([issue 56710](https://github.com/tenstorrent/tt-metal/issues/56710)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponential {
    /// To bfloat16.
    Exact,
    /// Off by up to 3 %.
    Approximate,
}

/// `softmax(scale · q · kᵀ + mask) · v`
pub struct Attention<'a> {
    /// `[batch, heads, queries, head_dim]`
    pub queries: &'a Tensor,
    /// `[batch, kv heads, keys, head_dim]`
    pub keys: &'a Tensor,
    /// `[batch, kv heads, keys, head_dim]`
    pub values: &'a Tensor,
    /// `[1, 1, queries, keys]`, in DRAM
    pub mask: Option<&'a Tensor>,
    /// Factor of the scores.
    pub scale: f32,
    /// Division among the cores.
    pub blocks: AttentionBlocks,
    /// How a core computes.
    pub compute: ComputeKernel,
    /// The softmax's exponential function.
    pub exponential: Exponential,
    /// Where the result is kept.
    pub memory: Memory,
}

impl Call<'_, '_> {
    fn attention_blocks(&self, blocks: &AttentionBlocks, exponential: Exponential) -> PyResult<()> {
        let keywords = PyDict::new(self.python);
        keywords.set_item("q_chunk_size", blocks.queries)?;
        keywords.set_item("k_chunk_size", blocks.keys)?;
        keywords.set_item("exp_approx_mode", exponential == Exponential::Approximate)?;
        keywords.set_item("compute_with_storage_grid_size", self.grid(blocks.grid)?)?;
        let config = self.ttnn.call_method("SDPAProgramConfig", (), Some(&keywords))?;
        self.keyword("program_config", config)
    }
}

impl Device {
    /// `[batch, 1, rows, (num_heads + 2 · num_kv_heads) · head_dim]` to heads.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn split_heads(&self, qkv: &Tensor, num_heads: usize, num_kv_heads: usize) -> Result<QkvHeads> {
        self.call("nlp_create_qkv_heads", &[qkv], |call| {
            call.keyword("num_heads", num_heads)?;
            call.keyword("num_kv_heads", num_kv_heads)?;
            call.keyword("transpose_k_heads", false)?;
            let heads = call.run("experimental.nlp_create_qkv_heads", (qkv.bind(call.python),))?;
            let part = |index: usize| heads.get_item(index).map(Tensor::new);
            Ok(QkvHeads {
                queries: part(0)?,
                keys: part(1)?,
                values: part(2)?,
            })
        })
    }

    /// `x · cos + rotate_half(x) · sin` of `[1, heads, rows, head_dim]`, the tables `[1, 1, rows, head_dim]`.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn rotary_embedding(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        self.call("rotary_embedding_hf", &[x, cos, sin], |call| {
            call.keyword("is_decode_mode", false)?;
            let [x, cos, sin] = [x, cos, sin].map(|tensor| tensor.bind(call.python));
            call.run("experimental.rotary_embedding_hf", (x, cos, sin))
                .map(Tensor::new)
        })
    }

    /// Writes `[1, heads, rows, head_dim]` into a cache `[1, heads, capacity, head_dim]`, in place, from row `start`
    /// on, which is a multiple of 32.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn fill_cache(&self, cache: &Tensor, rows: &Tensor, start: usize) -> Result<()> {
        self.call("fill_cache", &[cache, rows], |call| {
            call.keyword("update_idx", start)?;
            let arguments = (cache.bind(call.python), rows.bind(call.python), 0);
            call.run("fill_cache", arguments).map(drop)
        })
    }

    /// Attention of `[batch, heads, queries, head_dim]`, heads merged: `[batch, 1, queries, heads · head_dim]`.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn attention(&self, attention: &Attention) -> Result<Tensor> {
        let Attention {
            queries,
            keys,
            values,
            mask,
            scale,
            blocks,
            compute,
            exponential,
            memory,
        } = *attention;
        self.call("scaled_dot_product_attention", &[queries, keys, values], |call| {
            call.tensor("attn_mask", mask)?;
            call.keyword("is_causal", false)?;
            call.keyword("scale", scale)?;
            call.keyword("output_concat_heads", true)?;
            call.attention_blocks(&blocks, exponential)?;
            call.compute(compute)?;
            call.memory(memory)?;
            let [queries, keys, values] = [queries, keys, values].map(|tensor| tensor.bind(call.python));
            call.run(
                "transformer.scaled_dot_product_attention",
                (queries, keys, values),
            )
            .map(Tensor::new)
        })
    }
}
