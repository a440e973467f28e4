//! What the parameters mean together.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::joints::{commanded, joint_mapping, labels, limits};
use super::table::{ControlParameters, NodeParameters, PolicyParameters};
use super::typed::Typed;
use super::{GoalSettings, ParameterProblem, RuntimeSettings, inputs, outputs, poses, server, state_order};
use crate::control::{
    Axes, AxisLayout, Blending, BlendingStrategy, ControlSettings, JointLimits, OutputTopic, RtcMode,
    SupervisionSettings, TrajectorySettings,
};
use crate::device::TenstorrentOptions;
use crate::observation::InputTopics;
use crate::policy::{
    ActionMode, CheckpointOptions, DeviceChoice, DeviceOptions, Guidance, JointMapping, OpenError,
    OpenpiOptions, Policy, PolicyInfo, PolicyOptions, RemoteOptions, VisionRefresh, open_remote, open_with,
};
use crate::pose::POSE_VALUES;

/// What of a policy the parameters must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyShape {
    /// Values of the state.
    pub state_dim: usize,
    /// Values of an action.
    pub action_dim: usize,
    /// Actions in a chunk.
    pub action_horizon: usize,
    /// Whether a chunk can go on from the one before.
    pub takes_prefixes: bool,
    /// Clean actions that it was trained to go on from, at most; 0 where it was not.
    pub rtc_training_max_delay: usize,
}

impl From<&PolicyInfo> for PolicyShape {
    fn from(policy: &PolicyInfo) -> Self {
        Self {
            state_dim: policy.state_dim,
            action_dim: policy.action_dim,
            action_horizon: policy.action_horizon,
            takes_prefixes: policy.takes_prefixes,
            rtc_training_max_delay: policy.rtc_training_max_delay,
        }
    }
}

/// Every parameter in the type that its user wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Folder of the checkpoint, or its name on the Hugging Face Hub.
    pub checkpoint: PathBuf,
    /// Device that runs the model.
    pub device: DeviceOptions,
    /// Server that the policy is on, in place of the checkpoint and the device; none for a policy of this machine.
    pub remote: Option<RemoteOptions>,
    /// Options of the policy.
    pub policy: PolicyOptions,
    /// Topics of the inputs.
    pub inputs: InputTopics,
    /// Robot's joints.
    pub joint_names: Vec<String>,
    /// Robot's poses.
    pub pose_names: Vec<String>,
    /// Name of each value of the checkpoint's state.
    pub state_names: Vec<String>,
    /// Transforms between the robot's and the policy's units.
    pub joint_mapping: JointMapping,
    /// Topics of the commands.
    pub outputs: Vec<OutputTopic>,
    /// Prompt of the start.
    pub prompt: String,
    /// Settings that can change while the node runs.
    pub runtime: RuntimeSettings,
    /// Whether time comes from `/clock`.
    pub use_sim_time: bool,
    /// None for no topic.
    pub robot_description_topic: Option<String>,
    /// Whether the node may move the robot from its start on.
    pub auto_start: bool,
    /// Whether somebody else configures and activates the node.
    pub managed: bool,
    /// Of the control thread; 0 for none.
    pub control_priority: u8,
}

impl Settings {
    /// The settings of parameters that fit each other.
    pub(super) fn new(parameters: &NodeParameters) -> Self {
        let NodeParameters {
            policy,
            safety,
            lifecycle,
            ..
        } = parameters;
        let joint_mapping = joint_mapping(parameters);
        let commanded_joints = commanded_joints(parameters, &joint_mapping);
        let commanded_poses = commanded_poses(parameters, &joint_mapping);
        let robot_description_topic = Some(&safety.robot_description_topic);
        Self {
            checkpoint: PathBuf::from(&policy.checkpoint),
            device: DeviceOptions {
                device: policy.device.choice().unwrap_or(DeviceChoice::Auto),
                precision: policy.precision,
                threads: policy.threads,
                card: TenstorrentOptions {
                    attention: policy.card_attention,
                    tuning: policy.card_tuning.tuning(),
                    allow_reset: policy.card_reset,
                    ..TenstorrentOptions::DEFAULT
                },
            },
            remote: server::remote_options(parameters, &joint_mapping),
            policy: PolicyOptions {
                seed: policy.seed,
                cameras: Some(inputs::camera_options(parameters)),
                absent_cameras: parameters.absent_cameras.clone(),
                checkpoint: checkpoint_options(parameters),
            },
            inputs: inputs::input_topics(parameters),
            joint_names: parameters.joint_order.joint_names.clone(),
            pose_names: parameters.pose_names.clone(),
            state_names: state_order::labels(parameters),
            outputs: outputs::outputs(parameters, &commanded_joints, &commanded_poses),
            prompt: policy.prompt.clone(),
            runtime: runtime_settings(parameters, &joint_mapping),
            joint_mapping,
            use_sim_time: lifecycle.use_sim_time,
            robot_description_topic: robot_description_topic.filter(|topic| !topic.is_empty()).cloned(),
            auto_start: lifecycle.auto_start,
            managed: lifecycle.managed,
            control_priority: parameters.control.control_priority,
        }
    }

