//! Tensors in host memory, and the buffers that are reused for them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::LocalKey;

use super::stored::Stored;
use crate::device::{DeviceError, Result};

const MAX_RANK: usize = 4;

/// Row-major f32 values, shared between clones.
#[derive(Clone)]
pub struct CpuTensor {
    sizes: [usize; MAX_RANK],
    rank: usize,
    /// At least as many values as the shape has. `None` only while the tensor is dropped.
    values: Option<Arc<Stored<f32>>>,
    buffers: Buffers,
}

/// Buffers of dropped tensors, for later ones: once every size has been there, none is allocated.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<FreeBuffers>>);

/// Free buffers, by length.
type FreeBuffers = BTreeMap<usize, Vec<Arc<Stored<f32>>>>;

impl Buffers {
    /// Makes a tensor that nothing shares, with values of no meaning.
    ///
    /// # Errors
    /// When the shape has more dimensions than a tensor can have, or there is no memory.
    pub fn tensor(&self, shape: &[usize]) -> Result<CpuTensor> {
        if shape.len() > MAX_RANK {
            return Err(DeviceError::shape(
                "allocation",
                format!("{shape:?} has more than {MAX_RANK} dimensions"),
            ));
        }
        let mut sizes = [1; MAX_RANK];
        sizes[..shape.len()].copy_from_slice(shape);
        let length = shape.iter().product();
        let values = match self.take(length) {
            Some(values) => values,
            None => Arc::new(Stored::zeros(length)?),
        };
        Ok(CpuTensor {
            sizes,
            rank: shape.len(),
            values: Some(values),
            buffers: self.clone(),
        })
    }

    /// Takes the shortest free buffer that is long enough, unless half of it would lie idle.
    fn take(&self, length: usize) -> Option<Arc<Stored<f32>>> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.range_mut(length..=2 * length)
            .find_map(|(_, buffers)| buffers.pop())
    }

    fn give_back(&self, values: Arc<Stored<f32>>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(values.len()).or_default().push(values);
    }
}

impl CpuTensor {
    /// Sizes of the dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.sizes[..self.rank]
    }

    fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Values, row-major.
    pub fn values(&self) -> &[f32] {
        let values = self.values.as_ref().expect("values until the tensor is dropped");
        &values[..self.len()]
    }

    /// Borrows the values for writing; they are copied first if another tensor shares them.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        let length = self.len();
        let shared = self.values.as_mut().and_then(Arc::get_mut).is_none();
        if shared {
            let mut copy = self
                .buffers
                .tensor(self.shape())
                .expect("a shape that a tensor has already");
            copy.values_mut().copy_from_slice(self.values());
            *self = copy;
        }
        let values = self.values.as_mut().and_then(Arc::get_mut);
        &mut values.expect("values that nobody shares")[..length]
    }

    /// Rows and width of `[rows, width]`.
    pub(super) fn matrix(&self, operation: &'static str) -> Result<(usize, usize)> {
        match *self.shape() {
            [rows, width] => Ok((rows, width)),
            _ => Err(DeviceError::shape(
                operation,
                format!("expected [rows, width], got {:?}", self.shape()),
            )),
        }
    }

    /// Heads, tokens and width of `[heads, tokens, head_dim]`.
    pub(super) fn heads(&self, operation: &'static str) -> Result<(usize, usize, usize)> {
        match *self.shape() {
            [heads, tokens, head_dim] => Ok((heads, tokens, head_dim)),
            _ => Err(DeviceError::shape(
                operation,
                format!("expected [heads, tokens, head_dim], got {:?}", self.shape()),
            )),
        }
    }

    pub(super) fn expect_shape(&self, operation: &'static str, what: &str, shape: &[usize]) -> Result<()> {
        if self.shape() == shape {
            Ok(())
        } else {
            Err(DeviceError::shape(
                operation,
                format!("{what} is {:?}, expected {shape:?}", self.shape()),
            ))
        }
    }
}

impl Drop for CpuTensor {
    fn drop(&mut self) {
        // Whoever is last leaves the buffer to others.
        if let Some(mut values) = self.values.take()
            && Arc::get_mut(&mut values).is_some()
        {
            self.buffers.give_back(values);
        }
    }
}

/// Calls `work` with memory of this thread, with values of no meaning, for temporary values.
pub(super) fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    with_memory(&SCRATCH, length, work)
}

/// Calls `work` with `length` values of a thread's memory, which grows to the longest request.
pub(super) fn with_memory<R>(
    memory: &'static LocalKey<RefCell<Vec<f32>>>,
    length: usize,
    work: impl FnOnce(&mut [f32]) -> R,
) -> R {
    memory.with_borrow_mut(|memory| {
        if memory.len() < length {
            memory.resize(length, 0.0);
        }
        work(&mut memory[..length])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_values_when_the_other_is_written() {
        let buffers = Buffers::default();
        let mut tensor = buffers.tensor(&[2, 2]).unwrap();
        tensor.values_mut().fill(1.0);
        let clone = tensor.clone();
        tensor.values_mut().fill(2.0);
        assert_eq!(clone.values(), [1.0; 4]);
        assert_eq!(tensor.values(), [2.0; 4]);
    }

    #[test]
    fn a_buffer_goes_to_the_next_tensor_that_fits_and_never_to_two() {
        let buffers = Buffers::default();
        let tensor = buffers.tensor(&[10]).unwrap();
        let place = tensor.values().as_ptr();
        let clone = tensor.clone();
        drop(tensor);
        assert_ne!(
            buffers.tensor(&[10]).unwrap().values().as_ptr(),
            place,
            "still held by the clone"
        );
        drop(clone);
        let smaller = buffers.tensor(&[3, 3]).unwrap();
        let other = buffers.tensor(&[9]).unwrap();
        assert_eq!(smaller.values().len(), 9);
        assert_ne!(smaller.values().as_ptr(), other.values().as_ptr());
    }

    #[test]
    fn a_buffer_twice_as_long_as_needed_is_left_alone() {
        let buffers = Buffers::default();
        drop(buffers.tensor(&[100]).unwrap());
        assert!(buffers.take(49).is_none());
        assert!(buffers.take(50).is_some());
    }

    #[test]
    fn five_dimensions_are_refused() {
        assert!(Buffers::default().tensor(&[1; 5]).is_err());
    }
}
