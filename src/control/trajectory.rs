//! The published trajectory: the motion from a moment in the past to the look-ahead, as points for
//! joint_trajectory_controller.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::Plan;
use super::plan::Waypoint;
use super::waypoint_velocities::waypoint_velocities;

/// A trajectory with fewer points from the present on is spent before a tick that is late brings the next one.
const FEWEST_POINTS: usize = 3;

/// joint_trajectory_controller drops a message whose last point is past when it arrives, and goes on with the one before;
/// its clock may differ from this one's.
const SHORTEST: Duration = Duration::from_millis(200);

/// Time between the end of a motion and the end of the hold that follows it, at least.
const SHORTEST_HOLD: Duration = Duration::from_millis(10);

/// Settings of the published trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectorySettings {
    /// Points from the present on, at most.
    pub horizon: NonZeroUsize,
    /// Time from the present to the last point, which is how long a controller goes on when this program dies.
    pub look_ahead: Duration,
    /// Time from the first point to the present. A controller whose clock is behind by no more than this finds its
    /// present in the trajectory, and does not go from the measured position to the first point.
    pub history: Duration,
    /// Whether points have velocities, with which a controller moves along cubics and not along lines.
    pub velocities: bool,
}

/// A trajectory to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Time of the first point.
    pub start: Duration,
    /// Time of the tick.
    pub now: Duration,
    /// The position of every axis at the tick.
    pub present: Vec<f32>,
    /// The velocity to command, of every value of a pose, in metres and radians per second; empty where there are none.
    pub twists: Vec<f32>,
    /// Motion from the start on.
    pub points: Vec<TrajectoryPoint>,
}

/// A point of a trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryPoint {
    /// One per value of the robot's actions, in its units.
    pub positions: Vec<f32>,
    /// One per value, in the robot's units per second, 0 at the values of poses; empty for none, as in all points of the trajectory then.
    pub velocities: Vec<f32>,
    /// Time from the start of the trajectory to this point.
    pub time_from_start: Duration,
}

impl Trajectory {
    /// The motion of `plan` around `now`: its position at the start, its waypoints up to the look-ahead, no fewer than
    /// three points from the present on, and where they end sooner than 0.2 s after the present, the last position until
    /// then. A robot at rest has two points.
    ///
    /// `velocity_limit` is that of a joint, by its index, at a position.
    pub(super) fn of(
        plan: &Plan,
        now: Duration,
        settings: &TrajectorySettings,
        velocity_limit: impl Fn(usize, f32) -> f64,
    ) -> Self {
        let start = start(now, settings.history);
        let mut waypoints = plan.waypoints_from(start);
        let passed = waypoints.partition_point(|waypoint| waypoint.0 <= now);
        let ahead =
            waypoints.partition_point(|waypoint| waypoint.0 <= now.saturating_add(settings.look_ahead));
        let ahead = (ahead - passed).max(FEWEST_POINTS - 1);
        let length = passed + ahead.min(settings.horizon.get() - 1);
        let goes_on = waypoints.len() > length;
        waypoints.truncate(length);
        if waypoints.iter().all(|waypoint| waypoint.1 == waypoints[0].1) {
            waypoints.truncate(1);
        }
        if settings.velocities && goes_on {
            brake(&mut waypoints);
        }
        hold_the_end(&mut waypoints, now);
        let velocities = settings
            .velocities
            .then(|| velocities(plan, &waypoints, velocity_limit))
            .flatten()
            .unwrap_or_else(|| vec![Vec::new(); waypoints.len()]);
        let point = |((time, positions), velocities): (Waypoint, Vec<f32>)| TrajectoryPoint {
            positions,
            velocities,
            time_from_start: time - start,
        };
        Self {
            start,
            now,
            present: plan.positions(now),
            twists: Vec::new(),
            points: waypoints.into_iter().zip(velocities).map(point).collect(),
        }
    }
}

