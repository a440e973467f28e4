//! What the parameters mean together.

use std::path::PathBuf;
use std::sync::Arc;

use super::RuntimeSettings;
use super::inputs::{crops, input_topics};
use super::read::{
    count, double, doubles, each_once, nonzero, one_for_each_or_none, period, period_of, text, texts,
};
use super::robot::joint_mapping;
use super::{ParameterProblem, ParameterValue, Values, control, inputs, outputs, robot};
use crate::control::OutputTopic;
use crate::device::Precision;
use crate::observation::InputTopics;
use crate::policy::{
    ActionMode, CameraOptions, DeviceChoice, DeviceOptions, JointMapping, PolicyInfo, PolicyOptions,
    VisionRefresh,
};

/// What of a policy the parameters must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyShape {
    pub state_dim: usize,
    pub action_dim: usize,
    pub action_horizon: usize,
}

impl From<&PolicyInfo> for PolicyShape {
    fn from(policy: &PolicyInfo) -> Self {
        Self {
            state_dim: policy.state_dim,
            action_dim: policy.action_dim,
            action_horizon: policy.action_horizon,
        }
    }
}

/// Every parameter in the type that its user wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub checkpoint: PathBuf,
    pub device: DeviceOptions,
    pub policy: PolicyOptions,
    pub inputs: InputTopics,
    pub joint_names: Vec<String>,
    pub joint_mapping: JointMapping,
    pub outputs: Vec<OutputTopic>,
    pub prompt: String,
    pub runtime: RuntimeSettings,
    pub use_sim_time: bool,
    /// None for no topic.
    pub robot_description_topic: Option<String>,
    pub auto_start: bool,
    /// Whether somebody else configures and activates the node.
    pub managed: bool,
    /// Of the control thread; 0 for none.
    pub control_priority: u8,
}

impl Settings {
    /// # Errors
    /// Every parameter that does not fit another one. The values have passed their own checks.
    pub(super) fn from_values(values: &Values) -> Result<Self, Vec<ParameterProblem>> {
        let mut problems = Vec::new();
        problems.extend(each_once(values, "joint_names"));
        problems.extend(inputs::problems(values));
        problems.extend(robot::problems(values));
        let cameras = texts(values, "cameras");
        problems.extend(one_for_each_or_none(
            values,
            "vision_refresh_hz",
            cameras.len(),
            "cameras",
        ));
        if !problems.is_empty() {
            return Err(problems);
        }
        let joint_names = texts(values, "joint_names");
        let joint_mapping = joint_mapping(values);
        let commanded = names_of(&joint_names, &joint_mapping);
        problems.extend(outputs::problems(values, &commanded));
        problems.extend(control::problems(values, commanded.len()));
        if !problems.is_empty() {
            return Err(problems);
        }
        let inputs = input_topics(values);
        let refreshed = cameras.iter().cloned().zip(doubles(values, "vision_refresh_hz"));
        let refreshed = refreshed.filter(|(_, rate_hz)| *rate_hz > 0.0);
        let crops = crops(values, cameras.len()).map_err(|problem| vec![problem])?;
        let crops = crops.into_iter().map(Some).chain(std::iter::repeat(None));
        let camera_options = inputs
            .cameras
            .iter()
            .zip(crops)
            .map(|(camera, crop)| CameraOptions {
                name: camera.name.clone(),
                crop,
                is_optional: camera.is_optional,
            });
        Ok(Self {
            checkpoint: PathBuf::from(text(values, "checkpoint")),
            device: DeviceOptions {
                device: match text(values, "device").as_str() {
                    "cpu" => DeviceChoice::Cpu,
                    "tenstorrent" => DeviceChoice::Tenstorrent,
                    _ => DeviceChoice::Auto,
                },
                precision: match text(values, "precision").as_str() {
                    "bf16" => Precision::Bf16,
                    "int8" => Precision::Int8,
                    _ => Precision::F32,
                },
                threads: count(values, "threads"),
            },
            policy: PolicyOptions {
                seed: count(values, "seed") as u64,
                cameras: Some(camera_options.collect()),
                absent_cameras: texts(values, "absent_cameras"),
            },
            inputs,
            outputs: outputs::outputs(values, &commanded),
            joint_names,
            joint_mapping,
            prompt: text(values, "prompt"),
            runtime: RuntimeSettings {
                control_period: period(values, "control_rate_hz"),
                action_period: period_of(double(values, "action_rate_hz") * double(values, "playback_speed")),
                execution_horizon: nonzero(values, "actions_to_execute"),
                blending: control::blending(values),
                control: control::settings(values, commanded.len()),
                vision_refresh: Arc::new(VisionRefresh::new(
                    refreshed.map(|(camera, rate_hz)| (camera, period_of(rate_hz))),
                )),
                denoise_steps: nonzero(values, "denoise_steps"),
            },
            use_sim_time: values["use_sim_time"] == ParameterValue::Bool(true),
            robot_description_topic: Some(text(values, "robot_description_topic"))
                .filter(|topic| !topic.is_empty()),
            auto_start: values["auto_start"] == ParameterValue::Bool(true),
            managed: values["managed"] == ParameterValue::Bool(true),
            control_priority: count(values, "control_priority") as u8,
        })
    }

