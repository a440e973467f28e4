//! Velocities that follow a motion, for controllers of velocities.

use std::time::Duration;

use super::axis_layout::read_difference;
use super::next_velocity::no_longer_than;
use super::{JointLimits, Plan};
use crate::pose::Pose;

/// How a velocity follows a pose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwistSettings {
    /// How fast it brings the pose to where it should be: the share a second.
    pub gain: f64,
    /// Whether it is along and about the axes of the tool, as measured, and not those of the frame that the pose is in.
    pub is_in_tool_frame: bool,
}

/// The velocity of every pose of a plan, in the layout of a [velocity](super::AxisLayout), and 0 for joints.
///
/// It is that of the plan within the next `step`, and brings the pose from where it is `measured` to where it should be, as its
/// `settings` say (one for each pose), within the velocity `limits`. A robot that is to stand still has none, wherever it is.
pub(super) fn twists(
    plan: &Plan,
    now: Duration,
    step: Duration,
    measured: Option<&[f32]>,
    settings: &[TwistSettings],
    limits: Option<&[JointLimits]>,
) -> Vec<f32> {
    let present = plan.positions(now);
    let mut velocities = vec![0.0; present.len()];
    // Most robots have no pose.
    if settings.is_empty() || plan.rests_from(now) {
        return velocities;
    }
    let layout = plan.layout();
    let way = layout.difference(&plan.positions(now + step), &present);
    let behind = measured.map(|measured| layout.difference(&present, measured));
    for (pose, settings) in layout.poses().zip(settings) {
        let [linear_limit, angular_limit] = [pose.start, pose.start + 3]
            .map(|value| limits.map_or(f64::INFINITY, |limits| limits[value].velocity));
        let ahead = read_difference(&way[pose.clone()]);
        let behind = behind
            .as_ref()
            .map(|behind| read_difference(&behind[pose.clone()]));
        let velocity = |part: usize, limit: f64| {
            let velocity = std::array::from_fn(|axis| {
                let to_plan = behind.map_or(0.0, |behind| settings.gain * behind[part][axis]);
                ahead[part][axis] / step.as_secs_f64() + to_plan
            });
            no_longer_than(velocity, limit)
        };
        let mut both = [velocity(0, linear_limit), velocity(1, angular_limit)];
        if settings.is_in_tool_frame {
            let tool = Pose::from_values(&measured.unwrap_or(&present)[pose.clone()]);
            both = both.map(|velocity| tool.rotation.inverse().rotate(velocity));
        }
        for (value, velocity) in velocities[pose].iter_mut().zip(both.as_flattened()) {
            *value = *velocity as f32;
        }
    }
    velocities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::AxisLayout;
    use crate::pose::Rotation;

    const STEP: Duration = Duration::from_millis(20);

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn pose(x: f64, about_z: f64) -> Vec<f32> {
        let pose = Pose {
            position: [x, 0.0, 0.0],
            rotation: Rotation::from_vector([0.0, 0.0, about_z]),
        };
        pose.values().map(|value| value as f32).to_vec()
    }

    /// Along x at 0.1 m/s and about z at 0.5 rad/s, for a second.
    fn plan() -> Plan {
        let waypoints = vec![(ms(1000), pose(0.0, 0.0)), (ms(2000), pose(0.1, 0.5))];
        Plan::of(AxisLayout::with_poses([0]), waypoints)
    }

    fn assert_twist(found: &[f32], x: f32, about_z: f32) {
        let expected = [x, 0.0, 0.0, 0.0, 0.0, about_z, 0.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{found:?} of {expected}");
        }
    }

    const IN_BASE: TwistSettings = TwistSettings {
        gain: 2.0,
        is_in_tool_frame: false,
    };

    #[test]
    fn a_velocity_in_the_tool_s_frame_is_what_the_tool_has_to_do_where_it_is() {
        let in_tool = [TwistSettings {
            is_in_tool_frame: true,
            ..IN_BASE
        }];
        let half_turn = std::f64::consts::PI;
        let on_the_way = pose(0.05, 0.25);
        let of = |measured: &[f32]| twists(&plan(), ms(1500), STEP, Some(measured), &in_tool, None);
        let [x, y, ..] = of(&on_the_way)[..] else {
            panic!("no velocity")
        };
        assert!((x - 0.1 * 0.25_f32.cos()).abs() < 1e-3 && (y + 0.1 * 0.25_f32.sin()).abs() < 1e-3);
        // Turned the other way round, it would have to go backwards.
        let backwards = twists(
            &plan(),
            ms(1500),
            STEP,
            Some(&pose(0.05, half_turn)),
            &[TwistSettings {
                gain: 0.0,
                ..in_tool[0]
            }],
            None,
        );
        assert_twist(&backwards, -0.1, 0.5);
    }

    #[test]
    fn a_velocity_is_the_plan_s_and_brings_the_pose_to_it() {
        let of = |measured: Option<&[f32]>| twists(&plan(), ms(1500), STEP, measured, &[IN_BASE], None);
        assert_twist(&of(None), 0.1, 0.5);
        assert_twist(&of(Some(&pose(0.05, 0.25))), 0.1, 0.5);
        assert_twist(&of(Some(&pose(0.03, 0.35))), 0.14, 0.3);
    }

    #[test]
    fn a_robot_that_is_to_stand_still_has_no_velocity_wherever_it_is() {
        let of = |now| twists(&plan(), now, STEP, Some(&pose(0.5, 1.0)), &[IN_BASE], None);
        assert_eq!(of(ms(2000)), [0.0; 7]);
        assert_eq!(of(ms(2500)), [0.0; 7]);
    }

    #[test]
    fn a_velocity_keeps_its_limit() {
        let mut limits = [JointLimits::NONE; 7];
        limits[0].velocity = 0.2;
        limits[3].velocity = 0.4;
        let far = pose(-1.0, -1.0);
        let twist = twists(&plan(), ms(1500), STEP, Some(&far), &[IN_BASE], Some(&limits));
        assert_twist(&twist, 0.2, 0.4);
    }
}
