//! π0 itself: what the paper says and nothing else.
//!
//! Black et al., "π0: A Vision-Language-Action Flow Model for General Robot Control", 2024. The numerics follow
//! the reference implementation, LeRobot's `policies/pi0`.

mod config;
pub mod parameters;

pub use config::{GemmaConfig, Pi0Config, SiglipConfig};

use crate::device::HostTensor;

/// Where the model takes its parameters from.
pub trait Weights {
    /// The tensor of a name from [`parameters::parameters`], with the shape given there.
    fn tensor(&self, name: &str) -> HostTensor<'_>;
}
