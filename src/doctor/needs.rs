//! What a policy needs of a robot, as far as its checkpoint and the data that it learned from tell it.

use std::path::{Path, PathBuf};

use crate::checkpoint::{
    Checkpoint, CheckpointError, CheckpointOptions, DatasetInfo, RecordedCrop, folder_of,
};

/// What a policy needs of a robot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Checkpoint as the parameter file is to name it.
    pub checkpoint: String,
    /// Cameras in the checkpoint's order.
    pub cameras: Vec<NeededCamera>,
    /// Values of a state.
    pub state_dim: usize,
    /// Values of an action.
    pub action_dim: usize,
    /// Names of the values of a state; empty where nothing tells them.
    pub state_names: Vec<String>,
    /// Names of the values of an action; empty where nothing tells them.
    pub action_names: Vec<String>,
    /// Values between which most of the data lie, of each value of a state, in the policy's units; empty without
    /// statistics.
    pub state_ranges: Vec<[f64; 2]>,
    /// Actions a second.
    pub action_rate_hz: Option<f64>,
    /// Whether the folder leaves open which actions are relative to the state, as openpi's do.
    pub is_openpi: bool,
    /// File that names, rate and sizes are from.
    pub dataset: Option<PathBuf>,
}

/// A camera of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NeededCamera {
    /// Name in the checkpoint.
    pub name: String,
    /// Name in the data that the policy learned from, where it is another.
    pub recorded_name: Option<String>,
    /// Width and height of the images that the policy learned from.
    pub size: Option<[u32; 2]>,
    /// Part of the camera's frames that these images are.
    pub crop: Option<RecordedCrop>,
}

impl Needs {
    /// Reads the checkpoint, a folder or a name on the hub, and the facts of its data: `dataset` is the folder of a data set of
    /// LeRobot, or its `meta/info.json`; `None` for the copy in the checkpoint's folder, if there is one.
    ///
    /// # Errors
    /// When the node would refuse the checkpoint, or there is no such data set.
    pub fn read(
        checkpoint: &str,
        options: &CheckpointOptions,
        dataset: Option<&Path>,
    ) -> Result<Self, CheckpointError> {
        let folder = folder_of(checkpoint)?;
        let opened = Checkpoint::open_with(&folder, options)?;
        let info = DatasetInfo::find(opened.folder(), dataset)?;
        let name = match Path::new(checkpoint).is_dir() {
            // The node is started from other folders.
            true => folder.canonicalize().unwrap_or(folder).display().to_string(),
            false => checkpoint.to_owned(),
        };
        Ok(Self::of(name, &opened, info))
    }

    fn of(checkpoint: String, opened: &Checkpoint, info: Option<DatasetInfo>) -> Self {
        let config = opened.config();
        let facts = info.clone().unwrap_or_default();
        let camera = |name: &String| {
            let recorded_name = config.recorded_cameras.get(name);
            let image = facts.image(recorded_name.unwrap_or(name));
            let configured = config.image_sizes.get(name);
            let configured =
                configured.map(|size| size.map(|pixels| u32::try_from(pixels).unwrap_or(u32::MAX)));
            NeededCamera {
                name: name.clone(),
                recorded_name: recorded_name.cloned(),
                size: image.map(|image| image.size).or(configured),
                crop: image.and_then(|image| image.crop),
            }
        };
        let with_length = |names: &[String], dim: usize| match names.len() == dim {
            true => names.iter().map(|name| joint_of(name).to_owned()).collect(),
            false => Vec::new(),
        };
        let action_names = match facts.action_names.is_empty() {
            true => &config.action_names,
            false => &facts.action_names,
        };
        let ranges = opened.statistics().state.usual_range().unwrap_or_default();
        Self {
            checkpoint,
            cameras: config.cameras.iter().map(camera).collect(),
            state_dim: opened.state_dim(),
            action_dim: opened.action_dim(),
            state_names: with_length(&facts.state_names, opened.state_dim()),
            action_names: with_length(action_names, opened.action_dim()),
            state_ranges: ranges.iter().map(|range| range.map(f64::from)).collect(),
            action_rate_hz: facts.rate_hz,
            is_openpi: config.is_openpi(),
            dataset: info.map(|info| info.path),
        }
    }
}

/// Joint that LeRobot names a value after: `shoulder_pan.pos` is the position of `shoulder_pan`.
fn joint_of(name: &str) -> &str {
    name.strip_suffix(".pos").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &str) -> Needs {
        let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        Needs::read(&folder, &CheckpointOptions::default(), None).unwrap()
    }

    #[test]
    fn the_shipped_checkpoint_tells_everything_that_its_robot_needs() {
        let needs = read("checkpoints/aloha_sim");
        assert_eq!((needs.state_dim, needs.action_dim), (14, 14));
        assert_eq!(needs.state_names[6], "left_gripper");
        assert_eq!(needs.action_names, needs.state_names);
        assert_eq!((needs.action_rate_hz, needs.is_openpi), (Some(50.0), false));
        let [top] = &needs.cameras[..] else {
            panic!("{:?}", needs.cameras)
        };
        assert_eq!((top.name.as_str(), top.size), ("top", Some([120, 120])));
        assert_eq!(top.crop.unwrap().frame, [320, 240]);
        let [low, high] = needs.state_ranges[6];
        assert!(low < 0.1 && high > 0.95 && high < 2.0, "{low} to {high}");
    }

    #[test]
    fn a_checkpoint_alone_tells_its_cameras_and_lengths_and_no_names_or_rate() {
        let needs = read("tests/fixtures/reference/checkpoint");
        let sizes: Vec<_> = needs
            .cameras
            .iter()
            .map(|camera| (&*camera.name, camera.size))
            .collect();
        let expected = [
            ("top", Some([64, 48])),
            ("left_wrist", Some([91, 37])),
            ("right_wrist", Some([48, 64])),
        ];
        assert_eq!(sizes, expected);
        assert_eq!(
            (needs.state_names.len(), needs.action_rate_hz, needs.dataset),
            (0, None, None)
        );
    }

    #[test]
    fn names_of_lerobot_s_robots_are_those_of_joints() {
        assert_eq!(joint_of("shoulder_pan.pos"), "shoulder_pan");
        assert_eq!(joint_of("left_waist"), "left_waist");
    }
}
