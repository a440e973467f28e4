//! The topic of each camera, and the part of its frames that the policy learned from.

use std::collections::BTreeSet;

use crate::doctor::camera_names::{is_no_colour, matched};
use crate::doctor::needs::{NeededCamera, Needs};
use crate::doctor::setup::{CameraSetup, CameraSource, Choice, crop_of};
use crate::doctor::sightings::{CameraSeen, Sightings};
use crate::observation::{ChannelOrder, InputProblem, Transport};
use crate::policy::Crop;

/// How far the aspects of two images may differ, as a share.
const ASPECT_MARGIN: f64 = 0.02;

pub fn cameras(seen: &Sightings, needs: &Needs) -> Vec<CameraSetup> {
    let topics = usable_topics(seen);
    let names: Vec<Vec<&str>> = needs.cameras.iter().map(names_of).collect();
    let by_name = matched(&names, &topics);
    let is_only = needs.cameras.len() == 1 && topics.len() == 1;
    let used: BTreeSet<usize> = by_name.iter().flatten().copied().collect();
    let free = (0..topics.len()).filter(|topic| !used.contains(topic));
    let free: Vec<&str> = free.map(|topic| topics[topic]).collect();
    let cameras = needs.cameras.iter().zip(by_name).map(|(camera, topic)| {
        let found = match topic {
            Some(topic) => Some((topics[topic], "the topic with this camera's name")),
            None if is_only => Some((topics[0], "the checkpoint has one camera, and so has the robot")),
            None => None,
        };
        match found {
            Some((topic, reason)) => of_topic(camera, topic, &seen.cameras[topic], reason),
            None => CameraSetup {
                name: camera.name.clone(),
                source: Choice::open(not_found(camera, &free)),
                crop: Choice::known(None, ""),
            },
        }
    });
    cameras.collect()
}

fn names_of(camera: &NeededCamera) -> Vec<&str> {
    let recorded = camera.recorded_name.as_deref();
    [camera.name.as_str()].into_iter().chain(recorded).collect()
}

/// Topics of colour images that can be read; of a camera with raw and compressed frames the raw ones.
fn usable_topics(seen: &Sightings) -> Vec<&str> {
    let is_usable = |topic: &str, camera: &CameraSeen| {
        let has_order = matches!(camera.problem, None | Some(InputProblem::ColourOrder { .. }));
        camera.size.is_some() && has_order && !is_no_colour(topic)
    };
    let usable = seen
        .cameras
        .iter()
        .filter(|(topic, camera)| is_usable(topic, camera));
    let usable: BTreeSet<&str> = usable.map(|(topic, _)| topic.as_str()).collect();
    let has_raw = |topic: &&&str| {
        let raw = topic.strip_suffix("/compressed");
        raw.is_some_and(|raw| usable.contains(raw))
    };
    usable.iter().filter(|topic| !has_raw(topic)).copied().collect()
}

fn not_found(camera: &NeededCamera, free: &[&str]) -> String {
    let name = &camera.name;
    let recorded = match &camera.recorded_name {
        Some(recorded) => format!(" ({recorded} in the data)"),
        None => String::new(),
    };
    let among = match free {
        [] => "no topic of colour images is left".to_owned(),
        free => format!("these topics are left: {}", free.join(", ")),
    };
    format!(
        "no topic has the name of the camera {name}{recorded} and no other's, {among}; give its topic, or take it out here and \
         name it in absent_cameras where the robot does not have it"
    )
}

fn of_topic(camera: &NeededCamera, topic: &str, seen: &CameraSeen, reason: &str) -> CameraSetup {
    let source = match &seen.problem {
        Some(problem) => Choice::open(format!("{topic} is {reason}, but {problem}")),
        None => Choice::known(
            CameraSource::Topic {
                topic: topic.to_owned(),
                transport: seen.transport,
                channel_order: ChannelOrder::Unknown,
            },
            format!("{reason}: {}", described(seen)),
        ),
    };
    CameraSetup {
        name: camera.name.clone(),
        source,
        crop: crop(camera, seen.size),
    }
}

/// A camera's frames in words.
pub fn described(seen: &CameraSeen) -> String {
    let size = seen.size.map(|[width, height]| format!(" {width} × {height}"));
    let rate = seen.arrivals.rate_hz().map(|rate| format!(", {rate:.1} Hz"));
    let transport = match seen.transport {
        Transport::Raw => "",
        Transport::Compressed => "compressed ",
    };
    format!(
        "{transport}{}{}{}",
        seen.encoding,
        size.unwrap_or_default(),
        rate.unwrap_or_default()
    )
}

/// The part of a frame of `size` that the policy learned from; all of it where nothing speaks against that.
fn crop(camera: &NeededCamera, size: Option<[u32; 2]>) -> Choice<Option<Crop>> {
    match (camera.crop, camera.size, size) {
        (Some(recorded), _, Some(size)) if recorded.frame == size => Choice::known(
            Some(crop_of(recorded)),
            "the part of this frame that the data have",
        ),
        (_, Some(learned), Some(size)) if !same_aspect(learned, size) => {
            Choice::open(other_aspect(learned, size))
        }
        _ => Choice::known(None, "the whole frame"),
    }
}

/// Whether two images have the same aspect.
pub fn same_aspect(one: [u32; 2], other: [u32; 2]) -> bool {
    let aspect = |[width, height]: [u32; 2]| f64::from(width) / f64::from(height);
    (aspect(one) / aspect(other) - 1.0).abs() <= ASPECT_MARGIN
}

/// What an image of another aspect means, and what to do.
pub fn other_aspect([width, height]: [u32; 2], [seen_width, seen_height]: [u32; 2]) -> String {
    format!(
        "the policy learned from images of {width} × {height}, and the camera sends {seen_width} × {seen_height}: x, y, width and \
         height of the part of the frame that the data have, or [] where the whole frame was brought to that shape"
    )
}
