//! Operations of TT-NN, each as one call. Shapes are `[batch, heads, rows, width]`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{Device, Dtype, Error, Result, Tensor};

/// What a product applies to its result before storing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    GeluTanh,
    Silu,
}

/// How often a product passes over the mantissas of its inputs: once takes their upper halves, four times everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    LoFi,
    HiFi2,
    HiFi4,
}

/// What a core keeps while it sums up a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    F32,
    Bf16,
}

/// How a core computes: TT-NN's compute kernel config. Functions are exact, and sums of blocks stay in L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputeKernel {
    pub fidelity: Fidelity,
    pub sums: Sums,
}

/// How `minimal_matmul` cuts a product among cores, in tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulBlocks {
    /// Of the output, at once on a core.
    pub rows: usize,
    pub columns: usize,
    /// Of the inputs' common side, at once on a core.
    pub depth: usize,
    /// Rows and columns that are summed up at once; they divide the block's.
    pub sums: (usize, usize),
    /// Columns and rows of the cores that take part, at least 2 of each.
    pub grid: (u32, u32),
}

/// Where a result is kept, spread over all banks of a kind. What is made of it by an operation that takes no memory is kept in
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Dram,
    /// Of the cores.
    L1,
}

/// What a product multiplies with, and adds.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// `[1, 1, inputs, outputs]`
    pub weight: &'a Tensor,
    /// `[1, 1, 1, outputs]`
    pub bias: Option<&'a Tensor>,
}

/// What a product is added to, `residual + gate · product`.
pub struct GatedResidual<'a> {
    /// Has the weight's element type.
    pub residual: &'a Tensor,
    /// `[1, 1, 1, outputs]`
    pub gate: &'a Tensor,
}

/// Heads of a joint product: `[batch, heads, rows, head_dim]`.
pub struct QkvHeads {
    pub queries: Tensor,
    pub keys: Tensor,
    pub values: Tensor,
}

/// How attention is cut among cores: each takes heads, and of them so many queries against so many keys at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionBlocks {
    /// Multiples of 32.
    pub queries: usize,
    pub keys: usize,
    /// Columns and rows of the cores that take part.
    pub grid: (u32, u32),
}

/// `softmax(scale · q · kᵀ + mask) · v`
pub struct Attention<'a> {
    pub queries: &'a Tensor,
    pub keys: &'a Tensor,
    pub values: &'a Tensor,
    /// `[1, 1, queries, keys]`
    pub mask: Option<&'a Tensor>,
    pub scale: f32,
    pub blocks: AttentionBlocks,
    pub compute: ComputeKernel,
    pub memory: Memory,
}

/// A call being put together: positional tensors are in its error message.
struct Call<'a, 'py> {
    device: &'a Device,
    python: Python<'py>,
    ttnn: Bound<'py, PyModule>,
    keywords: Bound<'py, PyDict>,
}

