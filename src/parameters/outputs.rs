//! Outputs: what their parameters must be together, and the topics that they give.

use super::inputs::distinct_topics;
use super::reader::Reader;
use super::table::{NodeParameters, TrajectoryOutput};
use crate::control::{OutputKind, OutputTopic};

/// Refuses every parameter of the outputs that does not fit another one, or the `commanded` joints.
pub fn check(parameters: &NodeParameters, commanded: &[String], reader: &mut Reader) {
    let outputs = &parameters.outputs;
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
    for (name, output) in outputs {
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

/// The topics of the commands, and the joints of each.
pub fn outputs(parameters: &NodeParameters, commanded: &[String]) -> Vec<OutputTopic> {
    if parameters.outputs.is_empty() {
        return vec![OutputTopic {
            topic: parameters.trajectory_topic.clone(),
            kind: OutputKind::Trajectory,
            joints: (0..commanded.len()).collect(),
            prefix: String::new(),
            names: commanded.to_vec(),
        }];
    }
    let outputs = parameters.outputs.iter().map(|(_, output)| {
        let index = |joint: &String| commanded.iter().position(|commanded| commanded == joint);
        let own_name = |joint: &String| joint.strip_prefix(&output.prefix).unwrap_or(joint).to_owned();
        OutputTopic {
            topic: output.topic.clone(),
            kind: output.r#type,
            joints: output.joints.iter().filter_map(index).collect(),
            names: output.joints.iter().map(own_name).collect(),
            prefix: output.prefix.clone(),
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
