//! Clocks: stamps beside the machine's time, the bag's, or `/clock`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cameras::LONGEST_SILENCE;
use crate::doctor::arrivals::{Arrivals, Span};
use crate::doctor::report::Report;
use crate::doctor::setup::{CameraSource, Setup};
use crate::doctor::sightings::{Sightings, Source};
use crate::observation::stamp_problem;

const SUBJECT: &str = "clock";

pub fn judge(seen: &Sightings, setup: &Setup, report: &mut Report) {
    let is_simulated = setup.use_sim_time;
    if is_simulated && seen.simulated_time.is_none() {
        report.problem(
            SUBJECT,
            "use_sim_time is true, and no time came on /clock",
            "start the simulation, or set use_sim_time: false",
        );
        return;
    }
    let mut wrong = false;
    for (topic, arrivals) in inputs(seen, setup) {
        if arrivals.has_unstamped() {
            report.look(
                SUBJECT,
                format!("{topic} has messages without a stamp"),
                "let the driver set header.stamp: they count as measured when they arrive",
            );
        }
        let Some(age) = arrivals.age_s(is_simulated) else {
            continue;
        };
        let Some(problem) = problem_of(age) else {
            continue;
        };
        wrong = true;
        let fits_other = arrivals
            .age_s(!is_simulated)
            .is_some_and(|age| problem_of(age).is_none());
        let advice = match fits_other {
            true => format!(
                "set use_sim_time: {}, which is the time of its stamps",
                !is_simulated
            ),
            false => "synchronise the clocks of the machines (NTP, chrony, PTP)".to_owned(),
        };
        report.problem(SUBJECT, format!("{topic}: {problem}"), advice);
    }
    if !wrong {
        let time = match (is_simulated, seen.source) {
            (true, _) => "/clock",
            (false, Source::Graph) => "this machine's clock",
            (false, Source::Bag) => "the time of recording",
        };
        report.ok(
            SUBJECT,
            format!("stamps are of {time} (use_sim_time: {is_simulated})"),
        );
    }
}

/// Messages of every input of the setup.
fn inputs<'a>(seen: &'a Sightings, setup: &Setup) -> Vec<(String, &'a Arrivals)> {
    let cameras = setup
        .cameras
        .iter()
        .filter_map(|camera| match camera.source.value.as_ref()? {
            CameraSource::Topic { topic, .. } => Some(topic.clone()),
            CameraSource::Absent => None,
        });
    let cameras: BTreeSet<String> = cameras.collect();
    let cameras = cameras.into_iter().filter_map(|topic| {
        let arrivals = &seen.cameras.get(&topic)?.arrivals;
        Some((topic, arrivals))
    });
    let joints = setup.joint_states.iter().filter_map(|topic| {
        let arrivals = &seen.joint_states.get(&topic.topic)?.arrivals;
        Some((topic.topic.clone(), arrivals))
    });
    cameras.chain(joints).collect()
}

/// What is wrong with stamps of this age, as the node has it.
fn problem_of(age: Span) -> Option<String> {
    let far = if age.high.abs() > age.low.abs() {
        age.high
    } else {
        age.low
    };
    // A stamp that is ahead of now, and one that is behind it.
    let (stamp, now) = if far < 0.0 { (-far, 0.0) } else { (0.0, far) };
    let [stamp, now] = [stamp, now].map(Duration::from_secs_f64);
    stamp_problem(stamp, now, LONGEST_SILENCE).map(|problem| problem.to_string())
}