impl<'py> Call<'_, 'py> {
    fn keyword(&self, name: &str, value: impl IntoPyObject<'py>) -> PyResult<()> {
        self.keywords.set_item(name, value)
    }

    fn tensor(&self, name: &str, tensor: Option<&Tensor>) -> PyResult<()> {
        match tensor {
            Some(tensor) => self.keyword(name, tensor.bind(self.python)),
            None => Ok(()),
        }
    }

    fn compute(&self, ComputeKernel { fidelity, sums }: ComputeKernel) -> PyResult<()> {
        let ttnn = &self.ttnn;
        let keywords = PyDict::new(self.python);
        let name = match fidelity {
            Fidelity::LoFi => "LoFi",
            Fidelity::HiFi2 => "HiFi2",
            Fidelity::HiFi4 => "HiFi4",
        };
        keywords.set_item("math_fidelity", ttnn.getattr("MathFidelity")?.getattr(name)?)?;
        keywords.set_item("math_approx_mode", false)?;
        keywords.set_item("fp32_dest_acc_en", sums == Sums::F32)?;
        keywords.set_item("packer_l1_acc", true)?;
        let arch = self.device.handle.bind(self.python).call_method0("arch")?;
        let config = ttnn.call_method("init_device_compute_kernel_config", (arch,), Some(&keywords))?;
        self.keyword("compute_kernel_config", config)
    }

    fn attention_blocks(&self, blocks: &AttentionBlocks) -> PyResult<()> {
        let keywords = PyDict::new(self.python);
        keywords.set_item("q_chunk_size", blocks.queries)?;
        keywords.set_item("k_chunk_size", blocks.keys)?;
        keywords.set_item("exp_approx_mode", false)?;
        let grid = self.ttnn.getattr("CoreCoord")?.call1(blocks.grid)?;
        keywords.set_item("compute_with_storage_grid_size", grid)?;
        let config = self.ttnn.call_method("SDPAProgramConfig", (), Some(&keywords))?;
        self.keyword("program_config", config)
    }

    fn blocks(&self, blocks: &MatmulBlocks) -> PyResult<()> {
        let keywords = PyDict::new(self.python);
        keywords.set_item("M_block_size", blocks.rows)?;
        keywords.set_item("K_block_size", blocks.depth)?;
        keywords.set_item("N_block_size", blocks.columns)?;
        keywords.set_item("subblock_h", blocks.sums.0)?;
        keywords.set_item("subblock_w", blocks.sums.1)?;
        let grid = self.ttnn.getattr("CoreCoord")?.call1(blocks.grid)?;
        keywords.set_item("compute_with_storage_grid_size", grid)?;
        let config = self
            .ttnn
            .call_method("MinimalMatmulConfig", (), Some(&keywords))?;
        self.keyword("config", config)
    }

    fn memory(&self, memory: Memory) -> PyResult<()> {
        let config = self.ttnn.getattr(match memory {
            Memory::Dram => "DRAM_MEMORY_CONFIG",
            Memory::L1 => "L1_MEMORY_CONFIG",
        })?;
        self.keyword("memory_config", config)
    }

    fn dtype(&self, dtype: Dtype) -> PyResult<()> {
        self.keyword("dtype", dtype.object(&self.ttnn)?)
    }

    /// Calls `ttnn.<path>` with these arguments.
    fn run(&self, path: &str, arguments: impl pyo3::call::PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut function = self.ttnn.clone().into_any();
        for part in path.split('.') {
            function = function.getattr(part)?;
        }
        function.call(arguments, Some(&self.keywords))
    }
}

impl Device {
    fn call<T>(
        &self,
        operation: &'static str,
        tensors: &[&Tensor],
        call: impl for<'py> FnOnce(&Call<'_, 'py>) -> PyResult<T>,
    ) -> Result<T> {
        Python::attach(|python| {
            let prepared = Call {
                device: self,
                python,
                ttnn: self.runtime.ttnn.bind(python).clone(),
                keywords: PyDict::new(python),
            };
            call(&prepared).map_err(|error| {
                let shapes: Vec<String> = tensors.iter().map(|tensor| tensor.shape_text(python)).collect();
                Error::of_operation(operation, shapes.join(", "), &error)
            })
        })
    }

