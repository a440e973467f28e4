//! Cameras: topics, frames, encodings, sizes and rates.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{judge_publishers, not_seen};
use crate::doctor::guess::{described, other_aspect, same_aspect};
use crate::doctor::needs::{NeededCamera, Needs};
use crate::doctor::report::Report;
use crate::doctor::setup::{CameraSetup, CameraSource, Setup};
use crate::doctor::sightings::{CameraSeen, Sightings};
use crate::observation::{ChannelOrder, InputProblem, Offer, Transport};

/// Rate below which a robot acts on what it saw long ago.
const LEAST_RATE_HZ: f64 = 5.0;
/// Longest silence of an input by default (`max_age_ms`).
pub const LONGEST_SILENCE: Duration = Duration::from_millis(500);

pub fn judge(seen: &Sightings, needs: &Needs, setup: &Setup, report: &mut Report) {
    for (camera, needed) in setup.cameras.iter().zip(&needs.cameras) {
        judge_camera(seen, needed, camera, report);
    }
    let used = setup
        .cameras
        .iter()
        .filter_map(|camera| match camera.source.value.as_ref()? {
            CameraSource::Topic { topic, .. } => Some(topic.trim_end_matches("/compressed")),
            CameraSource::Absent => None,
        });
    let used: BTreeSet<&str> = used.collect();
    for (topic, camera) in &seen.cameras {
        if !used.contains(topic.trim_end_matches("/compressed")) && camera.arrivals.count() > 0 {
            report.ok(topic, format!("{}, not used", described(camera)));
        }
    }
}

fn judge_camera(seen: &Sightings, needed: &NeededCamera, camera: &CameraSetup, report: &mut Report) {
    let subject = format!("camera {}", camera.name);
    let (topic, transport, order) = match &camera.source.value {
        None => {
            report.problem(
                subject,
                &camera.source.reason,
                format!("set cameras.{}.topic", camera.name),
            );
            return;
        }
        Some(CameraSource::Absent) => {
            report.ok(
                subject,
                "the robot does not have it: the model gets it as missing",
            );
            return;
        }
        Some(CameraSource::Topic {
            topic,
            transport,
            channel_order,
        }) => (topic, *transport, *channel_order),
    };
    let message_type = match transport {
        Transport::Raw => "sensor_msgs/msg/Image",
        Transport::Compressed => "sensor_msgs/msg/CompressedImage",
    };
    let asked = Offer {
        message_type: message_type.to_owned(),
        is_best_effort: true,
        is_volatile: true,
    };
    judge_publishers(seen, topic, &asked, report);
    let Some(found) = seen.cameras.get(topic) else {
        let topics: Vec<&str> = seen.cameras.keys().map(String::as_str).collect();
        report.problem(
            subject,
            format!("{topic}: {}; topics of images: {}", not_seen(seen), list(&topics)),
            format!("start the camera, or set cameras.{}.topic", camera.name),
        );
        return;
    };
    if found.arrivals.count() == 0 {
        report.problem(
            subject,
            format!("{topic}: no frame came"),
            "look at the camera's driver, and at the network between the machines",
        );
        return;
    }
    if found.transport != transport {
        let [is, other] = match found.transport {
            Transport::Raw => ["raw", "compressed"],
            Transport::Compressed => ["compressed", "raw"],
        };
        report.problem(
            subject,
            format!(
                "{topic} has {is} images, and cameras.{}.transport is {other}",
                camera.name
            ),
            format!("set cameras.{}.transport: {is}", camera.name),
        );
        return;
    }
    match &found.problem {
        Some(InputProblem::ColourOrder { .. }) if order != ChannelOrder::Unknown => {}
        Some(problem) => {
            report.problem(subject, format!("{topic}: {problem}"), "");
            return;
        }
        None => {}
    }
    judge_picture(needed, camera, found, report);
    judge_rate(&subject, found, report);
    report.ok(subject, format!("{topic}: {}", described(found)));
}

fn judge_picture(needed: &NeededCamera, camera: &CameraSetup, found: &CameraSeen, report: &mut Report) {
    let subject = format!("camera {}", camera.name);
    let set_crop = format!("set cameras.{}.crop", camera.name);
    let Some([width, height]) = found.size else {
        return;
    };
    match (&camera.crop.value, needed.size) {
        (None, _) => report.problem(subject, &camera.crop.reason, set_crop),
        (Some(Some(crop)), _) if crop.x + crop.width > width || crop.y + crop.height > height => {
            let found = format!(
                "the crop is {} × {} pixels from {}, {} on, and frames are {width} × {height}",
                crop.width, crop.height, crop.x, crop.y
            );
            report.problem(subject, found, set_crop);
        }
        (Some(crop), Some(learned)) => {
            let shown = crop.map_or([width, height], |crop| [crop.width, crop.height]);
            if !same_aspect(learned, shown) {
                report.look(subject, other_aspect(learned, shown), set_crop);
            }
        }
        (Some(_), None) => {}
    }
}

fn judge_rate(subject: &str, found: &CameraSeen, report: &mut Report) {
    if let Some(rate) = found.arrivals.rate_hz().filter(|rate| *rate < LEAST_RATE_HZ) {
        report.look(
            subject,
            format!("{rate:.1} frames a second"),
            "raise the camera's rate: the policy sees the scene as it was",
        );
    }
    let gap = found.arrivals.longest_gap();
    if gap > LONGEST_SILENCE {
        report.look(
            subject,
            format!("{:.2} s without a frame", gap.as_secs_f64()),
            "look at the network and the driver: a robot is held while a camera is silent for max_age_ms (500 by default)",
        );
    }
}

fn list(topics: &[&str]) -> String {
    match topics {
        [] => "none".to_owned(),
        topics => topics.join(", "),
    }
}
