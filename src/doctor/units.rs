//! Units of joints, told from their numbers: the robot's positions beside the ranges in which a policy's data lie.

use std::f64::consts::PI;

/// Largest angle in radians that a joint reaches: somewhat more than one turn.
const LARGEST_RADIANS: f64 = 8.0;
/// Largest value of LeRobot's ranges of −100 to 100, with what calibration leaves over.
const LARGEST_PERCENT: f64 = 105.0;
/// Largest angle in degrees that a joint reaches.
const LARGEST_DEGREES: f64 = LARGEST_RADIANS * 180.0 / PI;
/// Share of a range by which a value may lie outside of it and still be of the data's kind.
const MARGIN: f64 = 0.5;
/// Width of a range in radians below which it says nothing: a joint that stood still in the data.
const LEAST_WIDTH: f64 = 0.4;
/// Words in the names of joints of grippers.
const GRIPPER_WORDS: [&str; 6] = ["grip", "finger", "knuckle", "jaw", "claw", "hand_"];

/// Unit of rotating joints, from that of the smallest numbers up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Radians.
    Radians,
    /// Degrees, or LeRobot's ranges of −100 to 100: the numbers are both.
    DegreesOrPercent,
    /// Degrees.
    Degrees,
    /// Larger than any angle: motor ticks, say.
    Larger,
}

impl Unit {
    /// Unit of values, none of which is further from 0 than `largest`.
    pub fn of(largest: f64) -> Self {
        match largest {
            largest if largest <= LARGEST_RADIANS => Self::Radians,
            largest if largest <= LARGEST_PERCENT => Self::DegreesOrPercent,
            largest if largest <= LARGEST_DEGREES => Self::Degrees,
            _ => Self::Larger,
        }
    }

    /// The unit in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Radians => "radians",
            Self::Degrees => "degrees",
            Self::DegreesOrPercent => "degrees or −100 to 100",
            Self::Larger => "no angles (motor ticks?)",
        }
    }

    /// Whether values of this unit are larger than those of `other`: percent and degrees are alike.
    pub fn is_larger_than(self, other: Self) -> bool {
        let both_may_be_degrees = other >= Self::DegreesOrPercent && self <= Self::Degrees;
        self > other && !both_may_be_degrees
    }

    /// The policy's units in one of the robot's; `None` where the numbers do not tell.
    pub fn scale_to(self, policy: Self) -> Option<f64> {
        match (self, policy) {
            (Self::Radians, Self::Degrees) => Some(180.0 / PI),
            (Self::Degrees, Self::Radians) => Some(PI / 180.0),
            (Self::Larger, _) | (_, Self::Larger) => None,
            (robot, policy) if robot == policy => Some(1.0),
            // One of the two has values that only degrees have; the other is in the same unit as far as is seen.
            (Self::Degrees, Self::DegreesOrPercent) | (Self::DegreesOrPercent, Self::Degrees) => Some(1.0),
            _ => None,
        }
    }
}

/// Whether a joint is a gripper's, by its name.
pub fn is_gripper(joint: &str) -> bool {
    let joint = joint.to_lowercase();
    GRIPPER_WORDS.iter().any(|word| joint.contains(word))
}

/// How far a value lies outside of a range, in widths of the range; 0 within. `unit`: that of the range.
pub fn distance(value: f64, range: [f64; 2], unit: Unit) -> f64 {
    let [low, high] = range;
    let least = match unit {
        Unit::Radians => LEAST_WIDTH,
        _ => LEAST_WIDTH * 180.0 / PI,
    };
    (low - value).max(value - high).max(0.0) / (high - low).max(least)
}

/// Whether a value lies where the data do.
pub fn fits(value: f64, range: [f64; 2], unit: Unit) -> bool {
    distance(value, range, unit) <= MARGIN
}

/// Whether a gripper's position lies where the data do, in whatever unit these are.
pub fn fits_gripper(value: f64, [low, high]: [f64; 2]) -> bool {
    let margin = MARGIN * (high - low);
    (low - margin..=high + margin).contains(&value)
}

/// Largest distance from 0 of ranges' ends; 0 without ranges.
pub fn largest<'a>(ranges: impl Iterator<Item = &'a [f64; 2]>) -> f64 {
    ranges
        .flatten()
        .fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_known_only_where_the_numbers_leave_no_other() {
        use Unit::{Degrees, DegreesOrPercent, Larger, Radians};
        for (robot, policy, expected) in [
            (3.1, 2.0, Some(1.0)),
            (3.1, 170.0, Some(180.0 / PI)),
            (120.0, 2.0, Some(PI / 180.0)),
            (3.1, 90.0, None),
            (90.0, 2.0, None),
            (90.0, 95.0, Some(1.0)),
            (90.0, 150.0, Some(1.0)),
            (2048.0, 2.0, None),
        ] {
            let scale = Unit::of(robot).scale_to(Unit::of(policy));
            assert_eq!(scale, expected, "{robot} and {policy}");
        }
        let units = [3.1, 90.0, 150.0, 2048.0].map(Unit::of);
        assert_eq!(units, [Radians, DegreesOrPercent, Degrees, Larger]);
        assert!(DegreesOrPercent.is_larger_than(Radians) && Larger.is_larger_than(Degrees));
        assert!(!Degrees.is_larger_than(DegreesOrPercent) && !Radians.is_larger_than(Radians));
    }

    #[test]
    fn a_value_is_measured_in_widths_of_the_range_and_a_narrow_range_has_a_width() {
        assert_eq!(distance(0.5, [0.0, 1.0], Unit::Radians), 0.0);
        assert_eq!(distance(3.0, [0.0, 1.0], Unit::Radians), 2.0);
        assert!(fits(0.15, [0.0, 0.0], Unit::Radians) && !fits(0.5, [0.0, 0.0], Unit::Radians));
        assert!(fits(8.0, [0.0, 0.0], Unit::Degrees));
    }

    #[test]
    fn grippers_are_known_by_their_names() {
        for joint in [
            "left_gripper",
            "robotiq_85_left_knuckle_joint",
            "fr3_finger_joint1",
            "panda_hand_joint",
        ] {
            assert!(is_gripper(joint), "{joint}");
        }
        for joint in ["wrist_roll", "elbow_joint", "joint1"] {
            assert!(!is_gripper(joint), "{joint}");
        }
    }
}
