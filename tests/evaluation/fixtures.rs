//! The bags that `pi0_tools.reference.make_bags` wrote with the PyPI packages rosbags and mcap.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::messages;
use pi0_node::observation::{ChannelOrder, JointState, some_joint_positions};
use serde_json::{Value, json};

pub fn bag(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/bags")
        .join(name)
}

/// The robot's joints, in another order than they are sent.
pub fn joints() -> Vec<String> {
    let arm = [
        "waist",
        "shoulder",
        "elbow",
        "forearm_roll",
        "wrist_angle",
        "wrist_rotate",
        "gripper",
    ];
    let sides = ["left", "right"];
    sides
        .iter()
        .flat_map(|side| arm.iter().map(move |joint| format!("{side}_{joint}")))
        .collect()
}

/// What was written into every bag: log time, topic, and what the message says.
pub fn written() -> Vec<(u64, String, Value)> {
    serde_json::from_str(&std::fs::read_to_string(bag("messages.json")).unwrap()).unwrap()
}

/// What is read of a bag, and the warnings.
pub fn read(path: &Path) -> (Vec<(u64, String, Value)>, Vec<String>) {
    let bag = Bag::open(path).unwrap();
    let topics: BTreeSet<String> = bag.topics().keys().cloned().collect();
    let types = bag.topics().clone();
    let mut found = Vec::new();
    let warnings = bag
        .read(&topics, &mut |message| {
            let says = says(&types[message.topic].type_name, message.data);
            found.push((message.log_time.as_nanos() as u64, message.topic.to_owned(), says));
            ControlFlow::Continue(())
        })
        .unwrap();
    (found, warnings)
}

fn says(type_name: &str, data: &[u8]) -> Value {
    let nanoseconds = |stamp: Option<Duration>| stamp.map(|stamp| stamp.as_nanos() as u64);
    match type_name {
        messages::IMAGE | messages::COMPRESSED_IMAGE => {
            let image = match type_name {
                messages::IMAGE => messages::image(data, ChannelOrder::Unknown),
                _ => messages::compressed_image(data),
            };
            let image = image.unwrap();
            let pixels = image.content.unwrap();
            let sum: u64 = pixels.as_raw().iter().map(|&value| u64::from(value)).sum();
            json!({"stamp": nanoseconds(image.stamp), "size": [pixels.width(), pixels.height()], "sum": sum})
        }
        messages::JOINT_STATE => {
            let state = messages::joint_state(data).unwrap();
            let JointState { names, positions } = state.content;
            let found = some_joint_positions(&names, &positions, "", &joints()).unwrap();
            let positions: Vec<f32> = found.into_iter().map(|(_, position)| position).collect();
            json!({"stamp": nanoseconds(state.stamp), "positions": positions})
        }
        messages::JOINT_TRAJECTORY => {
            let trajectory = messages::joint_trajectory(data, "", &joints()).unwrap();
            for (joint, (place, points)) in trajectory.content.iter().enumerate() {
                assert_eq!((*place, points.len()), (joint, 2));
                assert_eq!(points[1].0, Duration::from_millis(50));
            }
            let positions: Vec<f32> = trajectory.content.iter().map(|(_, points)| points[0].1).collect();
            json!({"stamp": nanoseconds(trajectory.stamp), "positions": positions})
        }
        messages::FLOAT64_ARRAY => {
            json!({"stamp": null, "positions": messages::float64_array(data).unwrap()})
        }
        messages::STRING => json!({"stamp": null, "text": messages::string(data).unwrap()}),
        other => panic!("{other} is in no bag"),
    }
}

/// Positions are f32 on our side and f64 on the other.
pub fn assert_same(found: &[(u64, String, Value)], expected: &[(u64, String, Value)]) {
    assert_eq!(found.len(), expected.len());
    for ((time, topic, says), (expected_time, expected_topic, expected_says)) in found.iter().zip(expected) {
        assert_eq!((time, topic), (expected_time, expected_topic));
        let (mut says, mut expected_says) = (says.clone(), expected_says.clone());
        let positions =
            [&mut says, &mut expected_says].map(|says| says.as_object_mut().unwrap().remove("positions"));
        assert_eq!(says, expected_says, "{topic}");
        if let [Some(positions), Some(expected)] = positions {
            let positions: Vec<f64> = serde_json::from_value(positions).unwrap();
            let expected: Vec<f64> = serde_json::from_value(expected).unwrap();
            assert_eq!(positions.len(), expected.len());
            for (position, expected) in positions.iter().zip(&expected) {
                assert!(
                    (position - expected).abs() < 1e-6,
                    "{topic}: {position} and {expected}"
                );
            }
        }
    }
}
