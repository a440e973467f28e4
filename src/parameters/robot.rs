//! The parameters of the robot's joint_mapping.

use super::read::{doubles, each_once, one_for_each, one_for_each_or_none, problem, texts};
use super::{ParameterProblem, Values};
use crate::policy::{ActionMode, ActionValue, JointMapping, UnitTransform};

/// In `action_joints`, a value of the actions that no joint gets.
const UNUSED: &str = "unused";

/// Every parameter of the joint_mapping that does not fit another one.
pub fn problems(values: &Values) -> Vec<ParameterProblem> {
    let mut problems = Vec::new();
    let joints = texts(values, "joint_names");
    for name in ["joint_scales", "joint_offsets"] {
        problems.extend(one_for_each_or_none(values, name, joints.len(), "joint_names"));
    }
    let grippers = texts(values, "grippers");
    problems.extend(each_once(values, "grippers"));
    if let Some(unknown) = grippers.iter().find(|name| !joints.contains(name)) {
        let expected = format!("only names that are in joint_names, which {unknown} is not");
        problems.push(problem(values, "grippers", expected));
    }
    for name in ["gripper_robot_ranges", "gripper_policy_ranges"] {
        let ends = one_for_each(
            values,
            name,
            2 * grippers.len(),
            "ends of grippers, two for each of them",
        );
        problems.extend(ends);
        if doubles(values, name)
            .chunks_exact(2)
            .any(|ends| ends[0] == ends[1])
        {
            problems.push(problem(values, name, "two ends that differ for each gripper"));
        }
    }
    for (name, same) in [("joint_scales", 1.0), ("joint_offsets", 0.0)] {
        let given = joints.iter().zip(doubles(values, name));
        if let Some((joint, _)) = given
            .into_iter()
            .find(|(joint, value)| grippers.contains(joint) && *value != same)
        {
            let expected = format!("{same} for {joint}, whose ranges say it all");
            problems.push(problem(values, name, expected));
        }
    }
    for name in ["joint_scales", "action_scales"] {
        if doubles(values, name)
            .iter()
            .any(|scale| *scale == 0.0 || !scale.is_finite())
        {
            problems.push(problem(values, name, "finite numbers other than 0"));
        }
    }
    for name in ["joint_offsets", "gripper_robot_ranges", "gripper_policy_ranges"] {
        if doubles(values, name).iter().any(|value| !value.is_finite()) {
            problems.push(problem(values, name, "finite numbers"));
        }
    }
    let action_joints = action_joints(values);
    let used: Vec<&String> = action_joints.iter().filter(|joint| *joint != UNUSED).collect();
    if let Some(unknown) = used.iter().find(|joint| !joints.contains(joint)) {
        let expected = format!("names that are in joint_names, or {UNUSED}, which {unknown} is not");
        problems.push(problem(values, "action_joints", expected));
    }
    // Of joint_names, where it stands for them, it was told already.
    let is_given = !texts(values, "action_joints").is_empty();
    let mut used_again = used.iter().enumerate();
    if let Some((_, twice)) = used_again.find(|(index, joint)| is_given && used[..*index].contains(joint)) {
        problems.push(problem(values, "action_joints", format!("{twice} only once")));
    }
    if used.is_empty() {
        problems.push(problem(values, "action_joints", "at least one joint"));
    }
    for name in ["action_modes", "action_scales"] {
        let count = action_joints.len();
        problems.extend(one_for_each_or_none(values, name, count, "values of an action"));
    }
    problems
}

/// What the checked parameters say of the joint_mapping.
pub fn joint_mapping(values: &Values) -> JointMapping {
    let joints = texts(values, "joint_names");
    let or = |name, same: f64| doubles(values, name).into_iter().chain(std::iter::repeat(same));
    let ends = |name| {
        let ends = doubles(values, name);
        ends.chunks_exact(2)
            .map(|ends| [ends[0], ends[1]])
            .collect::<Vec<_>>()
    };
    let grippers = texts(values, "grippers");
    let (robot_ends, policy_ends) = (ends("gripper_robot_ranges"), ends("gripper_policy_ranges"));
    let maps = or("joint_scales", 1.0).zip(or("joint_offsets", 0.0));
    let maps = joints.iter().zip(maps).map(|(joint, (scale, offset))| {
        match grippers.iter().position(|gripper| gripper == joint) {
            Some(gripper) => UnitTransform::of_ranges(robot_ends[gripper], policy_ends[gripper]),
            None => UnitTransform { scale, offset },
        }
    });
    let modes = texts(values, "action_modes")
        .into_iter()
        .map(|mode| match mode.as_str() {
            "relative" => ActionMode::Relative,
            "increment" => ActionMode::Increment,
            _ => ActionMode::Absolute,
        });
    let modes = modes.chain(std::iter::repeat(ActionMode::Absolute));
    let actions = action_joints(values)
        .into_iter()
        .zip(modes.zip(or("action_scales", 1.0)));
    JointMapping {
        joints: maps.collect(),
        actions: actions
            .map(|(name, (mode, scale))| {
                let joint = joints.iter().position(|joint| *joint == name)?;
                Some(ActionValue { joint, mode, scale })
            })
            .collect(),
    }
}

