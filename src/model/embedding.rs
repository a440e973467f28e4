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

/// Rotation of heads of one width by their tokens' positions.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Values of a head.
    pub head_dim: usize,
    /// Base of the angles.
    pub theta: f32,
    /// Factor of all cosines and sines.
    pub scale: f32,
}

impl Rotation {
    /// Uploads the rotation of tokens at these positions: `[tokens, head_dim]`, padded to the device's tile.
    ///
    /// # Errors
    /// When the device fails.
    pub fn table<D: Device>(self, device: &D, positions: &[i64]) -> Result<RopeTable<D::Tensor>> {
        let width = HeadWidth::new(self.head_dim, device.tile_size());
        let upload = |values: Vec<f32>| device.upload(&values, &[positions.len(), width.padded]);
        let [cos, sin] = self.rows(width, positions);
        Ok(RopeTable {
            cos: upload(cos)?,
            sin: upload(sin)?,
        })
    }

    /// Overwrites a table by that of as many tokens at other positions.
    ///
    /// # Errors
    /// When there are more or fewer, or the device fails.
    pub fn write<D: Device>(
        self,
        device: &D,
        table: &mut RopeTable<D::Tensor>,
        positions: &[i64],
    ) -> Result<()> {
        let [cos, sin] = self.rows(HeadWidth::new(self.head_dim, device.tile_size()), positions);
        device.write(&mut table.cos, &cos)?;
        device.write(&mut table.sin, &sin)
    }

    /// Cosines and sines of both halves of a head.
    fn rows(self, width: HeadWidth, positions: &[i64]) -> [Vec<f32>; 2] {
        let (cos, sin) = rope_angles(positions, self.head_dim, self.theta);
        [cos, sin].map(|half_rows| {
            let rows = half_rows.chunks_exact((self.head_dim / 2).max(1));
            let both_halves = |row: &[f32]| {
                let row = row.repeat(2);
                width.pad_row(row.into_iter().map(|value| self.scale * value))
            };
            rows.flat_map(both_halves).collect()
        })
    }
}
