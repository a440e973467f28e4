//! Norms on the card.

use tt_metal_sys as tt;
use tt_metal_sys::{ComputeKernel, Fidelity, Norm, NormBlocks, NormWeights, Sums};

use super::{TILE, TenstorrentDevice, TenstorrentTensor};
use crate::device::{Result, Tuning};

/// Means and squares in f32.
const COMPUTE: ComputeKernel = ComputeKernel {
    fidelity: Fidelity::HiFi4,
    sums: Sums::F32,
};

/// Chooses the blocks of a norm of `[rows, width]`: those that keep the most cores busy, with the rows along either side of the
/// grid. `None` where these are not twice as many as the rows of tiles, of which TT-NN otherwise gives each to a core: moving to
/// and from the blocks takes time too.
fn norm_blocks(rows: usize, width: usize, grid: (u32, u32)) -> Option<NormBlocks> {
    if !rows.is_multiple_of(TILE) || !width.is_multiple_of(TILE) {
        return None;
    }
    let (rows, columns) = (rows / TILE, width / TILE);
    let most_dividing =
        |tiles: usize, most: u32| (1..=most as usize).rev().find(|n| tiles.is_multiple_of(*n));
    let along = |transposed: bool| {
        let (for_columns, for_rows) = if transposed { (grid.1, grid.0) } else { grid };
        let (wide, high) = (
            most_dividing(columns, for_columns)?,
            most_dividing(rows, for_rows)?,
        );
        let (wide_cores, high_cores) = (wide as u32, high as u32);
        Some(NormBlocks {
            rows: rows / high,
            columns: columns / wide,
            grid: if transposed {
                (high_cores, wide_cores)
            } else {
                (wide_cores, high_cores)
            },
            transposed,
        })
    };
    let cores = |blocks: &NormBlocks| (blocks.grid.0 * blocks.grid.1) as usize;
    let (upright, transposed) = (along(false)?, along(true)?);
    let best = if cores(&transposed) > cores(&upright) {
        transposed
    } else {
        upright
    };
    (cores(&best) >= 2 * rows).then_some(best)
}

impl TenstorrentDevice {
    /// Takes the norm of `[rows, width]`, whose weights have that width.
    pub(super) fn normalise(
        &self,
        norm: Norm,
        x: &TenstorrentTensor,
        weight: &TenstorrentTensor,
        bias: Option<&TenstorrentTensor>,
        eps: f32,
    ) -> Result<TenstorrentTensor> {
        let (rows, width) = x.matrix("norm")?;
        let weights = NormWeights {
            weight: &weight.tensor,
            bias: bias.map(|bias| &bias.tensor),
            eps,
        };
        let x: &tt::Tensor = &x.tensor;
        let y = match self.norm_blocks(rows, width) {
            Some(blocks) => {
                let memory = self.memory(rows, width);
                self.card
                    .norm_in_blocks(norm, x, weights, &blocks, COMPUTE, memory)?
            }
            None => self.card.norm(norm, x, weights, COMPUTE)?,
        };
        Ok(self.matrix(y, rows, width))
    }

    /// Blocks of a norm of `[rows, width]`, where it is divided into some: only within captured work, whose tensors go when it ends.
    fn norm_blocks(&self, rows: usize, width: usize) -> Option<NormBlocks> {
        match self.tuning.has(Tuning::WideNorms) && self.traces.is_working() {
            true => norm_blocks(rows, width, self.grid),
            false => None,
        }
    }

    /// `residual + gate · y` of `[rows, width]`: in the blocks of the norm that follows every residual, where it has some.
    pub(super) fn add_residual(
        &self,
        residual: &tt::Tensor,
        gate: Option<&tt::Tensor>,
        y: &tt::Tensor,
        (rows, width): (usize, usize),
    ) -> Result<tt::Tensor> {
        let sum = match (self.norm_blocks(rows, width), gate) {
            (Some(blocks), gate) => self.card.add_in_blocks(residual, gate, y, &blocks),
            (None, Some(gate)) => self.card.add_gated(residual, gate, y),
            (None, None) => self.card.add(residual, y),
        };
        Ok(sum?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_of_few_rows_are_divided_along_the_width_too() {
        let blocks = |rows, columns, grid, transposed| {
            Some(NormBlocks {
                rows,
                columns,
                grid,
                transposed,
            })
        };
        assert_eq!(
            norm_blocks(64, 1024, (13, 10)),
            blocks(1, 4, (8, 2), false),
            "a suffix"
        );
        assert_eq!(
            norm_blocks(96, 1024, (8, 8)),
            blocks(1, 4, (8, 3), false),
            "with the state"
        );
        assert_eq!(
            norm_blocks(768, 1152, (13, 10)),
            blocks(2, 4, (12, 9), true),
            "three images"
        );
        assert_eq!(
            norm_blocks(768, 1152, (8, 8)),
            blocks(3, 6, (6, 8), false),
            "on a smaller grid"
        );
        assert_eq!(
            norm_blocks(832, 2048, (13, 10)),
            blocks(2, 8, (13, 8), true),
            "a prefix"
        );
        assert_eq!(
            norm_blocks(832, 2048, (8, 8)),
            None,
            "26 rows of tiles are 26 cores without"
        );
        assert_eq!(norm_blocks(64, 48, (8, 8)), None, "part of a tile");
    }

    #[test]
    fn blocks_of_a_norm_make_up_the_whole() {
        for grid in [(8, 7), (8, 8), (11, 10), (12, 10), (13, 10)] {
            for (rows, width) in [
                (32, 64),
                (64, 1024),
                (96, 1024),
                (256, 1152),
                (512, 1152),
                (576, 2048),
                (832, 2048),
            ] {
                let Some(blocks) = norm_blocks(rows, width, grid) else {
                    continue;
                };
                assert!(blocks.grid.0 <= grid.0 && blocks.grid.1 <= grid.1, "{blocks:?}");
                let (wide, high) = match blocks.transposed {
                    true => (blocks.grid.1, blocks.grid.0),
                    false => blocks.grid,
                };
                assert_eq!(blocks.rows * high as usize * TILE, rows);
                assert_eq!(blocks.columns * wide as usize * TILE, width);
            }
        }
    }
}
