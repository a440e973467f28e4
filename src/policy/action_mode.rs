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
}

impl ActionMode {
    /// Position that a value is relative to, in the policy's units. `previous`: position of the action
    /// before.
    pub(super) fn origin(self, observed: f64, previous: f64) -> f64 {
        match self {
            Self::Absolute => 0.0,
            Self::Relative => observed,
            Self::Increment => previous,
        }
    }
}
