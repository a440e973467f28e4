//! A policy that stands in for π0 in tests of what is around it.

use pi0_node::policy::{ActionChunk, Observation, Policy, PolicyError, PolicyInfo};

/// A policy whose predictions are those of a function.
pub struct StandIn<F> {
    pub info: PolicyInfo,
    pub predict: F,
}

impl<F: FnMut(&Observation) -> Result<ActionChunk, PolicyError>> Policy for StandIn<F> {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        (self.predict)(observation)
    }
}
