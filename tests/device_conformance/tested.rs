//! A device and what its results are held against.

use pi0_node::device::{Device, DeviceError};

pub struct Tested<D: Device> {
    pub device: D,
    /// How far its values may be from the definition, as a share of one plus the value; of a whole policy's, how far their
    /// correlation may be from 1.
    pub tolerance: f64,
    /// A mock card does not.
    pub computes: bool,
}

/// Where the values of a behaviour come from: whatever is rounded there, the definition has unrounded.
#[derive(Clone, Copy)]
pub enum Source {
    /// Nothing is rounded but the values themselves.
    ElementWise,
    /// Keys, queries, weights and values of attention.
    Attention,
    /// Weights of layers and tables, and the activations that they are multiplied by.
    Weights,
    /// All of them, one after the other.
    Policy,
}

impl<D: Device> Tested<D> {
    pub fn upload(&self, values: &[f32], shape: &[usize]) -> D::Tensor {
        self.device.upload(values, shape).unwrap()
    }

    pub fn expect(
        &self,
        what: &str,
        tensor: Result<D::Tensor, DeviceError>,
        shape: &[usize],
        expected: &[f64],
    ) {
        let what = format!("{}: {what}", self.device.description());
        let tensor = tensor.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(self.device.shape(&tensor), shape, "{what}: shape");
        let ours = self.device.read_back(&tensor).unwrap();
        assert_eq!(ours.len(), expected.len(), "{what}: number of values");
        if !self.computes {
            return;
        }
        for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
            let error = (f64::from(*ours) - expected).abs();
            assert!(
                error <= self.tolerance * (1.0 + expected.abs()),
                "{what}: value {index} is {ours}, expected {expected}"
            );
        }
    }

    pub fn refuse<T>(&self, what: &str, result: Result<T, DeviceError>) {
        assert!(
            matches!(result, Err(DeviceError::Shape { .. })),
            "{}: {what} was not refused",
            self.device.description()
        );
    }
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