    /// `x · weight + bias`, spread over all cores along the outputs: for few rows.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn linear(
        &self,
        x: &Tensor,
        Affine { weight, bias }: Affine,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        self.call("linear", &[x, weight], |call| {
            call.tensor("bias", bias)?;
            call.dtype(Dtype::Bf16)?;
            call.compute(compute)?;
            call.memory(memory)?;
            let arguments = (x.bind(call.python), weight.bind(call.python));
            call.run("linear", arguments).map(Tensor::new)
        })
    }

    /// `activation(x · weight + bias)`, in blocks of rows and outputs: for many rows.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn minimal_matmul(
        &self,
        x: &Tensor,
        Affine { weight, bias }: Affine,
        activation: Option<Activation>,
        blocks: &MatmulBlocks,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        self.call("minimal_matmul", &[x, weight], |call| {
            call.tensor("bias_tensor", bias)?;
            if let Some(activation) = activation {
                let name = match activation {
                    Activation::GeluTanh => "GELU_TANH",
                    Activation::Silu => "SILU",
                };
                let kind = call.ttnn.getattr("UnaryOpType")?.getattr(name)?;
                let activation = call.ttnn.getattr("UnaryWithParam")?.call1((kind,))?;
                call.keyword("fused_activation", activation)?;
            }
            call.dtype(Dtype::Bf16)?;
            call.blocks(blocks)?;
            call.compute(compute)?;
            call.memory(memory)?;
            let arguments = (x.bind(call.python), weight.bind(call.python));
            call.run("experimental.minimal_matmul", arguments)
                .map(Tensor::new)
        })
    }

    /// `x · weight`, cut into its left and its right half.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn minimal_matmul_halves(
        &self,
        x: &Tensor,
        weight: &Tensor,
        blocks: &MatmulBlocks,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<(Tensor, Tensor)> {
        self.call("minimal_matmul_split", &[x, weight], |call| {
            call.keyword("chunks", 2)?;
            call.dtype(Dtype::Bf16)?;
            call.blocks(blocks)?;
            call.compute(compute)?;
            call.memory(memory)?;
            let arguments = (x.bind(call.python), weight.bind(call.python));
            let halves = call.run("experimental.minimal_matmul_split", arguments)?;
            let half = |index: usize| halves.get_item(index).map(Tensor::new);
            Ok((half(0)?, half(1)?))
        })
    }

    /// `residual + gate · (x · weight + bias)`
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn minimal_matmul_add(
        &self,
        x: &Tensor,
        Affine { weight, bias }: Affine,
        GatedResidual { residual, gate }: &GatedResidual,
        blocks: &MatmulBlocks,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        self.call(
            "dit_minimal_matmul_addcmul_fused",
            &[x, weight, residual],
            |call| {
                call.tensor("bias_tensor", bias)?;
                call.dtype(Dtype::Bf16)?;
                call.blocks(blocks)?;
                call.compute(compute)?;
                call.memory(memory)?;
                let [x, weight, residual, gate] =
                    [x, weight, residual, gate].map(|tensor| tensor.bind(call.python));
                let arguments = (x, weight, 1.0_f32, residual, gate);
                call.run("experimental.dit_minimal_matmul_addcmul_fused", arguments)
                    .map(Tensor::new)
            },
        )
    }

    /// `gelu_tanh(gate) · up`
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn gelu_multiply(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        self.call("multiply", &[gate, up], |call| {
            let kind = call.ttnn.getattr("UnaryOpType")?.getattr("GELU_TANH")?;
            let activation = call.ttnn.getattr("UnaryWithParam")?.call1((kind,))?;
            call.keyword("input_tensor_a_activations", vec![activation])?;
            let arguments = (gate.bind(call.python), up.bind(call.python));
            call.run("multiply", arguments).map(Tensor::new)
        })
    }

    /// `x · factor`
    ///
    /// # Errors
    /// When the card fails.
    pub fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        self.call("multiply", &[x], |call| {
            call.run("multiply", (x.bind(call.python), factor))
                .map(Tensor::new)
        })
    }

    /// `x · y`, dimensions of 1 repeated.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn multiply(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        self.call("multiply", &[x, y], |call| {
            call.run("multiply", (x.bind(call.python), y.bind(call.python)))
                .map(Tensor::new)
        })
    }

    /// `x + y`, dimensions of 1 repeated.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        self.call("add", &[x, y], |call| {
            call.run("add", (x.bind(call.python), y.bind(call.python)))
                .map(Tensor::new)
        })
    }

    /// `x + factor · y`
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn add_scaled(&self, x: &Tensor, y: &Tensor, factor: f32) -> Result<Tensor> {
        self.call("addalpha", &[x, y], |call| {
            call.run("addalpha", (x.bind(call.python), y.bind(call.python), factor))
                .map(Tensor::new)
        })
    }

    /// The values of `x` where the mask is not 0, those of `y` where it is.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn select(&self, mask: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        self.call("where", &[mask, x, y], |call| {
            let arguments = [mask, x, y].map(|tensor| tensor.bind(call.python));
            call.run("where", <(_, _, _)>::from(arguments)).map(Tensor::new)
        })
    }

    /// Mean and variance over the width taken out, then `weight · x + bias`.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
        self.norm("layer_norm", x, weight, Some(bias), eps)
    }

    /// `weight · x / sqrt(mean(x²) + eps) + bias`
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn rms_norm(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Result<Tensor> {
        self.norm("rms_norm", x, weight, bias, eps)
    }

    fn norm(
        &self,
        operation: &'static str,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        eps: f32,
    ) -> Result<Tensor> {
        self.call(operation, &[x, weight], |call| {
            call.tensor("weight", Some(weight))?;
            call.tensor("bias", bias)?;
            call.keyword("epsilon", eps)?;
            call.compute(ComputeKernel {
                fidelity: Fidelity::HiFi4,
                sums: Sums::F32,
            })?;
            call.run(operation, (x.bind(call.python),)).map(Tensor::new)
        })
    }

    /// The same values under another shape; no memory moves where the last dimension stays and rows fall on tiles.
    ///
    /// # Errors
    /// When the shapes have different sizes.
    pub fn reshape(&self, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
        self.call("reshape", &[x], |call| {
            call.run("reshape", (x.bind(call.python), shape.to_vec()))
                .map(Tensor::new)
        })
    }

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
            memory,
        } = *attention;
        self.call("scaled_dot_product_attention", &[queries, keys, values], |call| {
            call.tensor("attn_mask", mask)?;
            call.keyword("is_causal", false)?;
            call.keyword("scale", scale)?;
            call.keyword("output_concat_heads", true)?;
            call.attention_blocks(&blocks)?;
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

    /// The values of a tensor into the place of another of its shape.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn copy(&self, from: &Tensor, to: &Tensor) -> Result<()> {
        self.call("copy", &[from, to], |call| {
            let places = (from.bind(call.python), to.bind(call.python));
            call.run("copy", places).map(drop)
        })
    }

    /// The same values in another type.
    ///
    /// # Errors
    /// When TT-NN refuses the types or the card fails.
    pub fn typecast(&self, x: &Tensor, dtype: Dtype) -> Result<Tensor> {
        self.call("typecast", &[x], |call| {
            call.run("typecast", (x.bind(call.python), dtype.object(&call.ttnn)?))
                .map(Tensor::new)
        })
    }

    /// Tensors side by side along the rows.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn concat_rows(&self, parts: &[&Tensor]) -> Result<Tensor> {
        self.call("concat", parts, |call| {
            call.keyword("dim", 2)?;
            let parts: Vec<_> = parts.iter().map(|part| part.bind(call.python)).collect();
            call.run("concat", (parts,)).map(Tensor::new)
        })
    }

    /// The part of a tensor from `start` to before `end`.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn slice(&self, x: &Tensor, start: [usize; 4], end: [usize; 4]) -> Result<Tensor> {
        self.call("slice", &[x], |call| {
            call.run("slice", (x.bind(call.python), start, end))
                .map(Tensor::new)
        })
    }

    /// Rows of a row-major table `[vocabulary, width]`: indices `[1, n]` to `[1, n, width]`, in tiles.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn embedding(&self, indices: &Tensor, table: &Tensor) -> Result<Tensor> {
        self.call("embedding", &[indices, table], |call| {
            call.keyword("layout", crate::Layout::Tile.object(&call.ttnn)?)?;
            let arguments = (indices.bind(call.python), table.bind(call.python));
            call.run("embedding", arguments).map(Tensor::new)
        })
    }
}
