//! A first parameter file: what could be worked out with its reason, and what a person has to give, which the node refuses
//! until it is there.

use std::fmt::Write;

use super::needs::Needs;
use super::setup::{CameraSource, Choice, OutputSetup, Setup};
use super::sightings::Sightings;
use super::units::is_gripper;
use crate::control::OutputKind;
use crate::observation::Transport;
use crate::parameters::{FILL_IN, ParameterValue};
use crate::policy::UnitTransform;

/// Width of the comments.
const COLUMNS: usize = 110;
/// Topic that is the parameter's default.
const JOINT_STATES: &str = "/joint_states";

/// The file of a setup that was worked out. `given`: parameters of the policy that it was worked out with.
pub fn parameter_file(
    seen: &Sightings,
    needs: &Needs,
    setup: &Setup,
    given: &[(String, ParameterValue)],
) -> String {
    let mut file = File {
        text: String::from(
            "# First parameters, worked out by pi0_node --check from what it saw. Each has its reason. The node refuses the file as\n\
             # long as FILL_IN stands in it. docs/on-your-robot.md has the steps from here, docs/parameters.md every parameter.\n\n\
             /**:\n  ros__parameters:\n",
        ),
    };
    file.policy(needs, setup, given);
    file.cameras(setup);
    file.state(setup);
    file.joints(needs, setup);
    file.outputs(setup);
    file.rates(seen, setup);
    file.first_runs();
    file.text
}

struct File {
    text: String,
}

impl File {
    fn comment(&mut self, text: &str) {
        let mut line = String::from("    #");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                // Writing to a string does not fail.
                let _ = writeln!(self.text, "{line}");
                line = String::from("    #");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(self.text, "{line}");
    }

