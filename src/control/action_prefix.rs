//! The actions of the motion under way that the next chunk goes on from.

use std::time::Duration;

use super::blending::{Blending, BlendingStrategy, RtcMode};
use super::plan::Plan;
use crate::policy::{ActionChunk, ActionPrefix, Conditioning, PolicyInfo};

impl Blending {
    /// Takes from `plan`, the motion under way, what the chunk of an observation goes on from: the position at the
    /// observation, and those that follow it an action period apart. None where the strategy leaves denoising as it is.
    ///
    /// `inference_delay`: actions that will be played until the chunk takes over, as they were
    /// [measured](super::Controller::played_before_arrival). No action is made up: the prefix ends where the plan ends.
    /// It may be longer than the policy was trained for, which the policy refuses.
    pub fn action_prefix(
        &self,
        plan: &Plan,
        inference_delay: usize,
        observed_at: Duration,
        action_period: Duration,
        policy: &PolicyInfo,
    ) -> Option<ActionPrefix> {
        let PolicyInfo {
            action_horizon,
            rtc_training_max_delay,
            ..
        } = *policy;
        let rtc_mode = self
            .rtc_mode
            .unwrap_or_else(|| RtcMode::of_policy(rtc_training_max_delay));
        let left = plan.actions_left(observed_at, action_period);
        let (count, conditioning) = match self.strategy_with(policy) {
            BlendingStrategy::Replace | BlendingStrategy::Blend | BlendingStrategy::Ensemble => return None,
            // What is played after the plan ends is its last position.
            BlendingStrategy::Inpaint => (inference_delay.min(action_horizon - 1), Conditioning::Inpainted),
            // At standstill nothing is played, so what follows the plan's end is the new chunk's.
            BlendingStrategy::Rtc if rtc_mode == RtcMode::Trained => {
                (inference_delay.min(left), Conditioning::Trained)
            }
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
        prefix_in_mode(strategy, None, 0, delay, observed_at)
    }

    fn prefix_in_mode(
        strategy: impl Into<Option<BlendingStrategy>>,
        rtc_mode: Option<RtcMode>,
        rtc_training_max_delay: usize,
        delay: usize,
        observed_at: Duration,
    ) -> Option<ActionPrefix> {
        let waypoints = (0..6).map(|action| (ms(100 * action), vec![action as f32, 7.0]));
        let blending = Blending {
            strategy: strategy.into(),
            rtc_mode,
            ..Blending::default()
        };
        let policy = PolicyInfo {
            action_horizon: 5,
            takes_prefixes: true,
            rtc_training_max_delay,
            ..PolicyInfo::default()
        };
        blending.action_prefix(
            &Plan::new(waypoints.collect()),
            delay,
            observed_at,
            ms(100),
            &policy,
        )
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
    fn clean_actions_are_those_until_the_chunk_takes_over_and_none_behind_the_plan() {
        let clean = |delay| prefix_in_mode(BlendingStrategy::Rtc, None, 3, delay, ms(400));
        assert_eq!(first_joint(clean(1)), [4.0]);
        assert_eq!(
            first_joint(clean(3)),
            [4.0, 5.0],
            "at standstill nothing is played"
        );
        assert_eq!(clean(1).unwrap().conditioning, Conditioning::Trained);
        assert_eq!(clean(0), None);
        // The policy refuses more than it was trained for: fewer would be a silent error.
        let beyond = prefix_in_mode(BlendingStrategy::Rtc, None, 1, 4, ms(0));
        assert_eq!(first_joint(beyond).len(), 4);
    }

    #[test]
    fn a_policy_is_used_as_it_was_trained_unless_a_mode_is_chosen() {
        let conditioning = |mode, trained_for| {
            let prefix = prefix_in_mode(BlendingStrategy::Rtc, mode, trained_for, 2, ms(0));
            prefix.expect("a prefix").conditioning
        };
        let is_guided =
            |mode, trained_for| matches!(conditioning(mode, trained_for), Conditioning::Guided { .. });
        assert!(is_guided(None, 0));
        assert!(!is_guided(None, 3));
        assert!(is_guided(Some(RtcMode::Guided), 3));
        assert!(!is_guided(Some(RtcMode::Trained), 0), "the policy refuses it");
    }

    #[test]
    fn where_no_strategy_is_chosen_chunks_go_on_from_each_other_if_the_policy_can() {
        let chosen = prefix(BlendingStrategy::Rtc, 2, ms(200));
        assert_eq!(prefix_in_mode(None, None, 0, 2, ms(200)), chosen);
        assert_eq!(
            BlendingStrategy::of_policy(&PolicyInfo::default()),
            BlendingStrategy::Replace
        );
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
