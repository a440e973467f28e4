//! Blending: how a new chunk takes over from the motion that is under way when it arrives.

use std::time::Duration;

use super::plan::Plan;
use super::scheduled_chunk::ScheduledChunk;
use crate::policy::{Guidance, PolicyInfo};

/// The use of the actions that the chunk before still had ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlendingStrategy {
    /// They are dropped. The difference of the two chunks at that moment, in position and velocity, fades out.
    Replace,
    /// The old chunk is faded out and the fresh one in.
    Blend,
    /// The average of every chunk that covers that moment, each weighted by its age (temporal ensembling, Zhao et al. 2023,
    /// ACT), joined to the motion under way as [`Replace`](Self::Replace) does.
    Ensemble,
    /// The new chunk was denoised with its first actions frozen to those already committed, and takes over as
    /// [`Replace`](Self::Replace) does.
    Inpaint,
    /// The new chunk was denoised to go on from the actions that the chunk before still had ahead, in one of two
    /// [modes](RtcMode) (real-time chunking), and takes over as [`Replace`](Self::Replace) does.
    Rtc,
}

impl BlendingStrategy {
    /// The strategy where none is chosen: real-time chunking with a policy whose chunks can go on from the one before.
    pub fn of_policy(policy: &PolicyInfo) -> Self {
        match policy.takes_prefixes {
            true => Self::Rtc,
            false => Self::Replace,
        }
    }

    /// Its name as a parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Blend => "blend",
            Self::Ensemble => "ensemble",
            Self::Inpaint => "inpaint",
            Self::Rtc => "rtc",
        }
    }

    /// Whether the policy gets actions of the chunk before.
    pub fn needs_prefixes(self) -> bool {
        matches!(self, Self::Inpaint | Self::Rtc)
    }

    /// Every strategy.
    pub const ALL: [Self; 5] = [
        Self::Replace,
        Self::Blend,
        Self::Ensemble,
        Self::Inpaint,
        Self::Rtc,
    ];
}

/// How a policy goes on from the chunk before in real-time chunking (`mode` of LeRobot's `RTCConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcMode {
    /// It is guided towards it while it denoises (Black et al. 2025, arXiv 2506.07339): any policy.
    Guided,
    /// It gets the actions that are played meanwhile clean, as it was trained (Black et al. 2025, arXiv 2512.05964).
    Trained,
}

impl RtcMode {
    /// The mode that is used where none is chosen: the one that the policy was trained for.
    /// `rtc_training_max_delay`: as in [`PolicyInfo`](crate::policy::PolicyInfo).
    pub fn of_policy(rtc_training_max_delay: usize) -> Self {
        match rtc_training_max_delay {
            0 => Self::Guided,
            _ => Self::Trained,
        }
    }
}

/// How a new chunk takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Blending {
    /// Use of the actions that the chunk before still had ahead; by [`BlendingStrategy::of_policy`] where `None`.
    pub strategy: Option<BlendingStrategy>,
    /// Time from when the new chunk takes over until it alone is played.
    pub blend_duration: Duration,
    /// Time that a controller takes to execute what was published: the new chunk takes over that long after its arrival, so
    /// that a controller whose clock is ahead has the message before that moment.
    pub controller_latency: Duration,
    /// Weight of age in an ensemble: a chunk that is `i` chunks newer than the oldest weighs exp(−coefficient · i).
    pub ensemble_coefficient: f64,
    /// How the policy goes on from the chunk before where the strategy is [`Rtc`](BlendingStrategy::Rtc); by
    /// [`RtcMode::of_policy`] where `None`.
    pub rtc_mode: Option<RtcMode>,
    /// How the chunk before guides the new one, in the mode [`Guided`](RtcMode::Guided).
    pub guidance: Guidance,
}

impl Blending {
    /// The strategy for chunks of this policy.
    pub fn strategy_with(&self, policy: &PolicyInfo) -> BlendingStrategy {
        self.strategy
            .unwrap_or_else(|| BlendingStrategy::of_policy(policy))
    }

    /// Time from the arrival of a chunk until it takes over: a jump, where nothing is blended, is no better later.
    pub(super) fn delay(&self) -> Duration {
        if self.blend_duration.is_zero() {
            Duration::ZERO
        } else {
            self.controller_latency
        }
    }
}

