//! Checkpoints and the whole policy, from files to actions.

mod adapters;
mod bad_checkpoint;
mod bad_observation;
mod captured;
mod capturing_device;
mod checkpoint_layouts;
mod choices;
#[path = "../common"]
mod common {
    pub mod prefix_input;
}
mod computed_once;
mod device_failures;
mod device_failures_at_the_robot;
mod equals_reference;
mod failing_device;
mod flow_matching_loss;
mod folder;
mod frozen_actions;
mod lerobot_versions;
mod openpi_folders;
mod other_policies;
mod real_time_chunking;
mod robot;
mod shipped_checkpoint;
mod tokenizer_option;
mod trained_chunking;