/// The time of the first point. A stamp of zero would mean the time of arrival.
fn start(now: Duration, history: Duration) -> Duration {
    let start = now.checked_sub(history);
    start.filter(|start| !start.is_zero()).unwrap_or(now)
}

/// Lets a motion that goes on beyond the last waypoint take twice as long for its last step: with a velocity of 0 at its end
/// it slows down evenly. It is not played unless no other trajectory follows.
fn brake(waypoints: &mut [Waypoint]) {
    if let [.., (before, _), (last, _)] = waypoints {
        *last += *last - *before;
    }
}

/// The velocities at the waypoints of `plan` from a start on, which may be between two of them. They do not depend on where the
/// start is, so that from one trajectory to the next the motion is the same.
fn velocities(
    plan: &Plan,
    waypoints: &[Waypoint],
    limit: impl Fn(usize, f32) -> f64,
) -> Option<Vec<Vec<f32>>> {
    let mut from_waypoint = waypoints.to_vec();
    let before = plan.waypoint_before(waypoints[0].0);
    from_waypoint[0] = before.unwrap_or(&waypoints[0]).clone();
    let mut velocities = waypoint_velocities(&from_waypoint, plan.layout(), limit)?;
    if before.is_some() {
        velocities[0] = plan.velocities(waypoints[1].0);
    }
    Some(velocities)
}

