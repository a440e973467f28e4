//! Operations that move values and compute none.

use crate::{Device, Layout, Result, Tensor};

impl Device {
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
            call.keyword("layout", Layout::Tile.object(&call.ttnn)?)?;
            let arguments = (indices.bind(call.python), table.bind(call.python));
            call.run("embedding", arguments).map(Tensor::new)
        })
    }
}
