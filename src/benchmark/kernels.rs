//! Speeds of matrix products on the CPU, with each kernel that this machine has.

use serde_json::{Value, json};

use super::products::{KERNEL_ROWS, Products, SCALAR_ROWS, measure_products};
use crate::device::{CpuDevice, Device, KernelLevel, Precision, Result};

/// The products of one kernel.
#[derive(Clone, Debug)]
pub struct KernelProducts {
    /// Level of the kernel.
    pub level: KernelLevel,
    /// Type of the weights.
    pub precision: Precision,
    /// Speeds of its products.
    pub products: Products,
}

/// Measures every level that this machine has with every precision whose kernel belongs to that level, on so
/// many threads (0: one for each core). The scalar level, with which the others would take minutes, has the
/// fewest rows only.
///
/// # Errors
/// When threads cannot be started or memory is missing.
pub fn measure_kernels(threads: usize) -> Result<Vec<KernelProducts>> {
    let measure = |(level, precision)| {
        let device = CpuDevice::with_kernel_level(precision, threads, level)?;
        let rows: &[usize] = match level {
            KernelLevel::Scalar => &SCALAR_ROWS,
            _ => &KERNEL_ROWS,
        };
        Ok(KernelProducts {
            level,
            precision,
            products: measure_products(&device, rows)?,
        })
    };
    kernels()?.into_iter().map(measure).collect()
}

/// Levels and precisions with a kernel of their own: a level that lacks instructions for a precision computes
/// it with an earlier level's kernel, which is measured there. Only the scalar level, the first, has no peak
/// that tells its kernel.
fn kernels() -> Result<Vec<(KernelLevel, Precision)>> {
    let mut kernels = Vec::new();
    for level in KernelLevel::available() {
        for precision in Precision::ALL {
            let peak = CpuDevice::with_kernel_level(precision, 1, level)?.instruction_peak();
            if peak.is_none_or(|peak| peak.kernel == level.name()) {
                kernels.push((level, precision));
            }
        }
    }
    Ok(kernels)
}

impl KernelProducts {
    /// The speeds as JSON.
    pub fn to_json(&self) -> Value {
        let mut values = self.products.to_json();
        values["level"] = json!(self.level.name());
        values["precision"] = json!(self.precision.name());
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_level_s_kernel_of_every_precision_is_measured_once() {
        let kernels = kernels().unwrap();
        for precision in Precision::ALL {
            let fastest = CpuDevice::with_kernel_level(precision, 1, KernelLevel::fastest()).unwrap();
            let kernel = fastest.instruction_peak().map_or("scalar", |peak| peak.kernel);
            let is_it = |(level, of): &&(KernelLevel, Precision)| *of == precision && level.name() == kernel;
            assert_eq!(
                kernels.iter().filter(is_it).count(),
                1,
                "{precision:?} in {kernels:?}"
            );
        }
    }

    #[test]
    fn every_level_s_own_kernels_are_measured_and_those_that_it_has_from_another_are_not() {
        let kernels = kernels().unwrap();
        let precisions = |level| {
            let of_level = kernels.iter().filter(|(of, _)| *of == level);
            of_level.map(|(_, precision)| *precision).collect::<Vec<_>>()
        };
        for level in KernelLevel::available() {
            let own: &[Precision] = match level {
                KernelLevel::AvxVnni | KernelLevel::Avx512Vnni => &[Precision::Int8],
                KernelLevel::Avx512Bf16 => &[Precision::Bf16],
                KernelLevel::Amx => &[Precision::Bf16, Precision::Int8],
                _ => &Precision::ALL,
            };
            assert_eq!(precisions(level), own, "{level}");
        }
    }
}