/// The plan with `before` until `now`, and from then on `chunks` (the oldest first, the new one last) taking over from it.
///
/// It has a waypoint at `now` and one at every action of the new chunk; where blending lasts longer than the chunk, its
/// last action is held meanwhile. Without blending it begins at `now`.
pub(super) fn join(chunks: &[ScheduledChunk], before: Option<&Plan>, now: Duration) -> Plan {
    let fresh = &chunks[chunks.len() - 1];
    let blending = fresh.chunk.blending;
    let wanted = |time: Duration| match blending.strategy {
        Some(BlendingStrategy::Ensemble) => ensemble(chunks, time, blending),
        _ => fresh.positions(time),
    };
    let times = waypoint_times(
        fresh,
        before.map_or(Duration::ZERO, |_| blending.blend_duration),
        now,
    );
    let Some(before) = before.filter(|_| !blending.blend_duration.is_zero()) else {
        let waypoints = times.into_iter().map(|time| (time, wanted(time))).collect();
        return Plan::of(fresh.layout.clone(), waypoints);
    };
    let blend_s = blending.blend_duration.as_secs_f64();
    let share = |time: Duration| ((time - now).as_secs_f64() / blend_s).min(1.0);
    let layout = &fresh.layout;
    let waypoint = |time: Duration| {
        let fresh = wanted(time);
        let positions = match blending.strategy {
            Some(BlendingStrategy::Blend) => {
                let weight = smooth_step(share(time));
                layout.interpolate(&before.positions(time), &fresh, weight)
            }
            _ => fresh,
        };
        (time, positions)
    };
    let mut waypoints: Vec<(Duration, Vec<f32>)> = times.into_iter().map(waypoint).collect();
    if blending.strategy != Some(BlendingStrategy::Blend) {
        fade_out_difference(&mut waypoints, before, now, blend_s);
    }
    before.until(now, before.along(waypoints))
}

/// Adds the difference to `before` at `now`, in position and velocity, fading to nothing within `blend_s`.
fn fade_out_difference(waypoints: &mut [(Duration, Vec<f32>)], before: &Plan, now: Duration, blend_s: f64) {
    let fresh = before.along(waypoints.to_vec());
    let layout = before.layout();
    let offset = layout.difference(&before.positions(now), &waypoints[0].1);
    let next = waypoints.get(1).map_or(now, |waypoint| waypoint.0);
    let velocity = layout.velocity_difference(&before.velocities(now), &fresh.velocities(next), &offset);
    for (time, positions) in waypoints {
        let share = ((*time - now).as_secs_f64() / blend_s).min(1.0);
        let (of_offset, of_velocity) = (1.0 - smooth_step(share), share * (1.0 - share).powi(2) * blend_s);
        let faded = [
            (of_offset as f32, &offset[..]),
            (of_velocity as f32, &velocity[..]),
        ];
        *positions = layout.moved(positions, &faded);
    }
}

/// `now`, and the times of the new chunk's actions until it ends or, if that is later, blending has ended.
fn waypoint_times(fresh: &ScheduledChunk, blend_duration: Duration, now: Duration) -> Vec<Duration> {
    let period = fresh.chunk.action_period;
    // An action this close behind the present (in actions) is the present: periods are rounded to nanoseconds.
    let next = (fresh.played.as_secs_f64() / period.as_secs_f64() + 1e-6) as u32 + 1;
    let last_action = fresh.chunk.actions.horizon() as u32 - 1;
    let end_of_blending = now.saturating_add(blend_duration);
    let time_of = |action: u32| fresh.time_of(period.saturating_mul(action));
    let ahead = (next..)
        .map(|action| (action, time_of(action)))
        .take_while(|&(action, time)| action <= last_action || time < end_of_blending.saturating_add(period));
    let within_chunk_or_blending = ahead.map(|(_, time)| time);
    std::iter::once(now).chain(within_chunk_or_blending).collect()
}

/// The weighted average of the chunks that cover `time`. Before a chunk ends its weight fades out within the blend duration,
/// so that the average has no step there.
fn ensemble(chunks: &[ScheduledChunk], time: Duration, blending: Blending) -> Vec<f32> {
    let newest = chunks.len() - 1;
    let weighted = chunks.iter().enumerate().map(|(age, placed)| {
        let left_s = placed.end().saturating_sub(time).as_secs_f64();
        let left = match age == newest {
            true => 1.0,
            false if left_s == 0.0 => 0.0,
            false => smooth_step((left_s / blending.blend_duration.as_secs_f64()).min(1.0)),
        };
        let weight = left * (-blending.ensemble_coefficient * age as f64).exp();
        (weight, placed.positions(time))
    });
    let weighted: Vec<(f64, Vec<f32>)> = weighted.collect();
    chunks[newest].layout.mean(&weighted)
}

/// From 0 to 1, level at both ends.
pub(super) fn smooth_step(share: f64) -> f64 {
    share * share * (3.0 - 2.0 * share)
}