    /// Opens the policy: of the checkpoint on a device of this machine, or that of the server.
    ///
    /// # Errors
    /// When there is no such policy, or it does not fit the options.
    pub fn open_policy(&self) -> Result<Box<dyn Policy + Send>, OpenError> {
        match &self.remote {
            Some(remote) => open_remote(remote.clone()),
            None => open_with(&self.checkpoint, self.device, self.policy.clone()),
        }
    }

    /// Where the policy comes from, in words.
    pub fn policy_source(&self) -> String {
        match &self.remote {
            Some(remote) => format!("the server {}", remote.server),
            None => format!("the checkpoint {}", self.checkpoint.display()),
        }
    }

    /// The commanded joints, in the order of the robot's actions.
    pub fn commanded_joints(&self) -> Vec<String> {
        let commanded = self.joint_mapping.commanded_joints();
        commanded.map(|joint| self.joint_names[joint].clone()).collect()
    }

    /// The commanded poses, in the order of the robot's actions, in which they follow the joints.
    pub fn commanded_poses(&self) -> Vec<String> {
        let commanded = self.joint_mapping.commanded_poses();
        commanded.map(|pose| self.pose_names[pose].clone()).collect()
    }

    /// The axes of the robot's actions: the commanded joints, and the values of the commanded poses.
    pub fn axes(&self) -> Axes {
        let (joints, poses) = (self.commanded_joints(), self.commanded_poses());
        let first_values: Vec<usize> = (0..poses.len())
            .map(|pose| joints.len() + pose * POSE_VALUES)
            .collect();
        let of_poses = poses.iter().flat_map(|pose| poses::value_names(pose));
        let names: Vec<String> = joints.into_iter().chain(of_poses).collect();
        Axes::new(names, AxisLayout::with_poses(first_values))
    }

    /// The topics that the node listens to.
    pub fn subscribed_topics(&self) -> Vec<&str> {
        let inputs = &self.inputs;
        let cameras = inputs.cameras.iter().map(|camera| &*camera.topic);
        let joint_states = inputs.joint_states.iter().map(|one| &*one.topic);
        let poses = inputs.poses.iter().filter_map(|pose| pose.topic());
        let extra_state = inputs.extra_state.iter().map(|one| &*one.topic);
        cameras
            .chain(joint_states)
            .chain(poses)
            .chain(inputs.transforms().iter().copied())
            .chain(extra_state)
            .chain([&*inputs.prompt])
            .chain(self.robot_description_topic.as_deref())
            .collect()
    }

    /// The topics that the node publishes on.
    pub fn published_topics(&self) -> Vec<&str> {
        let outputs = self.outputs.iter().map(|output| output.topic.as_str());
        outputs.chain(["/diagnostics", "~/chunk"]).collect()
    }

    /// # Errors
    /// Every parameter that does not fit the policy, or would count a value from the state that the checkpoint's own steps count
    /// from it already.
    pub fn check_policy(&self, policy: &PolicyInfo) -> Result<(), Vec<ParameterProblem>> {
        self.check_against(PolicyShape::from(policy))?;
        self.check_relative(&policy.relative_actions)
    }

