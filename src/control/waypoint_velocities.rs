//! Velocities at waypoints: monotone slopes, with which a controller's cubics between the waypoints neither overshoot nor
//! exceed a velocity limit.

use super::axis_layout::AxisLayout;
use super::plan::Waypoint;

/// The velocity of every joint at every waypoint, and 0 at the values of poses; none where there are no such velocities: a joint that is fast changes its
/// velocity too much at a waypoint. The last velocity is 0, and joint_trajectory_controller requires that.
///
/// `limit` gives the velocity limit of a joint that leaves a waypoint, by the joint and its position.
pub(super) fn waypoint_velocities(
    waypoints: &[Waypoint],
    layout: &AxisLayout,
    limit: impl Fn(usize, f32) -> f64,
) -> Option<Vec<Vec<f32>>> {
    let count = waypoints[0].1.len();
    let mut velocities = vec![vec![0.0; count]; waypoints.len()];
    for joint in layout.joints(count) {
        let line = |pair: &[Waypoint]| {
            let seconds = (pair[1].0 - pair[0].0).as_secs_f64();
            Line {
                seconds,
                slope: f64::from(pair[1].1[joint] - pair[0].1[joint]) / seconds,
                limit: limit(joint, pair[0].1[joint]),
            }
        };
        let lines: Vec<Line> = waypoints.windows(2).map(line).collect();
        for (index, velocities) in velocities.iter_mut().enumerate() {
            let before = index.checked_sub(1).map(|before| lines[before]);
            let after = lines.get(index).copied();
            velocities[joint] = slope(before, after)? as f32;
        }
    }
    Some(velocities)
}

/// The way of a joint from one waypoint to the next.
#[derive(Clone, Copy)]
struct Line {
    seconds: f64,
    slope: f64,
    /// Velocity limit of the joint on this way.
    limit: f64,
}

impl Line {
    /// The slopes in the direction of the line, at either end, with which the cubic is monotone (de Boor and Swartz 1977) and
    /// its velocity within the limit.
    ///
    /// The velocity of a cubic with the slope m at both ends of a line with the slope d is 1.5 d − 0.5 m at most. As the
    /// greatest of functions that are linear in both slopes, it is within the limit for every pair of slopes between that m
    /// and the limit where it is for the pairs of these two.
    fn allowed(self) -> (f64, f64) {
        let slope = self.slope.abs();
        (3.0 * slope - 2.0 * self.limit, (3.0 * slope).min(self.limit))
    }
}

