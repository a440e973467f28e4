//! Playback progress: how much of the chunks was played.

use std::collections::VecDeque;
use std::time::Duration;

/// Older stretches are forgotten: an observation is predicted from while the newest few are played.
const STRETCHES: usize = 64;

/// The stretches of time in which actions were played, and how fast. At standstill nothing is played.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    stretches: VecDeque<Stretch>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Duration,
    until: Duration,
    action_period: Duration,
}

impl Progress {
    /// Notes that actions are played from `now` until `until`, one every `action_period`, unless stopped before.
    pub fn play(&mut self, now: Duration, until: Duration, action_period: Duration) {
        self.stop(now);
        if self.stretches.len() == STRETCHES {
            self.stretches.pop_front();
        }
        self.stretches.push_back(Stretch {
            from: now,
            until,
            action_period,
        });
    }

    /// Notes that nothing is played from `now` on.
    pub fn stop(&mut self, now: Duration) {
        if let Some(newest) = self.stretches.back_mut() {
            newest.until = newest.until.min(now).max(newest.from);
        }
    }

    /// The actions played from `since` to `now`, as the time that they take with an action every `action_period`.
    pub fn played(&self, since: Duration, now: Duration, action_period: Duration) -> Duration {
        let of_stretch = |stretch: &Stretch| {
            let time = stretch.until.min(now).saturating_sub(stretch.from.max(since));
            if stretch.action_period == action_period {
                return time;
            }
            let actions = time.as_secs_f64() / stretch.action_period.as_secs_f64();
            Duration::try_from_secs_f64(actions * action_period.as_secs_f64()).unwrap_or(Duration::MAX)
        };
        let stretches = self.stretches.iter().map(of_stretch);
        stretches.fold(Duration::ZERO, Duration::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn only_stretches_in_which_actions_were_played_count() {
        let mut progress = Progress::default();
        progress.play(ms(100), ms(300), ms(20));
        progress.play(ms(500), ms(900), ms(20));
        progress.stop(ms(600));
        assert_eq!(progress.played(ms(0), ms(1000), ms(20)), ms(300));
        assert_eq!(progress.played(ms(250), ms(550), ms(20)), ms(100));
        assert_eq!(progress.played(ms(600), ms(1000), ms(20)), ms(0));
    }

    #[test]
    fn actions_played_at_another_speed_count_as_actions() {
        let mut progress = Progress::default();
        progress.play(ms(0), ms(1000), ms(20));
        assert_eq!(progress.played(ms(0), ms(100), ms(40)), ms(200));
    }
}
