//! Joints: what their parameters must be together, and the mapping and limits that they give.

use super::inputs::each_once;
use super::reader::Reader;
use super::table::{JointParameters, NodeParameters, UNUSED};
use super::{poses, state_order};
use crate::control::JointLimits;
use crate::policy::{
    ALOHA_JOINTS, ActionMode, ActionValue, JointLabels, JointMapping, RobotPreset, UnitTransform,
};

/// Refuses every parameter of the joints that does not fit another one.
pub fn check(parameters: &NodeParameters, reader: &mut Reader) {
    for (name, joint) in &parameters.joints {
        let ranges = [
            ("robot_range", joint.robot_range),
            ("policy_range", joint.policy_range),
        ];
        if let [(given, Some(_)), (missing, None)] | [(missing, None), (given, Some(_))] = ranges {
            let expected = format!("two ends, as joints.{name}.{given} has");
            reader.refuse(format!("joints.{name}.{missing}"), expected);
        }
        let defaults = &parameters.joint_defaults;
        for (field, value, default) in [
            ("scale", joint.scale, defaults.scale),
            ("offset", joint.offset, defaults.offset),
        ] {
            if joint.robot_range.is_some() && value != default {
                let expected = format!("nothing beside joints.{name}.robot_range, which is in place of it");
                reader.refuse(format!("joints.{name}.{field}"), expected);
            }
        }
        if joint.action_offset != 0.0 && joint.action_mode != ActionMode::Absolute {
            let expected = format!("0.0 with joints.{name}.action_mode other than absolute");
            reader.refuse(format!("joints.{name}.action_offset"), expected);
        }
        if joint.position_min >= joint.position_max {
            let expected = format!("less than joints.{name}.position_max ({})", joint.position_max);
            reader.refuse(format!("joints.{name}.position_min"), expected);
        }
    }
    check_preset(parameters, reader);
    let joint_names = &parameters.joint_order.joint_names;
    let used = || action_joints(parameters).iter().filter(|joint| *joint != UNUSED);
    let pose_names = &parameters.pose_names;
    if let Some(unknown) = used().find(|name| !joint_names.contains(name) && !pose_names.contains(name)) {
        let expected = format!("names of joint_names and pose_names, or {UNUSED}, which {unknown} is not");
        reader.refuse("action_joints", expected);
    }
    // A joint that is twice in joint_names, where that stands for it, is a problem of joint_names.
    if !parameters.joint_order.action_joints.is_empty() {
        let used: Vec<String> = used().cloned().collect();
        each_once("action_joints", &used, reader);
        if used.is_empty() {
            reader.refuse("action_joints", "at least one joint");
        }
    }
}

/// Refuses a preset for other joints than its robot's, and unit transforms beside it.
fn check_preset(parameters: &NodeParameters, reader: &mut Reader) {
    let order = &parameters.joint_order;
    if order.robot_preset == RobotPreset::None {
        return;
    }
    if order.joint_names.len() != ALOHA_JOINTS {
        let expected = format!(
            "none for {} joints: ALOHA has {ALOHA_JOINTS} in joint_names, six of each arm and its gripper",
            order.joint_names.len()
        );
        reader.refuse("robot_preset", expected);
    }
    if *action_joints(parameters) != order.joint_names {
        reader.refuse(
            "action_joints",
            "none beside robot_preset: ALOHA's actions are in the order of its joints",
        );
    }
    let default = JointParameters::default();
    for (name, joint) in &parameters.joints {
        for (field, is_set) in [
            ("scale", joint.scale != default.scale),
            ("offset", joint.offset != default.offset),
            ("robot_range", joint.robot_range.is_some()),
            ("action_scale", joint.action_scale != default.action_scale),
            ("action_offset", joint.action_offset != default.action_offset),
        ] {
            if is_set {
                reader.refuse(
                    format!("joints.{name}.{field}"),
                    "the default beside robot_preset",
                );
            }
        }
    }
}

