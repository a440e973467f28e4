//! A tensor of the contract and the one on the card that stands for it.

use std::sync::Arc;

use tt_metal_sys as tt;

use super::replay::Counted;
use crate::device::{DeviceError, Result};

/// Rows and columns of a tile.
pub(super) const TILE: usize = 32;

/// How values lie on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// bfloat16 in tiles.
    Tiles,
    /// f32 in tiles: a point that steps are added to.
    Sums,
    /// An image's, a page a row.
    Pixels(PixelType),
}

/// What a pixel travels as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PixelType {
    /// A byte of the camera.
    Byte,
    /// The bits of a bfloat16.
    Bf16,
}

/// Shared between clones. Keeps the card open.
#[derive(Clone)]
pub struct TenstorrentTensor {
    pub(super) tensor: tt::Tensor,
    pub(super) shape: Arc<[usize]>,
    /// The same under TT-NN's four dimensions.
    pub(super) on_card: [usize; 4],
    pub(super) values: Values,
    // Dropped behind the tensor, whose memory then is free.
    _counted: Option<Arc<Counted>>,
    // Dropped after the tensor, whose memory is the card's.
    _card: Arc<tt::Device>,
}

impl TenstorrentTensor {
    pub(super) fn new(
        card: Arc<tt::Device>,
        tensor: tt::Tensor,
        shape: &[usize],
        on_card: [usize; 4],
        values: Values,
        counted: Option<Counted>,
    ) -> Self {
        Self {
            tensor,
            shape: shape.into(),
            on_card,
            values,
            _counted: counted.map(Arc::new),
            _card: card,
        }
    }

    /// The same for all clones, and another for every other tensor that there is.
    pub(super) fn place(&self) -> usize {
        self.tensor.address()
    }

    /// That this is not an image, whose values are in no layout that TT-NN's operations take.
    pub(super) fn expect_tiles(&self, operation: &'static str) -> Result<()> {
        match self.values {
            Values::Tiles => Ok(()),
            Values::Sums => Err(DeviceError::shape(operation, "made for sums, and not for this")),
            Values::Pixels(_) => Err(DeviceError::shape(
                operation,
                "an image is not cut into patches yet",
            )),
        }
    }

    /// That this is no image.
    pub(super) fn expect_numbers(&self, operation: &'static str) -> Result<()> {
        match self.values {
            Values::Sums => Ok(()),
            _ => self.expect_tiles(operation),
        }
    }

    /// `[rows, width]`, or what does not fit.
    pub(super) fn matrix(&self, operation: &'static str) -> Result<(usize, usize)> {
        self.expect_tiles(operation)?;
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
        self.expect_tiles(operation)?;
        match self.shape[..] {
            [heads, tokens, head_dim] => Ok((heads, tokens, head_dim)),
            _ => Err(DeviceError::shape(
                operation,
                format!("expected [heads, tokens, head_dim], got {:?}", self.shape),
            )),
        }
    }

    pub(super) fn expect_shape(&self, operation: &'static str, what: &str, shape: &[usize]) -> Result<()> {
        self.expect_tiles(operation)?;
        self.expect_same_shape(operation, what, shape)
    }

    /// The same of any values.
    pub(super) fn expect_same_shape(
        &self,
        operation: &'static str,
        what: &str,
        shape: &[usize],
    ) -> Result<()> {
        match self.shape[..] == *shape {
            true => Ok(()),
            false => Err(DeviceError::shape(
                operation,
                format!("{what} is {:?}, expected {shape:?}", self.shape),
            )),
        }
    }
}

/// TT-NN's shape of a tensor of up to four dimensions.
pub(super) fn on_card(operation: &'static str, shape: &[usize]) -> Result<[usize; 4]> {
    let mut four = [1; 4];
    let Some(start) = 4_usize.checked_sub(shape.len()) else {
        return Err(DeviceError::shape(
            operation,
            format!("{shape:?} has more than four dimensions"),
        ));
    };
    four[start..].copy_from_slice(shape);
    Ok(four)
}
