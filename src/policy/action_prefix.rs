//! Actions of the chunk before that the next chunk goes on from.

use super::PolicyInfo;
use super::chunk::ActionChunk;
use super::error::PolicyError;
use crate::model::Conditioning;

/// Actions of the chunk before, in the robot's units and from the moment of the observation on, that the next chunk goes
/// on from.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionPrefix {
    /// The actions: those that the robot plays until the next chunk arrives and, where they guide it, those after them.
    pub actions: ActionChunk,
    /// How the next chunk goes on from them.
    pub conditioning: Conditioning,
}

impl ActionPrefix {
    /// Checks the prefix against the chunks of a policy.
    ///
    /// # Errors
    /// When it has another number of values, more actions than a chunk can go on from, or a value that is not finite.
    pub(super) fn check(&self, info: &PolicyInfo) -> Result<(), PolicyError> {
        let found = [self.actions.horizon(), self.actions.action_dim()];
        let most_actions = match self.conditioning {
            // One action at least is to be denoised.
            Conditioning::Inpainted | Conditioning::Trained => info.action_horizon - 1,
            Conditioning::Guided { .. } => info.action_horizon,
        };
        if self.conditioning == Conditioning::Trained && found[0] > info.rtc_training_max_delay {
            return Err(match info.rtc_training_max_delay {
                0 => PolicyError::NotTrainedToContinue(info.description.clone()),
                most => PolicyError::BeyondTrainedDelay {
                    found: found[0],
                    most,
                },
            });
        }
        let expected = [most_actions, info.action_dim];
        if found[0] > expected[0] || found[1] != expected[1] {
            return Err(PolicyError::PrefixShape { found, expected });
        }
        let mut values = self.actions.values().iter().enumerate();
        match values.find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(PolicyError::PrefixValue { index, value }),
            None => Ok(()),
        }
    }
}
