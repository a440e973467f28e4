//! What the values of an action are relative to.

/// Position that a value of an action is relative to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionMode {
    /// 0: the value is the joint's position.
    #[default]
    Absolute,
    /// The joint's observed position.
    Relative,
    /// The action before; for the first action, the joint's observed position.
    Increment,
    /// Where the actions before lead: a velocity, which moves the joint from the action's own time to that of the next one. The first
    /// action is at the joint's observed position.
    Velocity,
}

impl ActionMode {
    /// Position that a value is relative to, in the policy's units. `previous`: position of the action
    /// before.
    pub(super) fn origin(self, observed: f64, previous: f64) -> f64 {
        match self {
            Self::Absolute => 0.0,
            Self::Relative => observed,
            Self::Increment | Self::Velocity => previous,
        }
    }

    /// Where the robot is to be at the time of an action that leads from `before` to `after`.
    pub(super) fn at_its_time<T>(self, before: T, after: T) -> T {
        match self {
            Self::Velocity => before,
            Self::Absolute | Self::Relative | Self::Increment => after,
        }
    }
}
