//! Facts of the data that a policy learned from, as LeRobot's `meta/info.json` has them. Checkpoints have none of them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::CheckpointError;
use super::config::camera_name;
use super::json;

/// Name of a copy of `meta/info.json` in a checkpoint's folder.
const COPY: &str = "dataset_info.json";

/// Facts of the data that a policy learned from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatasetInfo {
    /// File that was read.
    pub path: PathBuf,
    /// Frames, and so actions, a second.
    pub rate_hz: Option<f64>,
    /// Names of the values of a state, in their order; empty where the data has none.
    pub state_names: Vec<String>,
    /// Names of the values of an action.
    pub action_names: Vec<String>,
    /// Images by the data's names of the cameras.
    pub images: Vec<RecordedImage>,
}

/// Images of a camera in the data.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedImage {
    /// Name of the camera in the data, without `observation.images.`.
    pub camera: String,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Part of the camera's frame that the data has, where the file tells it.
    pub crop: Option<RecordedCrop>,
}

/// Part of a camera's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedCrop {
    /// Width and height of the whole frame.
    pub frame: [u32; 2],
    /// First column, first row, width and height.
    pub crop: [u32; 4],
}

impl DatasetInfo {
    /// Reads the file: of the data set's folder or the file itself where `given`, else a copy in the checkpoint's folder, if
    /// there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of LeRobot's.
    pub fn find(checkpoint: &Path, given: Option<&Path>) -> Result<Option<Self>, CheckpointError> {
        let path = match given {
            Some(path) if path.is_dir() => path.join("meta/info.json"),
            Some(path) => path.to_owned(),
            None => checkpoint.join(COPY),
        };
        match given.is_none() && !path.exists() {
            true => Ok(None),
            false => Self::read(path).map(Some),
        }
    }

    fn read(path: PathBuf) -> Result<Self, CheckpointError> {
        let info: Value = json::read(&path)?;
        let Some(features) = info["features"].as_object() else {
            return Err(CheckpointError::File {
                path,
                problem: "it has no \"features\", expected the meta/info.json of a data set of LeRobot"
                    .to_owned(),
            });
        };
        let images = features.iter().filter_map(|(name, feature)| {
            let is_image = ["image", "video"].contains(&feature["dtype"].as_str()?);
            is_image.then(|| image(name, feature))?
        });
        Ok(Self {
            rate_hz: info["fps"].as_f64().filter(|rate| *rate > 0.0),
            state_names: names(&info["features"]["observation.state"]),
            action_names: names(&info["features"]["action"]),
            images: images.collect(),
            path,
        })
    }

    /// Images of a camera by its name in the data.
    pub fn image(&self, camera: &str) -> Option<&RecordedImage> {
        self.images.iter().find(|image| image.camera == camera)
    }
}

/// Names of a vector's values: a list, or in older data a list for each axis under a key of its own.
fn names(feature: &Value) -> Vec<String> {
    let names = match &feature["names"] {
        Value::Object(axes) if axes.len() == 1 => axes.values().next().unwrap_or(&Value::Null),
        names => names,
    };
    let texts = names.as_array().into_iter().flatten();
    let texts: Option<Vec<String>> = texts.map(|name| name.as_str().map(str::to_owned)).collect();
    texts.unwrap_or_default()
}

/// An image's size by the names of its axes; without names it is height, width, channels.
fn image(name: &str, feature: &Value) -> Option<RecordedImage> {
    let shape: Vec<u32> = numbers(&feature["shape"]).filter(|shape| shape.len() == 3)?;
    let axes = names(feature);
    let axis = |wanted: &str, usual: usize| axes.iter().position(|name| name == wanted).unwrap_or(usual);
    let own = &feature["pi0_node"];
    let crop = numbers(&own["crop"]).and_then(|crop| crop.try_into().ok());
    let frame = numbers(&own["frame"]).and_then(|frame| frame.try_into().ok());
    Some(RecordedImage {
        camera: camera_name(name),
        size: [shape[axis("width", 1)], shape[axis("height", 0)]],
        crop: frame.zip(crop).map(|(frame, crop)| RecordedCrop { frame, crop }),
    })
}

fn numbers(value: &Value) -> Option<Vec<u32>> {
    let numbers = value.as_array()?.iter();
    numbers
        .map(|number| u32::try_from(number.as_u64()?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As LeRobot 0.4 wrote it for an SO-101, with what a test does not need left out.
    const SO101: &str = r#"{"codebase_version": "v3.0", "robot_type": "so101_follower", "fps": 30, "features": {
        "action": {"dtype": "float32", "names": ["shoulder_pan.pos", "gripper.pos"], "shape": [2]},
        "observation.state": {"dtype": "float32", "names": ["shoulder_pan.pos", "gripper.pos"], "shape": [2]},
        "observation.images.front": {"dtype": "video", "shape": [480, 640, 3], "names": ["height", "width", "channels"],
            "info": {"video.fps": 30.0}},
        "timestamp": {"dtype": "float32", "shape": [1], "names": null}}}"#;

    fn read(text: &str) -> Result<Option<DatasetInfo>, CheckpointError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(COPY), text).unwrap();
        DatasetInfo::find(folder.path(), None)
    }

    #[test]
    fn names_rate_and_sizes_are_those_of_the_data_set() {
        let info = read(SO101).unwrap().unwrap();
        assert_eq!(info.rate_hz, Some(30.0));
        assert_eq!(info.state_names, ["shoulder_pan.pos", "gripper.pos"]);
        assert_eq!(info.action_names, info.state_names);
        assert_eq!(info.image("front").unwrap().size, [640, 480]);
        assert_eq!((info.images.len(), info.image("front").unwrap().crop), (1, None));
    }

    #[test]
    fn axes_are_found_by_their_names_and_older_data_has_names_under_a_key() {
        let older = SO101
            .replace(
                r#"[480, 640, 3], "names": ["height", "width", "channels"]"#,
                r#"[3, 480, 640], "names": ["channels", "height", "width"]"#,
            )
            .replace(
                r#""names": ["shoulder_pan.pos", "gripper.pos"]"#,
                r#""names": {"motors": ["pan", "grip"]}"#,
            );
        let info = read(&older).unwrap().unwrap();
        assert_eq!(info.image("front").unwrap().size, [640, 480]);
        assert_eq!(info.state_names, ["pan", "grip"]);
    }

    #[test]
    fn a_crop_of_the_shipped_data_is_read() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("checkpoints/aloha_sim");
        let info = DatasetInfo::find(&shipped, None).unwrap().unwrap();
        let crop = RecordedCrop {
            frame: [320, 240],
            crop: [120, 60, 120, 120],
        };
        assert_eq!(info.image("top").unwrap().crop, Some(crop));
        assert_eq!((info.state_names.len(), info.rate_hz), (14, Some(50.0)));
    }

    #[test]
    fn a_folder_without_the_file_has_no_facts_and_another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(DatasetInfo::find(folder.path(), None).unwrap(), None);
        assert!(DatasetInfo::find(folder.path(), Some(folder.path())).is_err());
        assert!(
            read("{}")
                .unwrap_err()
                .to_string()
                .contains("meta/info.json of a data set")
        );
        assert!(read("no").is_err());
    }
}
