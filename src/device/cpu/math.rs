//! Norms, activations and element-wise operations on rows.

use crate::device::Activation;

pub(super) fn activate(row: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::GeluTanh => row.iter_mut().for_each(|x| *x = gelu_tanh(*x)),
        Activation::Silu => row.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp()),
    }
}

/// Hendrycks and Gimpel 2016, the tanh approximation.
pub(super) fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + (SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)).tanh())
}

/// `y = (x − mean) / sqrt(variance + eps) · weight + bias`.
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    let width = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width;
    let scale = (1.0 / (variance + f64::from(eps)).sqrt()) as f32;
    let mean = mean as f32;
    for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
        *y = (x - mean) * scale * weight + bias;
    }
}

/// `y = x / sqrt(mean(x²) + eps) · (1 + weight)`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let mean_square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / x.len() as f64;
    let scale = (1.0 / (mean_square + f64::from(eps)).sqrt()) as f32;
    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
        *y = x * scale * (1.0 + weight);
    }
}

/// In place, stable for large scores. A row whose every score is −∞ becomes zeros, not NaN.
pub(super) fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        scores.fill(0.0);
        return;
    }
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

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
