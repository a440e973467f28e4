//! Matrix products as they are defined, written without a thought for speed.

use half::bf16;

use crate::common::levels::Quantisation;

/// `x · weightᵀ` of x `[rows, inner]` and weight `[outputs, inner]`.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub rows: usize,
    pub inner: usize,
    pub outputs: usize,
}

impl<'a> Product<'a> {
    pub fn x(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.rows).map(move |row| &self.x[row * self.inner..][..self.inner])
    }

    pub fn weight(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.outputs).map(move |output| &self.weight[output * self.inner..][..self.inner])
    }

    /// A row of x and one of the weight for every value of the product.
    pub fn pairs(self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        self.x()
            .flat_map(move |x| self.weight().map(move |weight| (x, weight)))
    }

    /// Holds sums in f32 against those in f64: as many of them are rounded, in one direction or the other.
    ///
    /// # Panics
    /// When one differs by more.
    pub fn expect_rounded_sums(self, ours: &[f32], what: &str) {
        assert_eq!(ours.len(), self.rows * self.outputs, "{what}: number of values");
        let rounding = (self.inner as f64).sqrt() * f64::from(f32::EPSILON);
        for (index, (ours, (x, weight))) in ours.iter().zip(self.pairs()).enumerate() {
            let products = || x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w));
            let exact: f64 = products().sum();
            let magnitude: f64 = products().map(f64::abs).sum();
            let error = (f64::from(*ours) - exact).abs();
            assert!(
                error <= rounding * magnitude,
                "{what}: value {index} is {ours}, expected {exact}"
            );
        }
    }

    /// With weights and activations in integers: exact sums of each block, brought into f32 one after the other.
    pub fn in_integers(self, activations: Quantisation) -> Vec<f32> {
        let weights: Vec<_> = self.weight().map(|row| quantise(row, LARGEST_WEIGHT)).collect();
        let value = |blocks: &[Quantised], weight: &Quantised| {
            let mut sum = 0.0f32;
            let blocks = blocks.iter().zip(weight.values.chunks(activations.block));
            for (index, (x, weights)) in blocks.enumerate() {
                let products = x.values.iter().zip(weights).map(|(x, w)| i64::from(x * w));
                let exact = products.sum::<i64>() as f32;
                sum = match index {
                    0 => exact * x.step,
                    _ => exact.mul_add(x.step, sum),
                };
            }
            sum * weight.step
        };
        let mut values = Vec::new();
        for x in self.x() {
            let blocks = x.chunks(activations.block);
            let blocks: Vec<_> = blocks.map(|block| quantise(block, activations.largest)).collect();
            values.extend(weights.iter().map(|weight| value(&blocks, weight)));
        }
        values
    }
}

/// What the largest weight of an output becomes.
pub const LARGEST_WEIGHT: i32 = 127;

/// Integers, counted in a step.
pub struct Quantised {
    pub values: Vec<i32>,
    pub step: f32,
}

/// The integers nearest to values in steps of which the largest has so many, ties to even.
pub fn quantise(values: &[f32], largest: i32) -> Quantised {
    let step = values.iter().fold(0.0, |most: f32, value| most.max(value.abs())) / largest as f32;
    let steps_a_unit = if step == 0.0 { 0.0 } else { step.recip() };
    let integer = |value: &f32| (value * steps_a_unit).round_ties_even() as i32;
    Quantised {
        values: values.iter().map(integer).collect(),
        step,
    }
}

/// Rows of a weight in int8 and back.
pub fn through_int8(weight: &[f32], inner: usize) -> Vec<f32> {
    weight
        .chunks(inner.max(1))
        .flat_map(|row| {
            let Quantised { values, step } = quantise(row, LARGEST_WEIGHT);
            values.into_iter().map(move |value| value as f32 * step)
        })
        .collect()
}

pub fn through_bf16(values: &[f32]) -> Vec<f32> {
    values
        .iter()
        .map(|value| bf16::from_f32(*value).to_f32())
        .collect()
}
