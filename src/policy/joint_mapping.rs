//! Joint mapping: between a robot's joints and poses and the state and actions that a policy learned from.
//!
//! A policy learned from one robot's driver: its zeros, its directions, its units, its value of an open
//! gripper. Another driver of the same robot may have others. This file converts between them, and `pose_mapping` those of a
//! pose.

use std::ops::Range;

use super::ActionChunk;
use super::action_mode::ActionMode;
use super::aloha_gripper::AlohaGripper;
use super::pose_mapping::PoseMapping;
use crate::pose::{POSE_VALUES, Pose};

/// Conversion of a joint's position from the robot's units to the policy's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnitTransform {
    /// `scale · (robot − offset)`.
    Linear {
        /// The policy's units in one of the robot's; negative where their directions differ.
        scale: f64,
        /// The robot's position where the policy's is 0.
        offset: f64,
    },
    /// A gripper of ALOHA, whose commands have other units than its state.
    AlohaGripper(AlohaGripper),
}

/// Meaning of one value of the policy's actions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionValue {
    /// Index of the joint in the state.
    pub joint: usize,
    /// Position that the value is relative to.
    pub mode: ActionMode,
    /// Factor from the value to the policy's units of that joint.
    pub scale: f64,
    /// What is added to the scaled value, in the policy's units of that joint.
    pub offset: f64,
}

/// Part of the policy's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePart {
    /// A joint, by its index.
    Joint(usize),
    /// A pose, by its index.
    Pose(usize),
    /// Other values, by their indices in the robot's state.
    Other(Range<usize>),
}

/// Mapping between a robot's state and actions and a policy's.
///
/// The robot's state has its joints, then its poses ([`POSE_VALUES`] each), then other values. Its actions have the commanded
/// joints in the order of the policy's actions, then the commanded poses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JointMapping {
    /// Unit transforms of the joints.
    pub joints: Vec<UnitTransform>,
    /// Conversions of the poses.
    pub poses: Vec<PoseMapping>,
    /// The policy's state; empty for the order of the robot's.
    pub state_order: Vec<StatePart>,
    /// Meaning of each value of the policy's actions for a joint; `None` for one of a pose, or one that is not used.
    pub actions: Vec<Option<ActionValue>>,
}

impl Default for UnitTransform {
    fn default() -> Self {
        Self::Linear {
            scale: 1.0,
            offset: 0.0,
        }
    }
}

impl UnitTransform {
    /// Transform of a joint that goes from one end to the other in both units, such as a gripper.
    pub fn of_ranges(robot: [f64; 2], policy: [f64; 2]) -> Self {
        let scale = (policy[1] - policy[0]) / (robot[1] - robot[0]);
        Self::Linear {
            scale,
            offset: robot[0] - policy[0] / scale,
        }
    }

    /// Converts an observed position.
    fn to_policy(self, robot: f64) -> f64 {
        match self {
            Self::Linear { scale, offset } => scale * (robot - offset),
            Self::AlohaGripper(gripper) => gripper.state_to_policy(robot),
        }
    }

    /// Converts a position to a command.
    fn to_robot(self, policy: f64) -> f64 {
        match self {
            Self::Linear { scale, offset } => policy / scale + offset,
            Self::AlohaGripper(gripper) => gripper.to_command(policy),
        }
    }

    /// Converts a command: the inverse of [`to_robot`](Self::to_robot).
    fn command_to_policy(self, robot: f64) -> f64 {
        match self {
            Self::Linear { .. } => self.to_policy(robot),
            Self::AlohaGripper(gripper) => gripper.command_to_policy(robot),
        }
    }
}

impl JointMapping {
    /// Mapping that changes nothing: `joints` joints, each with a value of an action.
    pub fn same(joints: usize) -> Self {
        let action = |joint| ActionValue {
            joint,
            mode: ActionMode::Absolute,
            scale: 1.0,
            offset: 0.0,
        };
        Self {
            joints: vec![UnitTransform::default(); joints],
            actions: (0..joints).map(|joint| Some(action(joint))).collect(),
            ..Self::default()
        }
    }

    /// Whether every value of the policy's actions is for a joint or a pose.
    pub fn uses_all_actions(&self) -> bool {
        let is_of_pose = |value: usize| {
            let mut poses = self.poses.iter().filter_map(|pose| pose.action.as_ref());
            poses.any(|action| action.values().contains(&value))
        };
        let mut values = self.actions.iter().enumerate();
        values.all(|(value, action)| action.is_some() || is_of_pose(value))
    }

