//! What the parameters mean together.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{ParameterProblem, ParameterValue, Values};
use crate::control::{ChunkOverlap, ControlSettings, JointLimits, Seam, SupervisionSettings};
use crate::device::Precision;
use crate::node::{CameraTopic, PlaybackSettings};
use crate::policy::{
    CameraOptions, Crop, DeviceChoice, DeviceOptions, PolicyOptions, Predict, VisionRefresh,
};

/// What of a policy the parameters must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyShape {
    pub state_dim: usize,
    pub action_dim: usize,
    pub action_horizon: usize,
}

impl From<&dyn Predict> for PolicyShape {
    fn from(policy: &dyn Predict) -> Self {
        Self {
            state_dim: policy.state_dim(),
            action_dim: policy.action_dim(),
            action_horizon: policy.action_horizon(),
        }
    }
}

/// Every parameter in the type that its user wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub checkpoint: PathBuf,
    pub device: DeviceChoice,
    pub device_options: DeviceOptions,
    pub policy: PolicyOptions,
    pub cameras: Vec<CameraTopic>,
    pub vision_refresh: VisionRefresh,
    pub joint_names: Vec<String>,
    pub joint_states_topic: String,
    pub trajectory_topic: String,
    pub prompt_topic: String,
    pub prompt: String,
    pub playback: PlaybackSettings,
    pub use_sim_time: bool,
    /// None for no topic.
    pub robot_description_topic: Option<String>,
    pub auto_start: bool,
    /// Of the control thread; 0 for none.
    pub control_priority: u8,
}

