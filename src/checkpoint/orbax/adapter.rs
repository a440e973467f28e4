//! Low-rank adapters of openpi's LoRA trainings, merged into the weights that they adapt.

use super::mapping::{AdapterKind, AdapterNames};
use super::ocdbt::Database;
use super::zarr::{Array, Slices};
use crate::checkpoint::error::TensorProblem;

/// Ranks of openpi's `gemma_2b_lora` and `gemma_300m_lora`, whose alpha is the rank.
const RANKS: [(&str, usize); 2] = [("vlm", 16), ("expert", 32)];

/// Arrays of an adapter. It has the weight's axes, of which A has the rank as its last and B as its last but one.
pub(super) struct Adapter<'a> {
    a: &'a Array,
    b: &'a Array,
    scale: f32,
    sums_heads: bool,
}

impl<'a> Adapter<'a> {
    /// Checks an adapter against its weight. `scale` is alpha divided by the rank, needed where the rank is not one of
    /// openpi's variants.
    ///
    /// # Errors
    /// When the shapes do not fit, or the scale is unknown.
    pub fn new(
        names: &AdapterNames,
        weight: &Array,
        (a, b): (&'a Array, &'a Array),
        scale: Option<f32>,
    ) -> Result<Self, AdapterProblem> {
        let rank = *a.shape.last().expect("an array has an axis");
        let last = weight.shape.len() - 1;
        for (name, array, axis) in [(&names.a, a, last), (&names.b, b, last - 1)] {
            let mut expected = weight.shape.clone();
            expected[axis] = rank;
            if array.shape != expected {
                return Err(AdapterProblem::Shape(TensorProblem::Shape {
                    name: name.clone(),
                    found: array.shape.clone(),
                    expected,
                }));
            }
        }
        let is_scaled = names.kind != AdapterKind::FeedForward;
        let scale = match scale {
            _ if !is_scaled => 1.0,
            Some(scale) => scale,
            None if RANKS.contains(&(names.scope, rank)) => 1.0,
            None => {
                return Err(AdapterProblem::Scale {
                    name: names.a.clone(),
                    rank,
                });
            }
        };
        Ok(Self {
            a,
            b,
            scale,
            sums_heads: names.kind == AdapterKind::SummedHeads,
        })
    }

    /// Begins to read the adapter's layers in their order.
    pub fn layers(&'a self, database: &'a Database) -> AdapterLayers<'a> {
        AdapterLayers {
            adapter: self,
            a: self.a.slices(database),
            b: self.b.slices(database),
        }
    }
}

/// Reason for which an adapter cannot be merged.
pub(super) enum AdapterProblem {
    Shape(TensorProblem),
    /// Alpha is not known.
    Scale {
        name: String,
        rank: usize,
    },
}

/// Reader of an adapter's layers.
pub(super) struct AdapterLayers<'a> {
    adapter: &'a Adapter<'a>,
    a: Slices<'a>,
    b: Slices<'a>,
}

impl AdapterLayers<'_> {
    /// Adds the adapter's next layer to the weight's, in f32.
    ///
    /// # Errors
    /// When a chunk of the adapter is truncated or damaged.
    pub fn merge(&mut self, weight: &mut [f32]) -> Result<(), String> {
        let a = self.a.read()?;
        let mut b = self.b.read()?;
        let [.., rows, rank] = self.adapter.a.shape[..] else {
            unreachable!("an adapter has the axes of its weight");
        };
        let columns = *self.adapter.b.shape.last().expect("an array has an axis");
        if self.adapter.sums_heads {
            let sum: Vec<f32> = (0..rank * columns)
                .map(|index| b[index..].iter().step_by(rank * columns).sum())
                .collect();
            b = sum.repeat(b.len() / sum.len());
        }
        let matrices = weight
            .chunks_exact_mut(rows * columns)
            .zip(a.chunks_exact(rows * rank).zip(b.chunks_exact(rank * columns)));
        for (weight, (a, b)) in matrices {
            for (row, a) in weight.chunks_exact_mut(columns).zip(a.chunks_exact(rank)) {
                for (a, b) in a.iter().zip(b.chunks_exact(columns)) {
                    let factor = self.adapter.scale * a;
                    row.iter_mut().zip(b).for_each(|(value, b)| *value += factor * b);
                }
            }
        }
        Ok(())
    }
}