    /// Indices of the commanded joints, in the order of the robot's actions.
    pub fn commanded_joints(&self) -> impl Iterator<Item = usize> {
        self.actions.iter().flatten().map(|action| action.joint)
    }

    /// Indices of the commanded poses, in the order of the robot's actions.
    pub fn commanded_poses(&self) -> impl Iterator<Item = usize> {
        let poses = self.poses.iter().enumerate();
        poses
            .filter(|(_, pose)| pose.action.is_some())
            .map(|(index, _)| index)
    }

    /// Indices in the robot's state of the values of its actions: of the commanded joints and poses.
    pub fn commanded(&self) -> impl Iterator<Item = usize> {
        let poses = self.commanded_poses().flat_map(|pose| self.pose_values(pose));
        self.commanded_joints().chain(poses)
    }

    /// Values that a state of the robot has at least: of its joints, of its poses, and of what `state_order` names.
    pub fn fewest_state_values(&self) -> usize {
        let others = self.state_order.iter().filter_map(|part| match part {
            StatePart::Other(values) => Some(values.end),
            StatePart::Joint(_) | StatePart::Pose(_) => None,
        });
        others.fold(self.pose_values(self.poses.len()).start, usize::max)
    }

    /// Converts a robot's state to the policy's. What a shorter one lacks is left out.
    pub fn state_to_policy(&self, state: &[f32]) -> Vec<f32> {
        let in_order;
        let parts = match self.state_order.is_empty() {
            true => {
                in_order = self.parts_in_order(state.len());
                &in_order
            }
            false => &self.state_order,
        };
        let values = |part: &StatePart| -> Vec<f32> {
            match part {
                StatePart::Joint(joint) => {
                    let value = state.get(*joint).map(|value| f64::from(*value));
                    let value = value.map(|value| self.joints[*joint].to_policy(value) as f32);
                    value.into_iter().collect()
                }
                StatePart::Pose(pose) => {
                    let values = state.get(self.pose_values(*pose)).map(Pose::from_values);
                    values.map_or_else(Vec::new, |value| self.poses[*pose].state_to_policy(value))
                }
                StatePart::Other(values) => state.get(values.clone()).unwrap_or_default().to_vec(),
            }
        };
        parts.iter().flat_map(values).collect()
    }

    /// The parts of a state of so many values, in the robot's order.
    fn parts_in_order(&self, values: usize) -> Vec<StatePart> {
        let joints = (0..self.joints.len()).map(StatePart::Joint);
        let poses = (0..self.poses.len()).map(StatePart::Pose);
        let others = self.pose_values(self.poses.len()).start..values;
        let others = (!others.is_empty()).then_some(StatePart::Other(others));
        joints.chain(poses).chain(others).collect()
    }

    /// Indices in the robot's state of the values of a pose.
    fn pose_values(&self, pose: usize) -> Range<usize> {
        let first = self.joints.len() + pose * POSE_VALUES;
        first..first + POSE_VALUES
    }

    /// Converts actions of the policy, predicted for the robot's `state`, to the robot's: absolute positions
    /// of the [`commanded`](Self::commanded) joints and poses.
    ///
    /// # Panics
    /// When there is an action of another length, or no joint and no pose is commanded.
    pub fn actions_to_robot(&self, actions: &ActionChunk, state: &[f32]) -> ActionChunk {
        assert_eq!(actions.action_dim(), self.actions.len());
        let observed = self.observed(state);
        let mut previous = observed.clone();
        let mut values = Vec::with_capacity(actions.values().len());
        let observed_poses = self.observed_poses(state);
        let mut previous_poses = observed_poses.clone();
        for index in 0..actions.horizon() {
            let row = actions.action(index);
            for (value, action) in row.iter().zip(&self.actions) {
                let Some(ActionValue {
                    joint,
                    mode,
                    scale,
                    offset,
                }) = *action
                else {
                    continue;
                };
                let before = previous[joint];
                let origin = mode.origin(observed[joint], before);
                previous[joint] = origin + scale * f64::from(*value) + offset;
                let position = mode.at_its_time(before, previous[joint]);
                values.push(self.joints[joint].to_robot(position) as f32);
            }
            for (pose, mapping) in self.poses.iter().enumerate() {
                let Some(action) = &mapping.action else {
                    continue;
                };
                let (own, previous) = (&row[action.values()], &mut previous_poses[pose]);
                let next = action.to_robot(own, observed_poses[pose], *previous);
                // The same rotation, in values that change no more than it does.
                let rotation = next.rotation.with_sign_of(previous.rotation);
                let before = std::mem::replace(previous, Pose { rotation, ..next });
                let at_its_time = action.mode.at_its_time(before, *previous);
                values.extend(at_its_time.values().map(|value| value as f32));
            }
        }
        ActionChunk::new(values, self.commanded().count())
    }

