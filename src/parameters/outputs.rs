//! The parameters of the outputs.

use super::read::{each_once, one_for_each, one_for_each_or_none, problem, text, texts};
use super::{ParameterProblem, Values, declaration};
use crate::control::{OutputKind, OutputTopic};

/// Every parameter of the outputs that does not fit another one, or the joints that are `commanded`.
pub fn problems(values: &Values, commanded: &[String]) -> Vec<ParameterProblem> {
    let topics = texts(values, "output_topics");
    let mut problems = Vec::new();
    problems.extend(each_once(values, "output_topics"));
    problems.extend(one_for_each_or_none(
        values,
        "output_types",
        topics.len(),
        "output_topics",
    ));
    problems.extend(one_for_each_or_none(
        values,
        "output_prefixes",
        topics.len(),
        "output_topics",
    ));
    problems.extend(one_for_each(
        values,
        "output_joints",
        topics.len(),
        "output_topics",
    ));
    if topics.is_empty() {
        return problems;
    }
    let default = declaration("trajectory_topic").map(|declaration| declaration.default.value());
    if default.as_ref() != Some(&values["trajectory_topic"]) {
        problems.push(problem(
            values,
            "trajectory_topic",
            "its default with output_topics",
        ));
    }
    let joints: Vec<Vec<String>> = joints(values);
    let mut counts = commanded.iter().map(|joint| (joint, 0)).collect::<Vec<_>>();
    for joint in joints.iter().flatten() {
        match counts.iter_mut().find(|(commanded, _)| *commanded == joint) {
            Some((_, count)) => *count += 1,
            None => {
                let expected =
                    format!("names of joints that get a value of the actions, which {joint} does not");
                problems.push(problem(values, "output_joints", expected));
            }
        }
    }
    let wrong: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count != 1)
        .map(|(joint, count)| format!("{joint} ({count} times)"))
        .collect();
    if !wrong.is_empty() {
        let expected = format!(
            "every joint that gets a value of the actions once, not {}",
            wrong.join(", ")
        );
        problems.push(problem(values, "output_joints", expected));
    }
    for (prefix, joints) in texts(values, "output_prefixes").iter().zip(&joints) {
        if let Some(other) = joints.iter().find(|joint| !joint.starts_with(prefix.as_str())) {
            let expected = format!("prefixes of their joints' names, which {prefix} is not of {other}");
            problems.push(problem(values, "output_prefixes", expected));
        }
    }
    problems
}

/// What the checked parameters say of the outputs.
pub fn outputs(values: &Values, commanded: &[String]) -> Vec<OutputTopic> {
    let topics = texts(values, "output_topics");
    if topics.is_empty() {
        return vec![OutputTopic {
            topic: text(values, "trajectory_topic"),
            kind: OutputKind::Trajectory,
            joints: (0..commanded.len()).collect(),
            prefix: String::new(),
            names: commanded.to_vec(),
        }];
    }
    let types = texts(values, "output_types")
        .into_iter()
        .map(|kind| match kind.as_str() {
            "array" => OutputKind::Array,
            _ => OutputKind::Trajectory,
        });
    let types = types.chain(std::iter::repeat(OutputKind::Trajectory));
    let prefixes = texts(values, "output_prefixes")
        .into_iter()
        .chain(std::iter::repeat(String::new()));
    let outputs = topics.into_iter().zip(joints(values)).zip(types.zip(prefixes));
    outputs
        .map(|((topic, joints), (kind, prefix))| {
            let place = |joint: &String| commanded.iter().position(|commanded| commanded == joint);
            let own_name = |joint: &String| joint.strip_prefix(&prefix).unwrap_or(joint).to_owned();
            OutputTopic {
                topic,
                kind,
                joints: joints.iter().filter_map(place).collect(),
                names: joints.iter().map(own_name).collect(),
                prefix,
            }
        })
        .collect()
}

/// The joints of each output.
fn joints(values: &Values) -> Vec<Vec<String>> {
    let lists = texts(values, "output_joints").into_iter();
    lists
        .map(|list| list.split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue;
    use super::super::overrides::{names, problems, settings, texts};
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
    fn without_outputs_all_joints_go_to_one_topic() {
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
            ("output_topics", names("/right /left /grippers")),
            ("output_types", names("trajectory trajectory array")),
            (
                "output_joints",
                texts(&["right_waist", "left_waist", "left_grip right_grip"]),
            ),
            ("output_prefixes", texts(&["right_", "left_", ""])),
        ]));
        let joints: Vec<&[usize]> = settings.outputs.iter().map(|output| &output.joints[..]).collect();
        assert_eq!(joints, [&[2][..], &[0], &[1, 3]]);
        assert_eq!(settings.outputs[0].names, ["waist"]);
        assert_eq!(settings.outputs[2].kind, OutputKind::Array);
    }

    #[test]
    fn a_joint_without_an_output_or_with_two_is_refused_and_so_is_one_that_is_not_commanded() {
        let topics = ("output_topics", names("/left /right"));
        let both = (
            "output_joints",
            texts(&["left_waist left_grip", "right_waist right_grip"]),
        );
        assert_eq!(problems(&with(&[topics.clone(), both.clone()])), [""; 0]);
        for (more, expected) in [
            (
                vec![("output_joints", texts(&["left_waist", "right_waist right_grip"]))],
                "output_joints",
            ),
            (
                vec![(
                    "output_joints",
                    texts(&["left_waist left_grip left_waist", "right_waist right_grip"]),
                )],
                "output_joints",
            ),
            (
                vec![(
                    "output_joints",
                    texts(&["left_waist left_grip base", "right_waist right_grip"]),
                )],
                "output_joints",
            ),
            (
                vec![both.clone(), ("output_types", names("array"))],
                "output_types",
            ),
            (
                vec![both.clone(), ("output_prefixes", texts(&["left_", "left_"]))],
                "output_prefixes",
            ),
            (
                vec![
                    both.clone(),
                    ("trajectory_topic", ParameterValue::String("/other".to_owned())),
                ],
                "trajectory_topic",
            ),
        ] {
            let more: Vec<_> = std::iter::once(topics.clone()).chain(more).collect();
            assert_eq!(problems(&with(&more)), [expected], "{more:?}");
        }
        assert_eq!(
            problems(&with(&[("output_topics", names("/left"))]))
                .first()
                .unwrap(),
            "output_joints"
        );
    }
}
