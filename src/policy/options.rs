//! Choices of a user about a policy and the device that it runs on.

use std::collections::BTreeMap;

use crate::checkpoint::CheckpointOptions;
use crate::device::{Precision, TenstorrentOptions};

/// A rectangle of a camera's frame, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// Use of one camera's frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraOptions {
    /// The checkpoint's name of the camera, without `observation.images.`.
    pub name: String,
    /// The part of the frame that the policy sees; all of it when `None`.
    pub crop: Option<Crop>,
    /// Whether an observation may come without it; its tokens are then masked.
    pub is_optional: bool,
}

impl CameraOptions {
    /// A camera whose whole frame is in every observation.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            crop: None,
            is_optional: false,
        }
    }
}

/// Choices of a user about a policy: by default every camera of the checkpoint, with whole frames, seed 0, and
/// nothing chosen that the checkpoint does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Seed of the noise. The chunks of two policies of one seed and the same observations are the same.
    pub seed: u64,
    /// Cameras that this robot has; `None` for every camera of the checkpoint that is not absent. Every
    /// camera of the checkpoint is in exactly one of `cameras` and `absent_cameras`.
    pub cameras: Option<Vec<CameraOptions>>,
    /// Cameras of the checkpoint that this robot does not have; their tokens are masked.
    pub absent_cameras: Vec<String>,
    /// Choices about the checkpoint's folder.
    pub checkpoint: CheckpointOptions,
}

impl PolicyOptions {
    /// Cameras with images, in the checkpoint's order. `recorded` has the names that they had in the data, where
    /// these were others.
    ///
    /// # Errors
    /// Every problem of these options with a checkpoint of these cameras, one sentence each.
    pub(super) fn cameras(
        &self,
        checkpoint_cameras: &[String],
        recorded: &BTreeMap<String, String>,
    ) -> Result<Vec<CameraOptions>, Vec<String>> {
        let present = checkpoint_cameras
            .iter()
            .filter(|name| !self.absent_cameras.contains(name));
        let mut cameras = match &self.cameras {
            Some(cameras) => cameras.clone(),
            None => present.map(CameraOptions::new).collect(),
        };
        let problems = self.problems(&cameras, checkpoint_cameras, recorded);
        if !problems.is_empty() {
            return Err(problems);
        }
        cameras.sort_by_key(|camera| checkpoint_cameras.iter().position(|name| *name == camera.name));
        Ok(cameras)
    }

    fn problems(
        &self,
        cameras: &[CameraOptions],
        checkpoint_cameras: &[String],
        recorded: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let with_recorded = |camera: &String| match recorded.get(camera) {
            Some(name) => format!("{camera} ({name} in the data that it was trained with)"),
            None => camera.clone(),
        };
        if cameras.iter().all(|camera| camera.is_optional) {
            problems.push(
                "no camera is configured that is always there, the policy needs at least one".to_owned(),
            );
        }
        let mut named: Vec<&String> = cameras.iter().map(|camera| &camera.name).collect();
        named.extend(&self.absent_cameras);
        for camera in checkpoint_cameras {
            match named.iter().filter(|name| **name == camera).count() {
                0 => problems.push(format!(
                    "camera {} is neither configured nor said to be absent",
                    with_recorded(camera)
                )),
                1 => {}
                _ => problems.push(format!("camera {camera} is named more than once")),
            }
        }
        for camera in named {
            if !checkpoint_cameras.contains(camera) {
                problems.push(format!(
                    "camera {camera} is unknown, the checkpoint has: {}",
                    checkpoint_cameras
                        .iter()
                        .map(with_recorded)
                        .collect::<Vec<_>>()
                        .join(", ")
                ));
            }
        }
        for CameraOptions { name, crop, .. } in cameras {
            if let Some(Crop { width, height, .. }) = crop
                && (*width == 0 || *height == 0)
            {
                problems.push(format!(
                    "camera {name} is cropped to {width} × {height} pixels, expected at least 1 × 1"
                ));
            }
        }
        problems
    }
}

