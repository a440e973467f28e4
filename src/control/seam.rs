//! How a fresh chunk takes over from what is played when it arrives.

use std::time::Duration;

use super::Plan;
use super::timed_chunk::TimedChunk;

/// What becomes of the actions that the chunk before still had ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkOverlap {
    /// They are dropped. What the two chunks differ by at that moment, in position and velocity, fades out.
    #[default]
    Replace,
    /// The old chunk is faded out and the fresh one in.
    Blend,
    /// The average of every chunk that speaks of that moment, each weighted by its age (Zhao et al. 2023, ACT), from
    /// what is played on by the same fade as [`Replace`](Self::Replace).
    Ensemble,
    /// As [`Replace`](Self::Replace); the fresh chunk was denoised with the actions held that it could not change any
    /// more, as in real-time chunking (Black et al. 2025) without its gradient.
    Inpaint,
}

/// How a fresh chunk takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seam {
    pub overlap: ChunkOverlap,
    /// Time from the arrival until the fresh chunk alone is played.
    pub align_fade: Duration,
    /// Of an ensemble: a chunk that is `i` chunks newer than the oldest weighs exp(−coefficient · i).
    pub ensemble_coefficient: f64,
}

/// A chunk, and how far it is played.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub chunk: TimedChunk,
    /// When it was joined.
    pub joined_at: Duration,
    /// How much of it was past then. It may be more than the time that there was: simulations begin at 0.
    pub played: Duration,
}

impl Placed {
    pub fn end(&self) -> Duration {
        self.moment(self.chunk.reach())
    }

    /// When what is `elapsed` after the first action is played; what was played when it was joined, then.
    pub fn moment(&self, elapsed: Duration) -> Duration {
        self.joined_at.saturating_add(elapsed.saturating_sub(self.played))
    }

    fn positions(&self, time: Duration) -> Vec<f32> {
        self.chunk
            .positions(time.saturating_sub(self.joined_at).saturating_add(self.played))
    }
}

/// The plan from `now` on: `chunks` (the oldest first, the fresh one last) taking over from `before`.
///
/// It has a knot at `now` and one at every action of the fresh chunk; where the fade lasts longer than the chunk, its
/// last action is held meanwhile.
pub(super) fn join(chunks: &[Placed], before: Option<&Plan>, now: Duration) -> Plan {
    let fresh = &chunks[chunks.len() - 1];
    let seam = fresh.chunk.seam;
    let wanted = |time: Duration| match seam.overlap {
        ChunkOverlap::Ensemble => ensemble(chunks, time, seam),
        _ => fresh.positions(time),
    };
    let times = knot_times(fresh, before.map_or(Duration::ZERO, |_| seam.align_fade), now);
    let Some(before) = before.filter(|_| !seam.align_fade.is_zero()) else {
        return Plan::new(times.into_iter().map(|time| (time, wanted(time))).collect());
    };
    let fade_s = seam.align_fade.as_secs_f64();
    let share = |time: Duration| ((time - now).as_secs_f64() / fade_s).min(1.0);
    let knot = |time: Duration| {
        let fresh = wanted(time);
        let positions = match seam.overlap {
            ChunkOverlap::Blend => {
                let weight = smooth_step(share(time)) as f32;
                let old = before.positions(time);
                old.iter()
                    .zip(fresh)
                    .map(|(old, fresh)| old + (fresh - old) * weight)
                    .collect()
            }
            _ => fresh,
        };
        (time, positions)
    };
    let mut knots: Vec<(Duration, Vec<f32>)> = times.into_iter().map(knot).collect();
    if seam.overlap != ChunkOverlap::Blend {
        fade_out_offset(&mut knots, before, now, fade_s);
    }
    Plan::new(knots)
}

/// Adds what `before` differs by at `now`, in position and velocity, and lets it go to nothing within `fade_s`.
fn fade_out_offset(knots: &mut [(Duration, Vec<f32>)], before: &Plan, now: Duration, fade_s: f64) {
    let fresh = Plan::new(knots.to_vec());
    let offset: Vec<f32> = difference(&before.positions(now), &knots[0].1);
    let next = knots.get(1).map_or(now, |knot| knot.0);
    let velocity = difference(&before.velocities(now), &fresh.velocities(next));
    for (time, positions) in knots {
        let share = ((*time - now).as_secs_f64() / fade_s).min(1.0);
        let (of_offset, of_velocity) = (1.0 - smooth_step(share), share * (1.0 - share).powi(2) * fade_s);
        for ((position, offset), velocity) in positions.iter_mut().zip(&offset).zip(&velocity) {
            *position += of_offset as f32 * offset + of_velocity as f32 * velocity;
        }
    }
}

/// `now`, and the moments of the fresh chunk's actions until it ends or, if that is later, the fade has ended.
fn knot_times(fresh: &Placed, fade: Duration, now: Duration) -> Vec<Duration> {
    let period = fresh.chunk.action_period;
    // An action this close behind the present (in actions) is the present: periods are rounded to nanoseconds.
    let next = (fresh.played.as_secs_f64() / period.as_secs_f64() + 1e-6) as u32 + 1;
    let last_action = fresh.chunk.actions.horizon() as u32 - 1;
    let end_of_fade = now.saturating_add(fade);
    let moment = |action: u32| fresh.moment(period.saturating_mul(action));
    let ahead = (next..)
        .map(|action| (action, moment(action)))
        .take_while(|&(action, time)| action <= last_action || time < end_of_fade.saturating_add(period));
    let within_chunk_or_fade = ahead.map(|(_, time)| time);
    std::iter::once(now).chain(within_chunk_or_fade).collect()
}

/// The weighted average of the chunks that reach `time`. Before a chunk ends its weight fades out as the seam does, so that
/// the average has no step there.
fn ensemble(chunks: &[Placed], time: Duration, seam: Seam) -> Vec<f32> {
    let newest = chunks.len() - 1;
    let mut sum = vec![0.0; chunks[newest].chunk.actions.action_dim()];
    let mut weights = 0.0;
    for (age, placed) in chunks.iter().enumerate() {
        let left_s = placed.end().saturating_sub(time).as_secs_f64();
        let left = match age == newest {
            true => 1.0,
            false if left_s == 0.0 => 0.0,
            false => smooth_step((left_s / seam.align_fade.as_secs_f64()).min(1.0)),
        };
        let weight = left * (-seam.ensemble_coefficient * age as f64).exp();
        weights += weight;
        for (sum, position) in sum.iter_mut().zip(placed.positions(time)) {
            *sum += weight * f64::from(position);
        }
    }
    sum.into_iter().map(|sum| (sum / weights) as f32).collect()
}

/// From 0 to 1, level at both ends.
pub(super) fn smooth_step(share: f64) -> f64 {
    share * share * (3.0 - 2.0 * share)
}

fn difference(from: &[f32], to: &[f32]) -> Vec<f32> {
    from.iter().zip(to).map(|(from, to)| from - to).collect()
}
