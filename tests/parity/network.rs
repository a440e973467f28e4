//! The network that is measured.

use anyhow::{Context, Result};
use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::CpuDevice;
use pi0_node::model::Pi0;

use crate::measure::Setting;

/// Rows and columns of Tenstorrent's tiles.
const TILE: usize = 32;

/// One network, built when it is asked for, after the one before it is gone: two of the published size would not fit.
pub struct Network {
    checkpoints: Vec<Checkpoint>,
    built: Option<(Setting, bool, Pi0<CpuDevice>)>,
}

impl Network {
    /// Networks of these checkpoints, each of another type.
    pub fn new(checkpoints: Vec<Checkpoint>) -> Self {
        Self {
            checkpoints,
            built: None,
        }
    }

    /// The network for so many actions in a chunk; `in_tiles` on a device whose memory comes in an accelerator's tiles:
    /// padded tokens, heads, prompts and actions must change nothing.
    ///
    /// # Errors
    /// Those of the device and of building a network.
    pub fn with(
        &mut self,
        setting: Setting,
        in_tiles: bool,
        action_horizon: usize,
    ) -> Result<&Pi0<CpuDevice>> {
        let is_built = |built: &(Setting, bool, _)| (built.0, built.1) == (setting, in_tiles);
        if !self.built.as_ref().is_some_and(is_built) {
            self.built = None;
            let device = CpuDevice::with_kernel_level(setting.precision, 0, setting.level)?;
            let device = device.with_tile(if in_tiles { TILE } else { 1 });
            let is_of_type =
                |checkpoint: &&Checkpoint| checkpoint.config().model.model_type == setting.model_type;
            let checkpoint = self.checkpoints.iter().find(is_of_type);
            let checkpoint =
                checkpoint.with_context(|| format!("no checkpoint of {}", setting.model_type))?;
            let mut config = checkpoint.config().model.clone();
            config.action_horizon = action_horizon;
            let pi0 = Pi0::new(config, device, checkpoint)?;
            self.built = Some((setting, in_tiles, pi0));
        }
        let (_, _, pi0) = self.built.as_mut().expect("built above");
        // No weight depends on the horizon.
        pi0.config.action_horizon = action_horizon;
        Ok(pi0)
    }
}
