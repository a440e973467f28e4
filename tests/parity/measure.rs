//! How close ours is to the reference's.

use pi0_node::device::{Device, DeviceError, Precision};

/// One comparison of one part of the model.
pub struct Measurement {
    /// Row of the table, a file of `src/model`.
    pub module: &'static str,
    /// What was compared.
    pub part: String,
    pub precision: Precision,
    pub pearson_correlation: f64,
    pub max_abs_error: f64,
}

/// Comparisons of one run of the model.
pub struct Measurements {
    pub precision: Precision,
    pub list: Vec<Measurement>,
}

impl Measurement {
    /// In f32 the project asks for PCC ≥ 0.99999 and an error of at most 1e-4; with bf16 weights for PCC ≥ 0.999,
    /// with int8 weights for 0.995, and of a single step for 0.99: on some machines activations are rounded to 8 bits as well.
    pub fn verdict(&self) -> Result<(), String> {
        let (least_correlation, largest_error) = match self.precision {
            Precision::F32 => (0.999_99, 1e-4),
            Precision::Bf16 => (0.999, f64::INFINITY),
            Precision::Int8 if self.module == "denoise" => (0.99, f64::INFINITY),
            Precision::Int8 => (0.995, f64::INFINITY),
        };
        // Written so that NaN fails.
        if self.pearson_correlation >= least_correlation && self.max_abs_error <= largest_error {
            return Ok(());
        }
        Err(format!(
            "PCC {:.7}, at least {least_correlation}; max abs error {:.2e}, at most {largest_error:.0e}",
            self.pearson_correlation, self.max_abs_error
        ))
    }
}

impl Measurements {
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            list: Vec::new(),
        }
    }

    /// # Panics
    /// When the two differ in length: then ours is not the same thing.
    pub fn compare(
        &mut self,
        module: &'static str,
        part: impl Into<String>,
        ours: &[f32],
        reference: &[f32],
    ) {
        let part = part.into();
        assert_eq!(ours.len(), reference.len(), "{module}, {part}: number of values");
        let max_abs_error = ours
            .iter()
            .zip(reference)
            .map(|(ours, reference)| f64::from((ours - reference).abs()))
            // Not f64::max, which drops NaN.
            .fold(
                0.0,
                |largest, error| if error <= largest { largest } else { error },
            );
        self.list.push(Measurement {
            module,
            part,
            precision: self.precision,
            pearson_correlation: pearson_correlation(ours, reference),
            max_abs_error,
        });
    }

    /// The same for a tensor on a device.
    pub fn compare_tensor<D: Device>(
        &mut self,
        module: &'static str,
        part: impl Into<String>,
        device: &D,
        ours: &D::Tensor,
        reference: &[f32],
    ) -> Result<(), DeviceError> {
        self.compare(module, part, &device.read_back(ours)?, reference);
        Ok(())
    }
}

/// Pearson correlation coefficient; 1 where both are the same constant.
fn pearson_correlation(ours: &[f32], reference: &[f32]) -> f64 {
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