    fn set(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "    {name}: {value}");
    }

    fn section(&mut self) {
        self.text.push('\n');
    }

    /// A parameter with its reason; where it is open, a person has to fill it in.
    fn choice<T>(&mut self, name: &str, choice: &Choice<T>, value: impl Fn(&T) -> String, open: &str) {
        self.comment(&sentence(&choice.reason));
        match &choice.value {
            Some(found) => self.set(name, &value(found)),
            None => self.set(name, open),
        }
    }

    fn policy(&mut self, needs: &Needs, setup: &Setup, given: &[(String, ParameterValue)]) {
        self.set("checkpoint", &quoted(&needs.checkpoint));
        for (name, value) in given.iter().filter(|(name, _)| name != "checkpoint") {
            self.set(name, &value.to_string());
        }
        if !given.iter().any(|(name, _)| name == "prompt") {
            self.comment(
                "What the robot is to do, in the words of the data's tasks. Nothing is inferred without.",
            );
            self.set("prompt", "\"\"");
        }
        if let Some(delta_actions) = &setup.delta_actions
            && !given.iter().any(|(name, _)| name == "delta_actions")
        {
            self.choice(
                "delta_actions",
                delta_actions,
                |()| String::new(),
                &format!("[{FILL_IN}]"),
            );
        }
        self.comment(match setup.use_sim_time {
            true => "The joints' stamps are of /clock.",
            false => "The joints' stamps are not of /clock.",
        });
        self.set("use_sim_time", &setup.use_sim_time.to_string());
    }

    fn cameras(&mut self, setup: &Setup) {
        self.section();
        for camera in &setup.cameras {
            let name = &camera.name;
            let topic = |source: &CameraSource| match source {
                CameraSource::Topic { topic, .. } => quoted(topic),
                CameraSource::Absent => String::new(),
            };
            self.choice(&format!("cameras.{name}.topic"), &camera.source, topic, FILL_IN);
            if let Some(CameraSource::Topic {
                transport: Transport::Compressed,
                ..
            }) = camera.source.value
            {
                self.set(&format!("cameras.{name}.transport"), "compressed");
            }
            let crop = format!("cameras.{name}.crop");
            match &camera.crop.value {
                Some(None) => {}
                Some(Some(part)) => {
                    self.comment(&sentence(&camera.crop.reason));
                    self.set(
                        &crop,
                        &format!("[{}, {}, {}, {}]", part.x, part.y, part.width, part.height),
                    );
                }
                None => {
                    self.comment(&sentence(&camera.crop.reason));
                    self.set(&crop, &format!("[{FILL_IN}]"));
                }
            }
        }
    }

    fn state(&mut self, setup: &Setup) {
        self.section();
        let open = format!("[{FILL_IN}]");
        self.choice("joint_names", &setup.joint_names, |names| list(names), &open);
        match &setup.joint_states[..] {
            [] => {}
            [one] if one.prefix.is_empty() => {
                if one.topic != JOINT_STATES {
                    self.set("joint_states_topic", &quoted(&one.topic));
                }
            }
            several => {
                for (index, one) in several.iter().enumerate() {
                    let name = format!("joint_states.{}", entry_name(&one.topic, index));
                    self.set(&format!("{name}.topic"), &quoted(&one.topic));
                    if !one.prefix.is_empty() {
                        self.set(&format!("{name}.prefix"), &quoted(&one.prefix));
                    }
                }
            }
        }
        match &setup.robot_description {
            None => {
                self.comment("A description's limits are in radians and metres, which the joints are not.");
                self.set("robot_description_topic", "\"\"");
            }
            Some((topic, _)) if topic != "/robot_description" => {
                self.set("robot_description_topic", &quoted(topic));
            }
            Some(_) => {}
        }
    }

    fn joints(&mut self, needs: &Needs, setup: &Setup) {
        let names = setup.joint_names.value.as_deref().unwrap_or_default();
        if !names.is_empty() {
            self.section();
        }
        for (index, (name, transform)) in names.iter().zip(&setup.transforms).enumerate() {
            self.comment(&format!("{name}: {}.", transform.reason.trim_end_matches('.')));
            let scale = match transform.value {
                Some(UnitTransform::Linear { scale, .. }) => {
                    if scale != 1.0 {
                        self.set(&format!("joints.{name}.scale"), &format!("{scale:?}"));
                    }
                    scale.abs()
                }
                _ => {
                    self.set(&format!("joints.{name}.scale"), FILL_IN);
                    continue;
                }
            };
            if let Some([low, high]) = needs.state_ranges.get(index).filter(|_| is_gripper(name)) {
                let width = ((high - low) / scale * 100.0).ceil() / 100.0;
                self.comment("It may close at once, and does not come to where it is sent while it holds an object: its whole range.");
                self.set(&format!("joints.{name}.max_start_jump"), &format!("{width:?}"));
                self.set(
                    &format!("joints.{name}.max_following_error"),
                    &format!("{width:?}"),
                );
            }
        }
        let in_order = |joints: &Vec<Option<String>>| {
            let own = names.iter().cloned().map(Some);
            joints.iter().cloned().eq(own)
        };
        if setup
            .action_joints
            .value
            .as_ref()
            .is_none_or(|joints| !in_order(joints))
            && !names.is_empty()
        {
            let text = |joints: &Vec<Option<String>>| {
                let names = joints
                    .iter()
                    .map(|joint| joint.clone().unwrap_or_else(|| "unused".to_owned()));
                list(&names.collect::<Vec<_>>())
            };
            self.choice(
                "action_joints",
                &setup.action_joints,
                text,
                &format!("[{FILL_IN}]"),
            );
        }
    }

    fn outputs(&mut self, setup: &Setup) {
        self.section();
        let outputs = &setup.outputs;
        match outputs.value.as_deref() {
            Some(
                [
                    OutputSetup {
                        topic,
                        kind: OutputKind::Trajectory,
                        prefix,
                        ..
                    },
                ],
            ) if prefix.is_empty() => {
                self.choice("trajectory_topic", outputs, |_| quoted(topic), FILL_IN);
            }
            None => self.choice("trajectory_topic", outputs, |_| String::new(), FILL_IN),
            Some(several) => {
                self.comment(&sentence(&outputs.reason));
                for (index, output) in several.iter().enumerate() {
                    let name = format!("outputs.{}", entry_name(&output.topic, index));
                    self.set(&format!("{name}.topic"), &quoted(&output.topic));
                    if output.kind == OutputKind::Array {
                        self.set(&format!("{name}.type"), "array");
                    }
                    self.set(&format!("{name}.joints"), &list(&output.joints));
                    if !output.prefix.is_empty() {
                        self.set(&format!("{name}.prefix"), &quoted(&output.prefix));
                    }
                }
            }
        }
    }

    fn rates(&mut self, seen: &Sightings, setup: &Setup) {
        self.section();
        self.choice(
            "action_rate_hz",
            &setup.action_rate_hz,
            |rate| format!("{rate:?}"),
            FILL_IN,
        );
        let cameras = setup
            .cameras
            .iter()
            .filter_map(|camera| match camera.source.value.as_ref()? {
                CameraSource::Topic { topic, .. } => seen.cameras.get(topic)?.arrivals.rate_hz(),
                CameraSource::Absent => None,
            });
        let joints = setup.joint_states.iter();
        let joints = joints.filter_map(|topic| seen.joint_states.get(&topic.topic)?.arrivals.rate_hz());
        if let Some(slowest) = cameras.chain(joints).min_by(f64::total_cmp) {
            let period_ms = (100.0 / slowest).ceil() * 10.0;
            self.comment("Images and joint positions of one moment: a period of the slowest input, rounded up to 10 ms.");
            self.set("sync_slop_ms", &format!("{:?}", period_ms.min(1000.0)));
        }
    }

    fn first_runs(&mut self) {
        self.section();
        self.comment("Nothing moves before ~/enable is called with true.");
        self.set("auto_start", "false");
        self.comment(
            "For the first runs: slowly, and not for long. Positions and velocities are limited by the robot's description, or by \
             position_min, position_max and max_velocity of each joint.",
        );
        for line in [
            "#playback_speed: 0.3",
            "#joint_defaults.max_velocity: 0.3",
            "#max_run_time_s: 5.0",
        ] {
            let _ = writeln!(self.text, "    {line}");
        }
    }
}

