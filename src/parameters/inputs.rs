//! Cameras, joint states and extra state: what their parameters must be together, and the topics that they give.

use std::time::Duration;

use super::reader::Reader;
use super::table::{NodeParameters, StateParameters};
use crate::observation::{
    CameraTopic, ExtraStateKind, ExtraStateTopic, InputTopics, JointStatesTopic, PoseSource, PoseTopic,
};
use crate::policy::CameraOptions;

/// Refuses every parameter of the inputs that does not fit another one.
pub fn check(parameters: &NodeParameters, reader: &mut Reader) {
    let NodeParameters {
        cameras,
        absent_cameras,
        joint_states,
        extra_state,
        state,
        ..
    } = parameters;
    let joints = &parameters.joint_order.joint_names;
    each_once("joint_names", joints, reader);
    each_once("extra_state_names", &state.extra_state_names, reader);
    distinct_topics(
        "cameras",
        cameras.iter().map(|(name, camera)| (name, &camera.topic)),
        reader,
    );
    distinct_topics(
        "joint_states",
        joint_states.iter().map(|(name, one)| (name, &one.topic)),
        reader,
    );
    distinct_topics(
        "poses",
        parameters.poses.iter().map(|(name, one)| (name, &one.topic)),
        reader,
    );
    distinct_topics(
        "extra_state",
        extra_state.iter().map(|(name, one)| (name, &one.topic)),
        reader,
    );
    for (name, one) in extra_state {
        if one.r#type == ExtraStateKind::Odometry && !matches!(one.size, 2 | 3 | 6) {
            reader.refuse(
                format!("extra_state.{name}.size"),
                "3 for a base that drives in any direction, 2 for one that does not, or 6 for every velocity",
            );
        }
        let is_finite = one.scale.iter().all(|scale| scale.is_finite());
        if !is_finite || !(one.scale.is_empty() || one.scale.len() == one.size) {
            let expected = format!("{} finite numbers, as many as values, or none", one.size);
            reader.refuse(format!("extra_state.{name}.scale"), expected);
        }
    }
    if cameras.is_empty() {
        reader.refuse("cameras", "cameras.<name>.topic of at least one camera");
    } else if cameras.iter().all(|(_, camera)| camera.optional) {
        let (first, _) = &cameras[0];
        reader.refuse(
            format!("cameras.{first}.optional"),
            "false for at least one camera",
        );
    }
    if let Some((present, _)) = cameras.iter().find(|(name, _)| absent_cameras.contains(name)) {
        let expected = format!("no {present}, which has cameras.{present}.topic");
        reader.refuse("absent_cameras", expected);
    }
    if state.sync_slop_ms == 0.0 && cameras.iter().any(|(_, camera)| camera.optional) {
        let expected = "more than 0 with a camera that is optional: an old frame would count for ever";
        reader.refuse("sync_slop_ms", expected);
    }
    let default = StateParameters::default().joint_states_topic;
    if !joint_states.is_empty() && state.joint_states_topic != default {
        reader.refuse(
            "joint_states_topic",
            format!("{default} beside joint_states.<name>.topic"),
        );
    }
    for (name, joint_states) in joint_states {
        if !joints
            .iter()
            .any(|joint| joint.starts_with(joint_states.prefix.as_str()))
        {
            reader.refuse(
                format!("joint_states.{name}.prefix"),
                "the beginning of a name in joint_names",
            );
        }
    }
}

/// Refuses a list in which a name is there twice.
pub fn each_once(parameter: &str, names: &[String], reader: &mut Reader) {
    let mut places = names.iter().enumerate();
    if let Some((_, twice)) = places.find(|(index, name)| names[..*index].contains(name)) {
        reader.refuse(parameter, format!("{twice} only once"));
    }
}

