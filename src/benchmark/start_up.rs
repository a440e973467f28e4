//! Start-up time: from the start of the program to a policy that accepts observations.

use std::path::Path;
use std::time::Instant;

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::policy::{OpenError, Pi0Policy, Policy, PolicyOptions};
use crate::process_memory::resident_bytes;

/// Result of a measurement.
#[derive(Clone, Debug)]
pub struct StartUp {
    /// Description of the policy and its device.
    pub policy: String,
    /// Seconds from the start of the program.
    pub ready_s: f64,
    /// Resident memory of the program, without the pages of the checkpoint's files.
    pub resident_bytes: Option<u64>,
}

/// Opens the checkpoint in `folder` on `device`, in a program that was started at `started`.
///
/// # Errors
/// When the checkpoint makes no policy on this device.
pub fn measure_start_up<D: Device>(folder: &Path, device: D, started: Instant) -> Result<StartUp, OpenError> {
    let checkpoint = Checkpoint::open(folder)?;
    let policy = Pi0Policy::new(&checkpoint, device, &PolicyOptions::default())?;
    let ready_s = started.elapsed().as_secs_f64();
    drop(checkpoint);
    Ok(StartUp {
        policy: policy.info().description.clone(),
        ready_s,
        resident_bytes: resident_bytes(),
    })
}
