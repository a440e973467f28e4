//! Matrix products. Shapes are `[batch, heads, rows, width]`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::Call;
use crate::{ComputeKernel, Device, Dtype, Memory, Result, Tensor};

/// What a product applies to its result before storing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Gaussian error linear unit, tanh approximation.
    Gelu(GeluAccuracy),
    /// `x · sigmoid(x)`
    Silu,
}

/// How exactly the tanh gelu is computed (`gelu.h` of TT-Metalium).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeluAccuracy {
    /// To f32, in some 38 operations of the vector unit.
    F32,
    /// To one unit in the last place of bfloat16, in some 22.
    Bf16,
}

/// How `minimal_matmul` cuts a product among cores, in tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulBlocks {
    /// Rows of the output, at once on a core.
    pub rows: usize,
    /// Columns of the output, at once on a core.
    pub columns: usize,
    /// Of the inputs' common side, at once on a core.
    pub depth: usize,
    /// Rows and columns that are summed up at once; they divide the block's.
    pub sums: (usize, usize),
    /// Columns and rows of the cores that take part, at least 2 of each.
    pub grid: (u32, u32),
}

/// How `linear` cuts a product of few rows, in tiles: every core takes all rows and some columns of the output, reads the weight
/// of these columns itself, and gets the input from the first core (a multicast in one dimension).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnBlocks {
    /// Rows of the output.
    pub rows: usize,
    /// Columns of the output, on a core.
    pub columns: usize,
    /// Of the inputs' common side, at once on a core; divides it.
    pub depth: usize,
    /// Rows and columns that are summed up at once; they divide the core's.
    pub sums: (usize, usize),
    /// Columns and rows of the cores that take part.
    pub grid: (u32, u32),
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

impl GeluAccuracy {
    /// TT-NN's tanh gelu: with parameter 1 the shorter one.
    pub(crate) fn object<'py>(self, ttnn: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> {
        let kind = ttnn.getattr("UnaryOpType")?.getattr("GELU_TANH")?;
        let unary = ttnn.getattr("UnaryWithParam")?;
        match self {
            GeluAccuracy::F32 => unary.call1((kind,)),
            GeluAccuracy::Bf16 => unary.call1((kind, 1.0_f32)),
        }
    }
}

impl Activation {
    fn object<'py>(self, ttnn: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Activation::Gelu(accuracy) => accuracy.object(ttnn),
            Activation::Silu => {
                let kind = ttnn.getattr("UnaryOpType")?.getattr("SILU")?;
                ttnn.getattr("UnaryWithParam")?.call1((kind,))
            }
        }
    }
}

impl Call<'_, '_> {
    fn blocks(&self, blocks: &MatmulBlocks) -> PyResult<()> {
        let keywords = PyDict::new(self.python);
        keywords.set_item("M_block_size", blocks.rows)?;
        keywords.set_item("K_block_size", blocks.depth)?;
        keywords.set_item("N_block_size", blocks.columns)?;
        keywords.set_item("subblock_h", blocks.sums.0)?;
        keywords.set_item("subblock_w", blocks.sums.1)?;
        keywords.set_item("compute_with_storage_grid_size", self.grid(blocks.grid)?)?;
        let config = self
            .ttnn
            .call_method("MinimalMatmulConfig", (), Some(&keywords))?;
        self.keyword("config", config)
    }

    fn column_blocks(&self, blocks: &ColumnBlocks, activation: Option<Activation>) -> PyResult<()> {
        let keywords = PyDict::new(self.python);
        keywords.set_item("compute_with_storage_grid_size", self.grid(blocks.grid)?)?;
        keywords.set_item("in0_block_w", blocks.depth)?;
        keywords.set_item("out_subblock_h", blocks.sums.0)?;
        keywords.set_item("out_subblock_w", blocks.sums.1)?;
        keywords.set_item("per_core_M", blocks.rows)?;
        keywords.set_item("per_core_N", blocks.columns)?;
        keywords.set_item("fuse_batch", true)?;
        keywords.set_item("mcast_in0", true)?;
        let activation = activation.map(|activation| activation.object(&self.ttnn));
        keywords.set_item("fused_activation", activation.transpose()?)?;
        let name = "MatmulMultiCoreReuseMultiCast1DProgramConfig";
        let config = self.ttnn.call_method(name, (), Some(&keywords))?;
        self.keyword("program_config", config)
    }
}

impl Device {
    /// `x · weight + bias`, spread over all cores along the outputs, in blocks of TT-NN's choice: for few rows.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn linear(
        &self,
        x: &Tensor,
        affine: Affine,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        self.linear_in_blocks(x, affine, None, compute, memory)
    }

    /// `activation(x · weight + bias)`, spread over the cores along the outputs: for few rows.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the blocks, or the card fails.
    pub fn linear_in_columns(
        &self,
        x: &Tensor,
        affine: Affine,
        activation: Option<Activation>,
        blocks: &ColumnBlocks,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        self.linear_in_blocks(x, affine, Some((blocks, activation)), compute, memory)
    }

    /// In blocks of TT-NN's choice where there are none.
    fn linear_in_blocks(
        &self,
        x: &Tensor,
        Affine { weight, bias }: Affine,
        columns: Option<(&ColumnBlocks, Option<Activation>)>,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        self.call("linear", &[x, weight], |call| {
            call.tensor("bias", bias)?;
            call.dtype(Dtype::Bf16)?;
            if let Some((blocks, activation)) = columns {
                call.column_blocks(blocks, activation)?;
            }
            call.compute(compute)?;
            call.memory(memory)?;
            let arguments = (x.bind(call.python), weight.bind(call.python));
            call.run("linear", arguments).map(Tensor::new)
        })
    }

    /// `activation(x · weight + bias)`, in blocks of rows and outputs: for many rows. The result has
    /// the element type `dtype`.
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
        (dtype, memory): (Dtype, Memory),
    ) -> Result<Tensor> {
        self.call("minimal_matmul", &[x, weight], |call| {
            call.tensor("bias_tensor", bias)?;
            if let Some(activation) = activation {
                call.keyword("fused_activation", activation.object(&call.ttnn)?)?;
            }
            call.dtype(dtype)?;
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
}
