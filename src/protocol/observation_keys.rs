//! Under which names an observation's pictures, state and prompt are in a message.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::RgbImage;

use super::array::Array;
use super::picture::{PictureError, picture_from};
use super::value::Value;

/// Names as openpi's clients of a robot use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum KeyPreset {
    /// `images/<camera>`, `state`: ALOHA.
    #[default]
    Aloha,
    /// `observation/<camera>`, `observation/joint_position`, `observation/gripper_position`: DROID.
    Droid,
    /// `observation/<camera>`, `observation/state`: LIBERO.
    Libero,
}

struct Preset {
    /// In front of a camera's name.
    cameras: &'static str,
    /// Names of the cameras that openpi gives the model as `base_0_rgb`, `left_wrist_0_rgb` and `right_wrist_0_rgb`.
    slots: &'static [&'static str],
    state: &'static [&'static str],
    /// Whether `a/b` is the value `b` of the map `a` where a client writes it, and not a name with a slash.
    is_nested: bool,
}

/// openpi's names of the model's cameras, in their order.
const SLOTS: [&str; 3] = ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"];

impl KeyPreset {
    fn preset(self) -> Preset {
        match self {
            Self::Aloha => Preset {
                cameras: "images/",
                slots: &["cam_high", "cam_left_wrist", "cam_right_wrist"],
                state: &["state"],
                is_nested: true,
            },
            Self::Droid => Preset {
                cameras: "observation/",
                slots: &["exterior_image_1_left", "wrist_image_left"],
                state: &["observation/joint_position", "observation/gripper_position"],
                is_nested: false,
            },
            Self::Libero => Preset {
                cameras: "observation/",
                slots: &["image", "wrist_image"],
                state: &["observation/state"],
                is_nested: false,
            },
        }
    }

    /// Key of a policy's camera: by the client's name if it is one of openpi's, else by its own.
    fn camera_key(self, camera: &str) -> String {
        let preset = self.preset();
        let slot = SLOTS.iter().position(|slot| *slot == camera);
        let name = slot.and_then(|slot| preset.slots.get(slot)).unwrap_or(&camera);
        format!("{}{name}", preset.cameras)
    }
}

/// Key of one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraKey {
    /// Name of the camera.
    pub camera: String,
    /// Its key.
    pub key: String,
    /// Whether there are observations without it.
    pub is_optional: bool,
}

/// Keys of an observation. A key `a/b` is found as the name `a/b`, and as the name `b` in the map `a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationKeys {
    /// Keys of the cameras.
    pub cameras: Vec<CameraKey>,
    /// Keys of the parts of the state, in its order. Where an observation is written, every part after the first has one value.
    pub state: Vec<String>,
    /// Key of the prompt.
    pub prompt: String,
    /// Whether keys with a slash are written as maps in maps.
    is_nested: bool,
}

/// Why a message is no observation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ObservationKeyError {
    /// A part that is missing.
    #[error("the observation has no {part}: expected a value at {key:?}, found {present}")]
    Missing {
        /// What is missing, in words.
        part: String,
        /// Its key.
        key: String,
        /// Keys that the observation has, in words.
        present: String,
    },
    /// A value that is no picture.
    #[error("camera {camera} at {key:?}: {error}")]
    Picture {
        /// Name of the camera.
        camera: String,
        /// Its key.
        key: String,
        /// Reason.
        error: PictureError,
    },
    /// A value that is no part of a state.
    #[error(
        "the state at {key:?}: found {found}, expected an array of one dimension, a list of numbers, or a number"
    )]
    State {
        /// Key of the part.
        key: String,
        /// What is there, in words.
        found: String,
    },
    /// A value that is no prompt.
    #[error("the prompt at {key:?}: found {found}, expected a text")]
    Prompt {
        /// Key of the prompt.
        key: String,
        /// What is there, in words.
        found: String,
    },
}

