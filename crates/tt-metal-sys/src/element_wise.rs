//! Operations value by value.

use crate::products::GeluAccuracy;
use crate::{Device, Dtype, Result, Tensor};

impl Device {
    /// `gelu_tanh(gate) · up`
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn gelu_multiply(&self, gate: &Tensor, up: &Tensor, gelu: GeluAccuracy) -> Result<Tensor> {
        self.call("multiply", &[gate, up], |call| {
            call.keyword("input_tensor_a_activations", vec![gelu.object(&call.ttnn)?])?;
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

    /// `x + gate · y`, the gate's dimensions of 1 repeated; all of one element type.
    ///
    /// # Errors
    /// When TT-NN refuses the shapes or the card fails.
    pub fn add_gated(&self, x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
        self.call("addcmul", &[x, gate, y], |call| {
            let arguments = [x, gate, y].map(|tensor| tensor.bind(call.python));
            call.run("addcmul", <(_, _, _)>::from(arguments)).map(Tensor::new)
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
}
