//! The parameters of control: blending, limits, when the robot is held.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::read::{double, doubles, nonzero, one_for_each, one_for_each_or_none, period, problem, text};
use super::{ParameterProblem, Values};
use crate::control::{Blending, BlendingStrategy, ControlSettings, JointLimits, SupervisionSettings};

/// Limits that are for each joint or for none.
const LIMITS: [&str; 3] = [
    "joint_position_min",
    "joint_position_max",
    "joint_acceleration_max",
];
/// What is for all joints alike, or for each.
const FOR_ALL_OR_EACH: [&str; 3] = ["joint_velocity_max", "max_start_jump", "max_following_error"];
/// A velocity limit that is none.
const NO_VELOCITY_LIMIT: f64 = 1e6;

/// Every parameter of control that does not fit another one, or the number of joints that are `commanded`.
pub fn problems(values: &Values, commanded: usize) -> Vec<ParameterProblem> {
    let what = "joints that get a value of the actions";
    let mut problems = Vec::new();
    for name in LIMITS {
        if doubles(values, name).iter().any(|limit| !limit.is_finite()) {
            problems.push(problem(values, name, "finite numbers"));
        } else {
            problems.extend(one_for_each_or_none(values, name, commanded, what));
        }
    }
    let of_joints = FOR_ALL_OR_EACH.into_iter();
    for name in of_joints.filter(|name| doubles(values, name).len() != 1) {
        problems.extend(one_for_each(values, name, commanded, what));
    }
    let [lower, upper] = [LIMITS[0], LIMITS[1]].map(|name| doubles(values, name));
    if lower.iter().zip(&upper).any(|(lower, upper)| lower >= upper) {
        let expected = "lower positions than joint_position_max";
        problems.push(problem(values, LIMITS[0], expected));
    }
    problems
}

/// How a fresh chunk takes over.
pub fn blending(values: &Values) -> Blending {
    Blending {
        strategy: match text(values, "chunk_overlap").as_str() {
            "blend" => BlendingStrategy::Blend,
            "ensemble" => BlendingStrategy::Ensemble,
            "inpaint" => BlendingStrategy::Inpaint,
            _ => BlendingStrategy::Replace,
        },
        blend_duration: Duration::from_secs_f64(double(values, "align_fade_s")),
        ensemble_coefficient: double(values, "ensemble_coefficient"),
    }
}

/// How the `commanded` joints are moved.
pub fn settings(values: &Values, commanded: usize) -> ControlSettings {
    ControlSettings {
        publish_horizon: nonzero(values, "publish_horizon").unwrap_or(NonZeroUsize::MIN),
        look_ahead: Duration::from_secs_f64(double(values, "look_ahead_s")),
        step: period(values, "control_rate_hz").min(period(values, "action_rate_hz")),
        limits: joint_limits(values, commanded),
        limit_return_velocity: double(values, "limit_return_velocity"),
        max_start_jump: distances(values, "max_start_jump", commanded),
        max_following_error: distances(values, "max_following_error", commanded),
        stop_duration: Duration::from_secs_f64(double(values, "stop_time_s")),
        supervision: SupervisionSettings {
            max_age: Duration::from_secs_f64(double(values, "max_age_ms") / 1e3),
            max_run_time: Some(double(values, "max_run_time_s"))
                .filter(|seconds| *seconds > 0.0)
                .map(Duration::from_secs_f64),
        },
    }
}

/// One value for each of `joints`, of a parameter that may have one for all of them.
fn for_each_joint(values: &Values, name: &str, joints: usize) -> Vec<f64> {
    match doubles(values, name)[..] {
        [of_every_joint] => vec![of_every_joint; joints],
        ref of_joints => of_joints.to_vec(),
    }
}

fn distances(values: &Values, name: &str, joints: usize) -> Arc<[f32]> {
    let distances = for_each_joint(values, name, joints).into_iter();
    distances.map(|distance| distance as f32).collect()
}

/// The limits of each joint; none when no joint has any.
fn joint_limits(values: &Values, joints: usize) -> Option<Arc<[JointLimits]>> {
    let [lower, upper, acceleration] = LIMITS.map(|name| doubles(values, name));
    let velocity = for_each_joint(values, "joint_velocity_max", joints);
    let limit = |limits: &[f64], joint: usize, none: f64| limits.get(joint).copied().unwrap_or(none);
    let of_joint = |joint| JointLimits {
        lower: limit(&lower, joint, JointLimits::NONE.lower),
        upper: limit(&upper, joint, JointLimits::NONE.upper),
        velocity: match velocity[joint] {
            NO_VELOCITY_LIMIT => JointLimits::NONE.velocity,
            velocity => velocity,
        },
        acceleration: limit(&acceleration, joint, JointLimits::NONE.acceleration),
    };
    let limits: Arc<[JointLimits]> = (0..joints).map(of_joint).collect();
    limits
        .iter()
        .any(|limits| *limits != JointLimits::NONE)
        .then_some(limits)
}

