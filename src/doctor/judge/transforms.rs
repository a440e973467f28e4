//! Units, directions and ranges: positions in the policy's units beside where its data lie.

use crate::doctor::needs::Needs;
use crate::doctor::positions::{Seen, positions};
use crate::doctor::report::Report;
use crate::doctor::setup::{Setup, to_policy};
use crate::doctor::sightings::Sightings;
use crate::doctor::units::{Unit, fits, fits_gripper, is_gripper, largest};
use crate::policy::UnitTransform;

/// Factor between two scales from which they are of other units.
const OTHER_UNIT: f64 = 3.0;

/// A joint that was seen, in the robot's and in the policy's units.
struct Compared<'a> {
    name: &'a str,
    transform: UnitTransform,
    seen: [f64; 2],
    converted: [f64; 2],
    range: [f64; 2],
}

pub fn judge(seen: &Sightings, needs: &Needs, setup: &Setup, report: &mut Report) {
    let Some(names) = &setup.joint_names.value else {
        return;
    };
    for (name, transform) in names.iter().zip(&setup.transforms) {
        if transform.value.is_none() {
            let field = if is_gripper(name) {
                "robot_range and policy_range"
            } else {
                "scale"
            };
            report.problem(
                format!("joint {name}"),
                &transform.reason,
                format!("set joints.{name}.{field}"),
            );
        }
    }
    let positions = positions(seen, names, &setup.joint_states);
    let joints = names
        .iter()
        .zip(&setup.transforms)
        .zip(positions)
        .zip(&needs.state_ranges);
    let compared = joints.filter_map(|(((name, transform), seen), range)| {
        let (transform, Seen { low, high }) = (transform.value?, seen?);
        let [one, other] = [low, high].map(|position| to_policy(transform, position));
        Some(Compared {
            name,
            transform,
            seen: [low, high],
            converted: [one.min(other), one.max(other)],
            range: *range,
        })
    });
    let compared: Vec<Compared> = compared.collect();
    let (grippers, arm): (Vec<&Compared>, Vec<&Compared>) =
        compared.iter().partition(|joint| is_gripper(joint.name));
    let policy = Unit::of(largest(arm.iter().map(|joint| &joint.range)));
    let mut far = match judge_scales(&arm, policy, report) {
        true => arm.len(),
        false => arm
            .iter()
            .filter(|joint| !judge_joint(joint, policy, report))
            .count(),
    };
    far += grippers
        .iter()
        .filter(|joint| !judge_gripper(joint, report))
        .count();
    if !compared.is_empty() && far < compared.len() {
        report.ok(
            "units",
            format!(
                "{} of {} joints are where the policy's data lie",
                compared.len() - far,
                compared.len()
            ),
        );
    }
}

/// Notes an arm whose positions are no values of the data's unit, or whose scale is none between the units that the robot's
/// and the data's numbers look like; whether that is so.
fn judge_scales(arm: &[&Compared], policy: Unit, report: &mut Report) -> bool {
    let robot = Unit::of(largest(arm.iter().map(|joint| &joint.seen)));
    let expected = robot.scale_to(policy);
    let scale = |joint: &Compared| (to_policy(joint.transform, 1.0) - to_policy(joint.transform, 0.0)).abs();
    let is_other = |joint: &&&Compared| {
        let is_larger = Unit::of(largest([joint.converted].iter())).is_larger_than(policy);
        let is_of_expected = expected
            .is_none_or(|expected| (expected / OTHER_UNIT..=expected * OTHER_UNIT).contains(&scale(joint)));
        (is_larger || !is_of_expected) && !is_in_millimetres(joint)
    };
    let others: Vec<&str> = arm.iter().filter(is_other).map(|joint| joint.name).collect();
    let found = format!(
        "the robot's positions look like {} and the data's like {}, and the scale of {} does not bring them together",
        robot.name(),
        policy.name(),
        others.join(", ")
    );
    let advice = match expected {
        Some(expected) => format!("set joint_defaults.scale: {expected:.7}, negative for joints that count the other way"),
        None => "set joint_defaults.scale (57.2957795 for data in degrees and a driver in radians, 0.0174533 the other way round), or \
                 for LeRobot's −100 to 100 robot_range and policy_range of each joint"
            .to_owned(),
    };
    if !others.is_empty() {
        report.problem("units", found, advice);
        return true;
    }
    let is_unscaled = |joint: &&&Compared| scale(joint) < OTHER_UNIT;
    let unscaled: Vec<&str> = arm.iter().filter(is_unscaled).map(|joint| joint.name).collect();
    if (robot, policy) == (Unit::Radians, Unit::DegreesOrPercent) && !unscaled.is_empty() {
        report.look(
            "units",
            format!(
                "the robot's positions are small enough for radians, the data's are {}, and {} are taken as they are",
                policy.name(),
                unscaled.join(", ")
            ),
            advice,
        );
    }
    false
}

