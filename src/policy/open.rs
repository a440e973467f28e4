//! A policy from a checkpoint's folder.

use std::path::Path;

use super::{DeviceChoice, DeviceOptions, OpenError, PolicyOptions, Predict};

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
    let _ = (checkpoint, device, device_options, options);
    todo!("the model")
}
