//! A robot that fits the shipped checkpoint, as it would be seen.

use std::time::Duration;

use pi0_node::checkpoint::CheckpointOptions;
use pi0_node::control::OutputKind;
use pi0_node::doctor::{Needs, Publisher, Report, Setup, Sightings, guess, judge};
use pi0_node::observation::{ChannelOrder, ImageLayout, JointState, Offer, Stamped};
use pi0_node::parameters::{Parameters, parameters_of};

pub const CAMERA: &str = "/camera/top/image_raw";
pub const JOINT_STATES: &str = "/joint_states";
pub const TRAJECTORY: &str = "/joint_trajectory";
/// Arms of the simulated robot at rest.
pub const ARM: [f64; 7] = [0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5];
const START: Duration = Duration::from_secs(1_700_000_000);

pub fn needs() -> Needs {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/aloha_sim");
    Needs::read(folder, &CheckpointOptions::default(), None).unwrap()
}

/// A robot, as somebody who listens for two seconds sees it.
#[derive(Clone)]
pub struct Robot {
    pub names: Vec<String>,
    pub positions: Vec<f64>,
    pub joint_rate_hz: u64,
    pub frame_rate_hz: u64,
    pub frame: [u32; 2],
    pub encoding: &'static str,
    /// From stamps to arrivals.
    pub age: Duration,
    pub has_stamps: bool,
    /// Of simulated time at the start, where there is some.
    pub simulated_from: Option<Duration>,
    pub controller: Option<Vec<String>>,
    pub has_listener: Option<bool>,
}

impl Robot {
    pub fn new() -> Self {
        Self {
            names: needs().state_names,
            positions: [ARM, ARM].concat(),
            joint_rate_hz: 50,
            frame_rate_hz: 10,
            frame: [320, 240],
            encoding: "rgb8",
            age: Duration::from_millis(8),
            has_stamps: true,
            simulated_from: None,
            controller: None,
            has_listener: Some(true),
        }
    }

    pub fn seen(&self) -> Sightings {
        let mut seen = Sightings::default();
        let [width, height] = self.frame;
        let pixels = vec![0; (width * height * 4) as usize];
        let layout = ImageLayout {
            width,
            height,
            step: width * 4,
            encoding: self.encoding,
            is_big_endian: false,
            channel_order: ChannelOrder::Unknown,
        };
        for millisecond in 0..2000 {
            let passed = Duration::from_millis(millisecond);
            let now = START + passed;
            let clock = self.simulated_from.map(|from| from + passed);
            if let Some(clock) = clock {
                seen.clock(clock);
            }
            let stamp = self
                .has_stamps
                .then(|| clock.unwrap_or(now).saturating_sub(self.age));
            if self.joint_rate_hz > 0 && millisecond.is_multiple_of(1000 / self.joint_rate_hz) {
                let content = JointState {
                    names: self.names.clone(),
                    positions: self.positions.clone(),
                };
                seen.joint_state(JOINT_STATES, now, &Stamped { stamp, content });
            }
            if self.frame_rate_hz > 0 && millisecond.is_multiple_of(1000 / self.frame_rate_hz) {
                let content = (layout, &pixels[..]);
                seen.raw_frame(CAMERA, now, &Stamped { stamp, content });
            }
        }
        let controller = seen.controller_topic(TRAJECTORY, OutputKind::Trajectory);
        controller.has_listener = self.has_listener;
        controller.joints = self.controller.clone();
        seen
    }
}

pub fn publisher(node: &str, message_type: &str, is_best_effort: bool) -> Publisher {
    Publisher {
        node: node.to_owned(),
        offer: Offer {
            message_type: message_type.to_owned(),
            is_best_effort,
            is_volatile: true,
        },
    }
}

/// What is found where the setup is worked out.
pub fn worked_out(seen: &Sightings) -> Report {
    let needs = needs();
    judge(seen, &needs, &guess(seen, &needs))
}

/// What is found with the parameters of a file, `text` beneath those of the simulated robot.
pub fn with_parameters(seen: &Sightings, text: &str) -> Report {
    let needs = needs();
    judge(seen, &needs, &setup(&needs, text))
}

/// The setup of the simulated robot's parameters, on the system's clock, with these over them.
fn setup(needs: &Needs, text: &str) -> Setup {
    let file = include_str!("../../config/aloha_sim.yaml");
    let mut given = parameters_of(file, "/pi0_node").unwrap();
    for more in ["    use_sim_time: false", text] {
        let text = format!("/**:\n  ros__parameters:\n    checkpoint: any\n{more}");
        given.extend(parameters_of(&text, "/pi0_node").unwrap());
    }
    let parameters = Parameters::from_overrides(given.into_iter()).unwrap();
    Setup::of_parameters(&parameters, needs, &str::to_owned)
}
