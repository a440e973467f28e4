//! Hold reasons from positions: limits, the edge of a workspace, and following errors.

use super::axes::DistanceKind;
use super::{Axes, ControlSettings, Hold, HoldReason, JointLimits, SafetyInputs};

/// An axis that is beyond a limit by no more than this, in its unit, is not outside: sensors are noisy.
const NOISE: f64 = 1e-3;

/// The hold for limits of `axes` that cannot be kept. `known`: the measured and the commanded positions, as far as they are
/// known.
pub(super) fn limits_hold<'a>(
    axes: &Axes,
    mut known: impl Iterator<Item = &'a [f32]>,
    safety_inputs: &SafetyInputs,
    settings: &ControlSettings,
) -> Option<Hold> {
    if let Some(problem) = &safety_inputs.limits_problem {
        return Some(Hold::new(HoldReason::InvalidLimits, problem.clone()));
    }
    let limits = settings.limits.as_deref()?;
    let invalid = limits.iter().enumerate().find_map(|(index, limits)| {
        let axis = axes.value(index);
        let detail = format!(
            "the limits of {axis} leave it no room to move: {}; correct them where they come from, the joint's \
             parameters or the robot's description",
            limits.problem()?
        );
        Some(Hold::new(HoldReason::InvalidLimits, detail))
    });
    if invalid.is_some() || settings.limit_return_velocity > 0.0 {
        return invalid;
    }
    known.find_map(|positions| {
        let mut known = positions.iter().zip(limits).enumerate();
        let outside = known.find(|(_, (position, limits))| limits.exclude(f64::from(**position), NOISE));
        let (index, (position, JointLimits { lower, upper, .. })) = outside?;
        let axis = axes.value(index);
        let detail = format!(
            "{axis} is at {position}, outside of its limits {lower} to {upper}, and limit_return_velocity is 0; move \
             it back by hand, then ~/reset"
        );
        Some(Hold::new(HoldReason::OutsideLimits, detail))
    })
}

/// The hold for a pose that is wanted beyond its workspace, while it is `published` at the edge. A pose that is outside may come
/// back.
pub(super) fn workspace_hold(
    axes: &Axes,
    wanted: &[f32],
    published: &[f32],
    limits: &[JointLimits],
) -> Option<Hold> {
    let mut values = axes.layout().poses().flat_map(|pose| pose.take(3));
    let beyond = values.find(|&value| {
        let limits = limits[value].reaching(published[value].into());
        limits.exclude(wanted[value].into(), NOISE)
    })?;
    let JointLimits { lower, upper, .. } = limits[beyond];
    let detail = format!(
        "{} is wanted at {}, beyond its workspace ({lower} to {upper}); the next chunk that leads back into it moves the robot",
        axes.value(beyond),
        wanted[beyond]
    );
    Some(Hold::new(HoldReason::WorkspaceEdge, detail))
}

/// The hold for the first of `axes` that is `measured` further from its command (`commanded`) than its `longest` error.
pub(super) fn following_error(
    axes: &Axes,
    commanded: &[f32],
    measured: &[f32],
    longest: &[f32],
) -> Option<Hold> {
    let distances = axes.layout().distances(commanded, measured).into_iter();
    let mut distances =
        distances.filter_map(|(index, distance)| Some((index, distance, *longest.get(index)?)));
    let (index, distance, longest) = distances.find(|(_, distance, longest)| distance > longest)?;
    let of = axes.distance(index);
    let parameter = of.kind.max_following();
    let apart = match of.kind {
        DistanceKind::Joint => format!(
            "{} is at {} and was commanded to be at {}, further apart than {parameter} ({longest})",
            of.of, measured[index], commanded[index]
        ),
        DistanceKind::Position | DistanceKind::Rotation => format!(
            "{} is {distance}{} from where it was commanded to be, further than {parameter} ({longest})",
            of.of, of.unit
        ),
    };
    let detail = format!(
        "{apart}; does its controller run, and is nothing in its way? ~/reset begins anew from where the robot is"
    );
    Some(Hold::new(HoldReason::FollowingError, detail))
}
