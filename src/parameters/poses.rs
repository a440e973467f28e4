//! Poses: what their parameters must be together, and the mapping and limits that they give.

use super::inputs::each_once;
use super::reader::Reader;
use super::table::{NodeParameters, PoseParameters, UNUSED};
use crate::control::{JointLimits, TwistSettings};
use crate::policy::{DeltaFrame, PoseAction, PoseMapping};
use crate::pose::{POSE_VALUE_NAMES, POSE_VALUES};

/// Refuses every parameter of the poses that does not fit another one.
pub fn check(parameters: &NodeParameters, reader: &mut Reader) {
    let joints = &parameters.joint_order.joint_names;
    let names = &parameters.pose_names;
    each_once("pose_names", names, reader);
    let used = parameters.joint_order.action_joints.iter();
    let mut used = used.chain(&parameters.state.state_order);
    let is_taken = |name: &&String| joints.contains(name) || *name == UNUSED;
    if let Some(taken) = used.find(|name| names.contains(name) && is_taken(name)) {
        let expected =
            format!("names that no joint of action_joints or state_order has, which {taken} is not");
        reader.refuse("pose_names", expected);
    }
    for (name, pose) in &parameters.poses {
        let is_from_topic = !pose.topic.is_empty();
        if is_from_topic != pose.tool_frame.is_empty() {
            let expected =
                format!("poses.{name}.topic, or poses.{name}.tool_frame for a pose of /tf, and not both");
            reader.refuse(format!("poses.{name}.tool_frame"), expected);
        }
        let near = pose.rotation_near.len();
        if near > 0 && near != pose.state_rotation.len() {
            let expected = format!(
                "{} values, as poses.{name}.state_rotation has, or none",
                pose.state_rotation.len()
            );
            reader.refuse(format!("poses.{name}.rotation_near"), expected);
        }
        if pose.action_rotation_scale != 1.0 && !pose.action_rotation.is_scalable() {
            reader.refuse(
                format!("poses.{name}.action_rotation_scale"),
                format!("1.0 with values of poses.{name}.action_rotation that are no angles"),
            );
        }
        if pose.twist_frame == DeltaFrame::Tool && pose.tool_frame.is_empty() {
            reader.refuse(
                format!("poses.{name}.twist_frame"),
                format!("base without a poses.{name}.tool_frame, which the velocity would be in"),
            );
        }
        if let (Some(min), Some(max)) = (pose.workspace_min, pose.workspace_max)
            && min.iter().zip(max).any(|(min, max)| *min >= max)
        {
            reader.refuse(
                format!("poses.{name}.workspace_min"),
                format!("less than poses.{name}.workspace_max in x, y and z"),
            );
        }
    }
}

/// How each pose becomes values of the checkpoint. `action_values`: the index of the first value of each pose in an action.
pub fn mappings(
    parameters: &NodeParameters,
    action_values: impl Fn(&str) -> Option<usize>,
) -> Vec<PoseMapping> {
    let mapping = |(name, pose): &(String, PoseParameters)| PoseMapping {
        state_axes: pose.state_axes,
        state_rotation: pose.state_rotation,
        rotation_near: pose.rotation_near.clone(),
        action: action_values(name).map(|first| PoseAction {
            first,
            axes: pose.action_axes,
            rotation: pose.action_rotation,
            mode: pose.action_mode,
            frame: pose.action_frame,
            position_scale: pose.action_position_scale,
            rotation_scale: pose.action_rotation_scale,
        }),
    };
    parameters.poses.iter().map(mapping).collect()
}

/// Values of an action for the pose of this name; none where there is no such pose.
pub fn action_len(parameters: &NodeParameters, name: &str) -> Option<usize> {
    let (_, pose) = parameters.poses.iter().find(|(pose, _)| pose == name)?;
    Some(pose.action_axes.len() + pose.action_rotation.len())
}

/// Names of the values of a pose in the robot's state and actions.
pub fn value_names(pose: &str) -> impl Iterator<Item = String> + use<'_> {
    POSE_VALUE_NAMES
        .iter()
        .map(move |value| format!("{pose}.{value}"))
}

/// The limits of a pose, as [`ControlSettings`](crate::control::ControlSettings) has them.
pub fn limits(pose: &PoseParameters) -> [JointLimits; POSE_VALUES] {
    let mut limits = [JointLimits::NONE; POSE_VALUES];
    for axis in 0..3 {
        limits[axis] = JointLimits {
            lower: pose.workspace_min.map_or(f64::NEG_INFINITY, |min| min[axis]),
            upper: pose.workspace_max.map_or(f64::INFINITY, |max| max[axis]),
            velocity: pose.max_linear_velocity,
            acceleration: pose.max_linear_acceleration,
        };
        limits[3 + axis] = JointLimits {
            velocity: pose.max_angular_velocity,
            acceleration: pose.max_angular_acceleration,
            ..JointLimits::NONE
        };
    }
    limits
}