fn action_joints(values: &Values) -> Vec<String> {
    let joints = texts(values, "action_joints");
    match joints.is_empty() {
        true => texts(values, "joint_names"),
        false => joints,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue;
    use super::super::overrides::{doubles, names, problems, settings};
    use super::*;

    const JOINTS: &str = "waist elbow grip";

    fn with(more: &[(&'static str, ParameterValue)]) -> Vec<(&'static str, ParameterValue)> {
        [("joint_names", names(JOINTS))]
            .into_iter()
            .chain(more.iter().cloned())
            .collect()
    }

    #[test]
    fn every_convention_that_does_not_fit_is_refused() {
        let grip = ("grippers", names("grip"));
        for (more, expected) in [
            (vec![("joint_scales", doubles(&[1.0]))], "joint_scales"),
            (vec![("joint_scales", doubles(&[1.0, 0.0, 1.0]))], "joint_scales"),
            (
                vec![("joint_scales", doubles(&[1.0, f64::NAN, 1.0]))],
                "joint_scales",
            ),
            (vec![("joint_offsets", doubles(&[0.0; 4]))], "joint_offsets"),
            (
                vec![("joint_offsets", doubles(&[0.0, f64::INFINITY, 0.0]))],
                "joint_offsets",
            ),
            (
                vec![
                    ("grippers", names("thumb")),
                    ("gripper_robot_ranges", doubles(&[0.0, 1.0])),
                    ("gripper_policy_ranges", doubles(&[0.0, 1.0])),
                ],
                "grippers",
            ),
            (
                vec![grip.clone(), ("gripper_robot_ranges", doubles(&[0.0, 1.0]))],
                "gripper_policy_ranges",
            ),
            (
                vec![
                    grip.clone(),
                    ("gripper_robot_ranges", doubles(&[0.5, 0.5])),
                    ("gripper_policy_ranges", doubles(&[0.0, 1.0])),
                ],
                "gripper_robot_ranges",
            ),
            (
                vec![
                    grip,
                    ("gripper_robot_ranges", doubles(&[0.0, 0.8])),
                    ("gripper_policy_ranges", doubles(&[0.0, 1.0])),
                    ("joint_scales", doubles(&[1.0, 1.0, 2.0])),
                ],
                "joint_scales",
            ),
            (vec![("action_joints", names("waist thumb"))], "action_joints"),
            (vec![("action_joints", names("waist waist"))], "action_joints"),
            (vec![("action_joints", names("unused unused"))], "action_joints"),
            (vec![("action_modes", names("relative"))], "action_modes"),
            (
                vec![("action_modes", names("absolute absolute delta"))],
                "action_modes",
            ),
            (
                vec![("action_scales", doubles(&[1.0, 0.0, 1.0]))],
                "action_scales",
            ),
        ] {
            assert_eq!(problems(&with(&more)), [expected], "{more:?}");
        }
    }

    #[test]
    fn without_a_convention_the_robot_has_the_policy_s() {
        assert_eq!(settings(&with(&[])).joint_mapping, JointMapping::same(3));
    }

    #[test]
    fn conventions_are_those_of_the_joints_they_are_named_for() {
        let settings = settings(&with(&[
            ("joint_scales", doubles(&[1.0, -1.0, 1.0])),
            ("joint_offsets", doubles(&[0.0, 0.25, 0.0])),
            ("grippers", names("grip")),
            ("gripper_robot_ranges", doubles(&[0.0, 0.8])),
            ("gripper_policy_ranges", doubles(&[1.0, 0.0])),
            ("action_joints", names("grip unused waist unused")),
            ("action_modes", names("absolute absolute relative absolute")),
            ("action_scales", doubles(&[2.0, 1.0, 1.0, 1.0])),
        ]));
        let state = settings.joint_mapping.state_to_policy(&[0.5, 1.0, 0.2]);
        assert_eq!(state, [0.5, -0.75, 0.75]);
        assert_eq!(settings.commanded_joints(), ["grip", "waist"]);
        let actions = &settings.joint_mapping.actions;
        assert_eq!(actions.len(), 4);
        assert_eq!(actions[1], None);
        let waist = actions[2].unwrap();
        assert_eq!(
            (waist.joint, waist.mode, waist.scale),
            (0, ActionMode::Relative, 1.0)
        );
    }

    #[test]
    fn what_the_checkpoint_counts_from_the_state_itself_is_not_counted_again() {
        let modes = |modes: &str| settings(&with(&[("action_modes", names(modes))]));
        let own = [true, true, false];
        assert!(modes("absolute absolute relative").check_relative(&own).is_ok());
        assert!(modes("relative relative absolute").check_relative(&[]).is_ok());
        let problem = &modes("absolute increment absolute")
            .check_relative(&own)
            .unwrap_err()[0];
        assert_eq!(problem.name, "action_modes");
        assert!(problem.found.contains("value 1"), "{problem}");
    }
}