/// The slope at a waypoint between two lines: their harmonic mean, weighted by the times (Fritsch and Butland 1984), and 0
/// where the joint turns; as near to that as both lines allow. At the begin it is the line's own, and at the end 0. None where
/// the lines allow nothing in common.
fn slope(before: Option<Line>, after: Option<Line>) -> Option<f64> {
    let (wanted, direction) = match (before, after) {
        (Some(before), Some(after)) if before.slope * after.slope > 0.0 => {
            let (of_before, of_after) = (
                2.0 * after.seconds + before.seconds,
                after.seconds + 2.0 * before.seconds,
            );
            let mean = (of_before + of_after) / (of_before / before.slope + of_after / after.slope);
            (mean.abs(), mean.signum())
        }
        (None, Some(after)) => (after.slope.abs(), after.slope.signum()),
        _ => (0.0, 0.0),
    };
    let allowed = [before, after].into_iter().flatten().map(Line::allowed);
    let (lowest, highest) = allowed.fold((0.0, f64::INFINITY), |(lowest, highest), allowed| {
        (allowed.0.max(lowest), allowed.1.min(highest))
    });
    let highest = if direction == 0.0 { 0.0 } else { highest };
    // Positions are rounded to f32.
    let tolerance = 1e-3 * highest.max(lowest);
    (lowest <= highest + tolerance).then(|| direction * wanted.max(lowest).min(highest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STEP_S: f64 = 0.02;
    const LIMIT: f64 = 3.0;

    fn waypoints(positions: &[f32]) -> Vec<Waypoint> {
        let waypoint = |(index, position): (usize, &f32)| {
            (Duration::from_secs_f64(STEP_S * index as f64), vec![*position])
        };
        positions.iter().enumerate().map(waypoint).collect()
    }

    fn velocities(positions: &[f32]) -> Option<Vec<f64>> {
        let velocities = waypoint_velocities(&waypoints(positions), &AxisLayout::default(), |_, _| LIMIT)?;
        Some(velocities.iter().map(|joints| f64::from(joints[0])).collect())
    }

    /// Position and velocity of the cubic between two waypoints, at a share of the way.
    fn cubic([from, to]: [f64; 2], [leaving, arriving]: [f64; 2], share: f64) -> (f64, f64) {
        let (leaving, arriving) = (leaving * STEP_S, arriving * STEP_S);
        let (second, third) = (
            3.0 * (to - from) - 2.0 * leaving - arriving,
            leaving + arriving - 2.0 * (to - from),
        );
        let position = from + share * (leaving + share * (second + share * third));
        let velocity = (leaving + share * (2.0 * second + share * 3.0 * third)) / STEP_S;
        (position, velocity)
    }

    /// Whether no cubic leaves the range of its two waypoints, nor the limit.
    fn assert_within_bounds(positions: &[f32], velocities: &[f64]) {
        for (pair, slopes) in positions.windows(2).zip(velocities.windows(2)) {
            let ends = [f64::from(pair[0]), f64::from(pair[1])];
            for share in 0..=50 {
                let (position, velocity) = cubic(ends, [slopes[0], slopes[1]], f64::from(share) / 50.0);
                let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
                assert!(
                    (low - 1e-6..=high + 1e-6).contains(&position),
                    "{position} of {positions:?}"
                );
                assert!(
                    velocity.abs() <= LIMIT * 1.003,
                    "{velocity} of {positions:?}, {velocities:?}"
                );
            }
        }
    }

    #[test]
    fn a_steady_motion_has_its_own_velocity_and_ends_with_none() {
        let velocities = velocities(&[0.0, 0.02, 0.04, 0.06, 0.06]).unwrap();
        for (velocity, expected) in velocities.iter().zip([1.0, 1.0, 1.0, 0.0, 0.0]) {
            assert!((velocity - expected).abs() < 1e-5, "{velocities:?}");
        }
    }

    #[test]
    fn slopes_are_those_of_pchip_where_no_limit_is_near() {
        // scipy.interpolate.PchipInterpolator(times, positions).derivative()(times) of these, but for the two ends.
        let positions = [0.0, 0.001, 0.004, 0.005, 0.002, 0.001, 0.001];
        let expected = [0.0, 0.075, 0.075, 0.0, -0.075, 0.0, 0.0];
        let velocities = velocities(&positions).unwrap();
        for (index, expected) in expected.iter().enumerate().skip(1) {
            assert!((velocities[index] - expected).abs() < 1e-5, "{velocities:?}");
        }
        assert_within_bounds(&positions, &velocities);
    }

    #[test]
    fn at_the_velocity_limit_the_slopes_keep_the_cubics_within_it() {
        // Two steps at the limit, from and to less than half of it.
        let positions = [0.0, 0.025, 0.085, 0.145, 0.17, 0.18, 0.18];
        let velocities = velocities(&positions).unwrap();
        assert_within_bounds(&positions, &velocities);
        assert!((velocities[2] - LIMIT).abs() < 1e-3, "{velocities:?}");
    }

    #[test]
    fn where_a_fast_joint_stops_or_turns_at_once_there_are_no_velocities() {
        assert_eq!(velocities(&[0.0, 0.06, 0.06]), None);
        assert_eq!(velocities(&[0.0, 0.06, 0.0, 0.0]), None);
        assert!(velocities(&[0.0, 0.04, 0.04]).is_some());
    }

    #[test]
    fn motions_within_the_limit_stay_within_it_or_get_no_velocities() {
        let mut random = 1_u32;
        let mut with = 0;
        for _ in 0..2000 {
            let mut positions = vec![0.0_f32];
            for _ in 0..8 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let velocity = (f64::from(random) / f64::from(u32::MAX) * 2.0 - 1.0) * LIMIT;
                positions.push(positions[positions.len() - 1] + (0.5 * (velocity + 1.0) * STEP_S) as f32);
            }
            positions.push(positions[positions.len() - 1]);
            if let Some(velocities) = velocities(&positions) {
                with += 1;
                assert_within_bounds(&positions, &velocities);
            }
        }
        assert!(with > 200, "{with}");
    }
}
