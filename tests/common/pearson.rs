//! How alike two series of values are.

/// Pearson correlation coefficient of equally many values; 1 where both are the same constant.
pub fn pearson_correlation(ours: &[f32], reference: &[f32]) -> f64 {
    let count = ours.len() as f64;
    let mean = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let (our_mean, reference_mean) = (mean(ours), mean(reference));
    let (mut covariance, mut our_variance, mut reference_variance) = (0.0, 0.0, 0.0);
    for (&ours, &reference) in ours.iter().zip(reference) {
        let (ours, reference) = (f64::from(ours) - our_mean, f64::from(reference) - reference_mean);
        covariance += ours * reference;
        our_variance += ours * ours;
        reference_variance += reference * reference;
    }
    if our_variance == 0.0 && reference_variance == 0.0 && our_mean == reference_mean {
        return 1.0;
    }
    covariance / (our_variance * reference_variance).sqrt()
}