    /// # Errors
    /// When an `action_mode` would count a value from the state that the checkpoint's own steps count from it already:
    /// `relative`, one for each value of an action or none.
    pub fn check_relative(&self, relative: &[bool]) -> Result<(), Vec<ParameterProblem>> {
        let mut twice: Vec<ParameterProblem> = Vec::new();
        let mut refuse = |name: String, mode: ActionMode| {
            let expected = "absolute: the checkpoint's own steps count it from the state";
            if mode != ActionMode::Absolute && twice.iter().all(|problem| problem.name != name) {
                twice.push(ParameterProblem::new(name, mode.to_value(), expected));
            }
        };
        let values = self.joint_mapping.actions.iter().zip(relative).enumerate();
        for (value, (action, _)) in values.filter(|(_, (_, relative))| **relative) {
            if let Some(action) = action {
                let joint = &self.joint_names[action.joint];
                refuse(format!("joints.{joint}.action_mode"), action.mode);
            }
            for (name, pose) in self.pose_names.iter().zip(&self.joint_mapping.poses) {
                if let Some(action) = pose.action.filter(|action| action.values().contains(&value)) {
                    refuse(format!("poses.{name}.action_mode"), action.mode);
                }
            }
        }
        none_of(twice)
    }

    /// # Errors
    /// Every parameter that does not fit the policy.
    pub fn check_against(&self, policy: PolicyShape) -> Result<(), Vec<ParameterProblem>> {
        let mut problems = Vec::new();
        let mut refuse = |name: &str, found: String, expected: String| {
            problems.push(ParameterProblem::new(name, found, expected));
        };
        if self.state_names.len() != policy.state_dim {
            let is_joint = |name: &&String| self.joint_names.contains(name);
            let joints = self.state_names.iter().filter(is_joint).count();
            let others = match self.state_names.len() - joints {
                0 => String::new(),
                others => format!(" and {others} values of poses and extra_state"),
            };
            let expected = format!("{}, as the checkpoint's state", policy.state_dim);
            refuse("joint_names", format!("{joints} joints{others}"), expected);
        }
        let actions = self.joint_mapping.actions.len();
        if actions != policy.action_dim {
            let found = format!("{actions} (those of joint_names, where it is empty)");
            refuse(
                "action_joints",
                found,
                format!("{}, as the checkpoint's actions", policy.action_dim),
            );
        }
        let horizon = policy.action_horizon;
        if let Some(actions) = self.runtime.execution_horizon
            && actions.get() > horizon
        {
            let expected = format!("at most {horizon}, the checkpoint's horizon");
            refuse("execution_horizon", actions.to_string(), expected);
        }
        let Blending {
            strategy, rtc_mode, ..
        } = self.runtime.blending;
        if let Some(strategy) =
            strategy.filter(|strategy| strategy.needs_prefixes() && !policy.takes_prefixes)
        {
            refuse(
                "chunk_blending",
                strategy.name().to_owned(),
                "auto, replace, blend or ensemble: this server takes no actions of the chunk before, as pi0_server does"
                    .to_owned(),
            );
        }
        let is_trained_mode = strategy.is_none_or(|strategy| strategy == BlendingStrategy::Rtc)
            && rtc_mode == Some(RtcMode::Trained);
        if is_trained_mode && policy.rtc_training_max_delay == 0 {
            refuse(
                "rtc_mode",
                "trained".to_owned(),
                "guided or auto: rtc_training_max_delay of the checkpoint is 0, so it was not trained for that; \
                 docs/control.md says how to train one"
                    .to_owned(),
            );
        }
        none_of(problems)
    }
}

/// # Errors
/// The problems, where there are any.
fn none_of(problems: Vec<ParameterProblem>) -> Result<(), Vec<ParameterProblem>> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    }
}

fn checkpoint_options(parameters: &NodeParameters) -> CheckpointOptions {
    let PolicyParameters {
        checkpoint_base,
        tokenizer,
        resize,
        image_bars,
        openpi_asset,
        openpi_action_horizon,
        openpi_max_prompt_tokens,
        normalisation,
        delta_actions,
        state_in_prompt,
        ..
    } = &parameters.policy;
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let above_0 = |number: usize| Some(number).filter(|number| *number > 0);
    CheckpointOptions {
        base: some(checkpoint_base).map(PathBuf::from),
        tokenizer: some(tokenizer).map(PathBuf::from),
        resize: *resize,
        image_bars: *image_bars,
        state_in_prompt: *state_in_prompt,
        openpi: OpenpiOptions {
            asset: some(openpi_asset),
            action_horizon: above_0(*openpi_action_horizon),
            max_prompt_tokens: above_0(*openpi_max_prompt_tokens),
            normalisation: *normalisation,
            delta_actions: delta_actions.clone(),
        },
        joints: labels(parameters),
    }
}

