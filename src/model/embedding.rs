//! Embeddings that are computed, not learned: flow-matching time and rotary positions.

use std::f64::consts::TAU;

use super::weights::HeadWidth;
use crate::device::{Device, Result, RopeTable};

/// Computes the sine-cosine embedding of a flow-matching time: `[width]`, sines first.
///
/// Periods lie geometrically between `min_period` and `max_period`, both included. Computed in f64, since the
/// argument reaches 2π / min_period. π0 appendix B; reference `create_sinusoidal_pos_embedding`.
///
/// # Panics
/// When `width` is odd.
pub fn sinusoidal_embedding(time: f32, width: usize, min_period: f64, max_period: f64) -> Vec<f32> {
    assert!(
        width.is_multiple_of(2),
        "half of the width {width} is sines, half cosines"
    );
    let half = width / 2;
    let angle = |index: usize| {
        let fraction = if half > 1 {
            index as f64 / (half - 1) as f64
        } else {
            0.0
        };
        let period = min_period * (max_period / min_period).powf(fraction);
        TAU / period * f64::from(time)
    };
    let sines = (0..half).map(|index| angle(index).sin() as f32);
    let cosines = (0..half).map(|index| angle(index).cos() as f32);
    sines.chain(cosines).collect()
}

/// Computes cosines and sines of rotary positions (RoFormer, Su et al. 2021), each `[tokens, head_dim / 2]`.
pub fn rope_angles(positions: &[i64], head_dim: usize, theta: f32) -> (Vec<f32>, Vec<f32>) {
    let half = head_dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|index| 1.0 / theta.powf((2 * index) as f32 / head_dim as f32))
        .collect();
    positions
        .iter()
        .flat_map(|&position| {
            frequencies
                .iter()
                .map(move |frequency| position as f32 * frequency)
        })
        .map(|angle| (angle.cos(), angle.sin()))
        .unzip()
}

/// Uploads the rotation of tokens at these positions, times `scale`: `[tokens, head_dim]`, padded to the
/// device's tile.
///
/// # Errors
/// When the device fails.
pub fn rope_table<D: Device>(
    device: &D,
    positions: &[i64],
    head_dim: usize,
    theta: f32,
    scale: f32,
) -> Result<RopeTable<D::Tensor>> {
    let width = HeadWidth::new(head_dim, device.tile_size());
    let upload = |half_rows: Vec<f32>| {
        let rows = half_rows.chunks_exact((head_dim / 2).max(1));
        let both_halves = |row: &[f32]| {
            let row = row.repeat(2);
            width.pad_row(row.into_iter().map(|value| scale * value))
        };
        let values: Vec<f32> = rows.flat_map(both_halves).collect();
        device.upload(&values, &[positions.len(), width.padded])
    };
    let (cos, sin) = rope_angles(positions, head_dim, theta);
    Ok(RopeTable {
        cos: upload(cos)?,
        sin: upload(sin)?,
    })
}