#[cfg(test)]
mod tests {
    use super::super::overrides::{doubles, names, problems, settings};
    use super::super::{ParameterValue, Parameters};

    #[test]
    fn limits_are_for_every_joint_or_none_and_leave_room() {
        let limits = |limits: &[f64]| ParameterValue::DoubleArray(limits.to_vec());
        let joints = ("joint_names", names("waist elbow"));
        for (name, bad) in [
            ("joint_position_min", &[0.5][..]),
            ("joint_position_max", &[1.0, f64::INFINITY]),
            ("joint_velocity_max", &[1.0, 0.0]),
            ("joint_velocity_max", &[]),
            ("joint_acceleration_max", &[1.0, 2.0, 3.0]),
            ("max_following_error", &[]),
            ("max_following_error", &[1.0, f64::NAN]),
            ("max_start_jump", &[1.0, 2.0, 3.0]),
            ("max_start_jump", &[0.0]),
            ("max_start_jump", &[]),
        ] {
            assert_eq!(problems(&[joints.clone(), (name, limits(bad))]), [name]);
        }
        let crossed = [
            joints,
            ("joint_position_min", limits(&[0.0, 1.0])),
            ("joint_position_max", limits(&[1.0, 1.0])),
        ];
        assert_eq!(problems(&crossed), ["joint_position_min"]);
    }

    #[test]
    fn a_start_jump_is_for_all_joints_or_for_each() {
        let joints = ("joint_names", names("waist elbow"));
        let checkpoint = ("checkpoint", ParameterValue::String("/checkpoint".to_owned()));
        for (given, expected) in [(&[0.3][..], &[0.3, 0.3][..]), (&[0.3, 9.0], &[0.3, 9.0])] {
            let jump = ("max_start_jump", ParameterValue::DoubleArray(given.to_vec()));
            let overrides = [checkpoint.clone(), joints.clone(), jump];
            let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
            let parameters = Parameters::from_overrides(overrides.into_iter()).unwrap();
            assert_eq!(*parameters.settings().runtime.control.max_start_jump, *expected);
        }
    }

    #[test]
    fn every_joint_has_a_highest_velocity_unless_somebody_takes_it_away() {
        let velocities = |given: &[(&str, ParameterValue)]| {
            let limits = settings(given).runtime.control.limits;
            limits.map(|limits| limits.iter().map(|limits| limits.velocity).collect::<Vec<_>>())
        };
        assert_eq!(velocities(&[]), Some(vec![3.0; 14]));
        let joints = ("joint_names", names("waist elbow"));
        let for_all = ("joint_velocity_max", doubles(&[0.5]));
        assert_eq!(velocities(&[joints.clone(), for_all]), Some(vec![0.5, 0.5]));
        let of_one = ("joint_velocity_max", doubles(&[0.5, 1e6]));
        assert_eq!(
            velocities(&[joints.clone(), of_one]),
            Some(vec![0.5, f64::INFINITY])
        );
        assert_eq!(
            velocities(&[joints, ("joint_velocity_max", doubles(&[1e6]))]),
            None
        );
    }

    #[test]
    fn limits_are_for_the_joints_that_are_told_to_move_in_the_order_of_the_actions() {
        let limits = |limits: &[f64]| ParameterValue::DoubleArray(limits.to_vec());
        let base = [
            ("checkpoint", ParameterValue::String("/checkpoint".to_owned())),
            ("joint_names", names("waist finger elbow")),
            ("action_joints", names("elbow unused waist")),
        ];
        let three = [&base[..], &[("joint_velocity_max", limits(&[1.0, 2.0, 3.0]))]].concat();
        assert_eq!(problems(&three), ["joint_velocity_max"]);
        let two = [&base[..], &[("joint_velocity_max", limits(&[1.0, 2.0]))]].concat();
        let overrides = two.into_iter().map(|(name, value)| (name.to_owned(), value));
        let parameters = Parameters::from_overrides(overrides).unwrap();
        let settings = parameters.settings();
        assert_eq!(settings.commanded_joints(), ["elbow", "waist"]);
        let limits = settings.runtime.control.limits.as_ref().unwrap();
        let velocities: Vec<f64> = limits.iter().map(|limit| limit.velocity).collect();
        assert_eq!(velocities, [1.0, 2.0]);
    }
}
