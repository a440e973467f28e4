//! How close ours is to the reference's.

use std::fmt;

use pi0_node::device::{Device, DeviceError, KernelLevel, Precision};
use pi0_node::model::ModelType;

use crate::bars::Bar;
use crate::common::pearson::pearson_correlation;

/// What computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub model_type: ModelType,
    pub level: KernelLevel,
    pub precision: Precision,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let weights = match self.precision {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        };
        write!(f, "{}, {}, {weights} weights", self.model_type, self.level)
    }
}

/// One comparison of one part of the model.
pub struct Measurement {
    /// Row of the table, a file of `src/model`.
    pub module: &'static str,
    /// What was compared.
    pub part: String,
    pub setting: Setting,
    pub pearson_correlation: f64,
    pub max_abs_error: f64,
}

/// Comparisons of one run of a part of the model.
pub struct Measurements {
    pub setting: Setting,
    pub list: Vec<Measurement>,
}

impl Measurement {
    /// # Errors
    /// When the comparison is below the bar, with what was measured.
    pub fn verdict(&self, bar: Bar) -> Result<(), String> {
        // Written so that NaN fails.
        if self.pearson_correlation >= bar.least_correlation && self.max_abs_error <= bar.largest_error {
            return Ok(());
        }
        Err(format!(
            "{}, {}: PCC {:.7}, at least {}; max abs error {:.2e}, at most {:.0e}",
            self.module,
            self.part,
            self.pearson_correlation,
            bar.least_correlation,
            self.max_abs_error,
            bar.largest_error
        ))
    }
}

impl Measurements {
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
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
            setting: self.setting,
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

    /// The same for a mask, whose every value has to be the reference's.
    pub fn compare_mask(&mut self, part: impl Into<String>, ours: &[bool], reference: &[bool]) {
        let bits = |mask: &[bool]| mask.iter().copied().map(f32::from).collect::<Vec<_>>();
        self.compare("attention", part, &bits(ours), &bits(reference));
    }
}