/// How a velocity follows a pose.
pub fn twist(pose: &PoseParameters) -> TwistSettings {
    TwistSettings {
        gain: pose.twist_gain,
        is_in_tool_frame: pose.twist_frame == DeltaFrame::Tool,
    }
}

/// A distance and an angle, as [`ControlSettings`](crate::control::ControlSettings) has the limits of a pose's.
pub fn distances(distance: f64, angle: f64) -> [f32; POSE_VALUES] {
    let mut distances = [f32::INFINITY; POSE_VALUES];
    distances[0] = distance as f32;
    distances[3] = angle as f32;
    distances
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue::{self, Double, DoubleArray};
    use super::super::overrides::{names, problems, settings, text};
    use super::*;
    use crate::policy::{ActionMode, StatePart};
    use crate::pose::RotationRepresentation;

    /// An arm by pose with a gripper, as LIBERO has it.
    fn libero(more: &[(&'static str, ParameterValue)]) -> Vec<(&'static str, ParameterValue)> {
        let pose = [
            ("joint_names", names("left_finger right_finger")),
            ("pose_names", names("tool")),
            ("poses.tool.topic", text("/pose")),
            ("poses.tool.base_frame", text("base")),
            ("state_order", names("tool left_finger right_finger")),
            ("action_joints", names("tool left_finger")),
            ("poses.tool.action_mode", text("increment")),
            ("poses.tool.action_position_scale", Double(0.05)),
            ("poses.tool.action_rotation_scale", Double(0.5)),
            ("joints.left_finger.action_scale", Double(-0.02)),
            ("joints.left_finger.action_offset", Double(0.02)),
            ("outputs.arm.topic", text("/target_pose")),
            ("outputs.arm.type", text("pose")),
            ("outputs.arm.pose", text("tool")),
            ("outputs.gripper.topic", text("/gripper")),
            ("outputs.gripper.joints", names("left_finger")),
        ];
        pose.into_iter().chain(more.iter().cloned()).collect()
    }

    #[test]
    fn an_arm_by_pose_and_its_gripper_have_libero_s_state_and_actions() {
        let settings = settings(&libero(&[]));
        let mapping = &settings.joint_mapping;
        assert_eq!(
            mapping.state_order,
            [StatePart::Pose(0), StatePart::Joint(0), StatePart::Joint(1)]
        );
        assert_eq!(mapping.actions.len(), 7);
        let tool = mapping.poses[0].action.unwrap();
        assert_eq!(
            (tool.first, tool.position_scale, tool.rotation_scale),
            (0, 0.05, 0.5)
        );
        assert_eq!(
            (tool.mode, tool.frame, tool.rotation),
            (
                ActionMode::Increment,
                DeltaFrame::Base,
                RotationRepresentation::AxisAngle
            )
        );
        let state = [0.04_f32, -0.04, 0.4, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0];
        let of_policy = mapping.state_to_policy(&state);
        let expected = [0.4, 0.0, 0.2, std::f32::consts::PI, 0.0, 0.0, 0.04, -0.04];
        assert_eq!(of_policy, expected);
        let names = settings.axes().names().to_vec();
        assert_eq!(names[..2], ["left_finger", "tool.x"]);
        assert_eq!(mapping.commanded().collect::<Vec<_>>(), [0, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(settings.outputs[0].joints, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(settings.outputs[1].joints, [0]);
    }

    #[test]
    fn parameters_of_poses_that_do_not_fit_each_other_are_refused() {
        assert_eq!(problems(&libero(&[])), [""; 0]);
        let box_of = |min: f64, max: f64| {
            vec![
                ("poses.tool.workspace_min", DoubleArray(vec![0.0, min, 0.0])),
                ("poses.tool.workspace_max", DoubleArray(vec![1.0, max, 1.0])),
            ]
        };
        assert_eq!(problems(&libero(&box_of(-0.5, 0.5))), [""; 0]);
        for (more, expected) in [
            (box_of(0.5, 0.5), "poses.tool.workspace_min"),
            (vec![("poses.tool.base_frame", text(""))], "poses.tool.base_frame"),
            (vec![("poses.tool.topic", text(""))], "poses.tool.tool_frame"),
            (
                vec![("poses.tool.tool_frame", text("tcp"))],
                "poses.tool.tool_frame",
            ),
            (
                vec![("poses.tool.rotation_near", DoubleArray(vec![3.0]))],
                "poses.tool.rotation_near",
            ),
            (
                vec![("poses.tool.action_rotation", text("rotation_6d"))],
                "poses.tool.action_rotation_scale",
            ),
            (
                vec![("poses.tool.twist_frame", text("tool"))],
                "poses.tool.twist_frame",
            ),
            (vec![("state_order", names("tool wrist"))], "state_order"),
            (vec![("state_order", names("tool tool"))], "state_order"),
            (
                vec![("action_joints", names("tool tool left_finger"))],
                "action_joints",
            ),
            (vec![("outputs.arm.pose", text("wrist"))], "outputs.arm.pose"),
            (
                vec![("outputs.gripper.pose", text("tool"))],
                "outputs.gripper.pose",
            ),
            (
                vec![("outputs.arm.joints", names("left_finger"))],
                "outputs.arm.joints",
            ),
        ] {
            assert_eq!(problems(&libero(&more))[0], expected, "{more:?}");
        }
        let twice = [("pose_names", names("tool tool"))];
        assert_eq!(problems(&libero(&twice)), ["pose_names"]);
        let joint = [
            ("pose_names", names("elbow")),
            ("poses.elbow.topic", text("/pose")),
            ("poses.elbow.base_frame", text("base")),
            ("state_order", names("waist elbow")),
        ];
        assert_eq!(problems(&joint), ["pose_names"]);
    }

    #[test]
    fn a_mobile_base_has_the_values_that_it_can_drive_and_velocities_in_its_own_frame() {
        let base = [
            ("pose_names", names("base")),
            ("poses.base.base_frame", text("odom")),
            ("poses.base.tool_frame", text("base_link")),
            ("poses.base.twist_frame", text("tool")),
            ("poses.base.action_axes", text("x")),
            ("poses.base.action_rotation", text("yaw")),
            ("poses.base.action_mode", text("velocity")),
            ("poses.base.action_frame", text("tool")),
            ("poses.base.action_position_scale", Double(0.02)),
            ("poses.base.action_rotation_scale", Double(0.02)),
            ("extra_state_names", names("velocity")),
            ("extra_state.velocity.topic", text("/odom")),
            ("extra_state.velocity.type", text("odometry")),
            ("extra_state.velocity.size", ParameterValue::Integer(2)),
            ("state_order", names("waist velocity")),
            ("action_joints", names("waist base")),
            ("outputs.base.topic", text("/cmd_vel")),
            ("outputs.base.type", text("twist")),
            ("outputs.base.pose", text("base")),
            ("outputs.arm.topic", text("/trajectory")),
            ("outputs.arm.joints", names("waist")),
        ];
        let settings = settings(&base);
        assert_eq!(settings.joint_mapping.actions.len(), 3);
        assert_eq!(
            settings.policy.checkpoint.joints.state,
            ["waist", "velocity[0]", "velocity[1]"]
        );
        let output = settings.outputs.iter().find(|output| output.topic == "/cmd_vel");
        assert_eq!(output.unwrap().frame, "base_link");
        assert!(settings.runtime.control.twists[0].is_in_tool_frame);
    }

    #[test]
    fn a_commanded_pose_without_an_output_is_refused() {
        let mut without: Vec<_> = libero(&[]);
        without.retain(|(name, _)| !name.starts_with("outputs.arm"));
        assert_eq!(problems(&without), ["outputs"]);
        without.retain(|(name, _)| !name.starts_with("outputs."));
        assert_eq!(problems(&without), ["outputs"]);
    }

    #[test]
    fn limits_of_a_pose_are_those_of_its_box_its_way_and_its_axis() {
        let settings = settings(&libero(&[
            (
                "poses.tool.workspace_max",
                DoubleArray(vec![0.7, 0.3, f64::INFINITY]),
            ),
            ("poses.tool.max_linear_acceleration", Double(2.0)),
            ("poses.tool.max_angular_velocity", Double(1.5)),
            ("poses.tool.max_start_angle", Double(0.25)),
        ]));
        let control = &settings.runtime.control;
        let limits = control.limits.as_ref().unwrap();
        assert_eq!(limits.len(), 8);
        assert_eq!(
            (limits[2].upper, limits[2].lower, limits[3].upper),
            (0.3_f64, f64::NEG_INFINITY, f64::INFINITY)
        );
        assert_eq!((limits[1].velocity, limits[1].acceleration), (0.5, 2.0));
        assert_eq!(limits[4].velocity, 1.5);
        assert_eq!(limits[7], JointLimits::NONE);
        let start = &control.max_start_jump;
        assert_eq!((start[0], start[1], start[4]), (0.5, 0.1, 0.25));
        assert!(start[2].is_infinite() && start[7].is_infinite());
    }
}