impl ObservationKeys {
    /// Keys of these cameras, by name and whether they are optional, as the preset has them.
    pub fn new<'a>(preset: KeyPreset, cameras: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let key = |(camera, is_optional): (&str, bool)| CameraKey {
            camera: camera.to_owned(),
            key: preset.camera_key(camera),
            is_optional,
        };
        let Preset { state, is_nested, .. } = preset.preset();
        Self {
            cameras: cameras.into_iter().map(key).collect(),
            state: state.iter().map(|&key| key.to_owned()).collect(),
            prompt: "prompt".to_owned(),
            is_nested,
        }
    }

    /// Pictures of an observation, by camera.
    ///
    /// # Errors
    /// When a camera that is not optional is missing, or a value is no picture.
    pub fn images(
        &self,
        observation: &Value<'_>,
    ) -> Result<BTreeMap<String, Arc<RgbImage>>, ObservationKeyError> {
        let mut images = BTreeMap::new();
        for CameraKey {
            camera,
            key,
            is_optional,
        } in &self.cameras
        {
            match find(observation, key) {
                None if *is_optional => {}
                None => return Err(missing(&format!("camera {camera}"), key, observation)),
                Some(value) => {
                    let picture = picture_from(value).map_err(|error| ObservationKeyError::Picture {
                        camera: camera.clone(),
                        key: key.clone(),
                        error,
                    })?;
                    images.insert(camera.clone(), Arc::new(picture));
                }
            }
        }
        Ok(images)
    }

    /// The state of an observation: its parts one after the other.
    ///
    /// # Errors
    /// When a part is missing or has no numbers.
    pub fn state(&self, observation: &Value<'_>) -> Result<Vec<f32>, ObservationKeyError> {
        let mut state = Vec::new();
        for key in &self.state {
            let part = find(observation, key).ok_or_else(|| missing("state", key, observation))?;
            let refused = || ObservationKeyError::State {
                key: key.clone(),
                found: part.kind(),
            };
            match part {
                Value::Array(array) if array.shape().len() <= 1 => state.extend(array.to_f32()),
                Value::List(values) => {
                    for value in values {
                        state.push(value.number().ok_or_else(refused)? as f32);
                    }
                }
                Value::Integer(_) | Value::Float(_) => {
                    state.extend(part.number().map(|number| number as f32))
                }
                _ => return Err(refused()),
            }
        }
        Ok(state)
    }

    /// The prompt of an observation; none where it has none.
    ///
    /// # Errors
    /// When it is no text.
    pub fn prompt(&self, observation: &Value<'_>) -> Result<Option<String>, ObservationKeyError> {
        let refused = |found: String| ObservationKeyError::Prompt {
            key: self.prompt.clone(),
            found,
        };
        match find(observation, &self.prompt) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone().into_owned())),
            Some(Value::Bytes(bytes)) => match str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(refused("bytes that are not UTF-8".to_owned())),
            },
            Some(other) => Err(refused(other.kind())),
        }
    }

    /// An observation of these pictures, as values by camera, of a state and a prompt. A camera without a key is left out.
    pub fn observation<'a>(
        &self,
        pictures: impl IntoIterator<Item = (&'a str, Value<'a>)>,
        state: &[f32],
        prompt: &'a str,
    ) -> Value<'a> {
        let mut entries = Vec::new();
        for (camera, picture) in pictures {
            if let Some(CameraKey { key, .. }) = self.cameras.iter().find(|key| key.camera == camera) {
                self.insert(&mut entries, key, picture);
            }
        }
        let single = self.state.len().saturating_sub(1).min(state.len());
        let (first, rest) = state.split_at(state.len() - single);
        let parts = std::iter::once(first).chain(rest.chunks(1));
        for (key, part) in self.state.iter().zip(parts) {
            self.insert(&mut entries, key, Array::of_f32(part, vec![part.len()]).into());
        }
        self.insert(&mut entries, &self.prompt, prompt.into());
        Value::Map(entries)
    }

    fn insert<'a>(&self, entries: &mut Entries<'a>, key: &str, value: Value<'a>) {
        match key.split_once('/').filter(|_| self.is_nested) {
            None => entries.push((key.to_owned().into(), value)),
            Some((outer, inner)) => {
                let place = entries
                    .iter()
                    .position(|(name, _)| name == outer)
                    .unwrap_or_else(|| {
                        entries.push((outer.to_owned().into(), Value::Map(Vec::new())));
                        entries.len() - 1
                    });
                if let (_, Value::Map(entries)) = &mut entries[place] {
                    self.insert(entries, inner, value);
                }
            }
        }
    }
}

