//! The parameters of the inputs.

use std::time::Duration;

use super::read::{double, each_once, integers, one_for_each, one_for_each_or_none, problem, text, texts};
use super::{ParameterProblem, Values};
use crate::observation::{CameraTopic, ExtraStateTopic, InputTopics, JointStatesTopic, Transport};
use crate::policy::Crop;

/// Every parameter of the inputs that does not fit another one.
pub fn problems(values: &Values) -> Vec<ParameterProblem> {
    let mut problems = Vec::new();
    for name in [
        "cameras",
        "camera_topics",
        "joint_states_topics",
        "extra_state_topics",
    ] {
        problems.extend(each_once(values, name));
    }
    let cameras = texts(values, "cameras");
    problems.extend(one_for_each(values, "camera_topics", cameras.len(), "cameras"));
    problems.extend(one_for_each_or_none(
        values,
        "camera_transports",
        cameras.len(),
        "cameras",
    ));
    if let Some(present) = texts(values, "absent_cameras")
        .iter()
        .find(|name| cameras.contains(name))
    {
        let expected = format!("no {present}, which is in cameras");
        problems.push(problem(values, "absent_cameras", expected));
    }
    let optional = texts(values, "optional_cameras");
    if let Some(unknown) = optional.iter().find(|name| !cameras.contains(name)) {
        let expected = format!("only names that are in cameras, which {unknown} is not");
        problems.push(problem(values, "optional_cameras", expected));
    }
    if cameras.iter().all(|camera| optional.contains(camera)) {
        problems.push(problem(
            values,
            "optional_cameras",
            "at least one camera that is not optional",
        ));
    }
    if !optional.is_empty() && double(values, "sync_slop_ms") == 0.0 {
        let expected = "more than 0 with optional_cameras: an old frame would count for ever";
        problems.push(problem(values, "sync_slop_ms", expected));
    }
    let joint_states = texts(values, "joint_states_topics").len();
    problems.extend(one_for_each_or_none(
        values,
        "joint_states_prefixes",
        joint_states,
        "joint_states_topics",
    ));
    let joints = texts(values, "joint_names");
    let has_joint = |prefix: &String| joints.iter().any(|joint| joint.starts_with(prefix.as_str()));
    if let Some(unused) = texts(values, "joint_states_prefixes")
        .iter()
        .find(|prefix| !has_joint(prefix))
    {
        let expected = format!("prefixes of joint_names, which {unused} is not");
        problems.push(problem(values, "joint_states_prefixes", expected));
    }
    let extra_state = texts(values, "extra_state_topics").len();
    problems.extend(one_for_each(
        values,
        "extra_state_sizes",
        extra_state,
        "extra_state_topics",
    ));
    if integers(values, "extra_state_sizes")
        .iter()
        .any(|size| !(1..=1000).contains(size))
    {
        problems.push(problem(values, "extra_state_sizes", "1 to 1000 each"));
    }
    problems.extend(crops(values, cameras.len()).err());
    problems
}

/// What the checked parameters say of the inputs.
pub fn input_topics(values: &Values) -> InputTopics {
    let or_default = |name| {
        texts(values, name)
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat(None))
    };
    let optional = texts(values, "optional_cameras");
    let cameras = texts(values, "cameras")
        .into_iter()
        .zip(texts(values, "camera_topics"));
    let cameras = cameras.zip(or_default("camera_transports"));
    let joint_states = texts(values, "joint_states_topics").into_iter();
    let extra_state = texts(values, "extra_state_topics").into_iter();
    let sync_slop = Duration::from_secs_f64(double(values, "sync_slop_ms") / 1e3);
    InputTopics {
        cameras: cameras
            .map(|((name, topic), transport)| CameraTopic {
                transport: match transport.as_deref() {
                    Some("compressed") => Transport::Compressed,
                    _ => Transport::Raw,
                },
                is_optional: optional.contains(&name),
                name,
                topic,
            })
            .collect(),
        joint_states: joint_states
            .zip(or_default("joint_states_prefixes"))
            .map(|(topic, prefix)| JointStatesTopic {
                topic,
                prefix: prefix.unwrap_or_default(),
            })
            .collect(),
        extra_state: extra_state
            .zip(integers(values, "extra_state_sizes"))
            .map(|(topic, size)| ExtraStateTopic {
                topic,
                size: usize::try_from(size).unwrap_or(0),
            })
            .collect(),
        prompt: text(values, "prompt_topic"),
        sync_slop: (!sync_slop.is_zero()).then_some(sync_slop),
    }
}

/// A crop for each camera, or none at all.
pub fn crops(values: &Values, cameras: usize) -> Result<Vec<Crop>, ParameterProblem> {
    let problem = |expected: String| problem(values, "camera_crops", expected);
    let numbers = integers(values, "camera_crops");
    if !numbers.is_empty() && numbers.len() != 4 * cameras {
        return Err(problem(format!(
            "four numbers for each of the {cameras} cameras, or none"
        )));
    }
    let pixels: Vec<u32> = numbers
        .iter()
        .map(|&number| u32::try_from(number))
        .collect::<Result<_, _>>()
        .map_err(|_| problem("numbers of pixels, from 0 up".to_owned()))?;
    let crops: Vec<Crop> = pixels
        .chunks_exact(4)
        .map(|crop| Crop {
            x: crop[0],
            y: crop[1],
            width: crop[2],
            height: crop[3],
        })
        .collect();
    if crops.iter().any(|crop| crop.width == 0 || crop.height == 0) {
        return Err(problem("a width and a height of at least 1".to_owned()));
    }
    Ok(crops)
}