    /// Converts actions of the robot to the policy's: the inverse of
    /// [`actions_to_robot`](Self::actions_to_robot). Values that are not used are 0. A velocity is known from the next action, and the
    /// last one is that before it.
    ///
    /// # Panics
    /// When there is an action of another length.
    pub fn actions_to_policy(&self, actions: &ActionChunk, state: &[f32]) -> ActionChunk {
        assert_eq!(actions.action_dim(), self.commanded().count());
        let observed = self.observed(state);
        let mut previous = observed.clone();
        let mut values = Vec::with_capacity(actions.horizon() * self.actions.len());
        let observed_poses = self.observed_poses(state);
        let mut previous_poses = observed_poses.clone();
        let joint_count = self.commanded_joints().count();
        for index in 0..actions.horizon() {
            let (joints, poses) = actions.action(index).split_at(joint_count);
            let next =
                (index + 1 < actions.horizon()).then(|| actions.action(index + 1).split_at(joint_count));
            let (mut joints, row) = (joints.iter().enumerate(), values.len());
            for action in &self.actions {
                let (
                    Some(ActionValue {
                        joint,
                        mode,
                        scale,
                        offset,
                    }),
                    Some((place, value)),
                ) = (*action, action.and_then(|_| joints.next()))
                else {
                    values.push(0.0);
                    continue;
                };
                if mode == ActionMode::Velocity {
                    let position = |value: f32| self.joints[joint].command_to_policy(f64::from(value));
                    let ahead = next.map(|(joints, _)| (position(joints[place]) - position(*value)) / scale);
                    let before = values
                        .len()
                        .checked_sub(self.actions.len())
                        .map(|before| values[before]);
                    values.push(ahead.map_or(before.unwrap_or(0.0), |ahead| ahead as f32));
                    continue;
                }
                let origin = mode.origin(observed[joint], previous[joint]);
                previous[joint] = self.joints[joint].command_to_policy(f64::from(*value));
                values.push(((previous[joint] - origin - offset) / scale) as f32);
            }
            for (place, (pose, own)) in self
                .commanded_poses()
                .zip(poses.chunks_exact(POSE_VALUES))
                .enumerate()
            {
                let mapping = &self.poses[pose];
                let Some(action) = &mapping.action else {
                    continue;
                };
                let wanted = Pose::from_values(own);
                let before = std::mem::replace(&mut previous_poses[pose], wanted);
                let (to, from) = match (action.mode, next) {
                    (ActionMode::Velocity, Some((_, poses))) => (
                        Pose::from_values(&poses[place * POSE_VALUES..][..POSE_VALUES]),
                        wanted,
                    ),
                    // The last velocity is that before it.
                    _ => (wanted, before),
                };
                let own = action.to_policy(to, observed_poses[pose], from, mapping.near(action));
                let place = action.values();
                values[row + place.start..row + place.end].copy_from_slice(&own);
            }
        }
        ActionChunk::new(values, self.actions.len())
    }

    /// The robot's poses; of NaN for one that the state does not have.
    fn observed_poses(&self, state: &[f32]) -> Vec<Pose> {
        let poses = (0..self.poses.len()).map(|pose| state.get(self.pose_values(pose)));
        poses
            .map(|values| Pose::from_values(values.unwrap_or(&[f32::NAN; POSE_VALUES])))
            .collect()
    }