/// The names of the commanded joints, in the order of the actions.
fn commanded_joints(parameters: &NodeParameters, mapping: &JointMapping) -> Vec<String> {
    let commanded = commanded(parameters, mapping).into_iter();
    commanded.map(|(name, _)| name.clone()).collect()
}

/// The names of the commanded poses, in the order of the actions.
fn commanded_poses(parameters: &NodeParameters, mapping: &JointMapping) -> Vec<String> {
    let commanded = mapping.commanded_poses();
    commanded.map(|pose| parameters.poses[pose].0.clone()).collect()
}

fn runtime_settings(parameters: &NodeParameters, mapping: &JointMapping) -> RuntimeSettings {
    let ControlParameters {
        control_rate_hz,
        action_rate_hz,
        playback_speed,
        execution_horizon,
        ..
    } = parameters.control;
    let refreshed = parameters
        .cameras
        .iter()
        .filter(|(_, camera)| camera.refresh_hz > 0.0);
    RuntimeSettings {
        control_period: period(control_rate_hz),
        action_period: period(action_rate_hz * playback_speed),
        execution_horizon: NonZeroUsize::new(execution_horizon),
        blending: Blending {
            strategy: parameters.control.chunk_blending,
            blend_duration: Duration::from_secs_f64(parameters.control.blend_duration_s),
            controller_latency: Duration::from_secs_f64(parameters.control.controller_latency_s),
            ensemble_coefficient: parameters.control.ensemble_coefficient,
            rtc_mode: parameters.control.rtc_mode,
            guidance: Guidance {
                schedule: parameters.control.rtc_prefix_attention_schedule,
                prefix_attention_horizon: NonZeroUsize::new(parameters.control.rtc_prefix_attention_horizon),
                max_guidance_weight: Some(parameters.control.rtc_max_guidance_weight as f32)
                    .filter(|&bound| bound > 0.0),
            },
        },
        control: control_settings(parameters, mapping),
        vision_refresh: Arc::new(VisionRefresh::new(
            refreshed.map(|(name, camera)| (name.clone(), period(camera.refresh_hz))),
        )),
        denoise_steps: NonZeroUsize::new(parameters.policy.denoise_steps),
        goals: GoalSettings {
            second_goal: parameters.goals.second_goal,
            needs_client: parameters.goals.goal_needs_client,
            hold_limit: above_0_s(parameters.goals.goal_hold_limit_s),
        },
        added_inference_latency: Duration::from_secs_f64(parameters.policy.added_inference_latency_s),
    }
}

