//! A tensor of the contract and the one on the card that stands for it.

use std::sync::Arc;

use tt_metal_sys as tt;

use super::trace::Counted;
use crate::device::{DeviceError, Result, expect_count};

/// Rows and columns of a tile.
pub(super) const TILE: usize = 32;

/// Added to the score of a pair that must not attend. A block of keys that are all hidden would make −∞ − −∞
/// of the attention's running maximum; this leaves the same zero after the softmax.
const MASKED: f32 = -1e9;

/// Type and layout of values on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// bfloat16 in tiles.
    Tiles,
    /// f32 in tiles: an accumulator of small steps.
    F32,
    /// Pixels of an image, a page a row.
    Pixels(PixelType),
    /// Indices of an embedding table's rows, in one page.
    TokenIds,
}

/// Type of a pixel on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PixelType {
    /// A byte of the camera.
    Byte,
    /// The bits of a bfloat16.
    Bf16,
}

/// A tensor on the card, shared between clones. Keeps the card open.
#[derive(Clone)]
pub struct TenstorrentTensor {
    pub(super) tensor: tt::Tensor,
    pub(super) shape: Arc<[usize]>,
    /// TT-NN's four dimensions of the shape.
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

    /// Address on the card: one for all clones, and another for every other tensor.
    pub(super) fn address(&self) -> usize {
        self.tensor.address()
    }

    /// Checks that TT-NN's operations accept type and layout.
    pub(super) fn expect_tiles(&self, operation: &'static str) -> Result<()> {
        match self.values {
            Values::Tiles => Ok(()),
            Values::F32 => Err(DeviceError::shape(
                operation,
                "an f32 accumulator, which this operation does not take",
            )),
            Values::Pixels(_) => Err(DeviceError::shape(
                operation,
                "an image is not cut into patches yet",
            )),
            Values::TokenIds => Err(DeviceError::shape(
                operation,
                "token ids, which an embedding alone reads",
            )),
        }
    }

    /// Checks that these are rows of a table.
    pub(super) fn expect_token_ids(&self, operation: &'static str) -> Result<()> {
        match self.values {
            Values::TokenIds => Ok(()),
            other => Err(DeviceError::shape(
                operation,
                format!("{other:?} of shape {:?}, expected token ids", self.shape),
            )),
        }
    }

    /// Checks that this is neither an image nor token ids.
    pub(super) fn expect_numbers(&self, operation: &'static str) -> Result<()> {
        match self.values {
            Values::F32 => Ok(()),
            _ => self.expect_tiles(operation),
        }
    }

    /// Rows and width of `[rows, width]`.
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

    /// Heads, tokens and width of `[heads, tokens, head_dim]`.
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

    /// Checks the shape, and that TT-NN's operations accept type and layout.
    pub(super) fn expect_shape(&self, operation: &'static str, what: &str, shape: &[usize]) -> Result<()> {
        self.expect_tiles(operation)?;
        self.expect_same_shape(operation, what, shape)
    }

    /// Checks the shape of values of any type.
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

/// Copies as many values as a shape has, with −∞ replaced by [`MASKED`].
pub(super) fn values_for(operation: &'static str, values: &[f32], shape: &[usize]) -> Result<Vec<f32>> {
    expect_count(operation, values.len(), shape)?;
    let finite = |value: &f32| {
        if *value == f32::NEG_INFINITY {
            MASKED
        } else {
            *value
        }
    };
    Ok(values.iter().map(finite).collect())
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
