//! What was seen of a robot in a bag.

use std::ops::ControlFlow;

use super::bag::{Bag, BagError, Recorded};
use super::cdr::CdrError;
use super::messages::{
    self, CLOCK, COMPRESSED_IMAGE, FLOAT64_ARRAY, IMAGE, JOINT_STATE, JOINT_TRAJECTORY, POSE, STRING, TWIST,
};
use super::topics::same_type;
use crate::control::OutputKind;
use crate::doctor::{Sightings, Source, has_commands, has_description};
use crate::observation::Transport;

const TYPES: [&str; 9] = [
    IMAGE,
    COMPRESSED_IMAGE,
    JOINT_STATE,
    JOINT_TRAJECTORY,
    FLOAT64_ARRAY,
    POSE,
    TWIST,
    STRING,
    CLOCK,
];

/// Reads everything that a check needs of a bag: every topic of a type that the node subscribes to or publishes.
///
/// # Errors
/// When a file of the bag cannot be read at all.
pub fn sightings(bag: &Bag) -> Result<Sightings, BagError> {
    let mut seen = Sightings {
        source: Source::Bag,
        ..Sightings::default()
    };
    let type_of = |topic: &str| {
        let found = &bag.topics().get(topic)?.type_name;
        TYPES.into_iter().find(|one| same_type(found, one))
    };
    for topic in bag.topics().keys() {
        match type_of(topic) {
            Some(IMAGE) => {
                seen.camera_topic(topic, Transport::Raw);
            }
            Some(COMPRESSED_IMAGE) => {
                seen.camera_topic(topic, Transport::Compressed);
            }
            Some(JOINT_STATE) => {
                seen.joint_states.entry(topic.clone()).or_default();
            }
            Some(JOINT_TRAJECTORY) if has_commands(topic) => {
                seen.controller_topic(topic, OutputKind::Trajectory);
            }
            Some(FLOAT64_ARRAY) => {
                seen.controller_topic(topic, OutputKind::Array);
            }
            Some(POSE) => {
                seen.controller_topic(topic, OutputKind::Pose);
            }
            Some(TWIST) => {
                seen.controller_topic(topic, OutputKind::Twist);
            }
            _ => {}
        }
    }
    let wanted = bag.topics().keys();
    let wanted = wanted.filter(|topic| match type_of(topic) {
        None | Some(FLOAT64_ARRAY | POSE | TWIST) => false,
        Some(STRING) => has_description(topic),
        Some(_) => true,
    });
    let wanted = wanted.cloned().collect();
    let warnings = bag.read(&wanted, &mut |message| {
        if let Err(error) = take(&mut seen, type_of(message.topic).unwrap_or_default(), message) {
            seen.unreadable
                .insert(message.topic.to_owned(), error.to_string());
        }
        ControlFlow::Continue(())
    })?;
    for warning in warnings.into_iter().chain(bag.warnings().iter().cloned()) {
        seen.unreadable.insert(bag.path().display().to_string(), warning);
    }
    Ok(seen)
}

fn take(seen: &mut Sightings, type_name: &str, message: Recorded) -> Result<(), CdrError> {
    let Recorded {
        topic,
        log_time,
        data,
    } = message;
    match type_name {
        IMAGE => seen.raw_frame(topic, log_time, &messages::raw_frame(data)?),
        COMPRESSED_IMAGE => seen.compressed_frame(topic, log_time, &messages::compressed_frame(data)?),
        JOINT_STATE => seen.joint_state(topic, log_time, &messages::joint_state(data)?),
        CLOCK => seen.clock(messages::clock(data)?),
        STRING => {
            seen.descriptions
                .insert(topic.to_owned(), messages::string(data)?);
        }
        JOINT_TRAJECTORY => {
            if let Some(controller) = seen.controllers.get_mut(topic) {
                controller.joints = Some(messages::trajectory_joints(data)?);
            }
        }
        _ => {}
    }
    Ok(())
}
