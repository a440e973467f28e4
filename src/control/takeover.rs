//! Takeover: somebody else moves the robot, by the service `~/takeover` or by hand.

use super::{Hold, HoldReason, SafetyInputs};

/// Whether the robot is somebody else's.
#[derive(Debug, Default)]
pub(super) struct TakeoverState {
    by_hand: Option<ByHand>,
    /// Whether the robot was somebody else's at the last tick.
    pub is_active: bool,
}

/// A joint that did not follow its command, from when on the robot is the person's who moves it.
#[derive(Debug)]
struct ByHand {
    detail: String,
    releases_before: u64,
}

impl TakeoverState {
    /// Notes that a joint does not follow its command because somebody moves the robot.
    pub fn moved_by_hand(&mut self, following_error: &Hold, safety_inputs: &SafetyInputs) {
        self.by_hand = Some(ByHand {
            detail: following_error.detail.clone(),
            releases_before: safety_inputs.takeover.releases,
        });
    }

    /// The hold while the robot is somebody else's. A robot that was moved by hand is theirs until the next release.
    pub fn hold(&mut self, safety_inputs: &SafetyInputs) -> Option<Hold> {
        let takeover = safety_inputs.takeover;
        self.by_hand
            .take_if(|by_hand| by_hand.releases_before != takeover.releases);
        self.is_active = self.by_hand.is_some() || takeover.is_requested;
        let detail = match &self.by_hand {
            Some(ByHand { detail, .. }) => {
                format!("the robot is moved by hand: {detail}; ~/takeover with false gives it back")
            }
            None if takeover.is_requested => {
                "the service ~/takeover gave the robot to somebody else; ~/takeover with false gives it back"
                    .to_owned()
            }
            None => return None,
        };
        Some(Hold::new(HoldReason::Takeover, detail))
    }
}
