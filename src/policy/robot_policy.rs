//! A policy in the joint_mapping of the robot that it drives.

use std::num::NonZeroUsize;
use std::ops::DerefMut;

use super::{
    ActionChunk, Evaluate, JointMapping, Observation, Policy, PolicyError, PolicyReport, StageDurations,
};

/// A policy that takes the robot's state and gives the robot's actions: absolute positions of the joints that are told
/// to move.
pub struct RobotPolicy<P> {
    policy: P,
    joint_mapping: JointMapping,
}

impl<P: DerefMut> RobotPolicy<P>
where
    P::Target: Policy,
{
    pub fn new(policy: P, joint_mapping: JointMapping) -> Self {
        Self {
            policy,
            joint_mapping,
        }
    }

    fn to_policy(&self, observation: &Observation) -> Observation {
        Observation {
            state: self.joint_mapping.state_to_policy(&observation.state),
            ..observation.clone()
        }
    }
}

impl<P: DerefMut> Policy for RobotPolicy<P>
where
    P::Target: Policy,
{
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        let of_policy = self.to_policy(observation);
        let actions = self.policy.predict(&of_policy)?;
        Ok(self.joint_mapping.actions_to_robot(&actions, &observation.state))
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        frozen: &ActionChunk,
    ) -> Result<ActionChunk, PolicyError> {
        let state = &observation.state;
        let found = [frozen.horizon(), frozen.action_dim()];
        let expected = [self.action_horizon(), self.action_dim()];
        if found[0] >= expected[0] || found[1] != expected[1] {
            return Err(PolicyError::FrozenActions { found, expected });
        }
        let frozen = self.joint_mapping.actions_to_policy(frozen, state);
        let of_policy = self.to_policy(observation);
        let actions = self.policy.predict_after(&of_policy, &frozen)?;
        Ok(self.joint_mapping.actions_to_robot(&actions, state))
    }

    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        self.policy.set_denoise_steps(steps)
    }

    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        self.policy.warm_up(prompt)
    }

    fn cameras(&self) -> &[String] {
        self.policy.cameras()
    }

    fn state_dim(&self) -> usize {
        self.policy.state_dim()
    }

    /// Of the robot: the joints that are told to move.
    fn action_dim(&self) -> usize {
        self.joint_mapping.commanded().count()
    }

    fn action_horizon(&self) -> usize {
        self.policy.action_horizon()
    }

    fn relative_actions(&self) -> Vec<bool> {
        self.policy.relative_actions()
    }

    fn description(&self) -> String {
        self.policy.description()
    }

    fn report(&self) -> PolicyReport {
        self.policy.report()
    }
}

impl<P: DerefMut> Evaluate for RobotPolicy<P>
where
    P::Target: Evaluate,
{
    fn stage_durations(&self) -> StageDurations {
        self.policy.stage_durations()
    }

    /// Values of the policy's actions that the robot does not use count as 0.
    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        let found = [recorded.horizon(), recorded.action_dim()];
        let expected = [self.action_horizon(), self.action_dim()];
        if found != expected {
            return Err(PolicyError::RecordedActions { found, expected });
        }
        let state = &observation.state;
        if state.len() != self.state_dim() {
            return Err(PolicyError::StateLength {
                found: state.len(),
                expected: self.state_dim(),
            });
        }
        let recorded = self.joint_mapping.actions_to_policy(recorded, state);
        let of_policy = self.to_policy(observation);
        self.policy.flow_matching_loss(&of_policy, &recorded)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::{ActionMode, ActionValue, UnitTransform};

    /// Its chunks are the frozen actions and then rows of what it was told of the state.
    struct StandIn;

    impl Policy for StandIn {
        fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
            self.predict_after(observation, &ActionChunk::new(vec![0.0; 3], 3))
        }
        fn predict_after(
            &mut self,
            observation: &Observation,
            frozen: &ActionChunk,
        ) -> Result<ActionChunk, PolicyError> {
            assert_eq!(frozen.action_dim(), 3);
            assert_eq!(observation.state, [-2.0, 3.0]);
            let mut values = frozen.values().to_vec();
            values.resize(3 * self.action_horizon(), 0.5);
            Ok(ActionChunk::new(values, 3))
        }
        fn cameras(&self) -> &[String] {
            &[]
        }
        fn state_dim(&self) -> usize {
            2
        }
        fn action_dim(&self) -> usize {
            3
        }
        fn action_horizon(&self) -> usize {
            4
        }
        fn description(&self) -> String {
            "stand-in".to_owned()
        }
        fn report(&self) -> PolicyReport {
            PolicyReport {
                device: "a device".to_owned(),
                ..PolicyReport::default()
            }
        }
    }

    /// Two joints, the first of them in the other direction; the second one is told first, and a value is not used.
    fn policy() -> RobotPolicy<Box<StandIn>> {
        let action = |joint, mode| {
            Some(ActionValue {
                joint,
                mode,
                scale: 1.0,
            })
        };
        let flipped = UnitTransform {
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
        };
        RobotPolicy::new(Box::new(StandIn), joint_mapping)
    }

    fn observation() -> Observation {
        Observation {
            images: BTreeMap::new(),
            state: vec![2.0, 3.0],
            prompt: String::new(),
        }
    }

    #[test]
    fn committed_actions_of_the_robot_come_back_as_they_are_and_the_rest_goes_on_from_them() {
        let frozen = ActionChunk::new(vec![3.25, 2.5, 3.5, 3.0], 2);
        let chunk = policy().predict_after(&observation(), &frozen).unwrap();
        assert_eq!(chunk.values()[..4], *frozen.values());
        assert_eq!(chunk.values()[4..], [3.5, 2.5, 3.5, 2.0]);
    }

    #[test]
    fn diagnostics_hear_what_the_policy_reports() {
        assert_eq!(policy().report().device, "a device");
    }

    #[test]
    fn committed_actions_of_another_shape_are_refused_before_they_are_converted() {
        for (values, dim) in [(vec![0.0; 6], 3), (vec![0.0; 8], 2)] {
            let refused = policy().predict_after(&observation(), &ActionChunk::new(values, dim));
            assert!(
                matches!(refused, Err(PolicyError::FrozenActions { expected: [4, 2], .. })),
                "{refused:?}"
            );
        }
    }
}
