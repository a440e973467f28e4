//! Checkpoints and the whole policy, from files to actions.

mod bad_checkpoint;
mod bad_observation;
mod checkpoint_layouts;
mod computed_once;
mod equals_reference;
mod flow_matching_loss;
mod folder;
mod frozen_actions;
mod recording_device;
mod replayed;
mod robot;
mod shipped_checkpoint;