/// Names of the joints and poses by the values of the checkpoint's states and actions.
pub fn labels(parameters: &NodeParameters) -> JointLabels {
    let constant = parameters.joints.iter().filter(|(_, joint)| joint.constant);
    JointLabels {
        state: state_order::labels(parameters),
        actions: action_values(parameters)
            .into_iter()
            .map(|(name, _)| Some(name.to_owned()).filter(|name| name != UNUSED))
            .collect(),
        constant: constant.map(|(name, _)| name.clone()).collect(),
    }
}

/// The mapping between the robot's joints and the policy's state and actions.
pub fn joint_mapping(parameters: &NodeParameters) -> JointMapping {
    let joints = parameters.joints.iter();
    let transforms = joints.map(|(_, joint)| match (joint.robot_range, joint.policy_range) {
        (Some(robot), Some(policy)) => UnitTransform::of_ranges(robot, policy),
        _ => UnitTransform::Linear {
            scale: joint.scale,
            offset: joint.offset,
        },
    });
    let values = action_values(parameters);
    let action = |(name, _): &(&str, bool)| {
        let mut joints = parameters.joints.iter();
        let index = joints.position(|(joint, _)| joint == name)?;
        let (_, joint) = &parameters.joints[index];
        Some(ActionValue {
            joint: index,
            mode: joint.action_mode,
            scale: joint.action_scale,
            offset: joint.action_offset,
        })
    };
    let first_of = |pose: &str| {
        values
            .iter()
            .position(|(name, is_first)| *is_first && *name == pose)
    };
    let mut mapping = JointMapping {
        joints: transforms.collect(),
        poses: poses::mappings(parameters, first_of),
        state_order: state_order::parts(parameters),
        actions: values.iter().map(action).collect(),
    };
    // With other joints it is refused.
    if [mapping.joints.len(), mapping.actions.len()] == [ALOHA_JOINTS; 2] {
        parameters.joint_order.robot_preset.apply(&mut mapping);
    }
    mapping
}

/// The joints that are commanded, in the order of the actions.
pub fn commanded<'a>(
    parameters: &'a NodeParameters,
    mapping: &JointMapping,
) -> Vec<(&'a String, &'a JointParameters)> {
    let joints = mapping.commanded_joints().map(|index| &parameters.joints[index]);
    joints.map(|(name, joint)| (name, joint)).collect()
}

/// The limits of a joint.
pub fn limits(joint: &JointParameters) -> JointLimits {
    JointLimits {
        lower: joint.position_min,
        upper: joint.position_max,
        velocity: joint.max_velocity,
        acceleration: joint.max_acceleration,
    }
}

/// What each value of the checkpoint's actions is for, and whether it is the first one of a pose, which has several.
fn action_values(parameters: &NodeParameters) -> Vec<(&str, bool)> {
    let has_poses = !parameters.joint_order.action_joints.is_empty();
    let values = action_joints(parameters).iter().flat_map(|name| {
        let of_pose = poses::action_len(parameters, name).filter(|_| has_poses);
        (0..of_pose.unwrap_or(1)).map(move |value| (name.as_str(), of_pose.is_some() && value == 0))
    });
    values.collect()
}