/// Name of an entry for a topic: the first part of the topic's name that is no other's, or a number.
fn entry_name(topic: &str, index: usize) -> String {
    let parts = topic.split('/').filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.collect();
    let word = |text: &str| {
        text.chars()
            .filter(|one| one.is_ascii_alphanumeric() || *one == '_')
            .collect::<String>()
    };
    let name: Vec<String> = parts
        .iter()
        .take(parts.len().saturating_sub(1))
        .map(|part| word(part))
        .collect();
    match name.join("_") {
        empty if empty.is_empty() => format!("topic_{index}"),
        name => name,
    }
}

/// A reason as a sentence.
fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    format!(
        "{}{}.",
        first.collect::<String>(),
        letters.as_str().trim_end_matches('.')
    )
}

fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", values.join(", "))
}

/// A text as YAML has it: as it is where that can be nothing else, in quotes otherwise.
fn quoted(text: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "_/-.".contains(one);
    let begins_as_text = text.starts_with(|one: char| one.is_ascii_alphabetic() || one == '/');
    let is_word =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_lowercase().as_str());
    match begins_as_text && text.chars().all(is_plain) && !is_word {
        true => text.to_owned(),
        false => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in [
            ("/camera/top", "/camera/top"),
            ("left_waist", "left_waist"),
            ("no", "\"no\""),
            ("1e5", "\"1e5\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(text), expected);
            assert_eq!(serde_norway::from_str::<String>(&quoted(text)).unwrap(), text);
        }
    }

    #[test]
    fn a_reason_begins_and_ends_as_a_sentence() {
        assert_eq!(sentence("the only topic"), "The only topic.");
        assert_eq!(sentence("Seen: /a."), "Seen: /a.");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn entries_are_named_after_their_topics() {
        assert_eq!(entry_name("/follower_left/joint_states", 0), "follower_left");
        assert_eq!(
            entry_name("/left/arm_controller/joint_trajectory", 1),
            "left_arm_controller"
        );
        assert_eq!(entry_name("/joint_states", 2), "topic_2");
    }
}
