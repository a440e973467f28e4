//! The planned motion: positions of every joint at times, straight lines between them.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::interpolation::lerp_all;

/// A waypoint this close ahead is the present: periods are rounded to nanoseconds.
const SAME_TIME: Duration = Duration::from_nanos(20);

/// A point of a trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryPoint {
    /// One per joint, in the robot's units.
    pub positions: Vec<f32>,
    /// Time from the tick to this point.
    pub time_from_start: Duration,
}

/// A time, and the position of every joint at that time.
type Waypoint = (Duration, Vec<f32>);

/// Positions at growing times. Before the first waypoint the first position is the plan's, after the last the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    waypoints: Vec<Waypoint>,
}

impl Plan {
    /// # Panics
    /// When there is no waypoint, or their times do not grow.
    pub fn new(waypoints: Vec<(Duration, Vec<f32>)>) -> Self {
        assert!(!waypoints.is_empty(), "a plan needs a waypoint");
        assert!(
            waypoints.is_sorted_by(|one, next| one.0 < next.0),
            "the times of a plan grow"
        );
        Self { waypoints }
    }

    /// Stays at `positions`.
    pub fn hold(positions: Vec<f32>, since: Duration) -> Self {
        Self::new(vec![(since, positions)])
    }

    /// The time of the last waypoint.
    pub fn end(&self) -> Duration {
        self.waypoints[self.waypoints.len() - 1].0
    }

    /// The position of every joint at `time`.
    pub fn positions(&self, time: Duration) -> Vec<f32> {
        let (from, to) = self.around(time);
        match share(from.0, to.0, time) {
            Some(share) => lerp_all(&from.1, &to.1, share),
            None => from.1.clone(),
        }
    }

    /// The velocity of every joint just before `time`, in its unit per second.
    pub fn velocities(&self, time: Duration) -> Vec<f32> {
        let after = self.waypoints.partition_point(|waypoint| waypoint.0 < time);
        if after == 0 || after == self.waypoints.len() {
            return vec![0.0; self.waypoints[0].1.len()];
        }
        let (from, to) = (&self.waypoints[after - 1], &self.waypoints[after]);
        let seconds = (to.0 - from.0).as_secs_f32();
        from.1
            .iter()
            .zip(&to.1)
            .map(|(from, to)| (to - from) / seconds)
            .collect()
    }

    /// The positions at `now` and the waypoints after it, at most `limit` points.
    pub fn points(&self, now: Duration, limit: NonZeroUsize) -> Vec<TrajectoryPoint> {
        let present = TrajectoryPoint {
            positions: self.positions(now),
            time_from_start: Duration::ZERO,
        };
        let ahead = self.waypoints[self.ahead(now)..]
            .iter()
            .map(|(time, positions)| TrajectoryPoint {
                positions: positions.clone(),
                time_from_start: *time - now,
            });
        std::iter::once(present).chain(ahead).take(limit.get()).collect()
    }

    /// The last waypoint that is not ahead of `time` and the one after it; the same waypoint twice at either end.
    fn around(&self, time: Duration) -> (&Waypoint, &Waypoint) {
        let ahead = self.ahead(time);
        let last = self.waypoints.len() - 1;
        (
            &self.waypoints[ahead.saturating_sub(1)],
            &self.waypoints[ahead.min(last)],
        )
    }

    /// The first waypoint ahead of `time`.
    fn ahead(&self, time: Duration) -> usize {
        self.waypoints
            .partition_point(|waypoint| waypoint.0 <= time + SAME_TIME)
    }
}

/// How much of the way from one time to another is past at `time`; none where there is no way or none is past.
fn share(from: Duration, to: Duration, time: Duration) -> Option<f64> {
    let past = time.checked_sub(from)?;
    let way = to.checked_sub(from).filter(|way| !way.is_zero())?;
    Some(past.as_secs_f64() / way.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn plan() -> Plan {
        Plan::new(vec![
            (ms(100), vec![1.0]),
            (ms(200), vec![2.0]),
            (ms(300), vec![4.0]),
        ])
    }

    #[test]
    fn between_knots_the_position_is_on_the_straight_line_and_outside_it_stays() {
        for (time, position) in [
            (50, 1.0),
            (100, 1.0),
            (150, 1.5),
            (250, 3.0),
            (300, 4.0),
            (900, 4.0),
        ] {
            assert!(
                (plan().positions(ms(time))[0] - position).abs() < 1e-6,
                "at {time} ms"
            );
        }
    }

    #[test]
    fn the_velocity_is_that_of_the_line_just_before() {
        for (time, velocity) in [
            (100, 0.0),
            (150, 10.0),
            (200, 10.0),
            (250, 20.0),
            (300, 20.0),
            (301, 0.0),
        ] {
            assert!(
                (plan().velocities(ms(time))[0] - velocity).abs() < 1e-4,
                "at {time} ms"
            );
        }
    }

    #[test]
    fn a_moment_on_a_knot_gives_that_knot_once() {
        for nanoseconds in [199_999_999, 200_000_000, 200_000_001] {
            let points = plan().points(Duration::from_nanos(nanoseconds), NonZeroUsize::MAX);
            assert_eq!(points.len(), 2, "{points:?}");
            assert!((points[0].positions[0] - 2.0).abs() < 1e-5);
        }
    }
}
