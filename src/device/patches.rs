//! Images cut into the patches that a vision transformer reads as tokens.

use super::{DeviceError, Result};

/// How square images are cut into square patches. Pixels that are left over at the right and below are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    /// Pixels a side.
    pub image_size: usize,
    /// Pixels a side.
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

    pub(super) fn check(self, images: &[&[f32]]) -> Result<()> {
        let Self {
            image_size,
            patch_size,
        } = self;
        if patch_size == 0 || patch_size > image_size {
            return Err(DeviceError::shape(
                "upload_patches",
                format!("patches of {patch_size} pixels a side in an image of {image_size}"),
            ));
        }
        match images.iter().find(|image| image.len() != 3 * image_size.pow(2)) {
            None => Ok(()),
            Some(image) => Err(DeviceError::shape(
                "upload_patches",
                format!(
                    "{} values, expected an image [3, {image_size}, {image_size}]",
                    image.len()
                ),
            )),
        }
    }

    /// `[images · tokens, patch_dim]`, zeros behind the patches of an image.
    pub(super) fn unfold(self, images: &[&[f32]], tokens: usize) -> Vec<f32> {
        let image_values = tokens * self.patch_dim();
        let mut unfolded = Vec::with_capacity(images.len() * image_values);
        for (index, image) in images.iter().enumerate() {
            self.unfold_image(image, &mut unfolded);
            unfolded.resize((index + 1) * image_values, 0.0);
        }
        unfolded
    }

    fn unfold_image(self, image: &[f32], unfolded: &mut Vec<f32>) {
        let Self {
            image_size,
            patch_size,
        } = self;
        let patches = image_size / patch_size;
        for patch_row in 0..patches {
            for patch_column in 0..patches {
                for channel in 0..3 {
                    for row in 0..patch_size {
                        let y = patch_row * patch_size + row;
                        let start = (channel * image_size + y) * image_size + patch_column * patch_size;
                        unfolded.extend_from_slice(&image[start..start + patch_size]);
                    }
                }
            }
        }
    }
}
