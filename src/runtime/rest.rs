//! The success condition of a run: the robot has moved, and has come to rest.

use std::time::Duration;

/// Rest that counts as success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rest {
    /// How long it lasts.
    pub duration: Duration,
    /// Distance within which a joint is at rest, in the robot's unit.
    pub tolerance: f32,
}

/// Finds the rest that follows a motion.
#[derive(Clone, Debug)]
pub struct RestDetector {
    condition: Rest,
    has_moved: bool,
    /// Since when the joints are where they are, and the positions.
    still: Option<(Duration, Vec<f32>)>,
}

impl RestDetector {
    /// A detector that has not seen the robot yet.
    pub fn new(condition: Rest) -> Self {
        Self {
            condition,
            has_moved: false,
            still: None,
        }
    }

    /// The rest that it looks for.
    pub fn condition(&self) -> Rest {
        self.condition
    }

    /// Whether the robot came to rest for long enough, at the time `now`. `positions`: where the joints are while the policy
    /// moves them; none while the robot is held, when it rests for another reason.
    pub fn is_at_rest(&mut self, now: Duration, positions: Option<&[f32]>) -> bool {
        let Some(positions) = positions else {
            self.still = None;
            return false;
        };
        let stays = |still: &[f32]| {
            let mut pairs = still.iter().zip(positions);
            pairs.all(|(one, other)| (one - other).abs() <= self.condition.tolerance)
        };
        match &self.still {
            Some((since, still)) if stays(still) => {
                self.has_moved && now.saturating_sub(*since) >= self.condition.duration
            }
            before => {
                self.has_moved |= before.is_some();
                self.still = Some((now, positions.to_vec()));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn detector() -> RestDetector {
        RestDetector::new(Rest {
            duration: ms(500),
            tolerance: 0.01,
        })
    }

    #[test]
    fn rest_counts_after_a_motion_and_only_when_it_lasts() {
        let mut detector = detector();
        for time in [0, 1000, 2000] {
            let at_rest = detector.is_at_rest(ms(time), Some(&[0.0, 1.0]));
            assert!(!at_rest, "nothing has moved by {time} ms");
        }
        assert!(!detector.is_at_rest(ms(2100), Some(&[0.0, 1.1])));
        assert!(!detector.is_at_rest(ms(2500), Some(&[0.005, 1.095])));
        assert!(detector.is_at_rest(ms(2600), Some(&[0.005, 1.095])));
    }

    #[test]
    fn a_slow_motion_is_no_rest() {
        let mut detector = detector();
        let at_rest = (0..100).any(|step| detector.is_at_rest(ms(100 * step), Some(&[0.004 * step as f32])));
        assert!(!at_rest, "0.02 in half a second is more than the tolerance");
    }

    #[test]
    fn a_hold_is_no_rest_and_the_time_begins_anew_after_it() {
        let mut detector = detector();
        detector.is_at_rest(ms(0), Some(&[0.0]));
        detector.is_at_rest(ms(100), Some(&[1.0]));
        assert!(!detector.is_at_rest(ms(400), None));
        assert!(!detector.is_at_rest(ms(700), Some(&[1.0])));
        assert!(!detector.is_at_rest(ms(1100), Some(&[1.0])));
        assert!(detector.is_at_rest(ms(1200), Some(&[1.0])));
    }
}
