//! Outputs: what their parameters must be together, and the topics that they give.

use super::inputs::distinct_topics;
use super::poses::{twist, value_names};
use super::reader::Reader;
use super::table::{NodeParameters, OutputParameters, PoseParameters, TrajectoryOutput};
use crate::control::{OutputKind, OutputTopic};
use crate::pose::POSE_VALUES;

/// Refuses every parameter of the outputs that does not fit another one, or the `commanded` joints and `poses`.
pub fn check(parameters: &NodeParameters, commanded: &[String], poses: &[String], reader: &mut Reader) {
    let outputs = &parameters.outputs;
    check_poses(parameters, poses, reader);
    if outputs.is_empty() {
        return;
    }
    distinct_topics(
        "outputs",
        outputs.iter().map(|(name, output)| (name, &output.topic)),
        reader,
    );
    let default = TrajectoryOutput::default().trajectory_topic;
    if parameters.trajectory_topic != default {
        reader.refuse(
            "trajectory_topic",
            format!("{default} beside outputs.<name>.topic"),
        );
    }
    let mut with_output: Vec<&String> = Vec::new();
    for (name, output) in outputs.iter().filter(|(_, output)| !output.r#type.is_pose()) {
        if output.joints.is_empty() {
            reader.refuse(format!("outputs.{name}.joints"), "at least one joint");
        }
        for joint in &output.joints {
            let parameter = format!("outputs.{name}.joints");
            if !commanded.contains(joint) {
                reader.refuse(parameter, format!("commanded joints, which {joint} is not"));
            } else if with_output.contains(&joint) {
                reader.refuse(parameter, format!("{joint} in one output, and once"));
            } else if let Some(prefix) = Some(&output.prefix).filter(|prefix| !joint.starts_with(*prefix)) {
                let expected =
                    format!("the beginning of its joints' names, which {prefix} is not of {joint}");
                reader.refuse(format!("outputs.{name}.prefix"), expected);
            }
            with_output.push(joint);
        }
    }
    let without: Vec<&str> = commanded
        .iter()
        .filter(|joint| !with_output.contains(joint))
        .map(String::as_str)
        .collect();
    if !without.is_empty() {
        let expected = format!(
            "outputs.<name>.joints with every commanded joint, also {}",
            without.join(", ")
        );
        reader.refuse("outputs", expected);
    }
}

/// Refuses an output with a pose that is not commanded or joints beside it, and a commanded pose that is not in one output.
fn check_poses(parameters: &NodeParameters, poses: &[String], reader: &mut Reader) {
    let mut with_output: Vec<&String> = Vec::new();
    for (name, output) in &parameters.outputs {
        let OutputParameters {
            r#type,
            joints,
            pose,
            prefix,
            ..
        } = output;
        let parameter = |field: &str| format!("outputs.{name}.{field}");
        if !r#type.is_pose() {
            if !pose.is_empty() {
                reader.refuse(
                    parameter("pose"),
                    format!("none, or outputs.{name}.type pose or twist"),
                );
            }
            continue;
        }
        if !poses.contains(pose) {
            reader.refuse(
                parameter("pose"),
                "a pose of pose_names that action_joints has too",
            );
        } else if with_output.contains(&pose) {
            reader.refuse(parameter("pose"), format!("{pose} in one output"));
        }
        for (field, is_set) in [("joints", !joints.is_empty()), ("prefix", !prefix.is_empty())] {
            if is_set {
                reader.refuse(parameter(field), format!("none beside outputs.{name}.pose"));
            }
        }
        with_output.push(pose);
    }
    if let Some(pose) = poses.iter().find(|pose| !with_output.contains(pose)) {
        let expected = format!("an entry of type pose or twist with outputs.<name>.pose {pose}");
        reader.refuse("outputs", expected);
    }
}

/// The frame that the messages of an output are in.
fn frame(kind: OutputKind, pose: &PoseParameters) -> String {
    match kind == OutputKind::Twist && twist(pose).is_in_tool_frame {
        true => pose.tool_frame.clone(),
        false => pose.base_frame.clone(),
    }
}

