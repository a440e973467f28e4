//! An observation becomes an action chunk in the robot's units.

mod chunk;
mod error;
mod evaluate;
mod joint_mapping;
mod memory;
mod normalise;
mod open;
mod options;
mod pi0_policy;
mod preprocess;
// Only a card gets lost.
#[cfg(any(feature = "tenstorrent", test))]
mod reopen;
mod robot_policy;
mod vision_refresh;

use std::num::NonZeroUsize;

pub use chunk::{ActionChunk, Observation};
pub use error::{OpenError, PolicyError};
pub use evaluate::{Evaluate, StageDurations};
pub use joint_mapping::{ActionMode, ActionValue, JointMapping, UnitTransform};
pub use memory::Reused;
pub use open::{open, open_for_evaluation};
pub use options::{CameraOptions, Crop, DeviceChoice, DeviceOptions, PolicyOptions};
pub use pi0_policy::Pi0Policy;
pub use preprocess::{ImageError, prepare_image};
pub use robot_policy::RobotPolicy;
pub use vision_refresh::VisionRefresh;

/// How a policy runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// The device, its precision, its size; empty where that is not known.
    pub device: String,
    /// What its weights are stored in; empty where that is not known.
    pub precision: String,
    /// Of the newest chunk's prefix; none where that is not known.
    pub reused: Option<Reused>,
}

/// A policy on some device: what a node or a replay needs of it.
pub trait Policy {
    /// The next actions for an observation.
    ///
    /// # Errors
    /// When the observation does not fit the policy, or no finite actions came out. The next observation can be
    /// predicted as if nothing had happened.
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError>;

    /// The same when the robot will play `frozen`, in its units, whatever comes out: the chunk begins with these
    /// actions and goes on from them.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); when they are as many as a chunk has or more, or of another shape; and by a policy
    /// that knows of no such thing.
    fn predict_after(
        &mut self,
        observation: &Observation,
        frozen: &ActionChunk,
    ) -> Result<ActionChunk, PolicyError> {
        let _ = (observation, frozen);
        Err(PolicyError::CannotInpaint(self.description()))
    }

    /// Integrates in so many Euler steps from the next prediction on; none for the checkpoint's number.
    ///
    /// # Errors
    /// When the device fails, and by a policy that has no steps to choose.
    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        match steps {
            None => Ok(()),
            Some(_) => Err(PolicyError::FixedSteps(self.description())),
        }
    }

    /// Does what would make the first prediction slower than those after it. No prediction is another one for it.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and when the prompt does not fit the policy.
    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        let _ = prompt;
        Ok(())
    }

    /// Names of the cameras that every observation must have an image of.
    fn cameras(&self) -> &[String];

    /// Values of an observation's state.
    fn state_dim(&self) -> usize;

    /// Values of one action.
    fn action_dim(&self) -> usize;

    /// Actions in a chunk.
    fn action_horizon(&self) -> usize;

    /// For each value of an action, whether the checkpoint's own steps count it from the state; empty when none does.
    fn relative_actions(&self) -> Vec<bool> {
        Vec::new()
    }

    /// For logs: the checkpoint, its size, the device.
    fn description(&self) -> String;

    /// For diagnostics. Nothing is known of a policy that does not tell.
    fn report(&self) -> PolicyReport {
        PolicyReport::default()
    }
}
