//! Keeps a trajectory within the limits of the joints and poses.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::axis_layout::{AxisLayout, read_difference};
use super::next_velocity::{next_velocity, next_velocity_vector};
use super::plan::LONGEST_HISTORY;
use super::{JointLimits, Plan};
use crate::pose::{POSE_VALUES, Pose};

/// Distance from the target, in the axis' unit, at which it counts as reached.
const ARRIVED: f64 = 1e-6;

/// Length of a way, in metres or radians, that is none.
const ROUNDING: f64 = 1e-9;

/// Follows a plan as closely as the limits allow.
///
/// Between waypoints one `step` apart every axis moves at constant velocity. At a waypoint its velocity changes by no more than
/// its acceleration times the step, and it can always stop before its position limits. Limits of a pose's velocity and
/// acceleration are for the length of their vectors, linear and angular. A joint that is beyond them goes no
/// further, and back only where the plan goes back, no faster than the return velocity. What was published is kept: a new
/// plan counts from the next waypoint on, so that no velocity is changed twice within a step however the ticks fall.
#[derive(Clone, Debug)]
pub struct Limiter {
    layout: AxisLayout,
    step: Duration,
    waypoints: Vec<Waypoint>,
}

#[derive(Clone, Debug)]
struct Waypoint {
    time: Duration,
    positions: Vec<f64>,
    /// The waypoint that is approached.
    velocities: Vec<f64>,
}

impl Limiter {
    /// A limiter that continues `told`, the trajectory commanded until `now`.
    ///
    /// # Panics
    /// When the step is zero.
    pub fn going_on(told: &Plan, now: Duration, step: Duration) -> Self {
        assert!(!step.is_zero(), "a limiter needs a step");
        let precise = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let until_now = told.until(now, told.along(vec![(now, told.positions(now))]));
        let waypoint = |(time, positions)| Waypoint {
            time,
            positions: precise(positions),
            velocities: precise(told.velocities(time)),
        };
        Self {
            layout: told.layout().clone(),
            step,
            waypoints: until_now
                .waypoints_from(until_now.begin())
                .into_iter()
                .map(waypoint)
                .collect(),
        }
    }

    /// Time between waypoints.
    pub fn step(&self) -> Duration {
        self.step
    }

    /// The plan that follows `wanted` within `limits`, of at most `waypoints` waypoints from `now` on and no fewer than two. A
    /// joint beyond its position limits returns with at most `return_velocity`, in its unit per second.
    pub fn follow(
        &mut self,
        now: Duration,
        wanted: &Plan,
        limits: &[JointLimits],
        return_velocity: f64,
        waypoints: NonZeroUsize,
    ) -> Plan {
        self.forget(now);
        let step_s = self.step.as_secs_f64();
        let mut before = wanted.positions(self.last().time);
        let passed = self.waypoints.partition_point(|waypoint| waypoint.time <= now);
        while self.waypoints.len() - passed < waypoints.get().max(2) - 1 {
            let last = self.last();
            let time = last.time + self.step;
            let after = wanted.positions(time);
            let (mut positions, mut velocities) = (last.positions.clone(), last.velocities.clone());
            for joint in self.layout.joints(positions.len()) {
                let limits = limits[joint].around(positions[joint], return_velocity);
                let [before, after] = [before[joint], after[joint]].map(|wanted| limits.clamp(wanted.into()));
                let (lag, lead) = (before - positions[joint], after - before);
                let velocity = &mut velocities[joint];
                *velocity = next_velocity(&limits, step_s, positions[joint], *velocity, lag, lead);
                positions[joint] += *velocity * step_s;
            }
            for pose in self.layout.poses() {
                let wanted = [&before, &after].map(|wanted| Pose::from_values(&wanted[pose.clone()]));
                let limits = &limits[pose.clone()];
                let (position, velocity) = (&mut positions[pose.clone()], &mut velocities[pose]);
                next_pose(limits, return_velocity, step_s, position, velocity, wanted);
            }
            let waypoint = Waypoint {
                time,
                positions,
                velocities,
            };
            let rests = time >= wanted.end() && waypoint.rests_at(&after, limits, &self.layout);
            self.waypoints.push(waypoint);
            before = after;
            if rests {
                break;
            }
        }
        self.published()
    }