/// The topics of the commands, and the joints or the pose of each.
pub fn outputs(parameters: &NodeParameters, commanded: &[String], poses: &[String]) -> Vec<OutputTopic> {
    if parameters.outputs.is_empty() {
        return vec![OutputTopic {
            topic: parameters.trajectory_topic.clone(),
            kind: OutputKind::Trajectory,
            joints: (0..commanded.len()).collect(),
            names: commanded.to_vec(),
            ..OutputTopic::default()
        }];
    }
    let outputs = parameters.outputs.iter().map(|(_, output)| {
        let index = |joint: &String| commanded.iter().position(|commanded| commanded == joint);
        let own_name = |joint: &String| joint.strip_prefix(&output.prefix).unwrap_or(joint).to_owned();
        if output.r#type.is_pose() {
            // Poses come behind the joints.
            let place = poses.iter().position(|pose| *pose == output.pose);
            let first = place.map(|place| commanded.len() + place * POSE_VALUES);
            let mut entries = parameters.poses.iter();
            let pose = entries.find(|(name, _)| *name == output.pose);
            return OutputTopic {
                topic: output.topic.clone(),
                kind: output.r#type,
                joints: first.map_or_else(Vec::new, |first| (first..first + POSE_VALUES).collect()),
                names: value_names(&output.pose).collect(),
                frame: pose.map_or_else(String::new, |(_, pose)| frame(output.r#type, pose)),
                ..OutputTopic::default()
            };
        }
        OutputTopic {
            topic: output.topic.clone(),
            kind: output.r#type,
            joints: output.joints.iter().filter_map(index).collect(),
            names: output.joints.iter().map(own_name).collect(),
            prefix: output.prefix.clone(),
            ..OutputTopic::default()
        }
    });
    outputs.collect()
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue;
    use super::super::overrides::{names, problems, settings, text};
    use super::*;

    fn with(more: &[(&'static str, ParameterValue)]) -> Vec<(&'static str, ParameterValue)> {
        let joints = [
            (
                "joint_names",
                names("left_waist left_grip right_waist right_grip base"),
            ),
            (
                "action_joints",
                names("left_waist left_grip right_waist right_grip unused"),
            ),
        ];
        joints.into_iter().chain(more.iter().cloned()).collect()
    }

    #[test]
    fn without_outputs_all_commanded_joints_go_to_one_topic() {
        let settings = settings(&with(&[]));
        let [output] = &settings.outputs[..] else {
            panic!("{:?}", settings.outputs)
        };
        assert_eq!(
            (output.topic.as_str(), output.kind),
            ("/joint_trajectory", OutputKind::Trajectory)
        );
        assert_eq!(output.joints, [0, 1, 2, 3]);
        assert_eq!(
            output.names,
            ["left_waist", "left_grip", "right_waist", "right_grip"]
        );
    }

    #[test]
    fn each_controller_gets_its_own_joints_by_its_own_names() {
        let settings = settings(&with(&[
            ("outputs.grippers.topic", text("/grippers")),
            ("outputs.grippers.type", text("array")),
            ("outputs.grippers.joints", names("right_grip left_grip")),
            ("outputs.left_arm.topic", text("/left")),
            ("outputs.left_arm.joints", names("left_waist")),
            ("outputs.right_arm.topic", text("/right")),
            ("outputs.right_arm.joints", names("right_waist")),
            ("outputs.right_arm.prefix", text("right_")),
        ]));
        let joints: Vec<&[usize]> = settings.outputs.iter().map(|output| &output.joints[..]).collect();
        assert_eq!(joints, [&[3, 1][..], &[0], &[2]]);
        assert_eq!(settings.outputs[0].kind, OutputKind::Array);
        assert_eq!(settings.outputs[1].names, ["left_waist"]);
        assert_eq!(settings.outputs[2].names, ["waist"]);
    }

    #[test]
    fn a_joint_without_an_output_or_with_two_is_refused_and_so_is_one_that_is_not_commanded() {
        let outputs = |left: &str, right: &str| {
            with(&[
                ("outputs.left.topic", text("/left")),
                ("outputs.left.joints", names(left)),
                ("outputs.right.topic", text("/right")),
                ("outputs.right.joints", names(right)),
            ])
        };
        let whole = outputs("left_waist left_grip", "right_waist right_grip");
        assert_eq!(problems(&whole), [""; 0]);
        for (overrides, expected) in [
            (outputs("left_waist", "right_waist right_grip"), "outputs"),
            (
                outputs("left_waist left_grip left_waist", "right_waist right_grip"),
                "outputs.left.joints",
            ),
            (
                outputs("left_waist left_grip", "left_grip right_waist right_grip"),
                "outputs.right.joints",
            ),
            (
                outputs("left_waist left_grip base", "right_waist right_grip"),
                "outputs.left.joints",
            ),
            (
                [&whole[..], &[("outputs.left.type", text("effort"))]].concat(),
                "outputs.left.type",
            ),
            (
                [&whole[..], &[("outputs.right.topic", text("/left"))]].concat(),
                "outputs.right.topic",
            ),
            (
                [&whole[..], &[("outputs.left.prefix", text("left_w"))]].concat(),
                "outputs.left.prefix",
            ),
            (
                [&whole[..], &[("trajectory_topic", text("/other"))]].concat(),
                "trajectory_topic",
            ),
        ] {
            assert_eq!(problems(&overrides), [expected], "{overrides:?}");
        }
        let no_joints = with(&[("outputs.left.topic", text("/left"))]);
        assert_eq!(problems(&no_joints)[0], "outputs.left.joints");
    }
}