impl Settings {
    /// # Errors
    /// Every parameter that does not fit another one. The values have passed their own checks.
    pub(super) fn from_values(values: &Values) -> Result<Self, Vec<ParameterProblem>> {
        let mut problems = Vec::new();
        let cameras = texts(values, "cameras");
        let topics = texts(values, "camera_topics");
        let absent_cameras = texts(values, "absent_cameras");
        let joint_names = texts(values, "joint_names");
        for name in ["cameras", "camera_topics", "joint_names"] {
            if let Some(twice) = first_duplicate(&texts(values, name)) {
                problems.push(ParameterProblem::new(
                    name,
                    &values[name],
                    format!("{twice} only once"),
                ));
            }
        }
        if topics.len() != cameras.len() {
            let expected = format!("one for each of the {} cameras", cameras.len());
            problems.push(ParameterProblem::new(
                "camera_topics",
                &values["camera_topics"],
                expected,
            ));
        }
        if let Some(present) = absent_cameras.iter().find(|name| cameras.contains(name)) {
            let expected = format!("no {present}, which is in cameras");
            problems.push(ParameterProblem::new(
                "absent_cameras",
                &values["absent_cameras"],
                expected,
            ));
        }
        let crops = crops(values, cameras.len()).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        let refresh_rates_hz = doubles(values, "vision_refresh_hz");
        if !refresh_rates_hz.is_empty() && refresh_rates_hz.len() != cameras.len() {
            let expected = format!("one for each of the {} cameras, or none", cameras.len());
            problems.push(ParameterProblem::new(
                "vision_refresh_hz",
                &values["vision_refresh_hz"],
                expected,
            ));
        }
        let limits = joint_limits(values, joint_names.len()).unwrap_or_else(|limit_problems| {
            problems.extend(limit_problems);
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let refreshed = cameras.iter().cloned().zip(refresh_rates_hz);
        let refreshed = refreshed.filter(|(_, rate_hz)| *rate_hz > 0.0);
        let crops = crops.into_iter().map(Some).chain(std::iter::repeat(None));
        let camera_options = cameras.iter().zip(crops).map(|(name, crop)| CameraOptions {
            name: name.clone(),
            crop,
        });
        Ok(Self {
            checkpoint: PathBuf::from(text(values, "checkpoint")),
            device: match text(values, "device").as_str() {
                "cpu" => DeviceChoice::Cpu,
                "tenstorrent" => DeviceChoice::Tenstorrent,
                _ => DeviceChoice::Auto,
            },
            device_options: DeviceOptions {
                precision: match text(values, "precision").as_str() {
                    "bf16" => Precision::Bf16,
                    "int8" => Precision::Int8,
                    _ => Precision::F32,
                },
                threads: count(values, "threads"),
            },
            policy: PolicyOptions {
                denoise_steps: nonzero(values, "denoise_steps").map(NonZeroUsize::get),
                seed: count(values, "seed") as u64,
                cameras: camera_options.collect(),
                absent_cameras,
            },
            vision_refresh: VisionRefresh::new(
                refreshed.map(|(camera, rate_hz)| (camera, period_of(rate_hz))),
            ),
            cameras: cameras
                .into_iter()
                .zip(topics)
                .map(|(name, topic)| CameraTopic { name, topic })
                .collect(),
            joint_names,
            joint_states_topic: text(values, "joint_states_topic"),
            trajectory_topic: text(values, "trajectory_topic"),
            prompt_topic: text(values, "prompt_topic"),
            prompt: text(values, "prompt"),
            playback: PlaybackSettings {
                control_period: period(values, "control_rate_hz"),
                action_period: period_of(double(values, "action_rate_hz") * double(values, "playback_speed")),
                actions_to_execute: nonzero(values, "actions_to_execute"),
                seam: Seam {
                    overlap: match text(values, "chunk_overlap").as_str() {
                        "blend" => ChunkOverlap::Blend,
                        "ensemble" => ChunkOverlap::Ensemble,
                        "inpaint" => ChunkOverlap::Inpaint,
                        _ => ChunkOverlap::Replace,
                    },
                    align_fade: Duration::from_secs_f64(double(values, "align_fade_s")),
                    ensemble_coefficient: double(values, "ensemble_coefficient"),
                },
                control: control_settings(values, limits),
            },
            use_sim_time: values["use_sim_time"] == ParameterValue::Bool(true),
            robot_description_topic: Some(text(values, "robot_description_topic"))
                .filter(|topic| !topic.is_empty()),
            auto_start: values["auto_start"] == ParameterValue::Bool(true),
            control_priority: count(values, "control_priority") as u8,
        })
    }

    /// # Errors
    /// Every parameter that does not fit the policy.
    pub fn check_against(&self, policy: PolicyShape) -> Result<(), Vec<ParameterProblem>> {
        let mut problems = Vec::new();
        let joints = self.joint_names.len();
        for (what, expected) in [("state", policy.state_dim), ("actions", policy.action_dim)] {
            if joints != expected {
                problems.push(ParameterProblem {
                    name: "joint_names".to_owned(),
                    found: format!("{joints} joints"),
                    expected: format!("{expected}, as the checkpoint's {what}"),
                });
            }
        }
        let horizon = policy.action_horizon;
        if let Some(actions) = self.playback.actions_to_execute
            && actions.get() > horizon
        {
            problems.push(ParameterProblem {
                name: "actions_to_execute".to_owned(),
                found: actions.to_string(),
                expected: format!("at most {horizon}, the checkpoint's horizon"),
            });
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

fn text(values: &Values, name: &str) -> String {
    match &values[name] {
        ParameterValue::String(text) => text.clone(),
        other => unreachable!("{name} was checked to be a string and is {other:?}"),
    }
}

fn texts(values: &Values, name: &str) -> Vec<String> {
    match &values[name] {
        ParameterValue::StringArray(texts) => texts.clone(),
        other => unreachable!("{name} was checked to be a string array and is {other:?}"),
    }
}

fn doubles(values: &Values, name: &str) -> Vec<f64> {
    match &values[name] {
        ParameterValue::DoubleArray(doubles) => doubles.clone(),
        other => unreachable!("{name} was checked to be a double array and is {other:?}"),
    }
}

fn count(values: &Values, name: &str) -> usize {
    match values[name] {
        ParameterValue::Integer(integer) if integer >= 0 => integer as usize,
        ref other => unreachable!("{name} was checked to be a count and is {other:?}"),
    }
}

/// None for 0.
fn nonzero(values: &Values, name: &str) -> Option<NonZeroUsize> {
    NonZeroUsize::new(count(values, name))
}

fn double(values: &Values, name: &str) -> f64 {
    match values[name] {
        ParameterValue::Double(double) => double,
        ref other => unreachable!("{name} was checked to be a double and is {other:?}"),
    }
}

fn period(values: &Values, name: &str) -> Duration {
    period_of(double(values, name))
}

/// For ever when the rate is so low that no clock reaches its period.
fn period_of(rate_hz: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate_hz).unwrap_or(Duration::MAX)
}

fn control_settings(values: &Values, limits: Option<Arc<[JointLimits]>>) -> ControlSettings {
    let positive = |name: &str| Some(double(values, name)).filter(|value| *value > 0.0);
    ControlSettings {
        publish_horizon: nonzero(values, "publish_horizon").unwrap_or(NonZeroUsize::MIN),
        step: period(values, "control_rate_hz").min(period(values, "action_rate_hz")),
        limits,
        max_start_jump: positive("max_start_jump").map(|jump| jump as f32),
        stop_duration: Duration::from_secs_f64(double(values, "stop_time_s")),
        supervision: SupervisionSettings {
            max_age: Duration::from_secs_f64(double(values, "max_age_ms") / 1e3),
            max_run_time: positive("max_run_time_s").map(Duration::from_secs_f64),
        },
    }
}

/// The limits of each joint; none when no joint has any.
fn joint_limits(values: &Values, joints: usize) -> Result<Option<Arc<[JointLimits]>>, Vec<ParameterProblem>> {
    let names = [
        "joint_position_min",
        "joint_position_max",
        "joint_velocity_max",
        "joint_acceleration_max",
    ];
    let arrays = names.map(|name| doubles(values, name));
    let mut problems = Vec::new();
    for (name, array) in names.iter().zip(&arrays) {
        if !array.is_empty() && array.len() != joints {
            let expected = format!("one for each of the {joints} joints, or none");
            problems.push(ParameterProblem::new(name, &values[name], expected));
        } else if array.iter().any(|limit| !limit.is_finite()) {
            problems.push(ParameterProblem::new(name, &values[name], "finite numbers"));
        }
    }
    let [lower, upper, ..] = &arrays;
    if lower.iter().zip(upper).any(|(lower, upper)| lower >= upper) {
        let expected = "lower positions than joint_position_max";
        problems.push(ParameterProblem::new(names[0], &values[names[0]], expected));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if arrays.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let [lower, upper, velocity, acceleration] = arrays;
    let limit = |limits: &[f64], joint: usize, none: f64| limits.get(joint).copied().unwrap_or(none);
    let of_joint = |joint| JointLimits {
        lower: limit(&lower, joint, JointLimits::NONE.lower),
        upper: limit(&upper, joint, JointLimits::NONE.upper),
        velocity: limit(&velocity, joint, JointLimits::NONE.velocity),
        acceleration: limit(&acceleration, joint, JointLimits::NONE.acceleration),
    };
    Ok(Some((0..joints).map(of_joint).collect()))
}

fn first_duplicate(names: &[String]) -> Option<&String> {
    let mut rest = names.iter().enumerate();
    rest.find(|(index, name)| names[..*index].contains(name))
        .map(|(_, name)| name)
}

/// A crop for each camera, or none at all.
fn crops(values: &Values, cameras: usize) -> Result<Vec<Crop>, ParameterProblem> {
    let value = &values["camera_crops"];
    let problem = |expected: String| ParameterProblem::new("camera_crops", value, expected);
    let ParameterValue::IntegerArray(numbers) = value else {
        unreachable!("camera_crops was checked to be an integer array and is {value:?}");
    };
    if !numbers.is_empty() && numbers.len() != 4 * cameras {
        return Err(problem(format!(
            "four numbers for each of the {cameras} cameras, or none"
        )));
    }
    let pixels: Vec<u32> = numbers
        .iter()
        .map(|&number| u32::try_from(number))
        .collect::<Result<_, _>>()
        .map_err(|_| problem("numbers of pixels, from 0 up".to_owned()))?;
    let crops: Vec<Crop> = pixels
        .chunks_exact(4)
        .map(|crop| Crop {
            x: crop[0],
            y: crop[1],
            width: crop[2],
            height: crop[3],
        })
        .collect();
    if crops.iter().any(|crop| crop.width == 0 || crop.height == 0) {
        return Err(problem("a width and a height of at least 1".to_owned()));
    }
    Ok(crops)
}

#[cfg(test)]
mod tests {
    use super::super::Parameters;
    use super::*;

    fn problems(overrides: &[(&str, ParameterValue)]) -> Vec<String> {
        let checkpoint = ("checkpoint", ParameterValue::String("/checkpoint".to_owned()));
        let overrides = overrides.iter().chain([&checkpoint]);
        let overrides = overrides.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let problems = Parameters::from_overrides(overrides).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.name).collect()
    }

    fn names(text: &str) -> ParameterValue {
        ParameterValue::StringArray(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn the_defaults_with_a_checkpoint_are_whole() {
        assert_eq!(problems(&[]), [""; 0]);
    }

    #[test]
    fn every_problem_between_parameters_is_listed_at_once() {
        let found = problems(&[
            ("cameras", names("top wrist")),
            ("absent_cameras", names("wrist")),
            ("joint_names", names("waist elbow waist")),
            ("camera_crops", ParameterValue::IntegerArray(vec![0, 0, 10, 10])),
            ("vision_refresh_hz", ParameterValue::DoubleArray(vec![5.0])),
        ]);
        assert_eq!(
            found,
            [
                "joint_names",
                "camera_topics",
                "absent_cameras",
                "camera_crops",
                "vision_refresh_hz"
            ]
        );
    }

    #[test]
    fn limits_are_for_every_joint_or_none_and_leave_room() {
        let limits = |limits: &[f64]| ParameterValue::DoubleArray(limits.to_vec());
        let joints = ("joint_names", names("waist elbow"));
        for (name, bad) in [
            ("joint_position_min", &[0.5][..]),
            ("joint_position_max", &[1.0, f64::INFINITY]),
            ("joint_velocity_max", &[1.0, 0.0]),
            ("joint_acceleration_max", &[1.0, 2.0, 3.0]),
        ] {
            assert_eq!(problems(&[joints.clone(), (name, limits(bad))]), [name]);
        }
        let crossed = [
            joints,
            ("joint_position_min", limits(&[0.0, 1.0])),
            ("joint_position_max", limits(&[1.0, 1.0])),
        ];
        assert_eq!(problems(&crossed), ["joint_position_min"]);
    }

    #[test]
    fn crops_have_an_area_and_lie_in_the_frame() {
        for crop in [[0, 0, 0, 5], [-1, 0, 5, 5], [0, 0, i64::MAX, 5]] {
            let value = ParameterValue::IntegerArray(crop.to_vec());
            assert_eq!(problems(&[("camera_crops", value)]), ["camera_crops"]);
        }
    }

    #[test]
    fn each_camera_gets_its_own_topic_crop_and_refresh_rate() {
        let overrides = [
            ("checkpoint", ParameterValue::String("/checkpoint".to_owned())),
            ("cameras", names("top wrist")),
            ("camera_topics", names("/top /wrist")),
            (
                "camera_crops",
                ParameterValue::IntegerArray(vec![1, 2, 3, 4, 5, 6, 7, 8]),
            ),
            ("vision_refresh_hz", ParameterValue::DoubleArray(vec![0.0, 5.0])),
        ];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
        let parameters = Parameters::from_overrides(overrides.into_iter()).unwrap();
        let settings = parameters.settings();
        assert_eq!(settings.cameras[1].topic, "/wrist");
        let wrist_alone = VisionRefresh::new([("wrist".to_owned(), Duration::from_millis(200))]);
        assert_eq!(settings.vision_refresh, wrist_alone);
        let crop = Crop {
            x: 5,
            y: 6,
            width: 7,
            height: 8,
        };
        assert_eq!(settings.policy.cameras[1].crop, Some(crop));
    }
}
