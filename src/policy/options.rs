//! What a user chooses about a policy and the device it runs on.

use crate::device::Precision;

/// A rectangle of a camera's frame, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// How the frames of one camera are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraOptions {
    /// The checkpoint's name of the camera, without `observation.images.`.
    pub name: String,
    /// The part of the frame that the policy sees; all of it when `None`.
    pub crop: Option<Crop>,
    /// Whether an observation may come without it; the model is then told that it is missing.
    pub is_optional: bool,
}

/// What a user chooses about a policy. Every camera of the checkpoint is in `cameras` or in `absent_cameras`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Euler steps from noise to actions; the checkpoint's when `None`.
    pub denoise_steps: Option<usize>,
    /// Seed of the noise. The chunks of two policies of one seed and the same observations are the same.
    pub seed: u64,
    /// Cameras that this robot has.
    pub cameras: Vec<CameraOptions>,
    /// Cameras of the checkpoint that this robot does not have; the model is told that they are missing.
    pub absent_cameras: Vec<String>,
}

impl PolicyOptions {
    /// Everything that does not fit a checkpoint of these cameras, one sentence each; empty when all is well.
    pub(super) fn problems(&self, checkpoint_cameras: &[String]) -> Vec<String> {
        let mut problems = Vec::new();
        if self.denoise_steps == Some(0) {
            problems.push("denoise_steps is 0, expected at least 1".to_owned());
        }
        if self.cameras.iter().all(|camera| camera.is_optional) {
            problems.push(
                "no camera is configured that is always there, the policy needs at least one".to_owned(),
            );
        }
        let mut named: Vec<&String> = self.cameras.iter().map(|camera| &camera.name).collect();
        named.extend(&self.absent_cameras);
        for camera in checkpoint_cameras {
            match named.iter().filter(|name| **name == camera).count() {
                0 => problems.push(format!(
                    "camera {camera} is neither configured nor said to be absent"
                )),
                1 => {}
                _ => problems.push(format!("camera {camera} is named more than once")),
            }
        }
        for camera in named {
            if !checkpoint_cameras.contains(camera) {
                problems.push(format!(
                    "camera {camera} is unknown, the checkpoint has: {}",
                    checkpoint_cameras.join(", ")
                ));
            }
        }
        for CameraOptions { name, crop, .. } in &self.cameras {
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

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum DeviceChoice {
    /// The fastest device there is.
    #[default]
    Auto,
    Cpu,
    Tenstorrent,
}

/// How a device computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// What the CPU device stores weights in.
    pub precision: Precision,
    /// Threads of the CPU device; 0 is one for each core.
    pub threads: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(name: &str) -> CameraOptions {
        CameraOptions {
            name: name.to_owned(),
            crop: None,
            is_optional: false,
        }
    }

    fn checkpoint_cameras() -> Vec<String> {
        ["top", "left", "right"].map(str::to_owned).to_vec()
    }

    #[test]
    fn every_camera_configured_or_absent_is_well() {
        let options = PolicyOptions {
            cameras: vec![camera("right"), camera("top")],
            absent_cameras: vec!["left".to_owned()],
            ..PolicyOptions::default()
        };
        assert_eq!(options.problems(&checkpoint_cameras()), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let crop = Crop {
            x: 0,
            y: 0,
            width: 0,
            height: 5,
        };
        let options = PolicyOptions {
            denoise_steps: Some(0),
            cameras: vec![
                CameraOptions {
                    crop: Some(crop),
                    ..camera("top")
                },
                camera("wrist"),
                camera("right"),
            ],
            absent_cameras: vec!["right".to_owned()],
            ..PolicyOptions::default()
        };
        assert_eq!(
            options.problems(&checkpoint_cameras()),
            [
                "denoise_steps is 0, expected at least 1",
                "camera left is neither configured nor said to be absent",
                "camera right is named more than once",
                "camera wrist is unknown, the checkpoint has: top, left, right",
                "camera top is cropped to 0 × 5 pixels, expected at least 1 × 1",
            ]
        );
    }

    #[test]
    fn no_camera_at_all_is_a_problem() {
        let options = PolicyOptions {
            absent_cameras: checkpoint_cameras(),
            ..PolicyOptions::default()
        };
        assert_eq!(options.problems(&checkpoint_cameras()).len(), 1);
    }
}
