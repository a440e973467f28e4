//! A policy from a checkpoint.

use std::path::Path;

use super::Policy;
use super::error::OpenError;
use super::options::{DeviceChoice, DeviceOptions, PolicyOptions};
use super::pi0_policy::Pi0Policy;
use super::remote_options::RemoteOptions;
#[cfg(feature = "tenstorrent")]
use super::reopen::{Recovery, ReopenOnLoss};
use crate::checkpoint::{Checkpoint, folder_of};
use crate::device::{CpuDevice, TenstorrentOptions};
#[cfg(feature = "tenstorrent")]
use crate::device::{DeviceError, TenstorrentDevice};

type Opened = Result<Box<dyn Policy + Send>, OpenError>;

/// Opens the policy of a checkpoint on the fastest device of this machine, for all of its cameras. The checkpoint
/// is a folder, or a model of the Hugging Face Hub ([`folder_of`]).
///
/// # Errors
/// When the checkpoint is no complete π0, or the device fails.
pub fn open(checkpoint: impl AsRef<Path>) -> Opened {
    open_with(checkpoint, DeviceOptions::default(), PolicyOptions::default())
}

/// Opens the policy of a checkpoint: a folder, or a model of the Hugging Face Hub ([`folder_of`]). A card that
/// gets lost is opened again.
///
/// # Errors
/// When the checkpoint is no complete π0, the options do not fit it, or there is no such device. With
/// [`DeviceChoice::Auto`] a card that is there and does not open is an error too, and no reason to go on
/// without.
pub fn open_with(checkpoint: impl AsRef<Path>, device: DeviceOptions, options: PolicyOptions) -> Opened {
    // A card that is opened again while the robot runs asks no hub.
    let checkpoint = &folder_of(checkpoint)?;
    if device.device != DeviceChoice::Cpu {
        match open_on_card(checkpoint, device.card, &options) {
            Err(OpenError::NoDevice { reason, .. }) if device.device == DeviceChoice::Auto => {
                tracing::info!("on the CPU, for there is no Tenstorrent device: {reason}");
            }
            opened => return opened,
        }
    }
    let checkpoint = Checkpoint::open_with(checkpoint, &options.checkpoint)?;
    let device = CpuDevice::new(device.precision, device.threads)?;
    Ok(Box::new(Pi0Policy::new(&checkpoint, device, &options)?))
}

/// Connects to a server of openpi's protocol that has a policy.
///
/// # Errors
/// When the server is not there, or its policy does not fit the options.
#[cfg(feature = "server")]
pub fn open_remote(options: RemoteOptions) -> Opened {
    Ok(Box::new(super::remote::RemotePolicy::open(options)?))
}

/// Connects to a server of openpi's protocol that has a policy.
///
/// # Errors
/// Always: this build has no client.
#[cfg(not(feature = "server"))]
pub fn open_remote(_: RemoteOptions) -> Opened {
    Err(OpenError::NoDevice {
        device: "remote",
        reason: "this build has no client of a server; build with the feature server".to_owned(),
    })
}

#[cfg(feature = "tenstorrent")]
fn open_on_card(checkpoint: &Path, card: TenstorrentOptions, options: &PolicyOptions) -> Opened {
    let (folder, options) = (checkpoint.to_owned(), options.clone());
    let open = move || -> Opened {
        let device = TenstorrentDevice::open(&card).map_err(|error| match error {
            DeviceError::Absent(reason) => OpenError::NoDevice {
                device: "Tenstorrent",
                reason,
            },
            error => OpenError::Device(error),
        })?;
        let checkpoint = Checkpoint::open_with(&folder, &options.checkpoint)?;
        Ok(Box::new(Pi0Policy::new(&checkpoint, device, &options)?))
    };
    let recovery = match card.allow_reset {
        true => {
            let reset = move || TenstorrentDevice::reset(&card).map_err(|error| error.to_string());
            Recovery::Reset(Box::new(reset))
        }
        false => Recovery::ByHand(format!(
            "run {} and start this program again (with the parameter card_reset the node resets the card itself)",
            TenstorrentDevice::reset_command(&card)
        )),
    };
    Ok(Box::new(ReopenOnLoss::new(Box::new(open), recovery)?))
}

#[cfg(not(feature = "tenstorrent"))]
fn open_on_card(_: &Path, _: TenstorrentOptions, _: &PolicyOptions) -> Opened {
    Err(OpenError::NoDevice {
        device: "Tenstorrent",
        reason: "this build has none (docs/tenstorrent.md says how to build one that has); choose cpu, or auto for the \
                 fastest there is"
            .to_owned(),
    })
}
