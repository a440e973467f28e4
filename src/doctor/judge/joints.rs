//! Joint states: topics, names, order, length and rates.

use super::cameras::LONGEST_SILENCE;
use super::{judge_publishers, not_seen};
use crate::doctor::needs::Needs;
use crate::doctor::positions::positions;
use crate::doctor::report::Report;
use crate::doctor::setup::Setup;
use crate::doctor::sightings::{JointStatesSeen, Sightings};
use crate::observation::Offer;

const SUBJECT: &str = "joint states";
/// Rate below which the state is old when an action begins.
const LEAST_RATE_HZ: f64 = 20.0;

pub fn judge(seen: &Sightings, needs: &Needs, setup: &Setup, report: &mut Report) {
    for topic in &setup.joint_states {
        judge_topic(seen, &topic.topic, report);
    }
    let Some(names) = &setup.joint_names.value else {
        report.problem("joint_names", &setup.joint_names.reason, "set joint_names");
        return;
    };
    let state_names = setup.state_names.as_ref().unwrap_or(names);
    if state_names.len() != needs.state_dim {
        let joints = state_names.iter().filter(|name| names.contains(name)).count();
        report.problem(
            "joint_names",
            format!(
                "{joints} joints and {} other values, and the checkpoint's state has {}",
                state_names.len() - joints,
                needs.state_dim
            ),
            "set joint_names to the joints of the data, in their order, and extra_state to what follows them; state_order has \
             another order",
        );
    }
    judge_order(needs, state_names, report);
    let positions = positions(seen, names, &setup.joint_states);
    let missing = names
        .iter()
        .zip(&positions)
        .filter(|(_, position)| position.is_none());
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    let there: Vec<&str> = seen_joints(seen);
    match missing.is_empty() {
        true => report.ok("joint_names", format!("all {} joints are there", names.len())),
        false => report.problem(
            "joint_names",
            format!("no position of {}; seen: {}", missing.join(", "), there.join(", ")),
            "set joint_names to the driver's names (with joint_states.<name>.prefix for two arms of the same names), or start the \
             driver",
        ),
    }
}

fn judge_topic(seen: &Sightings, topic: &str, report: &mut Report) {
    let asked = Offer {
        message_type: "sensor_msgs/msg/JointState".to_owned(),
        is_best_effort: true,
        is_volatile: true,
    };
    judge_publishers(seen, topic, &asked, report);
    let Some(states) = seen.joint_states.get(topic) else {
        let topics: Vec<&str> = seen.joint_states.keys().map(String::as_str).collect();
        report.problem(
            SUBJECT,
            format!(
                "{topic}: {}; topics of joint states: {}",
                not_seen(seen),
                topics.join(", ")
            ),
            "start the driver, or set joint_states_topic",
        );
        return;
    };
    let JointStatesSeen {
        arrivals, problem, ..
    } = states;
    if arrivals.count() == 0 {
        report.problem(SUBJECT, format!("{topic}: no message came"), "look at the driver");
        return;
    }
    if let Some(problem) = problem {
        report.problem(
            SUBJECT,
            format!("{topic}: {problem}"),
            "look at the drivers that publish it",
        );
    }
    let rate = arrivals.rate_hz().unwrap_or_default();
    let described = format!("{topic}: {} joints, {rate:.1} Hz", states.joints.len());
    match rate < LEAST_RATE_HZ {
        true => report.look(
            SUBJECT,
            described,
            format!("raise the driver's rate to {LEAST_RATE_HZ} Hz or more"),
        ),
        false => report.ok(SUBJECT, described),
    }
    let gap = arrivals.longest_gap();
    if gap > LONGEST_SILENCE {
        report.look(
            SUBJECT,
            format!("{topic}: {:.2} s without a message", gap.as_secs_f64()),
            "look at the driver: the robot is held while joints are silent for max_age_ms (500 by default)",
        );
    }
}

/// Notes the first value of the state that the data name after another of the robot's joints.
fn judge_order(needs: &Needs, names: &[String], report: &mut Report) {
    let plain = |name: &str| name.to_lowercase().trim_end_matches("_joint").to_owned();
    let index_of = |state: &str| names.iter().position(|name| plain(name) == plain(state));
    let places = needs.state_names.iter().enumerate();
    let mut elsewhere = places.filter_map(|(place, state)| Some((place, state, index_of(state)?)));
    if let Some((place, state, found)) = elsewhere.find(|(place, _, found)| place != found) {
        report.problem(
            "joint_names",
            format!("value {place} of the data's state is {state}, and joint_names has it at {found} (counted from 0)"),
            format!("put joint_names in the order {}", needs.state_names.join(", ")),
        );
    }
}

fn seen_joints(seen: &Sightings) -> Vec<&str> {
    let joints = seen.joint_states.values().flat_map(|states| &states.joints);
    joints.map(|joint| joint.name.as_str()).collect()
}