/// Refuses the topic of every entry of a map that an entry before has too.
pub fn distinct_topics<'a>(
    map: &str,
    entries: impl Iterator<Item = (&'a String, &'a String)>,
    reader: &mut Reader,
) {
    let mut seen: Vec<(&String, &String)> = Vec::new();
    for (name, topic) in entries {
        match seen.iter().find(|(_, other)| *other == topic) {
            // An empty topic is a problem of its own.
            Some((other, _)) if !topic.is_empty() => {
                reader.refuse(
                    format!("{map}.{name}.topic"),
                    format!("another topic than {map}.{other}.topic"),
                );
            }
            _ => seen.push((name, topic)),
        }
    }
}

/// The topics of everything that an observation is made of.
pub fn input_topics(parameters: &NodeParameters) -> InputTopics {
    let cameras = parameters.cameras.iter().map(|(name, camera)| CameraTopic {
        name: name.clone(),
        topic: camera.topic.clone(),
        transport: camera.transport,
        channel_order: camera.channel_order,
        is_optional: camera.optional,
    });
    let joint_states = parameters.joint_states.iter().map(|(_, one)| JointStatesTopic {
        topic: one.topic.clone(),
        prefix: one.prefix.clone(),
    });
    let mut joint_states: Vec<JointStatesTopic> = joint_states.collect();
    if joint_states.is_empty() {
        joint_states.push(JointStatesTopic {
            topic: parameters.state.joint_states_topic.clone(),
            prefix: String::new(),
        });
    }
    let extra_state = parameters.extra_state.iter().map(|(_, one)| ExtraStateTopic {
        topic: one.topic.clone(),
        kind: one.r#type,
        size: one.size,
        scale: one.scale.clone(),
    });
    let poses = parameters.poses.iter().map(|(_, pose)| PoseTopic {
        source: match pose.topic.is_empty() {
            false => PoseSource::Topic(pose.topic.clone()),
            true => PoseSource::Frame(pose.tool_frame.clone()),
        },
        base_frame: pose.base_frame.clone(),
    });
    let sync_slop = Duration::from_secs_f64(parameters.state.sync_slop_ms / 1e3);
    InputTopics {
        cameras: cameras.collect(),
        joint_states,
        poses: poses.collect(),
        extra_state: extra_state.collect(),
        prompt: parameters.policy.prompt_topic.clone(),
        sync_slop: (!sync_slop.is_zero()).then_some(sync_slop),
    }
}

/// How the policy uses each camera.
pub fn camera_options(parameters: &NodeParameters) -> Vec<CameraOptions> {
    let options = parameters.cameras.iter().map(|(name, camera)| CameraOptions {
        name: name.clone(),
        crop: camera.crop,
        is_optional: camera.optional,
    });
    options.collect()
}

#[cfg(test)]
mod tests {
    use super::super::ParameterValue::{Bool, Double, DoubleArray, Integer, IntegerArray};
    use super::super::overrides::{names, problems, settings, text};
    use super::*;
    use crate::observation::{ChannelOrder, Transport};
    use crate::policy::{Crop, VisionRefresh};

    #[test]
    fn parameters_of_inputs_that_do_not_fit_each_other_are_refused() {
        let wrist = ("cameras.wrist.topic", text("/wrist"));
        let force = [
            ("extra_state_names", names("force")),
            ("extra_state.force.topic", text("/force")),
        ];
        let left = ("joint_states.left.topic", text("/a"));
        for (overrides, expected) in [
            (vec![("joint_names", names("waist elbow waist"))], "joint_names"),
            (vec![("cameras.wrist.topic", text("/top"))], "cameras.wrist.topic"),
            (vec![("absent_cameras", names("top"))], "absent_cameras"),
            (
                vec![("cameras.top.transport", text("jpeg"))],
                "cameras.top.transport",
            ),
            (
                vec![("cameras.top.channel_order", text("gbr"))],
                "cameras.top.channel_order",
            ),
            (
                vec![("cameras.top.crop", IntegerArray(vec![1, 2, 3]))],
                "cameras.top.crop",
            ),
            (
                vec![
                    ("cameras.top.optional", Bool(true)),
                    ("sync_slop_ms", Double(50.0)),
                ],
                "cameras.top.optional",
            ),
            (
                vec![wrist, ("cameras.wrist.optional", Bool(true))],
                "sync_slop_ms",
            ),
            (
                vec![left.clone(), ("joint_states.right.topic", text("/a"))],
                "joint_states.right.topic",
            ),
            (
                vec![left.clone(), ("joint_states.left.prefix", text("head_"))],
                "joint_states.left.prefix",
            ),
            (
                vec![left, ("joint_states_topic", text("/b"))],
                "joint_states_topic",
            ),
            (force.to_vec(), "extra_state.force.size"),
            (
                [
                    &force[..],
                    &[
                        ("extra_state.force.size", Integer(6)),
                        ("extra_state_names", names("force force")),
                    ],
                ]
                .concat(),
                "extra_state_names",
            ),
            (
                [&force[..], &[("extra_state.force.size", Integer(0))]].concat(),
                "extra_state.force.size",
            ),
            (
                [
                    &force[..],
                    &[
                        ("extra_state.force.type", text("odometry")),
                        ("extra_state.force.size", Integer(4)),
                    ],
                ]
                .concat(),
                "extra_state.force.size",
            ),
            (
                [
                    &force[..],
                    &[
                        ("extra_state.force.size", Integer(2)),
                        ("extra_state.force.scale", DoubleArray(vec![1.0])),
                    ],
                ]
                .concat(),
                "extra_state.force.scale",
            ),
        ] {
            assert_eq!(problems(&overrides), [expected], "{overrides:?}");
        }
    }

