//! How far a published trajectory reaches.

use std::time::Duration;

use super::TrajectoryPoint;

/// A trajectory with fewer points is spent before a tick that is late brings the next one.
const FEWEST_POINTS: usize = 3;

/// joint_trajectory_controller drops a message whose last point is past when it arrives, and goes on with the one before;
/// its clock may differ from this one's.
const SHORTEST: Duration = Duration::from_millis(200);

/// The points up to `look_ahead`, which is all that a controller plays when no other trajectory follows, and no fewer than
/// three. Where they end sooner than 0.2 s after the present, the last position is held until then.
pub(super) fn reaching(mut points: Vec<TrajectoryPoint>, look_ahead: Duration) -> Vec<TrajectoryPoint> {
    let within = points.partition_point(|point| point.time_from_start <= look_ahead);
    points.truncate(within.max(FEWEST_POINTS));
    if let Some(last) = points.last()
        && last.time_from_start < SHORTEST
    {
        points.push(TrajectoryPoint {
            positions: last.positions.clone(),
            time_from_start: SHORTEST,
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Points `period` apart, each at its own number.
    fn points(count: usize, period: Duration) -> Vec<TrajectoryPoint> {
        let point = |number: usize| TrajectoryPoint {
            positions: vec![number as f32],
            time_from_start: period * number as u32,
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn a_trajectory_ends_with_the_look_ahead_but_has_three_points() {
        assert_eq!(reaching(points(50, ms(20)), ms(300)), points(16, ms(20)));
        assert_eq!(reaching(points(50, ms(500)), ms(300)), points(3, ms(500)));
    }

    #[test]
    fn a_short_trajectory_holds_its_end_until_a_controller_has_got_it() {
        let hold = reaching(points(1, ms(20)), ms(300));
        assert_eq!(hold.len(), 2);
        assert_eq!(hold[1].positions, hold[0].positions);
        assert_eq!(hold[1].time_from_start, ms(200));
        let end = reaching(points(4, ms(20)), ms(300));
        assert_eq!((end.len(), end[4].time_from_start), (5, ms(200)));
        assert_eq!(end[4].positions, [3.0]);
    }

    #[test]
    fn what_is_silent_stays_silent() {
        assert_eq!(reaching(Vec::new(), ms(300)), []);
    }
}
