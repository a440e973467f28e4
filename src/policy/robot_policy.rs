//! A policy in the units, directions and joint order of the robot that it drives.

use std::num::NonZeroUsize;
use std::ops::DerefMut;

use super::action_prefix::ActionPrefix;
use super::chunk::{ActionChunk, Observation};
use super::error::PolicyError;
use super::joint_mapping::JointMapping;
use super::report::PolicyReport;
use super::{Policy, PolicyInfo, ServerReport};

/// A policy that takes the robot's state and gives the robot's actions: absolute positions of the commanded
/// joints and poses.
pub struct RobotPolicy<P> {
    policy: P,
    joint_mapping: JointMapping,
    info: PolicyInfo,
}

impl<P: DerefMut<Target: Policy>> RobotPolicy<P> {
    /// Wraps a policy whose state and actions `joint_mapping` is for.
    pub fn new(policy: P, joint_mapping: JointMapping) -> Self {
        let info = PolicyInfo {
            action_dim: joint_mapping.commanded().count(),
            // The robot's actions are absolute.
            relative_actions: Vec::new(),
            ..policy.info().clone()
        };
        Self {
            policy,
            joint_mapping,
            info,
        }
    }

    /// Fails when the state is not the robot's: what the policy would say of its own has other numbers.
    fn to_policy(&self, observation: &Observation) -> Result<Observation, PolicyError> {
        let [found, expected] = [observation.state.len(), self.joint_mapping.fewest_state_values()];
        if found < expected {
            return Err(PolicyError::StateLength { found, expected });
        }
        Ok(Observation {
            state: self.joint_mapping.state_to_policy(&observation.state),
            ..observation.clone()
        })
    }
}

