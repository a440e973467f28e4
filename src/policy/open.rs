//! A policy from a checkpoint's folder.

use std::path::Path;

#[cfg(feature = "tenstorrent")]
use super::reopen::Reopening;
use super::{DeviceChoice, DeviceOptions, OpenError, Policy, PolicyOptions, Predict};
use crate::checkpoint::Checkpoint;
use crate::device::CpuDevice;
#[cfg(feature = "tenstorrent")]
use crate::device::{DeviceError, TenstorrentDevice, TenstorrentOptions};

type Opened = Result<Box<dyn Predict + Send>, OpenError>;

/// The policy of a checkpoint, on the device of choice.
///
/// # Errors
/// When the checkpoint is no complete π0, the options do not fit it, or there is no such device. With
/// [`DeviceChoice::Auto`] a card that is there and does not open is an error too, and no reason to go on without.
pub fn open(
    checkpoint: &Path,
    device: DeviceChoice,
    device_options: DeviceOptions,
    options: PolicyOptions,
) -> Opened {
    if device != DeviceChoice::Cpu {
        match open_on_card(checkpoint, &options) {
            Err(OpenError::NoDevice { reason, .. }) if device == DeviceChoice::Auto => {
                tracing::info!("on the CPU, for there is no Tenstorrent device: {reason}");
            }
            opened => return opened,
        }
    }
    let checkpoint = Checkpoint::open(checkpoint)?;
    let device = CpuDevice::new(device_options.precision, device_options.threads)?;
    Ok(Box::new(Policy::new(&checkpoint, device, options)?))
}

#[cfg(feature = "tenstorrent")]
fn open_on_card(checkpoint: &Path, options: &PolicyOptions) -> Opened {
    let (folder, options) = (checkpoint.to_owned(), options.clone());
    let open = move || -> Opened {
        let device =
            TenstorrentDevice::open(&TenstorrentOptions::default()).map_err(|error| match error {
                DeviceError::Absent(reason) => OpenError::NoDevice {
                    device: "Tenstorrent",
                    reason,
                },
                error => OpenError::Device(error),
            })?;
        let checkpoint = Checkpoint::open(&folder)?;
        Ok(Box::new(Policy::new(&checkpoint, device, options.clone())?))
    };
    Ok(Box::new(Reopening::new(Box::new(open))?))
}

#[cfg(not(feature = "tenstorrent"))]
fn open_on_card(_: &Path, _: &PolicyOptions) -> Opened {
    Err(OpenError::NoDevice {
        device: "Tenstorrent",
        reason: "this build has none (docs/tenstorrent.md says how to build one that has); choose cpu, or auto for the \
                 fastest there is"
            .to_owned(),
    })
}
