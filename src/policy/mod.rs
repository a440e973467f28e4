//! An observation becomes an action chunk in the robot's units.

mod chunk;
mod conventions;
mod error;
mod evaluate;
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

pub use chunk::{ActionChunk, Observation};
pub use conventions::{ActionMode, ActionValue, Conventions, JointMap};
pub use error::{OpenError, PolicyError};
pub use evaluate::{Evaluate, StageDurations};
pub use memory::Computed;
pub use open::{open, open_for_evaluation};
pub use options::{CameraOptions, Crop, DeviceChoice, DeviceOptions, PolicyOptions};
pub use pi0_policy::Policy;
pub use preprocess::{ImageError, prepare_image};
pub use robot_policy::RobotPolicy;
pub use vision_refresh::VisionRefresh;

/// A policy on some device: what a node or a replay needs of it.
pub trait Predict {
    /// The next actions for an observation.
    ///
    /// # Errors
    /// When the observation does not fit the policy, or no finite actions came out. The next observation can be
    /// predicted as if nothing had happened.
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError>;

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
}
