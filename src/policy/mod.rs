//! A policy: an observation becomes an action chunk in the robot's units.

mod action_mode;
mod action_prefix;
mod action_prefix_message;
mod aloha_gripper;
mod chunk;
mod compile_ahead;
mod error;
mod joint_mapping;
mod normalise;
mod open;
mod options;
mod pi0_policy;
mod pose_mapping;
mod prefix_cache;
mod preprocess;
// Only a card gets lost.
#[cfg(feature = "server")]
mod remote;
mod remote_error;
mod remote_options;
#[cfg(any(feature = "tenstorrent", test))]
mod reopen;
mod report;
mod robot_policy;
mod robot_preset;
mod vision_refresh;

use std::num::NonZeroUsize;

pub use crate::checkpoint::{
    CheckpointOptions, ImageBars, JointLabels, OpenpiNormalisation, OpenpiOptions, Resize,
};
pub use crate::model::{Conditioning, Guidance, PrefixAttentionSchedule};
pub use action_mode::ActionMode;
pub use action_prefix::ActionPrefix;
pub use action_prefix_message::{ACTION_PREFIX, ActionPrefixError};
pub use aloha_gripper::AlohaGripper;
pub use chunk::{ActionChunk, Observation};
pub use error::{OpenError, PolicyError};
pub use joint_mapping::{ActionValue, JointMapping, StatePart, UnitTransform};
pub use open::{open, open_remote, open_with};
pub use options::{CameraOptions, Crop, DeviceChoice, DeviceOptions, PolicyOptions};
pub use pi0_policy::Pi0Policy;
pub use pose_mapping::{DeltaFrame, PoseAction, PoseMapping};
pub use preprocess::{ImageError, prepare_image};
pub use remote_error::RemoteError;
pub use remote_options::RemoteOptions;
pub use report::{PolicyReport, Reused, StageDurations};
pub use robot_policy::RobotPolicy;
pub use robot_preset::{ALOHA_JOINTS, RobotPreset};
pub use vision_refresh::VisionRefresh;

pub use crate::checkpoint::StateInPrompt;

/// Facts about a policy that do not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Names of the cameras of an observation, in the checkpoint's order.
    pub cameras: Vec<String>,
    /// Values of an observation's state.
    pub state_dim: usize,
    /// Values of one action.
    pub action_dim: usize,
    /// Actions in a chunk.
    pub action_horizon: usize,
    /// Whether a chunk can go on from the one before: [`predict_after`](Policy::predict_after).
    pub takes_prefixes: bool,
    /// Clean actions that it was trained to go on from, at most (training-time real-time chunking); 0 where it was not.
    pub rtc_training_max_delay: usize,
    /// Whether the checkpoint's own steps count a value from the state, for each value of an action; empty
    /// when none is.
    pub relative_actions: Vec<bool>,
    /// Side of the square that the network sees an image in, in pixels; 0 where unknown.
    pub image_size: usize,
    /// Filter that brings images to that size.
    pub resize: Resize,
    /// The checkpoint, its sizes and its device, for logs.
    pub description: String,
}

/// Receives the reason when a policy's server is lost, and none when it is there again.
pub type ServerReport = Box<dyn Fn(Option<String>) + Send>;

/// A policy on some device.
pub trait Policy {
    /// Facts about the policy that do not change.
    fn info(&self) -> &PolicyInfo;

    /// Predicts the next actions for an observation.
    ///
    /// # Errors
    /// When the observation does not fit the policy, or no finite actions came out. The next observation can
    /// be predicted as if nothing had happened.
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError>;

    /// Predicts a chunk that goes on from the actions of the chunk before.
    ///
    /// # Errors
    /// When [`predict`](Self::predict) would fail; when the prefix has another shape, or more actions than a chunk can go
    /// on from; and when the policy's chunks cannot go on from others.
    fn predict_after(
        &mut self,
        observation: &Observation,
        prefix: &ActionPrefix,
    ) -> Result<ActionChunk, PolicyError> {
        let _ = (observation, prefix);
        Err(PolicyError::CannotContinue(self.info().description.clone()))
    }

    /// Sets the number of denoising steps from the next prediction on; `None` for the checkpoint's.
    ///
    /// # Errors
    /// When the device fails, and when the policy has no steps to choose.
    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        match steps {
            None => Ok(()),
            Some(_) => Err(PolicyError::FixedSteps(self.info().description.clone())),
        }
    }

    /// Does everything that would make the first prediction slower than those after it. No prediction
    /// changes.
    ///
    /// # Errors
    /// When the device fails, or the prompt does not fit the policy.
    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        let _ = prompt;
        Ok(())
    }

    /// Has the device compile what any later prediction can need: for every length of the prompt, every number of cameras,
    /// with and without actions of the chunk before. What was compiled is kept on the host, so once is enough for a machine. Says before
    /// each part what it is; says nothing where nothing is compiled.
    ///
    /// # Errors
    /// When the device fails.
    fn compile_ahead(&mut self, begin: &mut dyn FnMut(&str)) -> Result<(), PolicyError> {
        let _ = begin;
        Ok(())
    }

    /// Selects the client whose observations come next; 0 before the first call. Each has caches and a sequence of noise of
    /// its own, so its chunks are those that it would get from a policy that serves nobody else.
    fn select_client(&mut self, client: u64) {
        let _ = client;
    }

    /// Frees what is kept for a client.
    fn forget_client(&mut self, client: u64) {
        let _ = client;
    }

    /// Sets who is told that the policy's server is lost or there again, from any thread. A policy of this machine has none.
    fn report_server(&mut self, report: ServerReport) {
        let _ = report;
    }

    /// State of the policy, for diagnostics; nothing of it is known by default.
    fn report(&self) -> PolicyReport {
        PolicyReport::default()
    }

    /// Computes the flow-matching loss (π0, equation 1) of recorded actions in the robot's units under their
    /// observation, at the time of every denoising step: `[time, loss]` each, from noise to actions. `noise`:
    /// the number of a chunk, from 0, whose noise the actions are mixed with.
    ///
    /// The loss is the mean square of the distance from the predicted velocity to the true one, over the
    /// horizon and the robot's joints, in the model's normalised units.
    ///
    /// # Errors
    /// When [`predict`](Self::predict) would fail, when the actions have another shape than a chunk, and when
    /// the policy has no such loss.
    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
        noise: u64,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        let _ = (observation, recorded, noise);
        Err(PolicyError::NoLoss(self.info().description.clone()))
    }
}
