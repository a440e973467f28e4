//! Whether a robot, as it was seen, and a setup fit a policy.

mod cameras;
mod clocks;
mod joints;
mod outputs;
mod transforms;

use super::needs::Needs;
use super::report::Report;
use super::setup::Setup;
use super::sightings::{Sightings, Source};
use crate::observation::Offer;

/// Compares what was seen with what the policy needs, connected as in `setup`.
pub fn judge(seen: &Sightings, needs: &Needs, setup: &Setup) -> Report {
    let mut report = Report::default();
    cameras::judge(seen, needs, setup, &mut report);
    joints::judge(seen, needs, setup, &mut report);
    transforms::judge(seen, needs, setup, &mut report);
    outputs::judge(seen, needs, setup, &mut report);
    clocks::judge(seen, setup, &mut report);
    for (topic, asked) in [Some(&setup.prompt), setup.robot_description.as_ref()]
        .into_iter()
        .flatten()
    {
        judge_publishers(seen, topic, asked, &mut report);
    }
    for (topic, problem) in &seen.unreadable {
        report.problem(
            topic,
            problem,
            "look at the program that publishes or recorded it",
        );
    }
    if let Some(delta_actions) = &setup.delta_actions {
        report.problem("delta_actions", &delta_actions.reason, "set delta_actions");
    }
    judge_rate(needs, setup, &mut report);
    report
}

/// Notes every publisher of a topic that a subscription which asks for this does not receive from.
fn judge_publishers(seen: &Sightings, topic: &str, asked: &Offer, report: &mut Report) {
    for publisher in seen.publishers.get(topic).into_iter().flatten() {
        if let Some(mismatch) = asked.mismatch(topic, &publisher.offer) {
            report.problem(topic, format!("{} {mismatch}", publisher.node), "");
        }
    }
}

fn judge_rate(needs: &Needs, setup: &Setup, report: &mut Report) {
    let Some(rate) = setup.action_rate_hz.value else {
        report.problem(
            "action_rate_hz",
            &setup.action_rate_hz.reason,
            "set action_rate_hz",
        );
        return;
    };
    match needs.action_rate_hz {
        Some(of_data) if (rate / of_data - 1.0).abs() > 0.01 => report.look(
            "action_rate_hz",
            format!("actions are played at {rate:.1} Hz, and the data have {of_data:.1} frames a second"),
            format!("set action_rate_hz: {of_data:.1}, and playback_speed for a slower robot"),
        ),
        _ => report.ok("action_rate_hz", format!("{rate:.1} Hz")),
    }
}

/// What a topic that was not seen means.
fn not_seen(seen: &Sightings) -> &'static str {
    match seen.source {
        Source::Graph => "nobody publishes it",
        Source::Bag => "it is not in the bag",
    }
}
