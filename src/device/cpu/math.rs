//! Norms, activations and element-wise operations on rows, vectorised for the machine that runs them.
//!
//! Nothing here contracts a product and a sum into one rounding, so results do not depend on the machine's
//! width.

use crate::device::Activation;
use crate::device::vectorised::vectorised;

/// Accumulators that are summed side by side: the lanes of the widest registers.
const LANES: usize = 16;

pub(super) fn activate(row: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::GeluTanh => vectorised!({ row.iter_mut().for_each(|x| *x = gelu_tanh(*x)) }),
        Activation::Silu => vectorised!({ row.iter_mut().for_each(|x| *x *= sigmoid(*x)) }),
    }
}

/// `y = gelu_tanh(gate) · up`.
pub(super) fn geglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    vectorised!({
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gelu_tanh(*gate) * up;
        }
    });
}

/// `y = (x − mean) / sqrt(variance + eps) · weight + bias`.
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    vectorised!({
        let width = x.len() as f32;
        let mean = sum(x, |x| x) / width;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width;
        let scale = 1.0 / (variance + eps).sqrt();
        for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
            *y = (x - mean) * scale * weight + bias;
        }
    });
}

/// `y = x / sqrt(mean(x²) + eps) · weight`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    vectorised!({
        let mean_square = sum(x, |x| x * x) / x.len() as f32;
        let scale = 1.0 / (mean_square + eps).sqrt();
        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
            *y = x * scale * weight;
        }
    });
}

/// `x += y`.
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    vectorised!({ x.iter_mut().zip(y).for_each(|(x, y)| *x += y) });
}

/// `x *= y`.
pub(super) fn multiply(x: &mut [f32], y: &[f32]) {
    vectorised!({ x.iter_mut().zip(y).for_each(|(x, y)| *x *= y) });
}

/// Softmax in place, stable for large scores. A row whose every score is −∞ becomes zeros, not NaN.
pub(super) fn softmax(scores: &mut [f32]) {
    vectorised!({
        let largest = largest(scores);
        if largest == f32::NEG_INFINITY {
            scores.fill(0.0);
            return;
        }
        scores.iter_mut().for_each(|score| *score = exp(*score - largest));
        let scale = 1.0 / sum(scores, |score| score);
        scores.iter_mut().for_each(|score| *score *= scale);
    });
}

/// Largest absolute value, 0 of no value; NaN when a value is not finite.
pub(super) fn largest_magnitude(values: &[f32]) -> f32 {
    // The bits of positive numbers are in the order of the numbers, infinity and NaN behind them.
    let largest = vectorised!({
        values
            .iter()
            .fold(0, |largest, value| (value.to_bits() & !(1 << 31)).max(largest))
    });
    let largest = f32::from_bits(largest);
    if largest.is_finite() { largest } else { f32::NAN }
}

/// Summand that leaves the nearest integer, ties to even, in the lowest bits of a number below 2²².
const ROUND: f32 = 12_582_912.0;

/// Integer nearest to a number below 2²², ties to even, in one addition; meaningless for a larger one.
#[inline(always)]
pub(super) fn nearest_integer(x: f32) -> i32 {
    ((x + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// Bits of the nearest bf16, ties to even.
#[inline(always)]
pub(super) fn to_bf16(value: f32) -> u16 {
    let exact = value.to_bits();
    let rounded = exact.wrapping_add(0x7fff + (exact >> 16 & 1)) >> 16;
    // Rounding could make an infinity of a NaN.
    let quiet_nan = exact >> 16 | 0x40;
    (if value.is_nan() { quiet_nan } else { rounded }) as u16
}

/// GELU (Hendrycks and Gimpel 2016), the tanh approximation: `x/2 · (1 + tanh u)` is `x · sigmoid(2u)`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    x * sigmoid(TWICE_SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// eˣ within two units in the last place, without branches; 0 where it is below the smallest normal number,
/// and 2¹²⁷ where it would be above.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // ln 2 in two parts, so that n · ln 2 is exact in the first.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.336_54, 88.02);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    // Cephes' polynomial for |r| ≤ ln 2 / 2.
    let mut polynomial = 1.987_569_2e-4;
    polynomial = polynomial * r + 1.398_199_9e-3;
    polynomial = polynomial * r + 8.333_452e-3;
    polynomial = polynomial * r + 4.166_579_6e-2;
    polynomial = polynomial * r + 1.666_666_5e-1;
    polynomial = polynomial * r + 0.5;
    let mantissa = polynomial * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let power = mantissa * f32::from_bits(exponent);
    if x < -87.336_54 { 0.0 } else { power }
}

/// Sum of `f` over the values.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += f(*value);
        }
    }
    let rest = rest.iter().map(|value| f(*value)).sum::<f32>();
    lanes.iter().sum::<f32>() + rest
}

/// Maximum of the values, −∞ of no value; NaN is passed over.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the smallest to the largest that do not overflow, closer together near zero.
    fn arguments() -> impl Iterator<Item = f32> {
        (-87_000..88_000).map(|step| step as f32 * 1e-3)
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for x in arguments() {
            let exact = f64::from(x).exp();
            let unit = f64::from((exact as f32).next_up() - exact as f32);
            let error = (f64::from(exp(x)) - exact).abs() / unit;
            assert!(error <= 2.0, "exp({x}) is off by {error} units");
        }
    }

    #[test]
    fn exp_of_what_is_out_of_range_neither_wraps_nor_hides_a_nan() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert!(exp(f32::INFINITY) > 1e38 && exp(1000.0).is_finite());
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn gelu_is_hendrycks_and_gimpel_s() {
        for x in arguments().map(|x| x / 8.0) {
            let exact = f64::from(x);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (exact + 0.044715 * exact.powi(3));
            let exact = 0.5 * exact * (1.0 + inner.tanh());
            let error = (f64::from(gelu_tanh(x)) - exact).abs();
            assert!(
                error <= 4e-7 * exact.abs().max(1.0),
                "gelu({x}) is off by {error}"
            );
        }
    }

    #[test]
    fn a_nan_among_scores_is_not_hidden() {
        let mut scores = [1.0, f32::NAN, 2.0];
        softmax(&mut scores);
        assert!(scores.iter().all(|score| score.is_nan()));
    }

    #[test]
    fn the_largest_magnitude_of_values_that_are_not_finite_is_nan() {
        let mut values: Vec<f32> = (0..40).map(|index| 3.0 - index as f32).collect();
        assert_eq!(largest_magnitude(&values), 36.0);
        assert_eq!(largest_magnitude(&[]), 0.0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            values[20] = bad;
            assert!(largest_magnitude(&values).is_nan(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_integer_of_a_tie_is_even() {
        for (x, nearest) in [
            (0.5, 0),
            (1.5, 2),
            (-2.5, -2),
            (-32767.0, -32767),
            (126.6, 127),
            (0.0, 0),
        ] {
            assert_eq!(nearest_integer(x), nearest, "{x}");
        }
    }

    #[test]
    fn softmax_of_masked_scores_gives_masked_keys_nothing() {
        let mut scores = [1.0, f32::NEG_INFINITY, 1.0];
        softmax(&mut scores);
        assert_eq!(scores, [0.5, 0.0, 0.5]);
        let mut scores = [f32::NEG_INFINITY; 2];
        softmax(&mut scores);
        assert_eq!(scores, [0.0, 0.0]);
    }

    #[test]
    fn softmax_of_large_scores_does_not_overflow() {
        let mut scores = [1000.0, 1000.0];
        softmax(&mut scores);
        assert_eq!(scores, [0.5, 0.5]);
    }
}