/// Adds the hold of the last position, where the motion ends sooner than a controller is sure to have got it.
fn hold_the_end(waypoints: &mut Vec<Waypoint>, now: Duration) {
    let (end, positions) = waypoints[waypoints.len() - 1].clone();
    if end < now + SHORTEST {
        waypoints.push(((now + SHORTEST).max(end + SHORTEST_HOLD), positions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    const NOW: Duration = ms(1000);

    /// Of the joint, per second.
    const LIMIT: f64 = 60.0;

    fn settings() -> TrajectorySettings {
        TrajectorySettings {
            horizon: NonZeroUsize::MAX,
            look_ahead: ms(300),
            history: ms(40),
            velocities: false,
        }
    }

    /// A waypoint every `period`, each at its own number, the first one at `from`.
    fn plan(from: Duration, count: u32, period: Duration) -> Plan {
        let waypoint = |number| (from + period * number, vec![number as f32]);
        Plan::new((0..count).map(waypoint).collect())
    }

    /// Times since the start in milliseconds, and positions.
    fn points(trajectory: &Trajectory) -> Vec<(u128, f32)> {
        let points = trajectory.points.iter();
        points
            .map(|point| (point.time_from_start.as_millis(), point.positions[0]))
            .collect()
    }

    #[test]
    fn a_trajectory_starts_in_the_past_with_the_points_that_were_passed() {
        let trajectory = Trajectory::of(&plan(ms(930), 50, ms(20)), NOW, &settings(), |_, _| LIMIT);
        assert_eq!(trajectory.start, ms(960));
        assert_eq!(
            points(&trajectory)[..4],
            [(0, 1.5), (10, 2.0), (30, 3.0), (50, 4.0)]
        );
        assert_eq!(trajectory.present, [3.5]);
        assert_eq!(points(&trajectory).last(), Some(&(330, 18.0)));
    }

    #[test]
    fn before_its_plan_the_robot_was_where_the_plan_begins() {
        let trajectory = Trajectory::of(&plan(ms(1040), 50, ms(20)), NOW, &settings(), |_, _| LIMIT);
        assert_eq!(points(&trajectory)[..3], [(0, 0.0), (80, 0.0), (100, 1.0)]);
    }

    #[test]
    fn a_trajectory_ends_with_the_look_ahead_but_has_three_points_from_the_present_on() {
        for (period, horizon, last, count) in [(20, 50, 15, 18), (500, 50, 2, 4), (20, 3, 2, 6)] {
            let settings = TrajectorySettings {
                horizon: NonZeroUsize::new(horizon).unwrap(),
                ..settings()
            };
            let plan = plan(NOW - ms(period) * 2, 60, ms(period));
            let trajectory = Trajectory::of(&plan, NOW, &settings, |_, _| LIMIT);
            let end = points(&trajectory)[count - 1];
            assert_eq!(end.1, 2.0 + last as f32, "{:?}", points(&trajectory));
            assert_eq!(trajectory.points.len(), count, "{:?}", points(&trajectory));
        }
    }

    #[test]
    fn every_trajectory_ends_at_least_200_ms_after_the_present_and_a_hold_is_two_points() {
        let rest = Plan::new(vec![(ms(10), vec![0.3]), (ms(1020), vec![0.3])]);
        let trajectory = Trajectory::of(&rest, NOW, &settings(), |_, _| LIMIT);
        assert_eq!(points(&trajectory), [(0, 0.3), (240, 0.3)]);
        let short = Trajectory::of(&plan(ms(1000), 4, ms(20)), NOW, &settings(), |_, _| LIMIT);
        assert_eq!(points(&short)[4..], [(100, 3.0), (240, 3.0)]);
        // Never so soon after the end that the hold has no time of its own.
        let short = Trajectory::of(&plan(ms(999), 11, ms(20)), NOW, &settings(), |_, _| LIMIT);
        assert_eq!(points(&short)[11..], [(239, 10.0), (249, 10.0)]);
    }

    #[test]
    fn a_start_before_time_began_is_the_present() {
        for now in [ms(0), ms(20), ms(40)] {
            let trajectory = Trajectory::of(&Plan::hold(vec![0.3], ms(0)), now, &settings(), |_, _| LIMIT);
            assert_eq!(trajectory.start, now);
            assert_eq!(points(&trajectory), [(0, 0.3), (200, 0.3)]);
        }
    }

    /// Velocities at the points of a motion by the square of the time, from 930 ms on.
    fn accelerating(now: Duration, look_ahead: Duration) -> Trajectory {
        let waypoint = |number: u32| (ms(930) + ms(20) * number, vec![0.01 * (number * number) as f32]);
        let settings = TrajectorySettings {
            look_ahead,
            velocities: true,
            ..settings()
        };
        let plan = Plan::new((0..50).map(waypoint).collect());
        Trajectory::of(&plan, now, &settings, |_, _| LIMIT)
    }

    #[test]
    fn velocities_do_not_change_from_one_trajectory_to_the_next_and_the_last_is_nothing() {
        let (one, next) = (accelerating(NOW, ms(300)), accelerating(NOW + ms(13), ms(300)));
        let velocities = |trajectory: &Trajectory| {
            let points = trajectory.points.iter();
            let times = points.map(|point| (trajectory.start + point.time_from_start, point.velocities[0]));
            times.collect::<Vec<_>>()
        };
        let both = velocities(&one);
        let both = both.iter().filter(|point| velocities(&next).contains(point));
        assert!(
            both.count() >= 14,
            "{:?} {:?}",
            velocities(&one),
            velocities(&next)
        );
        assert_eq!(one.points[one.points.len() - 1].velocities, [0.0]);
    }

    #[test]
    fn a_motion_that_goes_on_beyond_its_trajectory_slows_down_in_its_last_step() {
        let trajectory = accelerating(NOW, ms(230));
        let [.., before, last] = &trajectory.points[..] else {
            panic!("{trajectory:?}")
        };
        assert_eq!(last.time_from_start - before.time_from_start, ms(40));
        let secant = (last.positions[0] - before.positions[0]) / 0.04;
        assert!(before.velocities[0] <= 3.0 * secant, "{trajectory:?}");
    }

    #[test]
    fn a_robot_at_rest_has_no_velocity() {
        let settings = TrajectorySettings {
            velocities: true,
            ..settings()
        };
        let trajectory = Trajectory::of(&Plan::hold(vec![0.3], ms(10)), NOW, &settings, |_, _| LIMIT);
        assert!(
            trajectory.points.iter().all(|point| point.velocities == [0.0]),
            "{trajectory:?}"
        );
    }
}