    /// The newest plan.
    pub fn published(&self) -> Plan {
        let single = |waypoint: &Waypoint| {
            let positions = waypoint.positions.iter().map(|&position| position as f32);
            (waypoint.time, positions.collect())
        };
        Plan::of(self.layout.clone(), self.waypoints.iter().map(single).collect())
    }

    /// Leaves of the published plan what is past and kept and, where the robot is under way to a waypoint, that waypoint.
    fn forget(&mut self, now: Duration) {
        let kept_since = now.saturating_sub(LONGEST_HISTORY);
        let older = self
            .waypoints
            .partition_point(|waypoint| waypoint.time <= kept_since);
        self.waypoints.drain(..older.saturating_sub(1));
        let ahead = self.waypoints.partition_point(|waypoint| waypoint.time <= now);
        let newest = &self.waypoints[ahead.saturating_sub(1)];
        if newest.time >= now {
            self.waypoints.truncate(ahead.max(1));
        } else if ahead < self.waypoints.len() {
            self.waypoints.truncate(ahead + 1);
        } else {
            // Nothing was published for this moment: the robot has stopped.
            let stopped = Waypoint {
                time: now,
                positions: newest.positions.clone(),
                velocities: vec![0.0; newest.positions.len()],
            };
            self.waypoints.push(stopped);
        }
    }

    fn last(&self) -> &Waypoint {
        &self.waypoints[self.waypoints.len() - 1]
    }
}

impl Waypoint {
    /// Whether every axis stands still where it is wanted, as far as its limits let it.
    fn rests_at(&self, wanted: &[f32], limits: &[JointLimits], layout: &AxisLayout) -> bool {
        let mut joints = layout.joints(wanted.len());
        let are_joints_there = joints.all(|joint| {
            let position = self.positions[joint];
            let wanted = limits[joint].reaching(position).clamp(wanted[joint].into());
            (position - wanted).abs() < ARRIVED
        });
        let mut poses = layout.poses();
        let are_poses_there = poses.all(|pose| {
            let position = Pose::from_values(&self.positions[pose.clone()]);
            let wanted = Pose::from_values(&wanted[pose.clone()]);
            let wanted = within(wanted, &box_around(&limits[pose], position, f64::INFINITY));
            position
                .distances(wanted)
                .iter()
                .all(|distance| *distance < ARRIVED)
        });
        let stands = self.velocities.iter().all(|velocity| velocity.abs() < ARRIVED);
        are_joints_there && are_poses_there && stands
    }
}

/// Moves a pose by one step of `step_s` seconds, in which the wanted pose goes from the first to the second one.
fn next_pose(
    limits: &[JointLimits],
    return_velocity: f64,
    step_s: f64,
    position: &mut [f64],
    velocity: &mut [f64],
    wanted: [Pose; 2],
) {
    let at = Pose::from_values(position);
    let linear_limits = box_around(limits, at, return_velocity);
    let angular_limits = [3, 4, 5].map(|axis| limits[axis]);
    let [before, after] = wanted.map(|wanted| within(wanted, &linear_limits));
    let [[lag, angular_lag], [lead, angular_lead]] =
        [before.difference(at), after.difference(before)].map(|way| way.map(nothing_where_it_is_rounding));
    let [linear, angular] = read_difference(velocity);
    let linear = next_velocity_vector(
        &linear_limits,
        limits[0].velocity,
        step_s,
        at.position,
        linear,
        lag,
        lead,
    );
    let angular = next_velocity_vector(
        &angular_limits,
        limits[3].velocity,
        step_s,
        [0.0; 3],
        angular,
        angular_lag,
        angular_lead,
    );
    velocity.copy_from_slice(&[&linear[..], &angular, &[0.0; POSE_VALUES - 6]].concat());
    if velocity.iter().all(|velocity| *velocity == 0.0) {
        return;
    }
    let moved = at.moved([linear, angular].map(|vector| vector.map(|value| value * step_s)));
    position.copy_from_slice(&moved.values());
}

/// A way that is no longer than what products of rotations are rounded by is none: at rest a pose does not change.
fn nothing_where_it_is_rounding(way: [f64; 3]) -> [f64; 3] {
    match way.iter().all(|value| value.abs() < ROUNDING) {
        true => [0.0; 3],
        false => way,
    }
}

