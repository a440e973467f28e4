//! Memory for weights and tensors.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use memmap2::MmapMut;

use crate::device::{DeviceError, Result};

/// Zeroed memory from the system, in pages as large as it has: gigabytes of small ones take seconds to be
/// allocated, and their addresses do not fit into the tables that translate them. They begin with a page, so
/// with a register's boundary.
pub(super) struct Stored<T> {
    /// `None` when there is no value.
    pages: Option<MmapMut>,
    marker: PhantomData<T>,
}

impl<T: Pod> Stored<T> {
    /// # Errors
    /// When the system has no memory for as many values.
    pub fn zeros(length: usize) -> Result<Self> {
        let bytes = length * size_of::<T>();
        let pages = match bytes {
            0 => None,
            bytes => {
                let pages = MmapMut::map_anon(bytes).map_err(|error| {
                    DeviceError::Unavailable(format!("no memory for {bytes} bytes: {error}"))
                })?;
                // Small pages serve as well where the system has no large ones.
                #[cfg(target_os = "linux")]
                let _ = pages.advise(memmap2::Advice::HugePage);
                Some(pages)
            }
        };
        Ok(Self {
            pages,
            marker: PhantomData,
        })
    }
}

impl<T: Pod> Deref for Stored<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.pages.as_deref().map_or(&[], cast_slice)
    }
}

impl<T: Pod> DerefMut for Stored<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.pages.as_deref_mut().map_or(&mut [], cast_slice_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_zero_until_they_are_written() {
        let mut stored = Stored::<i8>::zeros(3).unwrap();
        assert_eq!(*stored, [0; 3]);
        stored[1] = -7;
        assert_eq!(*stored, [0, -7, 0]);
        assert!(Stored::<f32>::zeros(0).unwrap().is_empty());
    }

    #[test]
    fn more_than_the_system_has_is_refused() {
        let error = Stored::<f32>::zeros(1 << 45).err().unwrap();
        assert!(error.to_string().contains("no memory for"), "{error}");
    }
}
