//! What a joint may do.

/// Limits of one joint, in its unit; infinite where it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointLimits {
    pub lower: f64,
    pub upper: f64,
    /// Per second.
    pub velocity: f64,
    /// Per second, per second.
    pub acceleration: f64,
}

impl JointLimits {
    pub const NONE: Self = Self {
        lower: f64::NEG_INFINITY,
        upper: f64::INFINITY,
        velocity: f64::INFINITY,
        acceleration: f64::INFINITY,
    };

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        Self {
            lower: self.lower.max(other.lower),
            upper: self.upper.min(other.upper),
            velocity: self.velocity.min(other.velocity),
            acceleration: self.acceleration.min(other.acceleration),
        }
    }
}