/// A duration in seconds; none for 0.
fn above_0_s(seconds: f64) -> Option<Duration> {
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

fn control_settings(parameters: &NodeParameters, mapping: &JointMapping) -> ControlSettings {
    let NodeParameters { control, safety, .. } = parameters;
    let joints = || commanded(parameters, mapping).into_iter().map(|(_, joint)| joint);
    let poses = || mapping.commanded_poses().map(|pose| &parameters.poses[pose].1);
    let of_joints = joints().map(limits);
    let all_limits: Arc<[JointLimits]> = of_joints.chain(poses().flat_map(poses::limits)).collect();
    let is_limited = all_limits.iter().any(|limits| *limits != JointLimits::NONE);
    let max_start_of_joints = joints().map(|joint| joint.max_start_jump as f32);
    let max_start_of_poses =
        poses().flat_map(|pose| poses::distances(pose.max_start_distance, pose.max_start_angle));
    let max_following_of_joints = joints().map(|joint| joint.max_following_error as f32);
    let max_following_of_poses =
        poses().flat_map(|pose| poses::distances(pose.max_following_distance, pose.max_following_angle));
    ControlSettings {
        trajectory: TrajectorySettings {
            horizon: NonZeroUsize::new(control.publish_horizon).unwrap_or(NonZeroUsize::MIN),
            look_ahead: Duration::from_secs_f64(control.look_ahead_s),
            history: Duration::from_secs_f64(control.trajectory_history_s),
            velocities: control.waypoint_velocities,
        },
        step: period(control.control_rate_hz).min(period(control.action_rate_hz)),
        limits: is_limited.then_some(all_limits),
        limit_return_velocity: safety.limit_return_velocity,
        max_start_jump: max_start_of_joints.chain(max_start_of_poses).collect(),
        max_following_error: max_following_of_joints.chain(max_following_of_poses).collect(),
        twists: poses().map(super::poses::twist).collect(),
        yields_to_hand: safety.yield_to_hand,
        stop_duration: Duration::from_secs_f64(safety.stop_time_s),
        supervision: SupervisionSettings {
            max_age: Duration::from_secs_f64(safety.max_age_ms / 1e3),
            max_run_time: above_0_s(safety.max_run_time_s),
        },
    }
}

/// For ever when the rate is so low that no clock reaches its period.
fn period(rate_hz: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate_hz).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue::Integer;
    use super::super::overrides::{settings, text};
    use super::*;
    use crate::parameters::SecondGoal;

    #[test]
    fn a_tokenizer_is_looked_for_unless_the_parameter_names_one() {
        let tokenizer = |values: &[_]| settings(values).policy.checkpoint.tokenizer;
        assert_eq!(tokenizer(&[]), None);
        let named = [("tokenizer", text("/data/tokenizer.json"))];
        assert_eq!(tokenizer(&named), Some(PathBuf::from("/data/tokenizer.json")));
    }

    #[test]
    fn goals_are_refused_beside_another_and_held_for_half_a_minute_unless_it_is_set() {
        use super::super::ParameterValue::{Bool, Double};
        let goals = settings(&[]).runtime.goals;
        let expected = GoalSettings {
            second_goal: SecondGoal::Refuse,
            needs_client: false,
            hold_limit: Some(Duration::from_secs(30)),
        };
        assert_eq!(goals, expected);
        let set = [
            ("second_goal", text("replace")),
            ("goal_needs_client", Bool(true)),
            ("goal_hold_limit_s", Double(0.0)),
        ];
        let expected = GoalSettings {
            second_goal: SecondGoal::Replace,
            needs_client: true,
            hold_limit: None,
        };
        assert_eq!(settings(&set).runtime.goals, expected);
    }

    #[test]
    fn joints_actions_and_horizon_must_be_the_policy_s() {
        let settings = settings(&[
            ("extra_state_names", super::super::overrides::names("force")),
            ("extra_state.force.topic", text("/force")),
            ("extra_state.force.size", Integer(6)),
            ("execution_horizon", Integer(11)),
        ]);
        let shape = |state_dim, action_dim, action_horizon| PolicyShape {
            state_dim,
            action_dim,
            action_horizon,
            takes_prefixes: true,
            rtc_training_max_delay: 0,
        };
        assert!(settings.check_against(shape(9, 3, 11)).is_ok());
        let problems = settings.check_against(shape(3, 4, 10)).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["joint_names", "action_joints", "execution_horizon"]);
        assert_eq!(
            problems[0].found,
            "3 joints and 6 values of poses and extra_state"
        );
    }

    #[test]
    fn a_policy_is_not_used_as_it_was_not_trained() {
        let check = |blending, mode, rtc_training_max_delay| {
            let chosen = settings(&[("chunk_blending", text(blending)), ("rtc_mode", text(mode))]);
            let shape = PolicyShape {
                state_dim: chosen.joint_names.len(),
                action_dim: chosen.joint_mapping.actions.len(),
                action_horizon: 50,
                takes_prefixes: true,
                rtc_training_max_delay,
            };
            chosen.check_against(shape)
        };
        let problems = check("rtc", "trained", 0).unwrap_err();
        assert_eq!(problems[0].name, "rtc_mode");
        for (blending, mode, trained_for) in [
            ("rtc", "trained", 5),
            ("rtc", "guided", 5),
            ("rtc", "auto", 0),
            ("replace", "trained", 0),
        ] {
            assert!(
                check(blending, mode, trained_for).is_ok(),
                "{blending}, {mode}, {trained_for}"
            );
        }
    }
}
