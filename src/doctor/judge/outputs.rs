//! Outputs: values of an action, controllers that listen, and who else commands them.

use super::not_seen;
use crate::control::OutputKind;
use crate::doctor::needs::Needs;
use crate::doctor::report::Report;
use crate::doctor::setup::{OutputSetup, Setup};
use crate::doctor::sightings::{ControllerSeen, Sightings, Source};

pub fn judge(seen: &Sightings, needs: &Needs, setup: &Setup, report: &mut Report) {
    match &setup.action_joints.value {
        None => report.problem("action_joints", &setup.action_joints.reason, "set action_joints"),
        Some(joints) if joints.len() != needs.action_dim => report.problem(
            "action_joints",
            format!(
                "{} values, and the checkpoint's actions have {}",
                joints.len(),
                needs.action_dim
            ),
            "set action_joints to the joint of each value, or unused",
        ),
        Some(joints) => {
            let mut names: Vec<&String> = joints.iter().flatten().collect();
            names.dedup();
            report.ok(
                "actions",
                format!("{} values for {} joints and poses", joints.len(), names.len()),
            );
        }
    }
    match &setup.outputs.value {
        None => report.problem(
            "outputs",
            &setup.outputs.reason,
            "set trajectory_topic or outputs",
        ),
        Some(outputs) => {
            for output in outputs {
                judge_output(seen, output, report);
            }
        }
    }
}

fn judge_output(seen: &Sightings, output: &OutputSetup, report: &mut Report) {
    let subject = format!("output {}", output.topic);
    let others = seen.publishers.get(&output.topic).into_iter().flatten();
    let mut others: Vec<&str> = others.map(|publisher| publisher.node.as_str()).collect();
    others.dedup();
    if !others.is_empty() {
        report.problem(
            &subject,
            format!(
                "{} publishes there: only one may move the robot",
                others.join(" and ")
            ),
            "end it before the node is enabled: the robot is held with OTHER_PUBLISHER meanwhile",
        );
    }
    let Some(controller) = seen.controllers.get(&output.topic) else {
        let advice = "start the controllers, or set trajectory_topic or outputs.<name>.topic";
        match seen.source {
            Source::Graph => report.problem(subject, "nobody listens", advice),
            Source::Bag => report.look(
                subject,
                not_seen(seen),
                "record the commands too, or check the running robot: a bag does not show who listens",
            ),
        }
        return;
    };
    if controller.kind != output.kind {
        let [is, other] = match controller.kind {
            OutputKind::Trajectory => ["trajectories", "trajectory"],
            OutputKind::Array => ["arrays", "array"],
            OutputKind::Pose => ["poses", "pose"],
            OutputKind::Twist => ["twists", "twist"],
        };
        report.problem(
            subject,
            format!("the topic has {is}"),
            format!("set the type of its entry in outputs to {other}"),
        );
        return;
    }
    if controller.has_listener == Some(false) {
        report.problem(subject, "nobody listens", "start and activate the controller");
        return;
    }
    judge_joints(&subject, output, controller, report);
}

fn judge_joints(subject: &str, output: &OutputSetup, controller: &ControllerSeen, report: &mut Report) {
    let own_name = |joint: &String| joint.strip_prefix(&output.prefix).unwrap_or(joint).to_owned();
    let given: Vec<String> = output.joints.iter().map(own_name).collect();
    let listens = match controller.has_listener {
        Some(_) => "a controller listens",
        None => "the topic is there; who listens is not known",
    };
    let Some(own_names) = &controller.joints else {
        report.ok(subject, format!("{listens}, for {}", given.join(", ")));
        return;
    };
    let is_same = match output.kind {
        OutputKind::Array => given == *own_names,
        OutputKind::Trajectory => {
            given.len() == own_names.len() && given.iter().all(|joint| own_names.contains(joint))
        }
        OutputKind::Pose | OutputKind::Twist => true,
    };
    match is_same {
        true => report.ok(subject, format!("{listens}, its joints are {}", own_names.join(", "))),
        false => report.problem(
            subject,
            format!("its joints are {}, and it would get {}", own_names.join(", "), given.join(", ")),
            "give each controller all of its own joints and no other (outputs.<name>.joints and prefix): another trajectory is \
             rejected",
        ),
    }
}