    /// The joints that are told to move, in the order of the robot's actions.
    pub fn commanded_joints(&self) -> Vec<String> {
        names_of(&self.joint_names, &self.joint_mapping)
    }

    /// The topics that the node listens to.
    pub fn subscribed_topics(&self) -> Vec<&str> {
        let inputs = &self.inputs;
        let cameras = inputs.cameras.iter().map(|camera| &camera.topic);
        let joint_states = inputs.joint_states.iter().map(|one| &one.topic);
        let extra_state = inputs.extra_state.iter().map(|one| &one.topic);
        let all = cameras
            .chain(joint_states)
            .chain(extra_state)
            .chain([&inputs.prompt])
            .chain(&self.robot_description_topic);
        all.map(String::as_str).collect()
    }

    /// The topics that the node publishes on.
    pub fn published_topics(&self) -> Vec<&str> {
        let outputs = self.outputs.iter().map(|output| output.topic.as_str());
        outputs.chain(["/diagnostics", "~/chunk"]).collect()
    }

    /// # Errors
    /// When `action_modes` would count a value from the state that the checkpoint's own steps count from it already:
    /// `relative`, one for each value of an action or none.
    pub fn check_relative(&self, relative: &[bool]) -> Result<(), Vec<ParameterProblem>> {
        let values = self.joint_mapping.actions.iter().zip(relative);
        let is_absolute = |mode| mode == ActionMode::Absolute;
        let twice = values.enumerate().find(|(_, (action, relative))| {
            **relative && action.is_some_and(|action| !is_absolute(action.mode))
        });
        match twice {
            None => Ok(()),
            Some((index, _)) => Err(vec![ParameterProblem {
                name: "action_modes".to_owned(),
                found: format!("value {index} counted from the state or the action before"),
                expected: "absolute: the checkpoint's own steps count it from the state".to_owned(),
            }]),
        }
    }

