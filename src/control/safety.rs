//! Hold reasons from joint positions: limits and following errors.

use super::{ControlSettings, Hold, HoldReason, JointLimits, SafetyInputs};

/// A joint that is beyond a limit by no more than this, in its unit, is not outside: sensors are noisy.
const NOISE: f64 = 1e-3;

/// The hold for limits of `joints` that cannot be kept. `known`: the measured and the commanded positions, as far as they are
/// known.
pub(super) fn limits_hold<'a>(
    joints: &[String],
    mut known: impl Iterator<Item = &'a [f32]>,
    safety_inputs: &SafetyInputs,
    settings: &ControlSettings,
) -> Option<Hold> {
    if let Some(problem) = &safety_inputs.limits_problem {
        return Some(Hold::new(HoldReason::InvalidLimits, problem.clone()));
    }
    let limits = settings.limits.as_deref()?;
    let invalid = joints.iter().zip(limits).find_map(|(joint, limits)| {
        let detail = format!(
            "the limits of joint {joint} leave it no room to move: {}; correct them where they come from, the joint's \
             parameters or the robot's description",
            limits.problem()?
        );
        Some(Hold::new(HoldReason::InvalidLimits, detail))
    });
    if invalid.is_some() || settings.limit_return_velocity > 0.0 {
        return invalid;
    }
    known.find_map(|positions| {
        let mut joints = joints.iter().zip(positions).zip(limits);
        let outside = joints.find(|((_, position), limits)| limits.exclude(f64::from(**position), NOISE));
        let ((joint, position), JointLimits { lower, upper, .. }) = outside?;
        let detail = format!(
            "joint {joint} is at {position}, outside of its limits {lower} to {upper}, and limit_return_velocity is 0; move \
             it back by hand, then ~/reset"
        );
        Some(Hold::new(HoldReason::OutsideLimits, detail))
    })
}

/// The hold for the first of `joints` that is `measured` further from its command (`commanded`) than its `longest` error.
pub(super) fn following_error(
    joints: &[String],
    commanded: &[f32],
    measured: &[f32],
    longest: &[f32],
) -> Option<Hold> {
    let mut joints = joints.iter().zip(commanded).zip(measured).zip(longest);
    let apart =
        joints.find(|(((_, commanded), measured), longest)| (**commanded - **measured).abs() > **longest);
    let (((joint, commanded), measured), longest) = apart?;
    let detail = format!(
        "joint {joint} is at {measured} and was commanded to be at {commanded}, further apart than max_following_error ({longest}); \
         does its controller run, and is nothing in its way? ~/reset begins anew from where the robot is"
    );
    Some(Hold::new(HoldReason::FollowingError, detail))
}
