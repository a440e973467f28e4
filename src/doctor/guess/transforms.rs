//! The conversion of each joint's position to the policy's units.

use crate::control::{JointLimits, joint_limits};
use crate::doctor::needs::Needs;
use crate::doctor::positions::{Seen, positions};
use crate::doctor::setup::Choice;
use crate::doctor::sightings::Sightings;
use crate::doctor::units::{Unit, distance, fits, fits_gripper, is_gripper, largest};
use crate::observation::JointStatesTopic;
use crate::policy::UnitTransform;

/// Widths of the data's range beyond which a joint in other units than the data is not believed to be in them.
const FAR: f64 = 2.0;
/// Position in radians below which its sign says nothing.
const LEAST_SIGN: f64 = 0.2;

/// Works out the transform of each of `names`.
pub fn transforms(
    seen: &Sightings,
    needs: &Needs,
    names: &[String],
    topics: &[JointStatesTopic],
) -> Vec<Choice<UnitTransform>> {
    if needs.state_ranges.len() != names.len() {
        let same = || {
            Choice::known(
                UnitTransform::default(),
                "the checkpoint has no statistics to compare positions with",
            )
        };
        return names.iter().map(|_| same()).collect();
    }
    let positions = positions(seen, names, topics);
    let turning = |index: &usize| !is_gripper(&names[*index]);
    let seen_ranges: Vec<[f64; 2]> = positions
        .iter()
        .map(|seen| seen.map_or([0.0; 2], |Seen { low, high }| [low, high]))
        .collect();
    let of_arm: Vec<usize> = (0..names.len()).filter(turning).collect();
    let robot = Unit::of(largest(of_arm.iter().map(|&index| &seen_ranges[index])));
    let policy = Unit::of(largest(of_arm.iter().map(|&index| &needs.state_ranges[index])));
    let limits = described_limits(seen, names);
    let transforms = names.iter().enumerate().map(|(index, name)| {
        let (seen, range) = (seen_ranges[index], needs.state_ranges[index]);
        match is_gripper(name) {
            true => gripper(seen, range, limits[index]),
            false => of_units(robot, policy, seen, range),
        }
    });
    transforms.collect()
}

fn scaled(scale: f64, reason: String) -> Choice<UnitTransform> {
    Choice::known(UnitTransform::Linear { scale, offset: 0.0 }, reason)
}

/// A joint of an arm whose joints are in the unit `robot`, for data in the unit `policy`.
fn of_units(robot: Unit, policy: Unit, [low, high]: [f64; 2], range: [f64; 2]) -> Choice<UnitTransform> {
    let Some(scale) = robot.scale_to(policy) else {
        return Choice::open(format!(
            "the robot's positions look like {} and the data's like {}: 57.29578 for degrees of radians, 0.01745329 for radians of \
             degrees; for LeRobot's −100 to 100 take this out and give robot_range, the ends of the joint's calibration, with \
             policy_range: [-100.0, 100.0]",
            robot.name(),
            policy.name()
        ));
    };
    let middle = scale * (low + high) / 2.0;
    let [from, to] = range;
    let where_it_is =
        format!("it is at {middle:.2} in the policy's units, where the data lie from {from:.2} to {to:.2}");
    let is_far = distance(middle, range, policy) > FAR;
    let has_sign = (low + high).abs() / 2.0 > LEAST_SIGN;
    if has_sign && !fits(middle, range, policy) && fits(-middle, range, policy) {
        return Choice::open(format!(
            "{where_it_is}, and in the other direction it would be among them: {scale} where the policy counts as the robot does, \
             {} where it counts the other way",
            -scale
        ));
    }
    if scale == 1.0 {
        return scaled(1.0, format!("{} as the data; {where_it_is}", robot.name()));
    }
    let units = format!(
        "the robot looks like {} and the data like {}",
        robot.name(),
        policy.name()
    );
    match is_far {
        true => Choice::open(format!("{units}, but with {scale} {where_it_is}")),
        false => scaled(scale, format!("{units}; {where_it_is}")),
    }
}

/// A gripper, which has units of its own in most drivers.
fn gripper(seen: [f64; 2], range: [f64; 2], limits: Option<[f64; 2]>) -> Choice<UnitTransform> {
    let [low, high] = range;
    let unit = Unit::of(largest([range].iter()));
    let is_like_the_data = seen.iter().all(|position| fits_gripper(*position, range))
        && (unit == Unit::Radians || Unit::of(largest([seen].iter())) != Unit::Radians);
    let fits_limits = limits.is_none_or(|limits| {
        let width = (limits[1] - limits[0]).max(1e-9);
        low > limits[0] - width && high < limits[1] + width && high - low > width / 5.0
    });
    let ends = match limits {
        Some([lower, upper]) => format!(", its description from {lower} to {upper}"),
        None => String::new(),
    };
    let data = format!(
        "it was seen from {:.3} to {:.3}{ends}; the data lie from {low:.2} to {high:.2}",
        seen[0], seen[1]
    );
    match is_like_the_data && fits_limits {
        true => scaled(
            1.0,
            format!("{data}: the same units as far as is seen; open and close it to be sure"),
        ),
        false => Choice::open(format!(
            "{data}: these are other units. Take this out, and give robot_range, the driver's positions of the closed and the open \
             gripper, and policy_range, the data's positions of the same two"
        )),
    }
}

/// Limits of the joints in the robot's description, where there are any.
fn described_limits(seen: &Sightings, names: &[String]) -> Vec<Option<[f64; 2]>> {
    let described = seen
        .descriptions
        .values()
        .find_map(|text| joint_limits(text, names).ok());
    let limits = described.unwrap_or_else(|| vec![JointLimits::NONE; names.len()]);
    let is_limited = |limits: &JointLimits| limits.lower.is_finite() && limits.upper > limits.lower;
    limits
        .iter()
        .map(|limits| is_limited(limits).then_some([limits.lower, limits.upper]))
        .collect()
}