    /// # Errors
    /// Every parameter that does not fit the policy.
    pub fn check_against(&self, policy: PolicyShape) -> Result<(), Vec<ParameterProblem>> {
        let mut problems = Vec::new();
        let joints = self.joint_names.len();
        let extra: usize = self.inputs.extra_state.iter().map(|extra| extra.size).sum();
        if joints + extra != policy.state_dim {
            let extra_words = format!(" and {extra} values of extra_state_topics");
            problems.push(ParameterProblem {
                name: "joint_names".to_owned(),
                found: format!("{joints} joints{}", if extra > 0 { &extra_words } else { "" }),
                expected: format!("{}, as the checkpoint's state", policy.state_dim),
            });
        }
        let actions = self.joint_mapping.actions.len();
        if actions != policy.action_dim {
            problems.push(ParameterProblem {
                name: "action_joints".to_owned(),
                found: format!("{actions} (those of joint_names, where it is empty)"),
                expected: format!("{}, as the checkpoint's actions", policy.action_dim),
            });
        }
        let horizon = policy.action_horizon;
        if let Some(actions) = self.runtime.execution_horizon
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

fn names_of(joints: &[String], joint_mapping: &JointMapping) -> Vec<String> {
    joint_mapping
        .commanded()
        .map(|joint| joints[joint].clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Parameters;
    use super::super::overrides::{names, problems};
    use super::*;
    use crate::observation::Transport;
    use crate::policy::Crop;

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
    fn what_the_inputs_need_of_each_other_is_checked() {
        let numbers = |values: &[i64]| ParameterValue::IntegerArray(values.to_vec());
        for (overrides, expected) in [
            (vec![("camera_transports", names("raw raw"))], "camera_transports"),
            (vec![("camera_transports", names("jpeg"))], "camera_transports"),
            (
                vec![
                    ("optional_cameras", names("wrist")),
                    ("sync_slop_ms", ParameterValue::Double(50.0)),
                ],
                "optional_cameras",
            ),
            (
                vec![
                    ("optional_cameras", names("top")),
                    ("sync_slop_ms", ParameterValue::Double(50.0)),
                ],
                "optional_cameras",
            ),
            (
                vec![
                    ("cameras", names("top wrist")),
                    ("camera_topics", names("/top /wrist")),
                    ("optional_cameras", names("wrist")),
                ],
                "sync_slop_ms",
            ),
            (
                vec![("joint_states_topics", names("/a /a"))],
                "joint_states_topics",
            ),
            (
                vec![("joint_states_prefixes", names("left_ right_"))],
                "joint_states_prefixes",
            ),
            (
                vec![("joint_states_prefixes", names("head_"))],
                "joint_states_prefixes",
            ),
            (vec![("extra_state_topics", names("/force"))], "extra_state_sizes"),
            (
                vec![
                    ("extra_state_topics", names("/force")),
                    ("extra_state_sizes", numbers(&[0])),
                ],
                "extra_state_sizes",
            ),
        ] {
            assert_eq!(problems(&overrides), [expected], "{overrides:?}");
        }
    }

    #[test]
    fn each_input_gets_its_topic_type_and_prefix() {
        let overrides = [
            ("checkpoint", ParameterValue::String("/checkpoint".to_owned())),
            ("cameras", names("top wrist")),
            ("camera_topics", names("/top /wrist/compressed")),
            ("camera_transports", names("raw compressed")),
            ("optional_cameras", names("wrist")),
            ("sync_slop_ms", ParameterValue::Double(50.0)),
            (
                "joint_states_topics",
                names("/left/joint_states /right/joint_states"),
            ),
            ("joint_states_prefixes", names("left_ right_")),
            ("extra_state_topics", names("/force")),
            ("extra_state_sizes", ParameterValue::IntegerArray(vec![6])),
        ];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
        let parameters = Parameters::from_overrides(overrides.into_iter()).unwrap();
        let inputs = &parameters.settings().inputs;
        assert_eq!(inputs.sync_slop, Some(Duration::from_millis(50)));
        assert_eq!(inputs.cameras[0].transport, Transport::Raw);
        assert_eq!(inputs.cameras[1].transport, Transport::Compressed);
        assert!(!inputs.cameras[0].is_optional && inputs.cameras[1].is_optional);
        assert_eq!(inputs.joint_states[1].prefix, "right_");
        assert_eq!(
            (inputs.extra_state[0].topic.as_str(), inputs.extra_state[0].size),
            ("/force", 6)
        );
        let shape = |state_dim| PolicyShape {
            state_dim,
            action_dim: 14,
            action_horizon: 50,
        };
        assert!(parameters.settings().check_against(shape(20)).is_ok());
        let problem = &parameters.settings().check_against(shape(14)).unwrap_err()[0];
        assert_eq!(problem.found, "14 joints and 6 values of extra_state_topics");
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
        assert_eq!(settings.inputs.cameras[1].topic, "/wrist");
        let wrist_alone = VisionRefresh::new([("wrist".to_owned(), Duration::from_millis(200))]);
        assert_eq!(*settings.runtime.vision_refresh, wrist_alone);
        let crop = Crop {
            x: 5,
            y: 6,
            width: 7,
            height: 8,
        };
        assert_eq!(settings.policy.cameras.as_ref().unwrap()[1].crop, Some(crop));
    }
}
