//! The planned motion: positions of every axis at times, straight lines and arcs between them.

use std::time::Duration;

use super::axis_layout::AxisLayout;

/// Waypoints this close together are one: periods are rounded to nanoseconds.
const SAME_TIME: Duration = Duration::from_nanos(20);

/// Longest time before the present of which a motion is kept.
pub(super) const LONGEST_HISTORY: Duration = Duration::from_millis(200);

/// A time, and the position of every axis at that time.
pub(super) type Waypoint = (Duration, Vec<f32>);

/// Positions at growing times. Before the first waypoint the first position is the plan's, after the last the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    layout: AxisLayout,
    waypoints: Vec<Waypoint>,
}

impl Plan {
    /// A motion of joints alone.
    ///
    /// # Panics
    /// When there is no waypoint, or their times do not grow.
    pub fn new(waypoints: Vec<(Duration, Vec<f32>)>) -> Self {
        Self::of(AxisLayout::default(), waypoints)
    }

    /// A motion of these axes.
    ///
    /// # Panics
    /// When there is no waypoint, or their times do not grow.
    pub fn of(layout: AxisLayout, waypoints: Vec<(Duration, Vec<f32>)>) -> Self {
        assert!(!waypoints.is_empty(), "a plan needs a waypoint");
        assert!(
            waypoints.is_sorted_by(|one, next| one.0 < next.0),
            "the times of a plan grow"
        );
        Self { layout, waypoints }
    }

    /// Stays at `positions`, of joints alone.
    pub fn hold(positions: Vec<f32>, since: Duration) -> Self {
        Self::new(vec![(since, positions)])
    }

    /// Which values are joints and which are poses.
    pub fn layout(&self) -> &AxisLayout {
        &self.layout
    }

    /// This motion's axes along other waypoints.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub(super) fn along(&self, waypoints: Vec<Waypoint>) -> Self {
        Self::of(self.layout.clone(), waypoints)
    }

    /// The time of the last waypoint.
    pub fn end(&self) -> Duration {
        self.waypoints[self.waypoints.len() - 1].0
    }

    /// Number of actions `period` apart, the first at `time`, until the plan ends.
    pub fn actions_left(&self, time: Duration, period: Duration) -> usize {
        let left = (self.end() + SAME_TIME).checked_sub(time);
        left.map_or(0, |left| (left.as_secs_f64() / period.as_secs_f64()) as usize + 1)
    }

    /// The position of every axis at `time`.
    pub fn positions(&self, time: Duration) -> Vec<f32> {
        let (from, to) = self.around(time);
        match share(from.0, to.0, time) {
            Some(share) => self.layout.interpolate(&from.1, &to.1, share),
            None => from.1.clone(),
        }
    }

    /// The velocity of every axis just before `time`, in its unit per second.
    pub fn velocities(&self, time: Duration) -> Vec<f32> {
        let after = self.waypoints.partition_point(|waypoint| waypoint.0 < time);
        if after == 0 || after == self.waypoints.len() {
            return vec![0.0; self.waypoints[0].1.len()];
        }
        let (from, to) = (&self.waypoints[after - 1], &self.waypoints[after]);
        let seconds = (to.0 - from.0).as_secs_f32();
        let way = self.layout.difference(&to.1, &from.1).into_iter();
        way.map(|way| way / seconds).collect()
    }

    /// The time of the first waypoint.
    pub(super) fn begin(&self) -> Duration {
        self.waypoints[0].0
    }

    /// The position at `time` and the waypoints after it.
    pub(super) fn waypoints_from(&self, time: Duration) -> Vec<Waypoint> {
        let present = (time, self.positions(time));
        let ahead = self.waypoints[self.ahead(time)..].iter().cloned();
        std::iter::once(present).chain(ahead).collect()
    }

    /// The last waypoint that is not after `time`; none before the first one.
    pub(super) fn waypoint_before(&self, time: Duration) -> Option<&Waypoint> {
        let ahead = self.ahead(time);
        self.waypoints[..ahead].last()
    }

    /// This motion until `time`, as far as it is kept, and `next` from then on, which begins at `time`.
    pub(super) fn until(&self, time: Duration, next: Plan) -> Plan {
        let since = time.saturating_sub(LONGEST_HISTORY);
        let before = self.waypoints_from(since).into_iter();
        let before = before.take_while(|waypoint| waypoint.0 + SAME_TIME < time);
        self.along(before.chain(next.waypoints).collect())
    }

    /// Whether the robot stands still from `time` on.
    pub(super) fn rests_from(&self, time: Duration) -> bool {
        let present = self.positions(time);
        let mut ahead = self.waypoints[self.ahead(time)..].iter();
        ahead.all(|waypoint| waypoint.1 == present)
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
    fn between_waypoints_the_position_is_on_the_straight_line_and_outside_it_stays() {
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
    fn actions_left_are_those_until_the_end() {
        for (time, left) in [(0, 4), (100, 3), (199, 2), (300, 1), (301, 0)] {
            assert_eq!(plan().actions_left(ms(time), ms(100)), left, "at {time} ms");
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
    fn a_moment_on_a_waypoint_gives_that_waypoint_once() {
        for nanoseconds in [199_999_999, 200_000_000, 200_000_001] {
            let waypoints = plan().waypoints_from(Duration::from_nanos(nanoseconds));
            assert_eq!(waypoints.len(), 2, "{waypoints:?}");
            assert!((waypoints[0].1[0] - 2.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_plan_that_another_one_follows_keeps_what_it_was_until_then() {
        let both = plan().until(
            ms(250),
            Plan::new(vec![(ms(250), vec![3.0]), (ms(350), vec![0.0])]),
        );
        for (time, position) in [(60, 1.0), (150, 1.5), (225, 2.5), (250, 3.0), (300, 1.5)] {
            assert!(
                (both.positions(ms(time))[0] - position).abs() < 1e-5,
                "at {time} ms"
            );
        }
        let later = plan().until(ms(900), Plan::hold(vec![4.0], ms(900)));
        assert_eq!(later.begin(), ms(700));
    }
}
