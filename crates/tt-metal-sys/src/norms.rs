//! Norms over the width of `[batch, heads, rows, width]`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call::Call;
use crate::{ComputeKernel, Device, Memory, Result, Tensor};

/// How a norm of few rows is divided among cores, in tiles: each has a block of rows and columns in its own L1 (block
/// sharded), and they exchange their parts of a row's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormBlocks {
    /// Rows on a core.
    pub rows: usize,
    /// Columns on a core.
    pub columns: usize,
    /// Columns and rows of the cores that take part: the whole tensor divided by a core's block.
    pub grid: (u32, u32),
    /// Whether the tensor's rows lie along the columns of cores.
    pub transposed: bool,
}

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// `weight · (x − mean(x)) / sqrt(variance(x) + eps) + bias`
    Layer,
    /// `weight · x / sqrt(mean(x²) + eps) + bias`
    RootMeanSquare,
}

impl Norm {
    fn name(self) -> &'static str {
        match self {
            Norm::Layer => "layer_norm",
            Norm::RootMeanSquare => "rms_norm",
        }
    }
}

/// A norm's weights, `[1, 1, 1, width]` each, and its epsilon.
#[derive(Clone, Copy)]
pub struct NormWeights<'a> {
    /// Factor.
    pub weight: &'a Tensor,
    /// Summand.
    pub bias: Option<&'a Tensor>,
    /// Added to the variance or the mean square.
    pub eps: f32,
}

impl Call<'_, '_> {
    fn norm_weights(&self, NormWeights { weight, bias, eps }: NormWeights) -> PyResult<()> {
        self.tensor("weight", Some(weight))?;
        self.tensor("bias", bias)?;
        self.keyword("epsilon", eps)
    }

    fn norm_blocks(&self, blocks: &NormBlocks) -> PyResult<()> {
        let keywords = PyDict::new(self.python);
        keywords.set_item("compute_with_storage_grid_size", self.grid(blocks.grid)?)?;
        // Accumulators in f32 are four tiles.
        let at_once = (1..=4).rev().find(|tiles| blocks.columns.is_multiple_of(*tiles));
        keywords.set_item("subblock_w", at_once)?;
        keywords.set_item("block_h", blocks.rows)?;
        keywords.set_item("block_w", blocks.columns)?;
        keywords.set_item("inplace", false)?;
        let name = "LayerNormShardedMultiCoreProgramConfig";
        let config = self.ttnn.call_method(name, (), Some(&keywords))?;
        self.keyword("program_config", config)
    }
}

impl Device {
    /// A norm of which each core takes whole rows of tiles.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn norm(
        &self,
        norm: Norm,
        x: &Tensor,
        weights: NormWeights,
        compute: ComputeKernel,
    ) -> Result<Tensor> {
        self.call(norm.name(), &[x, weights.weight], |call| {
            call.norm_weights(weights)?;
            call.compute(compute)?;
            call.run(norm.name(), (x.bind(call.python),)).map(Tensor::new)
        })
    }

    /// A norm in blocks of rows and columns: for few rows. Three programs: `x` goes to the cores' L1 in their blocks, unless it is
    /// there, is normalised there, and comes back tile by tile.
    ///
    /// # Errors
    /// When the blocks do not divide `x`, TT-NN refuses the shapes, or the card fails.
    pub fn norm_in_blocks(
        &self,
        norm: Norm,
        x: &Tensor,
        weights: NormWeights,
        blocks: &NormBlocks,
        compute: ComputeKernel,
        memory: Memory,
    ) -> Result<Tensor> {
        let sharded = self.call("to_memory_config", &[x], |call| {
            let arguments = (x.bind(call.python), call.block_sharded(x, blocks)?);
            call.run("to_memory_config", arguments).map(Tensor::new)
        })?;
        let normalised = self.call(norm.name(), &[x, weights.weight], |call| {
            call.norm_weights(weights)?;
            call.norm_blocks(blocks)?;
            call.compute(compute)?;
            call.keyword("memory_config", call.block_sharded(x, blocks)?)?;
            call.run(norm.name(), (sharded.bind(call.python),))
                .map(Tensor::new)
        })?;
        self.call("sharded_to_interleaved", &[&normalised], |call| {
            let arguments = (normalised.bind(call.python), memory.object(&call.ttnn)?);
            call.run("sharded_to_interleaved", arguments).map(Tensor::new)
        })
    }

    /// `x + y`, or `x + gate · y`, the gate's dimensions of 1 repeated: in the blocks of a norm that follows, which then need not be
    /// brought there. All of one shape and element type.
    ///
    /// # Errors
    /// When the blocks do not divide `x`, TT-NN refuses the shapes, or the card fails.
    pub fn add_in_blocks(
        &self,
        x: &Tensor,
        gate: Option<&Tensor>,
        y: &Tensor,
        blocks: &NormBlocks,
    ) -> Result<Tensor> {
        let operation = match gate {
            Some(_) => "addcmul",
            None => "add",
        };
        let tensors: Vec<&Tensor> = [Some(x), gate, Some(y)].into_iter().flatten().collect();
        self.call(operation, &tensors, |call| {
            call.keyword("memory_config", call.block_sharded(x, blocks)?)?;
            let arguments = PyTuple::new(call.python, tensors.iter().map(|tensor| tensor.bind(call.python)))?;
            call.run(operation, arguments).map(Tensor::new)
        })
    }
}

impl<'py> Call<'_, 'py> {
    /// The memory of a tensor of which each core has a block.
    fn block_sharded(&self, x: &Tensor, blocks: &NormBlocks) -> PyResult<Bound<'py, PyAny>> {
        let ttnn = &self.ttnn;
        let (columns, rows) = blocks.grid;
        let grid = PyDict::new(self.python);
        grid.set_item("x", columns)?;
        grid.set_item("y", rows)?;
        let keywords = PyDict::new(self.python);
        keywords.set_item("core_grid", ttnn.call_method("CoreGrid", (), Some(&grid))?)?;
        keywords.set_item("strategy", ttnn.getattr("ShardStrategy")?.getattr("BLOCK")?)?;
        let orientation = match blocks.transposed {
            true => "COL_MAJOR",
            false => "ROW_MAJOR",
        };
        let orientation = ttnn.getattr("ShardOrientation")?.getattr(orientation)?;
        keywords.set_item("orientation", orientation)?;
        let shape = x.bind(self.python).getattr("padded_shape")?;
        ttnn.call_method("create_sharded_memory_config", (shape,), Some(&keywords))
    }
}