    /// Positions of a robot's joints in the policy's units.
    fn observed(&self, state: &[f32]) -> Vec<f64> {
        let joints = self.joints.iter().zip(state);
        joints
            .map(|(joint, value)| joint.to_policy(f64::from(*value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{DeltaFrame, PoseAction};
    use crate::pose::{PositionAxes, RotationRepresentation};

    const DEGREES: f64 = 180.0 / std::f64::consts::PI;

    fn action(joint: usize, mode: ActionMode, scale: f64) -> Option<ActionValue> {
        Some(ActionValue {
            joint,
            mode,
            scale,
            offset: 0.0,
        })
    }

    #[test]
    fn the_mapping_of_the_policy_s_own_robot_changes_no_bit() {
        let joint_mapping = JointMapping::same(3);
        let state = [0.1, -1.0e-30, 3.3e5, 7.7];
        assert_eq!(joint_mapping.state_to_policy(&state), state);
        let actions = ActionChunk::new(vec![0.1, 0.2, -0.3, 1e-20, 5.5, -7.0], 3);
        assert_eq!(joint_mapping.actions_to_robot(&actions, &state), actions);
        assert_eq!(joint_mapping.actions_to_policy(&actions, &state), actions);
    }

    #[test]
    fn signs_offsets_and_units_are_those_of_the_policy() {
        let joint_mapping = JointMapping {
            joints: vec![
                UnitTransform::Linear {
                    scale: -1.0,
                    offset: 0.5,
                },
                UnitTransform::Linear {
                    scale: DEGREES,
                    offset: 0.0,
                },
            ],
            ..JointMapping::same(2)
        };
        let state = joint_mapping.state_to_policy(&[1.5, std::f32::consts::PI, 9.0]);
        assert_eq!(state, [-1.0, 180.0, 9.0]);
        let robot = joint_mapping.actions_to_robot(&ActionChunk::new(vec![-1.0, 180.0], 2), &[0.0, 0.0]);
        assert_eq!(robot.values(), [1.5, std::f32::consts::PI]);
    }

    #[test]
    fn a_gripper_s_ends_are_the_policy_s_ends() {
        let gripper = UnitTransform::of_ranges([0.0, 0.8], [1.0, 0.0]);
        assert!((gripper.to_policy(0.0) - 1.0).abs() < 1e-12);
        assert!(gripper.to_policy(0.8).abs() < 1e-12);
        assert!((gripper.to_robot(0.5) - 0.4).abs() < 1e-12);
    }

    /// openpi's `_gripper_to_angular` and `_gripper_from_angular`, whose linear position is what the driver
    /// makes of the gripper's angle.
    #[test]
    fn aloha_s_gripper_is_openpi_s() {
        let joint_mapping = JointMapping {
            joints: vec![UnitTransform::of_ranges([0.5476, 1.6296], [0.0, 1.0])],
            actions: vec![action(0, ActionMode::Absolute, 1.0 / 1.082)],
            ..JointMapping::default()
        };
        for angle in [-0.3_f64, 0.2, 0.9, 1.4] {
            let (arm, horn) = (0.036_f64, 0.022_f64);
            let linear = horn * angle.sin() + (arm.powi(2) - (horn * angle.cos()).powi(2)).sqrt();
            let normalised = (linear - 0.01844) / (0.058 - 0.01844);
            let back = normalised * (0.058 - 0.01844) + 0.01844;
            let sine = (horn.powi(2) + back.powi(2) - arm.powi(2)) / (2.0 * horn * back);
            let expected = (sine.clamp(-1.0, 1.0).asin() - 0.5476) / (1.6296 - 0.5476);
            let state = joint_mapping.state_to_policy(&[angle as f32])[0];
            assert!(
                (f64::from(state) - expected).abs() < 1e-5,
                "{angle}: {state} and {expected}"
            );
        }
        for value in [-1.1_f32, 0.0, 0.9] {
            // The command is normalised between the joint's ends, and ALOHA's runtime takes that back.
            let normalised = (f64::from(value) + 0.5476 + 0.6213) / (1.4910 + 0.6213);
            let expected = normalised * (1.4910 + 0.6213) - 0.6213;
            let robot = joint_mapping.actions_to_robot(&ActionChunk::new(vec![value], 1), &[0.7]);
            assert!((f64::from(robot.values()[0]) - expected).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn relative_actions_count_from_the_observation_and_increments_from_the_action_before() {
        let joint_mapping = JointMapping {
            actions: vec![
                action(1, ActionMode::Increment, 0.2),
                None,
                action(0, ActionMode::Relative, 1.0),
            ],
            ..JointMapping::same(2)
        };
        assert_eq!(joint_mapping.commanded().collect::<Vec<_>>(), [1, 0]);
        let policy = ActionChunk::new(vec![1.0, 7.0, 0.5, 1.0, 7.0, 0.75, -2.0, 7.0, 1.0], 3);
        let robot = joint_mapping.actions_to_robot(&policy, &[10.0, 20.0]);
        let expected = [20.2, 10.5, 20.4, 10.75, 20.0, 11.0];
        for (found, expected) in robot.values().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
        }
    }

    #[test]
    fn velocities_lead_from_the_observed_position_from_their_own_time_on() {
        let base = PoseMapping {
            action: Some(PoseAction {
                first: 1,
                axes: PositionAxes::X,
                rotation: RotationRepresentation::Yaw,
                mode: ActionMode::Velocity,
                frame: DeltaFrame::Tool,
                position_scale: 0.1,
                rotation_scale: 0.1,
            }),
            ..PoseMapping::default()
        };
        let joint_mapping = JointMapping {
            actions: vec![action(0, ActionMode::Velocity, 0.5), None, None],
            poses: vec![base],
            ..JointMapping::same(1)
        };
        let state = [10.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let policy = ActionChunk::new(vec![2.0, 1.0, 0.0, -4.0, 2.0, 0.0, 2.0, 2.0, 0.0], 3);
        let robot = joint_mapping.actions_to_robot(&policy, &state);
        let places: Vec<[f32; 2]> = (0..3)
            .map(|row| [robot.action(row)[0], robot.action(row)[1]])
            .collect();
        for (place, expected) in places.iter().zip([[10.0, 3.0], [11.0, 3.1], [9.0, 3.3]]) {
            let differs = |(one, other): (&f32, f32)| (one - other).abs() > 1e-5;
            assert!(!place.iter().zip(expected).any(differs), "{places:?}");
        }
        // The last velocity is not known from where it begins.
        let again = joint_mapping.actions_to_policy(&robot, &state);
        for (again, expected) in again
            .values()
            .iter()
            .zip([2.0, 1.0, 0.0, -4.0, 2.0, 0.0, -4.0, 2.0, 0.0])
        {
            assert!((again - expected).abs() < 1e-4, "{:?}", again);
        }
    }

    #[test]
    fn relative_actions_count_in_the_policy_s_direction() {
        let joint_mapping = JointMapping {
            joints: vec![UnitTransform::Linear {
                scale: -2.0,
                offset: 1.0,
            }],
            actions: vec![action(0, ActionMode::Relative, 1.0)],
            ..JointMapping::default()
        };
        let robot = joint_mapping.actions_to_robot(&ActionChunk::new(vec![1.0], 1), &[3.0]);
        assert_eq!(robot.values(), [2.5]);
    }

    fn joint_map() -> impl Strategy<Value = UnitTransform> {
        let scale = prop_oneof![-60.0..-0.1, 0.1..60.0];
        (scale, -3.0..3.0).prop_map(|(scale, offset)| UnitTransform::Linear { scale, offset })
    }

    prop_compose! {
        fn joint_mapping()(joints in prop::collection::vec(joint_map(), 1..8))(
            actions in prop::collection::vec(
                (
                    any::<bool>(),
                    0..3_u8,
                    prop_oneof![-2.0..-0.1, 0.1..2.0],
                ),
                joints.len(),
            ),
            order in Just((0..joints.len()).collect::<Vec<_>>()).prop_shuffle(),
            joints in Just(joints),
        ) -> JointMapping {
            let mut actions: Vec<Option<ActionValue>> = actions
                .into_iter()
                .zip(order)
                .map(|((is_used, mode, scale), joint)| {
                    let mode = match mode {
                        0 => ActionMode::Absolute,
                        1 => ActionMode::Relative,
                        _ => ActionMode::Increment,
                    };
                    action(joint, mode, scale).filter(|_| is_used)
                })
                .collect();
            actions.push(action(0, ActionMode::Absolute, 1.0).filter(|_| actions.iter().all(Option::is_none)));
            JointMapping { joints, actions, ..JointMapping::default() }
        }
    }

    proptest! {
        #[test]
        fn what_becomes_the_policy_s_becomes_the_robot_s_again(
            joint_mapping in joint_mapping(),
            values in prop::collection::vec(-3.0..3.0_f32, 8 * 5),
            state in prop::collection::vec(-3.0..3.0_f32, 9),
        ) {
            let dim = joint_mapping.commanded().count();
            let robot = ActionChunk::new(values[..dim * 5].to_vec(), dim);
            let policy = joint_mapping.actions_to_policy(&robot, &state);
            prop_assert_eq!(policy.action_dim(), joint_mapping.actions.len());
            let again = joint_mapping.actions_to_robot(&policy, &state);
            for (again, robot) in again.values().iter().zip(robot.values()) {
                prop_assert!((again - robot).abs() < 1e-3, "{} and {}", again, robot);
            }
        }

        #[test]
        fn an_absolute_action_to_the_observed_state_is_where_the_robot_is(
            joints in prop::collection::vec(joint_map(), 7),
            state in prop::collection::vec(-3.0..3.0_f32, 7),
        ) {
            let joint_mapping = JointMapping { joints, ..JointMapping::same(7) };
            let policy = ActionChunk::new(joint_mapping.state_to_policy(&state), 7);
            let robot = joint_mapping.actions_to_robot(&policy, &state);
            for (robot, state) in robot.values().iter().zip(&state) {
                prop_assert!((robot - state).abs() < 1e-4, "{} and {}", robot, state);
            }
        }
    }
}
