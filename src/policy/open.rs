//! A policy from a checkpoint's folder.

use std::path::Path;

use super::{DeviceChoice, DeviceOptions, Evaluate, OpenError, Policy, PolicyOptions, Predict};
use crate::checkpoint::Checkpoint;
use crate::device::CpuDevice;

/// The policy of a checkpoint, on the device of choice.
///
/// # Errors
/// When the checkpoint is no complete π0, the options do not fit it, or this build has no such device.
pub fn open(
    checkpoint: &Path,
    device: DeviceChoice,
    device_options: DeviceOptions,
    options: PolicyOptions,
) -> Result<Box<dyn Predict + Send>, OpenError> {
    Ok(open_for_evaluation(checkpoint, device, device_options, options)?)
}

/// The same policy, for who also wants to know how it does.
///
/// # Errors
/// As [`open`].
pub fn open_for_evaluation(
    checkpoint: &Path,
    device: DeviceChoice,
    device_options: DeviceOptions,
    options: PolicyOptions,
) -> Result<Box<dyn Evaluate + Send>, OpenError> {
    if device == DeviceChoice::Tenstorrent {
        return Err(OpenError::NoDevice {
            device: "Tenstorrent",
            reason: "this build has none; choose cpu, or auto for the fastest there is".to_owned(),
        });
    }
    let checkpoint = Checkpoint::open(checkpoint)?;
    let device = CpuDevice::new(device_options.precision, device_options.threads)?;
    Ok(Box::new(Policy::new(&checkpoint, device, options)?))
}
