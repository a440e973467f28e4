//! A policy from a checkpoint's folder.

use std::path::Path;

#[cfg(feature = "tenstorrent")]
use super::reopen::ReopenOnLoss;
use super::{DeviceChoice, DeviceOptions, Evaluate, OpenError, Pi0Policy, Policy, PolicyOptions};
use crate::checkpoint::Checkpoint;
use crate::device::CpuDevice;
#[cfg(feature = "tenstorrent")]
use crate::device::{DeviceError, TenstorrentDevice, TenstorrentOptions};

type Opened = Result<Box<dyn Evaluate + Send>, OpenError>;

/// The policy of a checkpoint, on the device of choice; a card that gets lost is opened again.
///
/// # Errors
/// When the checkpoint is no complete π0, the options do not fit it, or there is no such device. With
/// [`DeviceChoice::Auto`] a card that is there and does not open is an error too, and no reason to go on without.
pub fn open(
    checkpoint: &Path,
    device: DeviceChoice,
    device_options: DeviceOptions,
    options: PolicyOptions,
) -> Result<Box<dyn Policy + Send>, OpenError> {
    choose(
        device,
        || reopening_card(checkpoint, &options),
        || Ok(open_on_cpu(checkpoint, device_options, &options)?),
    )
}

/// The same policy for who also wants to know how it does; a card that gets lost stays lost.
///
/// # Errors
/// As [`open`].
pub fn open_for_evaluation(
    checkpoint: &Path,
    device: DeviceChoice,
    device_options: DeviceOptions,
    options: PolicyOptions,
) -> Opened {
    choose(
        device,
        || open_on_card(checkpoint, &options),
        || open_on_cpu(checkpoint, device_options, &options),
    )
}

fn choose<P>(
    device: DeviceChoice,
    on_card: impl FnOnce() -> Result<P, OpenError>,
    on_cpu: impl FnOnce() -> Result<P, OpenError>,
) -> Result<P, OpenError> {
    if device != DeviceChoice::Cpu {
        match on_card() {
            Err(OpenError::NoDevice { reason, .. }) if device == DeviceChoice::Auto => {
                tracing::info!("on the CPU, for there is no Tenstorrent device: {reason}");
            }
            opened => return opened,
        }
    }
    on_cpu()
}

fn open_on_cpu(checkpoint: &Path, device_options: DeviceOptions, options: &PolicyOptions) -> Opened {
    let checkpoint = Checkpoint::open(checkpoint)?;
    let device = CpuDevice::new(device_options.precision, device_options.threads)?;
    Ok(Box::new(Pi0Policy::new(&checkpoint, device, options.clone())?))
}

#[cfg(feature = "tenstorrent")]
fn reopening_card(checkpoint: &Path, options: &PolicyOptions) -> Result<Box<dyn Policy + Send>, OpenError> {
    let (folder, options) = (checkpoint.to_owned(), options.clone());
    let open = move || -> Result<Box<dyn Policy + Send>, OpenError> { Ok(open_on_card(&folder, &options)?) };
    Ok(Box::new(ReopenOnLoss::new(Box::new(open))?))
}

#[cfg(not(feature = "tenstorrent"))]
fn reopening_card(checkpoint: &Path, options: &PolicyOptions) -> Result<Box<dyn Policy + Send>, OpenError> {
    Ok(open_on_card(checkpoint, options)?)
}

#[cfg(feature = "tenstorrent")]
fn open_on_card(checkpoint: &Path, options: &PolicyOptions) -> Opened {
    let device = TenstorrentDevice::open(&TenstorrentOptions::default()).map_err(|error| match error {
        DeviceError::Absent(reason) => OpenError::NoDevice {
            device: "Tenstorrent",
            reason,
        },
        error => OpenError::Device(error),
    })?;
    let checkpoint = Checkpoint::open(checkpoint)?;
    Ok(Box::new(Pi0Policy::new(&checkpoint, device, options.clone())?))
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
