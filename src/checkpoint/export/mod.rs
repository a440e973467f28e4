//! Folders in LeRobot's layout, written.

mod new_folder;
mod policy_files;
mod tensor_file;

pub(super) use new_folder::write_new_folder;
pub(super) use policy_files::{FeatureStatistics, PolicyFiles};
pub(super) use tensor_file::{NewTensor, TensorFile};
