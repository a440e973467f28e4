//! Checkpoints of openpi's JAX training, as orbax writes them, and their conversion to LeRobot's layout.

mod adapter;
mod conversion;
mod cursor;
mod folder;
mod mapping;
mod norm_stats;
mod ocdbt;
mod rearrangement;
mod sizes;
mod zarr;

pub use conversion::{Conversion, ConversionOptions, Scaling, convert};
pub(super) use folder::StoredArrays;
pub(super) use folder::stored_arrays;
pub(super) use norm_stats::read_file as read_norm_stats;
