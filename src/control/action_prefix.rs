//! The actions of the motion under way that the next chunk goes on from.

use std::time::Duration;

use super::blending::{Blending, BlendingStrategy};
use super::plan::Plan;
use crate::policy::{ActionChunk, ActionPrefix, Conditioning};

impl Blending {
    /// Takes from `plan`, the motion under way, what the chunk of an observation goes on from: the position at the
    /// observation, and those that follow it an action period apart. None where the strategy leaves denoising as it is.
    ///
    /// `inference_delay`: actions that will be played until the chunk takes over, as they were
    /// [measured](super::Controller::played_before_arrival). No action is made up: the prefix ends where the plan ends.
    pub fn action_prefix(
        &self,
        plan: &Plan,
        inference_delay: usize,
        observed_at: Duration,
        action_period: Duration,
        action_horizon: usize,
    ) -> Option<ActionPrefix> {
        let left = plan.actions_left(observed_at, action_period);
        let (count, conditioning) = match self.strategy {
            BlendingStrategy::Replace | BlendingStrategy::Blend | BlendingStrategy::Ensemble => return None,
            // What is played after the plan ends is its last position.
            BlendingStrategy::Inpaint => (inference_delay.min(action_horizon - 1), Conditioning::Inpainted),
            BlendingStrategy::Rtc => {
                let conditioning = Conditioning::Guided {
                    guidance: self.guidance,
                    inference_delay,
                };
                (left.min(action_horizon), conditioning)
            }
        };
        let time = |action| observed_at.saturating_add(action_period.saturating_mul(action));
        let actions: Vec<Vec<f32>> = (0..count as u32)
            .map(|action| plan.positions(time(action)))
            .collect();
        let action_dim = actions.first()?.len();
        Some(ActionPrefix {
            actions: ActionChunk::new(actions.concat(), action_dim),
            conditioning,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn prefix(strategy: BlendingStrategy, delay: usize, observed_at: Duration) -> Option<ActionPrefix> {
        let waypoints = (0..6).map(|action| (ms(100 * action), vec![action as f32, 7.0]));
        let blending = Blending {
            strategy,
            ..Blending::default()
        };
        blending.action_prefix(&Plan::new(waypoints.collect()), delay, observed_at, ms(100), 5)
    }

    fn first_joint(prefix: Option<ActionPrefix>) -> Vec<f32> {
        let actions = prefix.expect("a prefix").actions;
        (0..actions.horizon())
            .map(|action| actions.action(action)[0])
            .collect()
    }

    #[test]
    fn guiding_actions_are_all_that_are_left_and_none_behind_them() {
        let guided = |observed_at| prefix(BlendingStrategy::Rtc, 2, observed_at);
        assert_eq!(first_joint(guided(ms(200))), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(first_joint(guided(ms(250))), [2.5, 3.5, 4.5]);
        assert_eq!(first_joint(guided(ms(0))).len(), 5, "no more than a chunk has");
        assert_eq!(guided(ms(501)), None);
        let conditioning = guided(ms(200)).unwrap().conditioning;
        assert!(matches!(
            conditioning,
            Conditioning::Guided {
                inference_delay: 2,
                ..
            }
        ));
    }

    #[test]
    fn inpainted_actions_are_those_until_the_chunk_takes_over() {
        let inpainted = |delay| prefix(BlendingStrategy::Inpaint, delay, ms(400));
        assert_eq!(first_joint(inpainted(3)), [4.0, 5.0, 5.0]);
        assert_eq!(first_joint(inpainted(9)).len(), 4, "fewer than a chunk has");
        assert_eq!(inpainted(0), None);
    }

    #[test]
    fn strategies_that_join_finished_chunks_have_none() {
        for strategy in [
            BlendingStrategy::Replace,
            BlendingStrategy::Blend,
            BlendingStrategy::Ensemble,
        ] {
            assert_eq!(prefix(strategy, 3, ms(200)), None);
        }
    }
}