/// Choice of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum DeviceChoice {
    /// The fastest device of this machine.
    #[default]
    Auto,
    /// The host's cores.
    Cpu,
    /// A Tenstorrent card.
    Tenstorrent,
}

/// Choices of a user about the device: by default the fastest one, and on the CPU f32 weights and all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Device that computes.
    pub device: DeviceChoice,
    /// Type that the CPU device stores weights in.
    pub precision: Precision,
    /// Threads of the CPU device; 0 for one on each core.
    pub threads: usize,
    /// Choices about a Tenstorrent card.
    pub card: TenstorrentOptions,
}

impl DeviceOptions {
    /// The CPU device with f32 weights and all cores.
    pub const fn cpu() -> Self {
        Self {
            device: DeviceChoice::Cpu,
            precision: Precision::F32,
            threads: 0,
            card: TenstorrentOptions::DEFAULT,
        }
    }

    /// Sets the type that the CPU device stores weights in.
    pub const fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets the threads of the CPU device; 0 for one on each core.
    pub const fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint_cameras() -> Vec<String> {
        ["top", "left", "right"].map(str::to_owned).to_vec()
    }

    fn names(options: &PolicyOptions) -> Vec<String> {
        let cameras = options.cameras(&checkpoint_cameras(), &BTreeMap::new()).unwrap();
        cameras.into_iter().map(|camera| camera.name).collect()
    }

    #[test]
    fn every_camera_configured_or_absent_is_well() {
        let options = PolicyOptions {
            cameras: Some(["right", "top"].map(CameraOptions::new).to_vec()),
            absent_cameras: vec!["left".to_owned()],
            ..PolicyOptions::default()
        };
        assert_eq!(names(&options), ["top", "right"]);
    }

    #[test]
    fn by_default_every_camera_that_is_not_absent_is_used() {
        assert_eq!(names(&PolicyOptions::default()), checkpoint_cameras());
        let options = PolicyOptions {
            absent_cameras: vec!["left".to_owned()],
            ..PolicyOptions::default()
        };
        assert_eq!(names(&options), ["top", "right"]);
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let crop = Crop {
            x: 0,
            y: 0,
            width: 0,
            height: 5,
        };
        let mut cameras = ["top", "wrist", "right"].map(CameraOptions::new).to_vec();
        cameras[0].crop = Some(crop);
        let options = PolicyOptions {
            cameras: Some(cameras),
            absent_cameras: vec!["right".to_owned()],
            ..PolicyOptions::default()
        };
        assert_eq!(
            options
                .cameras(&checkpoint_cameras(), &BTreeMap::new())
                .unwrap_err(),
            [
                "camera left is neither configured nor said to be absent",
                "camera right is named more than once",
                "camera wrist is unknown, the checkpoint has: top, left, right",
                "camera top is cropped to 0 × 5 pixels, expected at least 1 × 1",
            ]
        );
    }

    #[test]
    fn a_camera_that_had_another_name_in_the_data_is_named_by_both() {
        let options = PolicyOptions {
            cameras: Some(vec![CameraOptions::new("cam_high")]),
            ..PolicyOptions::default()
        };
        let recorded = BTreeMap::from([("top".to_owned(), "cam_high".to_owned())]);
        assert_eq!(
            options.cameras(&["top".to_owned()], &recorded).unwrap_err(),
            [
                "camera top (cam_high in the data that it was trained with) is neither configured nor said to be \
                 absent",
                "camera cam_high is unknown, the checkpoint has: top (cam_high in the data that it was trained with)",
            ]
        );
    }

    #[test]
    fn no_camera_at_all_is_a_problem() {
        let none_configured = PolicyOptions {
            cameras: Some(Vec::new()),
            absent_cameras: checkpoint_cameras(),
            ..PolicyOptions::default()
        };
        let all_absent = PolicyOptions {
            cameras: None,
            ..none_configured.clone()
        };
        for options in [none_configured, all_absent] {
            assert_eq!(
                options
                    .cameras(&checkpoint_cameras(), &BTreeMap::new())
                    .unwrap_err()
                    .len(),
                1
            );
        }
    }
}