type Entries<'a> = Vec<(std::borrow::Cow<'a, str>, Value<'a>)>;

/// The value of a key, whatever part of it is a name and what a way through maps.
fn find<'v, 'a>(value: &'v Value<'a>, key: &str) -> Option<&'v Value<'a>> {
    value.get(key).or_else(|| {
        let mut slashes = key.match_indices('/');
        slashes.find_map(|(slash, _)| find(value.get(&key[..slash])?, &key[slash + 1..]))
    })
}

fn missing(part: &str, key: &str, observation: &Value<'_>) -> ObservationKeyError {
    let mut present = Vec::new();
    list_keys(observation, "", &mut present);
    ObservationKeyError::Missing {
        part: part.to_owned(),
        key: key.to_owned(),
        present: match (observation, present.is_empty()) {
            (Value::Map(_), true) => "an empty map".to_owned(),
            (Value::Map(_), false) => present.join(", "),
            (other, _) => other.kind(),
        },
    }
}

/// Longest list of keys in an error.
const LISTED: usize = 32;

fn list_keys(value: &Value<'_>, prefix: &str, keys: &mut Vec<String>) {
    let Value::Map(entries) = value else { return };
    for (name, value) in entries {
        if keys.len() >= LISTED {
            return;
        }
        let name: String = name.chars().take(80).collect();
        match value {
            Value::Map(_) => list_keys(value, &format!("{prefix}{name}/"), keys),
            _ => keys.push(format!("{prefix}{name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::array::Dtype;
    use super::super::picture::{PictureFormat, picture_to};
    use super::*;

    const PRESETS: [KeyPreset; 3] = [KeyPreset::Aloha, KeyPreset::Droid, KeyPreset::Libero];

    fn picture(shade: u8) -> RgbImage {
        RgbImage::from_pixel(2, 1, image::Rgb([shade; 3]))
    }

    #[test]
    fn an_observation_that_is_written_by_a_preset_is_read_by_it() {
        for preset in PRESETS {
            let keys = ObservationKeys::new(preset, [("top", false), ("wrist", true)]);
            let top = picture(9);
            let pictures = [("top", picture_to(&top, PictureFormat::Raw).unwrap())];
            let observation = keys.observation(pictures, &[0.5, -1.0, 2.0], "wave");
            assert_eq!(
                keys.images(&observation).unwrap()["top"].as_ref(),
                &top,
                "{preset:?}"
            );
            assert_eq!(keys.state(&observation).unwrap(), [0.5, -1.0, 2.0], "{preset:?}");
            assert_eq!(
                keys.prompt(&observation).unwrap().as_deref(),
                Some("wave"),
                "{preset:?}"
            );
        }
    }

    /// openpi's `make_aloha_example`, `make_droid_example` and `make_libero_example`.
    #[test]
    fn openpi_s_cameras_have_the_keys_of_openpi_s_clients() {
        let keys = |preset: KeyPreset, cameras: &[&str]| {
            let keys = ObservationKeys::new(preset, cameras.iter().map(|&camera| (camera, false)));
            let cameras = keys.cameras.into_iter().map(|camera| camera.key);
            (cameras.collect::<Vec<_>>(), keys.state)
        };
        assert_eq!(
            keys(KeyPreset::Aloha, &SLOTS),
            (
                [
                    "images/cam_high",
                    "images/cam_left_wrist",
                    "images/cam_right_wrist"
                ]
                .map(str::to_owned)
                .into(),
                vec!["state".to_owned()]
            )
        );
        assert_eq!(
            keys(KeyPreset::Droid, &SLOTS[..2]),
            (
                [
                    "observation/exterior_image_1_left",
                    "observation/wrist_image_left"
                ]
                .map(str::to_owned)
                .into(),
                ["observation/joint_position", "observation/gripper_position"]
                    .map(str::to_owned)
                    .into(),
            )
        );
        assert_eq!(
            keys(KeyPreset::Libero, &SLOTS[..2]),
            (
                ["observation/image", "observation/wrist_image"]
                    .map(str::to_owned)
                    .into(),
                vec!["observation/state".to_owned()]
            )
        );
    }

    #[test]
    fn a_camera_of_another_name_keeps_it() {
        let keys = ObservationKeys::new(KeyPreset::Aloha, [("top", false)]);
        assert_eq!(keys.cameras[0].key, "images/top");
        // The third camera of openpi's model has no key with DROID.
        let keys = ObservationKeys::new(KeyPreset::Droid, [(SLOTS[2], false)]);
        assert_eq!(keys.cameras[0].key, "observation/right_wrist_0_rgb");
    }

    #[test]
    fn flat_and_nested_names_are_the_same_key() {
        let flat = Value::map([("observation/a/b", Value::Nil)]);
        let half = Value::map([("observation", Value::map([("a/b", Value::Nil)]))]);
        let deep = Value::map([(
            "observation",
            Value::map([("a", Value::map([("b", Value::Nil)]))]),
        )]);
        let other = Value::map([("observation/a", Value::map([("b", Value::Nil)]))]);
        for value in [flat, half, deep, other] {
            assert_eq!(find(&value, "observation/a/b"), Some(&Value::Nil), "{value:?}");
            assert_eq!(find(&value, "observation/b"), None);
        }
    }

    #[test]
    fn droid_s_gripper_is_a_number_an_array_or_a_list() {
        let keys = ObservationKeys::new(KeyPreset::Droid, []);
        let joints = Array::of_f32(&[1.0, 2.0], vec![2]);
        let scalar = Array::new(
            Dtype::from_numpy("<f8").unwrap(),
            vec![],
            0.5f64.to_le_bytes().to_vec(),
        )
        .unwrap();
        for gripper in [
            Value::Float(0.5),
            Value::from(scalar),
            Value::from(Array::of_f32(&[0.5], vec![1])),
            Value::List(vec![Value::Float(0.5)]),
        ] {
            let observation = Value::map([
                ("observation/joint_position", joints.clone().into()),
                ("observation/gripper_position", gripper),
            ]);
            assert_eq!(keys.state(&observation).unwrap(), [1.0, 2.0, 0.5]);
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_key_and_the_keys_that_there_are() {
        let keys = ObservationKeys::new(KeyPreset::Aloha, [("top", false)]);
        let observation = Value::map([
            ("images", Value::map([("cam_high", Value::Nil)])),
            ("prompt", "wave".into()),
        ]);
        assert_eq!(
            keys.images(&observation).unwrap_err().to_string(),
            "the observation has no camera top: expected a value at \"images/top\", found images/cam_high, prompt"
        );
        assert!(
            keys.state(&observation)
                .unwrap_err()
                .to_string()
                .contains("\"state\"")
        );
        let refused = keys.state(&Value::Nil).unwrap_err().to_string();
        assert!(refused.ends_with("found nothing"), "{refused}");
    }

    #[test]
    fn a_state_of_two_dimensions_and_a_prompt_that_is_no_text_are_refused() {
        let keys = ObservationKeys::new(KeyPreset::Aloha, []);
        let observation = Value::map([
            ("state", Array::of_f32(&[1.0; 4], vec![2, 2]).into()),
            ("prompt", Value::Bytes(vec![0xff].into())),
        ]);
        assert!(matches!(
            keys.state(&observation),
            Err(ObservationKeyError::State { .. })
        ));
        assert!(matches!(
            keys.prompt(&observation),
            Err(ObservationKeyError::Prompt { .. })
        ));
        assert_eq!(keys.prompt(&Value::map([])), Ok(None));
    }
}
