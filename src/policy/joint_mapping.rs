//! Joint mapping: between a robot's joints and the state and actions that a policy learned from.
//!
//! A policy learned from one robot's driver: its zeros, its directions, its units, its value of an open
//! gripper. Another driver of the same robot may have others. This file alone converts between them.

use super::ActionChunk;
use super::aloha_gripper::AlohaGripper;

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

/// Position that a value of an action is relative to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionMode {
    /// 0: the value is the joint's position.
    #[default]
    Absolute,
    /// The joint's observed position.
    Relative,
    /// The action before; for the first action, the joint's observed position.
    Increment,
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
}

/// Mapping between a robot's joints and a policy's state and actions.
#[derive(Clone, Debug, PartialEq)]
pub struct JointMapping {
    /// Unit transforms of the joints at the beginning of the state; values behind them are not converted.
    pub joints: Vec<UnitTransform>,
    /// Meaning of each value of the policy's actions; `None` for one that is not used.
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

impl ActionMode {
    /// Position that a value is relative to, in the policy's units. `previous`: position of the action
    /// before.
    fn origin(self, observed: f64, previous: f64) -> f64 {
        match self {
            Self::Absolute => 0.0,
            Self::Relative => observed,
            Self::Increment => previous,
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
        };
        Self {
            joints: vec![UnitTransform::default(); joints],
            actions: (0..joints).map(|joint| Some(action(joint))).collect(),
        }
    }

    /// Whether every value of the policy's actions is for a joint.
    pub fn uses_all_actions(&self) -> bool {
        self.actions.iter().all(Option::is_some)
    }

    /// Indices in the state of the commanded joints, in the order of the robot's actions.
    pub fn commanded(&self) -> impl Iterator<Item = usize> {
        self.actions.iter().flatten().map(|action| action.joint)
    }

    /// Converts a robot's state of any length to the policy's.
    pub fn state_to_policy(&self, state: &[f32]) -> Vec<f32> {
        let mut state = state.to_vec();
        for (value, joint) in state.iter_mut().zip(&self.joints) {
            *value = joint.to_policy(f64::from(*value)) as f32;
        }
        state
    }

    /// Converts actions of the policy, predicted for the robot's `state`, to the robot's: absolute positions
    /// of the [`commanded`](Self::commanded) joints.
    ///
    /// # Panics
    /// When there is an action of another length, or no joint is commanded.
    pub fn actions_to_robot(&self, actions: &ActionChunk, state: &[f32]) -> ActionChunk {
        assert_eq!(actions.action_dim(), self.actions.len());
        let observed = self.observed(state);
        let mut previous = observed.clone();
        let mut values = Vec::with_capacity(actions.values().len());
        for index in 0..actions.horizon() {
            for (value, action) in actions.action(index).iter().zip(&self.actions) {
                let Some(ActionValue { joint, mode, scale }) = *action else {
                    continue;
                };
                let origin = mode.origin(observed[joint], previous[joint]);
                previous[joint] = origin + scale * f64::from(*value);
                values.push(self.joints[joint].to_robot(previous[joint]) as f32);
            }
        }
        ActionChunk::new(values, self.commanded().count())
    }

    /// Converts actions of the robot to the policy's: the inverse of
    /// [`actions_to_robot`](Self::actions_to_robot). Values that are not used are 0.
    ///
    /// # Panics
    /// When there is an action of another length.
    pub fn actions_to_policy(&self, actions: &ActionChunk, state: &[f32]) -> ActionChunk {
        assert_eq!(actions.action_dim(), self.commanded().count());
        let observed = self.observed(state);
        let mut previous = observed.clone();
        let mut values = Vec::with_capacity(actions.horizon() * self.actions.len());
        for index in 0..actions.horizon() {
            let mut robot = actions.action(index).iter();
            for action in &self.actions {
                let (Some(ActionValue { joint, mode, scale }), Some(value)) =
                    (*action, action.and_then(|_| robot.next()))
                else {
                    values.push(0.0);
                    continue;
                };
                let origin = mode.origin(observed[joint], previous[joint]);
                previous[joint] = self.joints[joint].command_to_policy(f64::from(*value));
                values.push(((previous[joint] - origin) / scale) as f32);
            }
        }
        ActionChunk::new(values, self.actions.len())
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

    const DEGREES: f64 = 180.0 / std::f64::consts::PI;

    fn action(joint: usize, mode: ActionMode, scale: f64) -> Option<ActionValue> {
        Some(ActionValue { joint, mode, scale })
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
    fn relative_actions_count_in_the_policy_s_direction() {
        let joint_mapping = JointMapping {
            joints: vec![UnitTransform::Linear {
                scale: -2.0,
                offset: 1.0,
            }],
            actions: vec![action(0, ActionMode::Relative, 1.0)],
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
                    is_used.then_some(ActionValue { joint, mode, scale })
                })
                .collect();
            actions.push(action(0, ActionMode::Absolute, 1.0).filter(|_| actions.iter().all(Option::is_none)));
            JointMapping { joints, actions }
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