/// The limits along the axes at a position; an axis beyond its position limits is as slow as the `return_velocity`.
fn box_around(limits: &[JointLimits], at: Pose, return_velocity: f64) -> [JointLimits; 3] {
    std::array::from_fn(|axis| limits[axis].around(at.position[axis], return_velocity))
}

fn within(pose: Pose, limits: &[JointLimits; 3]) -> Pose {
    Pose {
        position: std::array::from_fn(|axis| limits[axis].clamp(pose.position[axis])),
        ..pose
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(20);
    const RETURN_VELOCITY: f64 = 0.1;
    const LIMITS: JointLimits = JointLimits {
        lower: -1.0,
        upper: 1.0,
        velocity: 2.0,
        acceleration: 10.0,
    };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Follows `wanted` at every tick, and checks every published plan: velocity, acceleration and position
    /// limits from what was executed on. Returns the executed positions.
    fn executed(
        ticks: impl Iterator<Item = Duration>,
        limits: JointLimits,
        wanted: impl Fn(Duration) -> Plan,
    ) -> Vec<(Duration, f64)> {
        let mut limiter: Option<Limiter> = None;
        let mut executed: Vec<(Duration, f64)> = Vec::new();
        let mut velocity: Option<f64> = None;
        let mut published: Option<Plan> = None;
        for now in ticks {
            let start = || Limiter::going_on(&Plan::hold(vec![0.0], now), now, STEP);
            let limiter = limiter.get_or_insert_with(start);
            let fifty = NonZeroUsize::new(50).unwrap();
            let plan = limiter.follow(now, &wanted(now), &[limits], RETURN_VELOCITY, fifty);
            if let Some(published) = &published {
                let promised = f64::from(published.positions(now)[0]);
                let given = f64::from(plan.positions(now)[0]);
                assert!(
                    (promised - given).abs() < 1e-5,
                    "jumps from {promised} to {given} at {now:?}"
                );
                velocity = Some(f64::from(published.velocities(now)[0]));
            }
            executed.push((now, f64::from(plan.positions(now)[0])));
            let points = plan.waypoints_from(now);
            for pair in points.windows(2) {
                let seconds = (pair[1].0 - pair[0].0).as_secs_f64();
                let next = f64::from(pair[1].1[0] - pair[0].1[0]) / seconds;
                assert!(next.abs() <= limits.velocity + 1e-3, "{next} per second");
                let change = (next - velocity.unwrap_or(0.0)).abs();
                let allowed = limits.acceleration * STEP.as_secs_f64();
                assert!(
                    change <= allowed + 5e-3,
                    "the velocity changes by {change} at once, {allowed} is allowed"
                );
                velocity = Some(next);
            }
            for (_, positions) in &points {
                let position = f64::from(positions[0]);
                assert!(
                    (limits.lower - 1e-6..=limits.upper + 1e-6).contains(&position),
                    "{position}"
                );
            }
            published = Some(plan);
        }
        executed
    }

    fn every_20_ms(count: u64) -> impl Iterator<Item = Duration> {
        (0..count).map(|tick| ms(1000 + 20 * tick))
    }

    fn ramp(from: f32, to: f32, seconds: f64) -> Plan {
        Plan::new(vec![
            (ms(1000), vec![from]),
            (ms(1000) + Duration::from_secs_f64(seconds), vec![to]),
        ])
    }

    #[test]
    fn a_jump_becomes_a_motion_within_all_limits_that_arrives_and_does_not_overshoot() {
        let executed = executed(every_20_ms(100), LIMITS, |_| Plan::hold(vec![0.8], ms(0)));
        let highest = executed.iter().map(|(_, position)| *position).fold(0.0, f64::max);
        assert!(highest <= 0.8 + 1e-5, "{highest}");
        assert!((executed[99].1 - 0.8).abs() < 1e-5);
    }

    #[test]
    fn what_is_within_the_limits_is_followed_exactly() {
        let plan = |now: Duration| {
            let at = |tick: u64| {
                let seconds = 0.02 * tick as f64;
                (
                    ms(1000 + 20 * tick),
                    vec![(0.1 * (1.0 - (3.0 * seconds).cos())) as f32],
                )
            };
            let _ = now;
            Plan::new((0..100).map(at).collect())
        };
        for (now, position) in executed(every_20_ms(100), LIMITS, plan) {
            assert!((position - f64::from(plan(now).positions(now)[0])).abs() < 1e-6);
        }
    }

    #[test]
    fn a_position_beyond_a_limit_is_approached_and_not_passed() {
        for (target, reached) in [(5.0, 1.0), (-5.0, -1.0)] {
            let executed = executed(every_20_ms(120), LIMITS, |_| Plan::hold(vec![target], ms(0)));
            assert!((executed[119].1 - reached).abs() < 1e-5);
        }
    }

    #[test]
    fn a_target_that_jumps_to_and_fro_at_every_tick_never_breaks_a_limit() {
        executed(every_20_ms(400), LIMITS, |now| {
            let random = (now.as_millis() as f32 * 12.9898).sin() * 43758.547;
            Plan::hold(vec![3.0 * (random - random.floor()) - 1.5], ms(0))
        });
    }

    #[test]
    fn ticks_that_come_early_late_or_not_at_all_break_no_limit() {
        let ticks = (0..400_u64).filter(|tick| tick % 7 != 3).map(|tick| {
            let jitter = (tick * 7919) % 9000;
            Duration::from_micros(1_000_000 + 20_000 * tick + jitter)
        });
        executed(ticks, LIMITS, |now| {
            ramp((now.as_secs_f32() * 5.0).sin(), -1.0, 0.4)
        });
    }

    #[test]
    fn without_an_acceleration_limit_the_velocity_limit_alone_counts() {
        let limits = JointLimits {
            acceleration: f64::INFINITY,
            ..LIMITS
        };
        let mut limiter = Limiter::going_on(&Plan::hold(vec![0.0], ms(0)), ms(1000), STEP);
        let plan = limiter.follow(
            ms(1000),
            &Plan::hold(vec![0.1], ms(0)),
            &[limits],
            RETURN_VELOCITY,
            NonZeroUsize::MAX,
        );
        let waypoints = plan.waypoints_from(ms(1000)).into_iter();
        let positions: Vec<f32> = waypoints.map(|(_, positions)| positions[0]).collect();
        let expected = [0.0, 0.04, 0.08, 0.1, 0.1];
        assert_eq!(positions.len(), expected.len(), "{positions:?}");
        for (position, expected) in positions.iter().zip(expected) {
            assert!((position - expected).abs() < 1e-6, "{positions:?}");
        }
    }

    /// Positions at every step of half a second from the end of `told`.
    fn followed(told: &Plan, wanted: f32, limits: JointLimits) -> Vec<f32> {
        let mut limiter = Limiter::going_on(told, ms(1000), STEP);
        let wanted = Plan::hold(vec![wanted], ms(0));
        let positions = |tick| {
            let now = ms(1000) + STEP * tick;
            let plan = limiter.follow(now, &wanted, &[limits], RETURN_VELOCITY, NonZeroUsize::MIN);
            plan.positions(now)[0]
        };
        (0..25).map(positions).collect()
    }

    #[test]
    fn a_joint_beyond_its_limits_returns_slowly_and_goes_no_further() {
        for limits in [
            LIMITS,
            JointLimits {
                velocity: f64::INFINITY,
                acceleration: f64::INFINITY,
                ..LIMITS
            },
        ] {
            let outside = Plan::hold(vec![1.2], ms(0));
            let back = followed(&outside, 0.0, limits);
            for pair in back.windows(2) {
                let step = pair[0] - pair[1];
                assert!(
                    (0.0..0.002 + 1e-6).contains(&step),
                    "{step} in one step: {back:?}"
                );
            }
            assert!((1.15..1.16).contains(&back[24]), "{back:?}");
            assert_eq!(followed(&outside, 1.2, limits), [1.2; 25]);
            assert_eq!(followed(&outside, 1.5, limits), [1.2; 25]);
        }
    }

    #[test]
    fn a_joint_that_a_new_limit_meets_in_motion_stops_and_returns_slowly() {
        let limits = JointLimits { upper: 0.5, ..LIMITS };
        let moving = Plan::new(vec![(ms(900), vec![0.8]), (ms(1000), vec![1.0])]);
        let positions = followed(&moving, 1.5, limits);
        // From 2 per second at 10 per second per second.
        assert!((1.15..1.2).contains(&positions[24]), "{positions:?}");
        let back = followed(&moving, 0.0, limits);
        let fastest = back.windows(2).map(|pair| pair[0] - pair[1]).fold(0.0, f32::max);
        assert!((fastest - 0.002).abs() < 1e-5, "{back:?}");
    }
}