/// Whether a position is a thousand times, or a thousandth of, one where the data lie, and no angle that would be there.
fn is_in_millimetres(joint: &Compared) -> bool {
    let middle = joint.middle();
    let is_large = middle.abs() > 8.0 || largest([joint.range].iter()) > 8.0;
    let would_fit = [1e3, 1e-3]
        .iter()
        .any(|factor| fits_gripper(middle * factor, joint.range));
    let as_an_angle = fits(middle.to_radians(), joint.range, Unit::Radians);
    is_large && would_fit && !as_an_angle && !fits_gripper(middle, joint.range)
}

impl Compared<'_> {
    /// Middle of the positions, in the policy's units.
    fn middle(&self) -> f64 {
        (self.converted[0] + self.converted[1]) / 2.0
    }
}

/// Whether a joint is where the data lie; notes where it is if not.
fn judge_joint(joint: &Compared, policy: Unit, report: &mut Report) -> bool {
    let middle = joint.middle();
    if fits(middle, joint.range, policy) {
        return true;
    }
    let [low, high] = joint.range;
    let found = format!(
        "at {middle:.2} in the policy's units ({:.2} in the robot's), where the data lie from {low:.2} to {high:.2}",
        (joint.seen[0] + joint.seen[1]) / 2.0
    );
    let subject = format!("joint {}", joint.name);
    if is_in_millimetres(joint) {
        report.problem(
            subject,
            format!("{found}: metres and millimetres?"),
            format!(
                "set joints.{}.scale a thousand times smaller or larger",
                joint.name
            ),
        );
    } else if fits(-middle, joint.range, policy) {
        report.look(
            subject,
            format!("{found}; in the other direction it would be among them"),
            format!(
                "compare directions, and give joints.{}.scale the other sign where they differ",
                joint.name
            ),
        );
    } else {
        report.look(
            subject,
            found,
            format!(
                "bring the robot near a start pose of the data and check again; where it is there already, joints.{}.offset or scale \
                 is wrong",
                joint.name
            ),
        );
    }
    false
}

/// Whether a gripper is where the data lie; notes where it is if not.
fn judge_gripper(joint: &Compared, report: &mut Report) -> bool {
    let is_there = joint
        .converted
        .iter()
        .all(|position| fits_gripper(*position, joint.range));
    let [low, high] = joint.range;
    let subject = format!("joint {}", joint.name);
    let found = format!(
        "seen from {:.3} to {:.3} in the policy's units, where the data lie from {low:.2} to {high:.2}",
        joint.converted[0], joint.converted[1]
    );
    let set_ranges = format!("joints.{0}.robot_range and joints.{0}.policy_range", joint.name);
    match is_there {
        true => report.look(
            subject,
            found,
            format!("open and close it and compare both ends; where they differ, set {set_ranges}"),
        ),
        false => report.problem(
            subject,
            format!("{found}: other units or ends"),
            format!("set {set_ranges}"),
        ),
    }
    is_there
}