impl<P: DerefMut<Target: Policy>> Policy for RobotPolicy<P> {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        let of_policy = self.to_policy(observation)?;
        let actions = self.policy.predict(&of_policy)?;
        Ok(self.joint_mapping.actions_to_robot(&actions, &observation.state))
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        prefix: &ActionPrefix,
    ) -> Result<ActionChunk, PolicyError> {
        prefix.check(&self.info)?;
        let state = &observation.state;
        let of_policy = self.to_policy(observation)?;
        let prefix = ActionPrefix {
            actions: self.joint_mapping.actions_to_policy(&prefix.actions, state),
            conditioning: prefix.conditioning,
        };
        let actions = self.policy.predict_after(&of_policy, &prefix)?;
        Ok(self.joint_mapping.actions_to_robot(&actions, state))
    }

    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        self.policy.set_denoise_steps(steps)
    }

    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        self.policy.warm_up(prompt)
    }

    fn compile_ahead(&mut self, begin: &mut dyn FnMut(&str)) -> Result<(), PolicyError> {
        self.policy.compile_ahead(begin)
    }

    fn select_client(&mut self, client: u64) {
        self.policy.select_client(client);
    }

    fn forget_client(&mut self, client: u64) {
        self.policy.forget_client(client);
    }

    fn report_server(&mut self, report: ServerReport) {
        self.policy.report_server(report);
    }

    fn report(&self) -> PolicyReport {
        self.policy.report()
    }

    /// Values of the policy's actions that the robot does not use count as 0.
    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
        noise: u64,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        let found = [recorded.horizon(), recorded.action_dim()];
        let expected = [self.info.action_horizon, self.info.action_dim];
        if found != expected {
            return Err(PolicyError::RecordedActions { found, expected });
        }
        let of_policy = self.to_policy(observation)?;
        if of_policy.state.len() != self.info.state_dim {
            return Err(PolicyError::StateLength {
                found: of_policy.state.len(),
                expected: self.info.state_dim,
            });
        }
        let recorded = self.joint_mapping.actions_to_policy(recorded, &observation.state);
        self.policy.flow_matching_loss(&of_policy, &recorded, noise)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::{ActionMode, ActionValue, Conditioning, Guidance, PoseMapping, UnitTransform};

    /// Its chunks are the prefix and then rows of 0.5.
    struct StandIn(PolicyInfo);

    impl Policy for StandIn {
        fn info(&self) -> &PolicyInfo {
            &self.0
        }
        fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
            self.predict_after(observation, &inpainted(vec![0.0; 3], 3))
        }
        fn predict_after(
            &mut self,
            observation: &Observation,
            prefix: &ActionPrefix,
        ) -> Result<ActionChunk, PolicyError> {
            assert_eq!(prefix.actions.action_dim(), 3);
            assert_eq!(observation.state, [-2.0, 3.0]);
            let mut values = prefix.actions.values().to_vec();
            values.resize(3 * self.0.action_horizon, 0.5);
            Ok(ActionChunk::new(values, 3))
        }
        fn report(&self) -> PolicyReport {
            PolicyReport {
                device: "a device".to_owned(),
                ..PolicyReport::default()
            }
        }
    }

    fn inpainted(values: Vec<f32>, action_dim: usize) -> ActionPrefix {
        ActionPrefix {
            actions: ActionChunk::new(values, action_dim),
            conditioning: Conditioning::Inpainted,
        }
    }

    /// Two joints, the first of them in the other direction; the second one is commanded first, and a value
    /// is not used.
    fn policy() -> RobotPolicy<Box<StandIn>> {
        let action = |joint, mode| {
            Some(ActionValue {
                joint,
                mode,
                scale: 1.0,
                offset: 0.0,
            })
        };
        let flipped = UnitTransform::Linear {
            scale: -1.0,
            offset: 0.0,
        };
        let joint_mapping = JointMapping {
            joints: vec![flipped, UnitTransform::default()],
            actions: vec![
                action(1, ActionMode::Relative),
                None,
                action(0, ActionMode::Increment),
            ],
            ..JointMapping::default()
        };
        let info = PolicyInfo {
            state_dim: 2,
            action_dim: 3,
            action_horizon: 4,
            ..PolicyInfo::default()
        };
        RobotPolicy::new(Box::new(StandIn(info)), joint_mapping)
    }

    fn observation() -> Observation {
        Observation {
            images: BTreeMap::new(),
            state: vec![2.0, 3.0],
            prompt: String::new(),
        }
    }

    #[test]
    fn inpainted_actions_of_the_robot_come_back_as_they_are_and_the_rest_goes_on_from_them() {
        let prefix = inpainted(vec![3.25, 2.5, 3.5, 3.0], 2);
        let chunk = policy().predict_after(&observation(), &prefix).unwrap();
        assert_eq!(chunk.values()[..4], *prefix.actions.values());
        assert_eq!(chunk.values()[4..], [3.5, 2.5, 3.5, 2.0]);
    }

    #[test]
    fn the_report_is_that_of_the_policy() {
        assert_eq!(policy().report().device, "a device");
    }

    #[test]
    fn a_state_without_the_robot_s_poses_is_refused_with_the_number_of_the_robot_s_values() {
        let RobotPolicy {
            policy,
            joint_mapping,
            ..
        } = policy();
        let poses = vec![PoseMapping::default()];
        let mut policy = RobotPolicy::new(
            policy,
            JointMapping {
                poses,
                ..joint_mapping
            },
        );
        let refused = policy.predict(&observation()).unwrap_err();
        assert_eq!(refused.to_string(), "the state has 2 values, expected 9");
    }

    #[test]
    fn a_prefix_of_another_shape_is_refused_before_it_is_converted() {
        let guided = |values, dim| ActionPrefix {
            conditioning: Conditioning::Guided {
                guidance: Guidance::default(),
                inference_delay: 1,
            },
            ..inpainted(values, dim)
        };
        for (prefix, most) in [
            (inpainted(vec![0.0; 6], 3), 3),
            (inpainted(vec![0.0; 8], 2), 3),
            (guided(vec![0.0; 6], 3), 4),
            (guided(vec![0.0; 10], 2), 4),
        ] {
            let refused = policy().predict_after(&observation(), &prefix).unwrap_err();
            assert!(
                matches!(refused, PolicyError::PrefixShape { expected, .. } if expected == [most, 2]),
                "{refused}"
            );
        }
        assert!(
            policy()
                .predict_after(&observation(), &guided(vec![0.0; 8], 2))
                .is_ok()
        );
    }
}