    #[test]
    fn each_input_gets_its_topic_transport_crop_and_prefix() {
        let settings = settings(&[
            ("cameras.wrist.topic", text("/wrist/compressed")),
            ("cameras.top.channel_order", text("bgr")),
            ("cameras.wrist.transport", text("compressed")),
            ("cameras.wrist.optional", Bool(true)),
            ("cameras.wrist.crop", IntegerArray(vec![5, 6, 7, 8])),
            ("cameras.wrist.refresh_hz", Integer(5)),
            ("sync_slop_ms", Double(50.0)),
            ("joint_states.left.topic", text("/left/joint_states")),
            ("joint_states.right.topic", text("/right/joint_states")),
            ("joint_states.right.prefix", text("gr")),
            ("extra_state_names", names("torque force")),
            ("extra_state.force.topic", text("/force")),
            ("extra_state.force.size", Integer(6)),
            ("extra_state.torque.topic", text("/torque")),
            ("extra_state.torque.size", Integer(3)),
        ]);
        let inputs = &settings.inputs;
        assert_eq!(inputs.sync_slop, Some(Duration::from_millis(50)));
        let [top, wrist] = &inputs.cameras[..] else {
            panic!("{:?}", inputs.cameras)
        };
        assert_eq!(
            (top.transport, wrist.transport),
            (Transport::Raw, Transport::Compressed)
        );
        assert_eq!(
            (top.channel_order, wrist.channel_order),
            (ChannelOrder::Bgr, ChannelOrder::Unknown)
        );
        assert!(!top.is_optional && wrist.is_optional);
        assert_eq!(
            (wrist.name.as_str(), wrist.topic.as_str()),
            ("wrist", "/wrist/compressed")
        );
        assert_eq!(inputs.joint_states[1].prefix, "gr");
        let sizes: Vec<usize> = inputs.extra_state.iter().map(|one| one.size).collect();
        assert_eq!(sizes, [3, 6], "in the order of extra_state_names");
        let crop = Crop {
            x: 5,
            y: 6,
            width: 7,
            height: 8,
        };
        assert_eq!(settings.policy.cameras.as_ref().unwrap()[1].crop, Some(crop));
        assert_eq!(settings.policy.cameras.as_ref().unwrap()[0].crop, None);
        let wrist_alone = VisionRefresh::new([("wrist".to_owned(), Duration::from_millis(200))]);
        assert_eq!(*settings.runtime.vision_refresh, wrist_alone);
    }

    #[test]
    fn a_robot_of_one_driver_has_one_topic_of_joint_states() {
        let [one] = &settings(&[]).inputs.joint_states[..] else {
            panic!("not one topic")
        };
        assert_eq!((one.topic.as_str(), one.prefix.as_str()), ("/joint_states", ""));
    }
}
