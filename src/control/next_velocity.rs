//! The velocity of the next step: towards what is wanted, within velocity and acceleration limits, and never faster than what
//! can stop before a position limit.

use super::JointLimits;
use crate::pose::length;

/// The velocity for the next step (of `step_s` seconds), in which the wanted position moves by `lead`; the joint is
/// behind it by `lag` now.
pub(super) fn next_velocity(
    limits: &JointLimits,
    step_s: f64,
    position: f64,
    velocity: f64,
    lag: f64,
    lead: f64,
) -> f64 {
    let change = limits.acceleration * step_s;
    let catch_up = lag.signum() * braking_velocity(limits.acceleration, step_s, lag.abs());
    let wanted = lead / step_s + if lag == 0.0 { 0.0 } else { catch_up };
    let up = braking_velocity(limits.acceleration, step_s, limits.upper - position);
    let down = braking_velocity(limits.acceleration, step_s, position - limits.lower);
    let kept = wanted.max(-down).min(up);
    let kept = kept.max(-limits.velocity).min(limits.velocity);
    kept.max(velocity - change).min(velocity + change)
}

/// The largest velocity from which a joint stops within `distance`, slowing down at every step as much as it may.
///
/// Slowing down from v takes v·h + (v − a·h)·h + … ≤ (v + a·h/2)² / 2a. Where that leaves nothing, one step does.
fn braking_velocity(acceleration: f64, step_s: f64, distance: f64) -> f64 {
    let distance = distance.max(0.0);
    if distance.is_infinite() {
        return f64::INFINITY;
    }
    let in_one_step = distance / step_s;
    if acceleration.is_infinite() {
        return in_one_step;
    }
    let change = acceleration * step_s;
    let in_many = (2.0 * acceleration * distance).sqrt() - change / 2.0;
    in_many.max(in_one_step.min(change))
}

/// The velocity for the next step in three dimensions, whose limits of velocity and acceleration are those of the first axis and
/// hold for the vector's length. An axis beyond its position limits has a velocity limit of its own. Otherwise as
/// [`next_velocity`].
pub(super) fn next_velocity_vector(
    limits: &[JointLimits; 3],
    speed: f64,
    step_s: f64,
    position: [f64; 3],
    velocity: [f64; 3],
    lag: [f64; 3],
    lead: [f64; 3],
) -> [f64; 3] {
    let acceleration = limits[0].acceleration;
    let distance = length(lag);
    let catch_up = match distance > 0.0 {
        true => braking_velocity(acceleration, step_s, distance) / distance,
        false => 0.0,
    };
    let wanted: [f64; 3] = std::array::from_fn(|axis| lead[axis] / step_s + catch_up * lag[axis]);
    let wanted = no_longer_than(wanted, speed);
    // All three axes may have to stop at once, and share the acceleration then.
    let share = acceleration / 3.0_f64.sqrt();
    let within = |axis: usize, velocity: f64| {
        let limits = &limits[axis];
        let up = braking_velocity(share, step_s, limits.upper - position[axis]);
        let down = braking_velocity(share, step_s, position[axis] - limits.lower);
        velocity
            .max(-down.min(limits.velocity))
            .min(up.min(limits.velocity))
    };
    let wanted: [f64; 3] = std::array::from_fn(|axis| within(axis, wanted[axis]));
    let change = acceleration * step_s;
    if length(minus(wanted, velocity)) <= change {
        return wanted;
    }
    // What brings each axis back to what it can stop from comes first, and what is wanted gets the rest of the acceleration.
    let needed: [f64; 3] = std::array::from_fn(|axis| {
        let needed = within(axis, velocity[axis]) - velocity[axis];
        needed.max(-share * step_s).min(share * step_s)
    });
    let kept: [f64; 3] = std::array::from_fn(|axis| velocity[axis] + needed[axis]);
    let rest = minus(wanted, kept);
    let most = share_of(needed, rest, change);
    std::array::from_fn(|axis| kept[axis] + most * rest[axis])
}

/// How much of `rest` (0 to 1) can be added to `needed`, which is no longer than `longest`, so that the sum is not either.
fn share_of(needed: [f64; 3], rest: [f64; 3], longest: f64) -> f64 {
    let square = |one: [f64; 3], other: [f64; 3]| -> f64 { one.iter().zip(other).map(|(a, b)| a * b).sum() };
    let (a, b) = (square(rest, rest), square(needed, rest));
    let c = (square(needed, needed) - longest * longest).min(0.0);
    match a > 0.0 {
        true => (((b * b - a * c).sqrt() - b) / a).clamp(0.0, 1.0),
        false => 1.0,
    }
}

/// A vector in the same direction, of this length at most.
pub(super) fn no_longer_than(vector: [f64; 3], longest: f64) -> [f64; 3] {
    let length = length(vector);
    match length > longest {
        true => vector.map(|value| value * longest / length),
        false => vector,
    }
}

fn minus(one: [f64; 3], other: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| one[axis] - other[axis])
}
