//! Deceleration to rest.

use std::time::Duration;

use super::{JointLimits, Plan};

/// A velocity below this, in the joint's unit per second, is rest.
const REST: f32 = 1e-4;

/// The motion from `plan` at `now` to rest: all axes decelerate together, within `duration` or, where an axis'
/// acceleration limit requires it, longer. Velocities follow a smooth step, so the acceleration neither begins nor ends at once.
pub(super) fn stop(
    plan: &Plan,
    now: Duration,
    limits: &[JointLimits],
    duration: Duration,
    step: Duration,
) -> Plan {
    let (positions, velocities) = (plan.positions(now), plan.velocities(now));
    if velocities.iter().all(|velocity| velocity.abs() < REST) {
        return plan.along(vec![(now, positions)]);
    }
    // The slope of a smooth step is 1.5 where it is steepest.
    let speeds = plan.layout().speeds(&velocities).into_iter();
    let of_axis = |(axis, speed): (usize, f64)| Some(1.5 * speed / limits.get(axis)?.acceleration);
    let longest = speeds.filter_map(of_axis).fold(0.0, f64::max);
    let seconds = duration.as_secs_f64().max(longest).max(step.as_secs_f64());
    let steps = (seconds / step.as_secs_f64()).ceil() as u32;
    let waypoint = |index: u32| {
        let share = f64::from(index) / f64::from(steps);
        // What is left of the velocity, summed up: the integral of 1 − smooth step.
        let way = (share - share.powi(3) + share.powi(4) / 2.0) * f64::from(steps) * step.as_secs_f64();
        let moved = plan.layout().moved(&positions, &[(way as f32, &velocities)]);
        (now + step * index, moved)
    };
    plan.along((0..=steps).map(waypoint).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn moving(velocity: f32) -> Plan {
        Plan::new(vec![(ms(0), vec![0.0]), (ms(1000), vec![velocity])])
    }

    fn velocities(plan: &Plan) -> Vec<f32> {
        let ends = (1..).map(|index| STEP * index).map(|time| ms(500) + time);
        ends.take_while(|&time| time <= plan.end())
            .map(|time| plan.velocities(time)[0])
            .collect()
    }

    #[test]
    fn the_velocity_goes_to_nothing_without_a_step_in_acceleration() {
        let stop = stop(&moving(1.0), ms(500), &[JointLimits::NONE], ms(200), STEP);
        assert_eq!(stop.end(), ms(700));
        let velocities = velocities(&stop);
        assert!(velocities[0] > 0.98 && velocities[19] < 0.02, "{velocities:?}");
        let accelerations: Vec<f32> = velocities
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / 0.01)
            .collect();
        let jumps = accelerations
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max);
        assert!(accelerations[0].abs() < 1.6 && jumps < 1.6, "{accelerations:?}");
    }

    #[test]
    fn a_stop_takes_as_long_as_the_acceleration_limit_requires() {
        let limits = JointLimits {
            acceleration: 2.0,
            ..JointLimits::NONE
        };
        let stop = stop(&moving(1.0), ms(500), &[limits], ms(200), STEP);
        let velocities = velocities(&stop);
        let accelerations = velocities.windows(2).map(|pair| (pair[1] - pair[0]).abs() / 0.01);
        let highest = accelerations.fold(0.0, f32::max);
        assert!((1.9..=2.005).contains(&highest), "{highest}");
    }

    #[test]
    fn a_robot_at_rest_stays_where_it_is() {
        let stop = stop(
            &Plan::hold(vec![0.3], ms(0)),
            ms(500),
            &[JointLimits::NONE],
            ms(200),
            STEP,
        );
        assert_eq!(stop, Plan::hold(vec![0.3], ms(500)));
    }
}
