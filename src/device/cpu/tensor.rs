//! A tensor in host memory.

use std::sync::Arc;

use crate::device::{DeviceError, Result};

/// Row-major f32 values, shared between clones.
#[derive(Clone, Debug)]
pub struct CpuTensor {
    shape: Vec<usize>,
    values: Arc<Vec<f32>>,
}

impl CpuTensor {
    pub(super) fn new(values: Vec<f32>, shape: &[usize]) -> Self {
        debug_assert_eq!(values.len(), shape.iter().product::<usize>());
        Self {
            shape: shape.to_vec(),
            values: Arc::new(values),
        }
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values for writing; copied first if another tensor shares them.
    pub(super) fn values_mut(&mut self) -> &mut Vec<f32> {
        Arc::make_mut(&mut self.values)
    }

    /// `[rows, width]`, or what does not fit.
    pub(super) fn matrix(&self, operation: &'static str) -> Result<(usize, usize)> {
        match self.shape[..] {
            [rows, width] => Ok((rows, width)),
            _ => Err(DeviceError::shape(
                operation,
                format!("expected [rows, width], got {:?}", self.shape),
            )),
        }
    }

    /// `[heads, tokens, head_dim]`, or what does not fit.
    pub(super) fn heads(&self, operation: &'static str) -> Result<(usize, usize, usize)> {
        match self.shape[..] {
            [heads, tokens, head_dim] => Ok((heads, tokens, head_dim)),
            _ => Err(DeviceError::shape(
                operation,
                format!("expected [heads, tokens, head_dim], got {:?}", self.shape),
            )),
        }
    }

    pub(super) fn expect_shape(&self, operation: &'static str, what: &str, shape: &[usize]) -> Result<()> {
        if self.shape == shape {
            Ok(())
        } else {
            Err(DeviceError::shape(
                operation,
                format!("{what} is {:?}, expected {shape:?}", self.shape),
            ))
        }
    }
}
