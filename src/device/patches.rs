//! Images cut into the patches that a vision transformer reads as tokens.

use super::{DeviceError, Result};

/// Division of a square image into square patches. Pixels that are left over at the right and below are not
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Side of the image, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
}

impl PatchGrid {
    /// Patches of an image.
    pub fn num_patches(self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Values of a patch.
    pub fn patch_dim(self) -> usize {
        3 * self.patch_size.pow(2)
    }

    /// Checks that an image of this shape can be divided so.
    pub(super) fn check(self, image: &[usize]) -> Result<()> {
        let Self {
            image_size,
            patch_size,
        } = self;
        if patch_size == 0 || patch_size > image_size {
            return Err(DeviceError::shape(
                "patches",
                format!("patches of {patch_size} pixels a side in an image of {image_size}"),
            ));
        }
        match image == image_shape(image_size) {
            true => Ok(()),
            false => Err(DeviceError::shape(
                "patches",
                format!("{image:?}, expected an image [3, {image_size}, {image_size}]"),
            )),
        }
    }

    /// Writes the patches of an image one below the other, and zeros behind them.
    pub(super) fn unfold(self, image: &[f32], unfolded: &mut [f32]) {
        let Self {
            image_size,
            patch_size,
        } = self;
        let patches_a_side = image_size / patch_size;
        let rows_a_patch = 3 * patch_size;
        let (patches, padding) = unfolded.split_at_mut(self.num_patches() * self.patch_dim());
        for (index, unfolded_row) in patches.chunks_exact_mut(patch_size).enumerate() {
            let (patch, patch_row) = (index / rows_a_patch, index % rows_a_patch);
            let (channel, row) = (patch_row / patch_size, patch_row % patch_size);
            let y = patch / patches_a_side * patch_size + row;
            let x = patch % patches_a_side * patch_size;
            let start = (channel * image_size + y) * image_size + x;
            unfolded_row.copy_from_slice(&image[start..start + patch_size]);
        }
        padding.fill(0.0);
    }
}

/// Shape of an image with pixels of three colours.
pub(super) fn image_shape(image_size: usize) -> [usize; 3] {
    [3, image_size, image_size]
}
