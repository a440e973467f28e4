//! Unit transforms of known robots, by name.

use super::aloha_gripper::AlohaGripper;
use super::joint_mapping::{JointMapping, UnitTransform};

/// A robot whose unit transforms are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RobotPreset {
    /// No transform but those of each joint.
    #[default]
    None,
    /// ALOHA in the units of its own runtime, with openpi's `adapt_to_pi` as since July 2025.
    Aloha,
    /// The same with the gripper's range as openpi had it before, and LeRobot 0.3 as `adapt_to_pi_aloha`.
    AlohaBefore202507,
}

/// Joints of ALOHA's two arms, each with its gripper behind.
pub const ALOHA_JOINTS: usize = 14;
/// Joints that openpi's policies count in the other direction (`_joint_flip_mask`).
const ALOHA_FLIPPED: [usize; 4] = [1, 2, 8, 9];
const ALOHA_GRIPPERS: [usize; 2] = [6, 13];

impl RobotPreset {
    /// Sets the unit transforms of a mapping whose actions are for all joints, in their order.
    ///
    /// # Panics
    /// When the mapping does not have the robot's number of joints and actions.
    pub fn apply(self, mapping: &mut JointMapping) {
        // openpi's actions of a gripper are radians from its closed angle since July 2025, and shares of its range
        // before.
        let (gripper, action_scale) = match self {
            Self::None => return,
            Self::Aloha => {
                let gripper = AlohaGripper::OPENPI;
                (gripper, 1.0 / (gripper.open_rad - gripper.closed_rad))
            }
            Self::AlohaBefore202507 => (AlohaGripper::BEFORE_2025_07, 1.0),
        };
        assert_eq!([mapping.joints.len(), mapping.actions.len()], [ALOHA_JOINTS; 2]);
        for joint in ALOHA_FLIPPED {
            mapping.joints[joint] = UnitTransform::Linear {
                scale: -1.0,
                offset: 0.0,
            };
        }
        for joint in ALOHA_GRIPPERS {
            mapping.joints[joint] = UnitTransform::AlohaGripper(gripper);
            if let Some(action) = &mut mapping.actions[joint] {
                action.scale = action_scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ActionChunk;

    /// openpi `aloha_policy.py`, `_decode_state` and `_encode_actions` with `adapt_to_pi`.
    #[test]
    fn aloha_s_states_and_actions_are_openpi_s() {
        let mut mapping = JointMapping::same(ALOHA_JOINTS);
        RobotPreset::Aloha.apply(&mut mapping);
        let signs = [1.0, -1.0, -1.0, 1.0, 1.0, 1.0];
        let robot: Vec<f32> = (0..14).map(|joint| 0.1 + 0.05 * joint as f32).collect();
        let state = mapping.state_to_policy(&robot);
        let actions = mapping.actions_to_robot(&ActionChunk::new(robot.clone(), 14), &robot);
        for arm in [0, 7] {
            for (joint, sign) in signs.iter().enumerate() {
                assert_eq!(state[arm + joint], sign * robot[arm + joint]);
                assert_eq!(actions.values()[arm + joint], sign * robot[arm + joint]);
            }
            let gripper = f64::from(robot[arm + 6]);
            let fingers = gripper * (0.05800 - 0.01844) + 0.01844;
            let sine = (0.022_f64.powi(2) + fingers.powi(2) - 0.036_f64.powi(2)) / (2.0 * 0.022 * fingers);
            let expected = (sine.clamp(-1.0, 1.0).asin() - 0.5476) / (1.6296 - 0.5476);
            assert!((f64::from(state[arm + 6]) - expected).abs() < 1e-6);
            let expected = (gripper + 0.5476 + 0.6213) / (1.4910 + 0.6213);
            assert!((f64::from(actions.values()[arm + 6]) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn aloha_s_grippers_had_another_range_before() {
        let mut mapping = JointMapping::same(ALOHA_JOINTS);
        RobotPreset::AlohaBefore202507.apply(&mut mapping);
        let robot = [0.3; 14];
        let actions = mapping.actions_to_robot(&ActionChunk::new(robot.to_vec(), 14), &robot);
        let expected = (0.3 * 1.1 + 0.4 + 0.6213) / (1.4910 + 0.6213);
        for gripper in ALOHA_GRIPPERS {
            assert!((f64::from(actions.values()[gripper]) - expected).abs() < 1e-6);
        }
        let again = mapping.actions_to_policy(&actions, &robot);
        for (again, action) in again.values().iter().zip(robot) {
            assert!((again - action).abs() < 1e-6);
        }
    }
}
