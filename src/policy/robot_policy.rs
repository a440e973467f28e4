//! A policy in the conventions of the robot that it drives.

use std::ops::DerefMut;

use super::{ActionChunk, Conventions, Evaluate, Observation, PolicyError, Predict, StageDurations};

/// A policy that takes the robot's state and gives the robot's actions: absolute positions of the joints that are told
/// to move.
pub struct RobotPolicy<P> {
    policy: P,
    conventions: Conventions,
}

impl<P: DerefMut> RobotPolicy<P>
where
    P::Target: Predict,
{
    pub fn new(policy: P, conventions: Conventions) -> Self {
        Self { policy, conventions }
    }

    fn to_policy(&self, observation: &Observation) -> Observation {
        Observation {
            state: self.conventions.state_to_policy(&observation.state),
            ..observation.clone()
        }
    }
}

impl<P: DerefMut> Predict for RobotPolicy<P>
where
    P::Target: Predict,
{
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        let of_policy = self.to_policy(observation);
        let actions = self.policy.predict(&of_policy)?;
        Ok(self.conventions.actions_to_robot(&actions, &observation.state))
    }

    fn cameras(&self) -> &[String] {
        self.policy.cameras()
    }

    fn state_dim(&self) -> usize {
        self.policy.state_dim()
    }

    /// Of the robot: the joints that are told to move.
    fn action_dim(&self) -> usize {
        self.conventions.commanded().count()
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
        let recorded = self.conventions.actions_to_policy(recorded, state);
        let of_policy = self.to_policy(observation);
        self.policy.flow_matching_loss(&of_policy, &recorded)
    }
}
