//! Levels of instructions that kernels are written in.

use std::fmt;
use std::str::FromStr;

use crate::device::{DeviceError, Result};

/// Environment variable that chooses a level, for measurements and for a machine whose fastest one is faulty.
pub const KERNEL_VARIABLE: &str = "PI0_CPU_KERNEL";

/// Instructions that matrix products and attention are computed with. A later level is faster where a machine
/// has both, but for products of bf16, which are faster on some machines and slower on others
/// ([`fastest`](Self::fastest)).
///
/// Norms, activations and other element-wise operations take the widest registers at every level; their
/// results do not depend on the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelLevel {
    /// Instructions that every machine of the architecture has.
    Scalar,
    /// 64-bit Arm.
    Neon,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// AVX2 with products of 8-bit integers, as in laptops.
    AvxVnni,
    /// AVX-512 F and BW.
    Avx512,
    /// AVX-512 with products of 8-bit integers.
    Avx512Vnni,
    /// AVX-512 VNNI with products of bf16.
    Avx512Bf16,
    /// AVX-512 BF16 with Intel's matrix registers.
    Amx,
}

impl KernelLevel {
    /// All levels.
    pub const ALL: [Self; 8] = [
        Self::Scalar,
        Self::Neon,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Vnni,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    /// Name in [`KERNEL_VARIABLE`] and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx_vnni",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512_vnni",
            Self::Avx512Bf16 => "avx512_bf16",
            Self::Amx => "amx",
        }
    }

    /// Whether this machine has the level's instructions.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        let avx512 = || {
            Self::Avx2.is_available()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
        };
        match self {
            Self::Scalar => true,
            Self::Neon => false,
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            Self::Avx512 => avx512(),
            Self::Avx512Vnni => avx512() && is_x86_feature_detected!("avx512vnni"),
            Self::Avx512Bf16 => Self::Avx512Vnni.is_available() && is_x86_feature_detected!("avx512bf16"),
            Self::Amx => Self::Avx512Bf16.is_available() && super::amx::is_available(),
        }
    }

    /// Whether this machine has the level's instructions.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Scalar || (self == Self::Neon && cfg!(target_arch = "aarch64"))
    }

    /// Levels that this machine has.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    /// # Errors
    /// When this machine lacks the level's instructions.
    pub(super) fn check_available(self) -> Result<()> {
        match self.is_available() {
            true => Ok(()),
            false => Err(unavailable(self.name(), "this machine lacks its instructions")),
        }
    }
}

impl fmt::Display for KernelLevel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KernelLevel {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| unavailable(name, "there is no such level"))
    }
}

fn unavailable(name: &str, why: &str) -> DeviceError {
    let available: Vec<_> = KernelLevel::available().map(KernelLevel::name).collect();
    DeviceError::Unavailable(format!(
        "CPU kernel {name:?} ({KERNEL_VARIABLE}): {why}; this machine has {}",
        available.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_or_missing_level_is_refused_with_those_that_the_machine_has() {
        let mut errors = vec!["sse9".parse::<KernelLevel>().unwrap_err()];
        let missing = KernelLevel::ALL.into_iter().filter(|level| !level.is_available());
        errors.extend(missing.map(|level| level.check_available().unwrap_err()));
        for error in errors {
            let error = error.to_string();
            for level in KernelLevel::available() {
                assert!(error.contains(level.name()), "{error}");
            }
        }
    }

    #[test]
    fn every_level_is_found_by_its_name() {
        for level in KernelLevel::ALL {
            assert_eq!(level.name().parse::<KernelLevel>().unwrap(), level);
        }
    }
}
