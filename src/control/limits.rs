//! What a joint may do.

/// A position that is beyond a limit by no more than this, in the joint's unit, is at the limit: positions are rounded.
const ROUNDING: f64 = 1e-4;

/// Limits of one joint, in its unit; infinite where it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointLimits {
    /// Lowest position.
    pub lower: f64,
    /// Highest position.
    pub upper: f64,
    /// Per second.
    pub velocity: f64,
    /// Per second, per second.
    pub acceleration: f64,
}

impl JointLimits {
    /// No limit at all.
    pub const NONE: Self = Self {
        lower: f64::NEG_INFINITY,
        upper: f64::INFINITY,
        velocity: f64::INFINITY,
        acceleration: f64::INFINITY,
    };

    /// What both allow. A limit that is NaN in either stays NaN, for it must not be lost.
    pub fn and(self, other: Self) -> Self {
        let of_both = |one: f64, other: f64, tighter: fn(f64, f64) -> f64| {
            if one.is_nan() || other.is_nan() {
                f64::NAN
            } else {
                tighter(one, other)
            }
        };
        Self {
            lower: of_both(self.lower, other.lower, f64::max),
            upper: of_both(self.upper, other.upper, f64::min),
            velocity: of_both(self.velocity, other.velocity, f64::min),
            acceleration: of_both(self.acceleration, other.acceleration, f64::min),
        }
    }

    /// What makes it impossible to move within these limits; none where a joint can.
    pub fn problem(&self) -> Option<String> {
        let Self {
            lower,
            upper,
            velocity,
            acceleration,
        } = *self;
        if lower.is_nan() || upper.is_nan() || lower >= upper {
            return Some(format!("positions from {lower} to {upper}"));
        }
        let rates = [("a velocity", velocity), ("an acceleration", acceleration)];
        let impossible = rates
            .into_iter()
            .find(|(_, limit)| limit.is_nan() || *limit <= 0.0);
        impossible.map(|(what, limit)| format!("{what} of at most {limit}"))
    }

    /// Whether a position is beyond these limits by more than `tolerance`.
    pub fn exclude(&self, position: f64, tolerance: f64) -> bool {
        position < self.lower - tolerance || position > self.upper + tolerance
    }

    /// The limits of a joint at `position`: beyond its position limits it is as slow as the `return_velocity`.
    pub(super) fn around(&self, position: f64, return_velocity: f64) -> Self {
        let velocity = if self.exclude(position, ROUNDING) {
            self.velocity.min(return_velocity)
        } else {
            self.velocity
        };
        Self {
            velocity,
            ..self.reaching(position)
        }
    }

    pub(super) fn clamp(&self, position: f64) -> f64 {
        position.max(self.lower).min(self.upper)
    }

    /// Limits widened to include `position`.
    pub(super) fn reaching(&self, position: f64) -> Self {
        Self {
            lower: self.lower.min(position),
            upper: self.upper.max(position),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_limit_counts_and_a_nan_is_not_lost() {
        let one = JointLimits {
            lower: -1.0,
            velocity: 2.0,
            ..JointLimits::NONE
        };
        let other = JointLimits {
            lower: -2.0,
            upper: 1.0,
            ..JointLimits::NONE
        };
        let both = JointLimits { upper: 1.0, ..one };
        assert_eq!(one.and(other), both);
        assert_eq!(other.and(one), both);
        let unknown = JointLimits {
            velocity: f64::NAN,
            ..JointLimits::NONE
        };
        assert!(one.and(unknown).velocity.is_nan() && unknown.and(one).velocity.is_nan());
    }

    #[test]
    fn limits_that_leave_a_joint_no_room_are_a_problem() {
        assert_eq!(JointLimits::NONE.problem(), None);
        let with = |lower, upper, velocity| JointLimits {
            lower,
            upper,
            velocity,
            ..JointLimits::NONE
        };
        for (limits, expected) in [
            (with(0.0, 0.0, 1.0), "positions from 0 to 0"),
            (with(1.0, -1.0, 1.0), "positions from 1 to -1"),
            (with(f64::NAN, 1.0, 1.0), "positions from NaN to 1"),
            (with(-1.0, 1.0, 0.0), "a velocity of at most 0"),
            (with(-1.0, 1.0, f64::NAN), "a velocity of at most NaN"),
        ] {
            assert_eq!(limits.problem().as_deref(), Some(expected));
        }
    }
}