fn action_joints(parameters: &NodeParameters) -> &[String] {
    let order = &parameters.joint_order;
    match order.action_joints.is_empty() {
        true => &order.joint_names,
        false => &order.action_joints,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue::{self, Double, DoubleArray};
    use super::super::overrides::{names, problem, problems, settings, text};
    use super::*;

    fn ends(first: f64, last: f64) -> ParameterValue {
        DoubleArray(vec![first, last])
    }

    #[test]
    fn every_parameter_of_a_joint_that_does_not_fit_is_refused_with_its_full_name() {
        let range = ("joints.grip.robot_range", ends(0.0, 0.8));
        let both = [range.clone(), ("joints.grip.policy_range", ends(0.0, 1.0))];
        let with = |one: (&'static str, ParameterValue)| [&both[..], &[one]].concat();
        for (more, expected) in [
            (vec![("joints.grip.scale", Double(0.0))], "joints.grip.scale"),
            (vec![("joints.grip.scale", Double(f64::NAN))], "joints.grip.scale"),
            (vec![("joints.grip.scale", text("big"))], "joints.grip.scale"),
            (
                vec![("joint_defaults.offset", Double(f64::INFINITY))],
                "joint_defaults.offset",
            ),
            (vec![range], "joints.grip.policy_range"),
            (
                vec![("joints.grip.robot_range", ends(0.5, 0.5))],
                "joints.grip.robot_range",
            ),
            (with(("joints.grip.scale", Double(2.0))), "joints.grip.scale"),
            (with(("joints.grip.offset", Double(2.0))), "joints.grip.offset"),
            (
                vec![("joints.waist.action_mode", text("delta"))],
                "joints.waist.action_mode",
            ),
            (
                vec![("joints.waist.action_scale", Double(0.0))],
                "joints.waist.action_scale",
            ),
            (
                vec![("joints.waist.max_velocity", Double(0.0))],
                "joints.waist.max_velocity",
            ),
            (
                vec![("joints.waist.max_start_jump", Double(f64::NAN))],
                "joints.waist.max_start_jump",
            ),
            (
                vec![("joints.waist.position_max", Double(f64::NAN))],
                "joints.waist.position_max",
            ),
            (
                vec![
                    ("joints.waist.position_min", Double(1.0)),
                    ("joints.waist.position_max", Double(1.0)),
                ],
                "joints.waist.position_min",
            ),
            (
                vec![
                    ("joints.waist.action_mode", text("relative")),
                    ("joints.waist.action_offset", Double(0.5)),
                ],
                "joints.waist.action_offset",
            ),
            (vec![("action_joints", names("waist thumb"))], "action_joints"),
            (vec![("action_joints", names("waist waist"))], "action_joints"),
            (vec![("action_joints", names("unused unused"))], "action_joints"),
        ] {
            assert_eq!(problems(&more), [expected], "{more:?}");
        }
    }

    #[test]
    fn a_name_that_is_no_joint_is_refused_with_those_there_are() {
        assert_eq!(
            problem(&[("joints.gripp.scale", Double(2.0))]),
            "joints.gripp.scale: found 2.0, expected one of the joints of joint_names: elbow, grip, waist"
        );
        let field = problem(&[("joints.grip.scales", Double(2.0))]);
        assert!(
            field.contains("expected one of action_mode, action_offset, action_scale"),
            "{field}"
        );
        let defaults = problem(&[("joint_defaults.scales", Double(2.0))]);
        assert!(defaults.contains("expected joint_defaults.scale,"), "{defaults}");
    }

    #[test]
    fn without_parameters_the_robot_has_the_policy_s_units() {
        assert_eq!(settings(&[]).joint_mapping, JointMapping::same(3));
    }

    #[test]
    fn each_joint_has_its_own_parameters_and_those_of_all_where_it_has_none() {
        let settings = settings(&[
            ("joint_defaults.scale", Double(-1.0)),
            ("joints.elbow.scale", Double(1.0)),
            ("joints.waist.offset", Double(0.25)),
            ("joints.grip.robot_range", ends(0.0, 0.8)),
            ("joints.grip.policy_range", ends(1.0, 0.0)),
            ("action_joints", names("grip unused waist unused")),
            ("joints.waist.action_mode", text("relative")),
            ("joints.grip.action_scale", Double(2.0)),
        ]);
        let state = settings.joint_mapping.state_to_policy(&[0.5, 1.0, 0.2]);
        assert_eq!(state, [-0.25, 1.0, 0.75]);
        assert_eq!(settings.commanded_joints(), ["grip", "waist"]);
        let [Some(grip), None, Some(waist), None] = settings.joint_mapping.actions[..] else {
            panic!("{:?}", settings.joint_mapping.actions)
        };
        assert_eq!(
            (grip.joint, grip.mode, grip.scale),
            (2, ActionMode::Absolute, 2.0)
        );
        assert_eq!(
            (waist.joint, waist.mode, waist.scale),
            (0, ActionMode::Relative, 1.0)
        );
    }

    #[test]
    fn a_preset_is_for_its_robot_s_joints_and_has_their_transforms() {
        let preset = ("robot_preset", text("aloha"));
        assert_eq!(problems(std::slice::from_ref(&preset)), ["robot_preset"]);
        let fourteen = names("a b c d e f g h i j k l m n");
        let aloha = [("joint_names", fourteen), preset];
        let with = |more: &[(&'static str, ParameterValue)]| [&aloha[..], more].concat();
        let mapping = settings(&aloha).joint_mapping;
        assert_eq!(mapping.state_to_policy(&[1.0; 14])[..2], [1.0, -1.0]);
        assert!(matches!(mapping.joints[13], UnitTransform::AlohaGripper(_)));
        assert_eq!(
            problems(&with(&[("joints.b.scale", Double(2.0))])),
            ["joints.b.scale"]
        );
        assert_eq!(
            problems(&with(&[("action_joints", names("b a c d e f g h i j k l m n"))])),
            ["action_joints"]
        );
    }

    #[test]
    fn labels_name_the_joint_of_every_value_and_those_that_are_constant() {
        let settings = settings(&[
            ("joint_defaults.constant", ParameterValue::Bool(false)),
            ("joints.grip.constant", ParameterValue::Bool(true)),
            ("action_joints", names("grip unused waist")),
        ]);
        let labels = settings.policy.checkpoint.joints;
        assert_eq!(labels.state, ["waist", "elbow", "grip"]);
        assert_eq!(labels.constant, ["grip"]);
        let actions: Vec<Option<&str>> = labels.actions.iter().map(Option::as_deref).collect();
        assert_eq!(actions, [Some("grip"), None, Some("waist")]);
    }

    #[test]
    fn every_joint_has_a_highest_velocity_unless_somebody_takes_it_away() {
        let velocities = |given: &[(&str, ParameterValue)]| {
            let limits = settings(given).runtime.control.limits;
            limits.map(|limits| limits.iter().map(|limits| limits.velocity).collect::<Vec<_>>())
        };
        assert_eq!(velocities(&[]), Some(vec![3.0; 3]));
        let of_all = ("joint_defaults.max_velocity", Double(0.5));
        let of_elbow = ("joints.elbow.max_velocity", Double(f64::INFINITY));
        assert_eq!(
            velocities(&[of_all, of_elbow]),
            Some(vec![0.5, f64::INFINITY, 0.5])
        );
        assert_eq!(
            velocities(&[("joint_defaults.max_velocity", Double(f64::INFINITY))]),
            None
        );
    }

    #[test]
    fn limits_are_those_of_the_commanded_joints_in_the_order_of_the_actions() {
        let settings = settings(&[
            ("action_joints", names("grip unused waist")),
            ("joints.waist.max_velocity", Double(1.0)),
            ("joints.elbow.max_velocity", Double(2.0)),
            ("joints.grip.max_start_jump", Double(9.0)),
        ]);
        let control = &settings.runtime.control;
        let velocities = control
            .limits
            .as_ref()
            .unwrap()
            .iter()
            .map(|limits| limits.velocity);
        assert_eq!(velocities.collect::<Vec<_>>(), [3.0, 1.0]);
        assert_eq!(*control.max_start_jump, [9.0, 0.5]);
    }

    #[test]
    fn a_joint_that_the_checkpoint_counts_from_the_state_is_not_counted_from_it_again() {
        let modes = |mode: &str| settings(&[("joints.elbow.action_mode", text(mode))]);
        let own = [true, true, false];
        assert!(modes("absolute").check_relative(&own).is_ok());
        assert!(modes("relative").check_relative(&[]).is_ok());
        let problem = &modes("increment").check_relative(&own).unwrap_err()[0];
        assert_eq!(problem.name, "joints.elbow.action_mode");
        assert_eq!(problem.found, "\"increment\"");
    }
}
