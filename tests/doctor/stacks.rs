//! Each configuration fits the ROS 2 stack that its comments name: messages in that stack's form (names and order of joints,
//! units, encodings, rates, controllers) go through the node's own inputs, and the check finds no problem.

use std::time::Duration;

use pi0_node::control::OutputKind;
use pi0_node::doctor::{NeededCamera, Needs, Setup, Sightings, judge};
use pi0_node::observation::{ChannelOrder, Clock, Feed, ImageLayout, Inputs, JointState, Stamped};
use pi0_node::parameters::{Parameters, parameters_of};

/// Topic, encoding or format, and width and height.
type Image = (&'static str, &'static str, [u32; 2]);
/// Topic, rate in hertz, and joints with their positions in the order of the message.
type Joints = (&'static str, u64, &'static [(&'static str, f64)]);
/// Topic, message type, and joints.
type Controller = (&'static str, OutputKind, &'static [&'static str]);

/// What a stack sends, and which controllers it starts.
struct Stack {
    configuration: &'static str,
    /// Raw images.
    images: &'static [Image],
    /// JPEG, with the format as the stack's driver names it.
    pictures: &'static [Image],
    joint_states: &'static [Joints],
    controllers: &'static [Controller],
    /// The policy's state for these positions.
    state: &'static [f32],
}

const SO101: [(&str, f64); 6] = [
    // joint_state_broadcaster keeps no order of its own.
    ("elbow_flex", 0.5),
    ("gripper", 1.74533),
    ("shoulder_lift", -0.5),
    ("shoulder_pan", 0.1),
    ("wrist_flex", 0.2),
    ("wrist_roll", 0.0),
];
const SO101_ARM: [&str; 6] = [
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
];
const SO101_PICTURES: [Image; 2] = [
    ("/static_camera/image_raw/compressed", "jpeg", [640, 480]),
    ("/follower/image_raw/compressed", "jpeg", [640, 480]),
];

const STACKS: [Stack; 7] = [
    Stack {
        configuration: "so101",
        images: &[],
        pictures: &SO101_PICTURES,
        joint_states: &[("/follower/joint_states", 100, &SO101)],
        controllers: &[
            (
                "/follower/trajectory_controller/joint_trajectory",
                OutputKind::Trajectory,
                &SO101_ARM,
            ),
            (
                "/follower/forward_controller/commands",
                OutputKind::Array,
                &SO101_ARM,
            ),
        ],
        state: &[5.729_578, -28.647_89, 28.647_89, 11.459_156, 0.0, 100.0],
    },
    Stack {
        configuration: "so101_radians",
        images: &[],
        pictures: &SO101_PICTURES,
        joint_states: &[("/follower/joint_states", 100, &SO101)],
        controllers: &[(
            "/follower/trajectory_controller/joint_trajectory",
            OutputKind::Trajectory,
            &SO101_ARM,
        )],
        state: &[0.1, -0.5, 0.5, 0.2, 0.0, 1.74533],
    },
    Stack {
        configuration: "so101_rosetta",
        images: &[
            ("/static_camera/image_raw", "rgb8", [640, 480]),
            ("/wrist_camera/image_raw", "yuv422_yuy2", [640, 480]),
        ],
        pictures: &[],
        joint_states: &[(
            "/joint_states",
            50,
            &[
                ("wrist_roll_joint", 0.0),
                ("shoulder_pan_joint", 0.1),
                ("gripper_joint", 0.7),
                ("elbow_flex_joint", 0.5),
                ("shoulder_lift_joint", -0.5),
                ("wrist_flex_joint", 0.2),
            ],
        )],
        controllers: &[(
            "/forward_position_controller/commands",
            OutputKind::Array,
            &[
                "shoulder_pan_joint",
                "shoulder_lift_joint",
                "elbow_flex_joint",
                "wrist_flex_joint",
                "wrist_roll_joint",
                "gripper_joint",
            ],
        )],
        state: &[0.1, -0.5, 0.5, 0.2, 0.0, 0.7],
    },
    Stack {
        configuration: "omx",
        images: &[],
        pictures: &[(
            "/camera1/image_raw/compressed",
            "rgb8; jpeg compressed bgr8",
            [640, 480],
        )],
        joint_states: &[(
            "/joint_states",
            100,
            &[
                ("joint1", 0.1),
                ("joint2", -1.0),
                ("joint3", 0.8),
                ("joint4", 0.2),
                ("joint5", 0.0),
                ("gripper_joint_1", 0.6),
                ("gripper_joint_2", -0.6),
            ],
        )],
        controllers: &[(
            "/leader/joint_trajectory",
            OutputKind::Trajectory,
            &[
                "joint1",
                "joint2",
                "joint3",
                "joint4",
                "joint5",
                "gripper_joint_1",
            ],
        )],
        state: &[0.1, -1.0, 0.8, 0.2, 0.0, 0.6],
    },
    Stack {
        configuration: "wxai",
        images: &[
            ("/cam_high/camera/color/image_raw", "rgb8", [640, 480]),
            ("/cam_wrist/camera/color/image_raw", "rgb8", [640, 480]),
        ],
        pictures: &[],
        joint_states: &[(
            "/joint_states",
            100,
            &[
                ("joint_0", 0.0),
                ("joint_1", 1.0),
                ("joint_2", 0.5),
                ("joint_3", 0.5),
                ("joint_4", 0.0),
                ("joint_5", 0.0),
                ("left_carriage_joint", 0.04),
            ],
        )],
        controllers: &[
            (
                "/arm_controller/joint_trajectory",
                OutputKind::Trajectory,
                &["joint_0", "joint_1", "joint_2", "joint_3", "joint_4", "joint_5"],
            ),
            (
                "/gripper_position_controller/commands",
                OutputKind::Array,
                &["left_carriage_joint"],
            ),
        ],
        state: &[0.0, 1.0, 0.5, 0.5, 0.0, 0.0, 0.04],
    },
    Stack {
        configuration: "ur5e",
        images: &[
            ("/base_camera/color/image_raw", "rgb8", [640, 480]),
            ("/wrist_camera/color/image_raw", "rgb8", [640, 480]),
        ],
        pictures: &[],
        joint_states: &[
            (
                "/joint_states",
                500,
                &[
                    ("elbow_joint", 1.5),
                    ("shoulder_lift_joint", -1.5),
                    ("shoulder_pan_joint", 0.1),
                    ("wrist_1_joint", -1.57),
                    ("wrist_2_joint", -1.57),
                    ("wrist_3_joint", 0.0),
                ],
            ),
            ("/joint_states", 50, &[("robotiq_85_left_knuckle_joint", 0.7929)]),
        ],
        controllers: &[
            (
                "/scaled_joint_trajectory_controller/joint_trajectory",
                OutputKind::Trajectory,
                &[
                    "shoulder_pan_joint",
                    "shoulder_lift_joint",
                    "elbow_joint",
                    "wrist_1_joint",
                    "wrist_2_joint",
                    "wrist_3_joint",
                ],
            ),
            (
                "/gripper_position_controller/commands",
                OutputKind::Array,
                &["robotiq_85_left_knuckle_joint"],
            ),
        ],
        state: &[0.1, -1.5, 1.5, -1.57, -1.57, 0.0, 1.0],
    },
    Stack {
        configuration: "franka_droid",
        images: &[
            ("/exterior_camera/left/image_rect_color", "bgra8", [640, 360]),
            ("/wrist_camera/left/image_rect_color", "bgra8", [640, 360]),
        ],
        pictures: &[],
        joint_states: &[
            (
                "/joint_states",
                1000,
                &[
                    ("fr3_joint1", 0.0),
                    ("fr3_joint2", -0.8),
                    ("fr3_joint3", 0.0),
                    ("fr3_joint4", -2.4),
                    ("fr3_joint5", 0.0),
                    ("fr3_joint6", 1.6),
                    ("fr3_joint7", 0.8),
                ],
            ),
            ("/joint_states", 50, &[("robotiq_85_left_knuckle_joint", 0.0)]),
        ],
        controllers: &[
            (
                "/fr3_arm_controller/joint_trajectory",
                OutputKind::Trajectory,
                &[
                    "fr3_joint1",
                    "fr3_joint2",
                    "fr3_joint3",
                    "fr3_joint4",
                    "fr3_joint5",
                    "fr3_joint6",
                    "fr3_joint7",
                ],
            ),
            (
                "/gripper_position_controller/commands",
                OutputKind::Array,
                &["robotiq_85_left_knuckle_joint"],
            ),
        ],
        state: &[0.0, -0.8, 0.0, -2.4, 0.0, 1.6, 0.8, 0.0],
    },
];

const START: Duration = Duration::from_secs(1_700_000_000);

fn parameters(configuration: &str) -> Parameters {
    let path = format!("{}/config/{configuration}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace(
        "ros__parameters:",
        "ros__parameters:\n    checkpoint: any\n    prompt: pick up the cube",
    );
    Parameters::from_overrides(parameters_of(&text, "/pi0_node").unwrap().into_iter()).unwrap()
}

/// A message at this millisecond, where there is one at this rate.
fn joint_state(millisecond: u64, rate_hz: u64, joints: &[(&str, f64)]) -> Option<Stamped<JointState>> {
    let is_due = millisecond.is_multiple_of((1000 / rate_hz).max(1));
    is_due.then(|| Stamped {
        stamp: Some(START + Duration::from_millis(millisecond)),
        content: JointState {
            names: joints.iter().map(|(name, _)| (*name).to_owned()).collect(),
            positions: joints.iter().map(|(_, position)| *position).collect(),
        },
    })
}

fn jpeg([width, height]: [u32; 2]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([90, 120, 60]));
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

fn layout(encoding: &str, [width, height]: [u32; 2]) -> (ImageLayout<'_>, Vec<u8>) {
    let pixel_bytes = match encoding {
        "bgra8" => 4,
        "yuv422_yuy2" => 2,
        _ => 3,
    };
    let layout = ImageLayout {
        width,
        height,
        step: width * pixel_bytes,
        encoding,
        is_big_endian: false,
        channel_order: ChannelOrder::Unknown,
    };
    (layout, vec![60; (width * height * pixel_bytes) as usize])
}

impl Stack {
    fn seen(&self) -> Sightings {
        let mut seen = Sightings::default();
        let pictures: Vec<Vec<u8>> = self.pictures.iter().map(|(.., size)| jpeg(*size)).collect();
        for millisecond in 0..1000 {
            let now = START + Duration::from_millis(millisecond);
            for (topic, rate_hz, joints) in self.joint_states {
                if let Some(message) = joint_state(millisecond, *rate_hz, joints) {
                    seen.joint_state(topic, now, &message);
                }
            }
            if !millisecond.is_multiple_of(33) {
                continue;
            }
            let stamp = Some(now - Duration::from_millis(20));
            for (topic, encoding, size) in self.images {
                let (layout, pixels) = layout(encoding, *size);
                let content = (layout, &pixels[..]);
                seen.raw_frame(topic, now, &Stamped { stamp, content });
            }
            for ((topic, format, _), picture) in self.pictures.iter().zip(&pictures) {
                let content = (*format, &picture[..]);
                seen.compressed_frame(topic, now, &Stamped { stamp, content });
            }
        }
        for (topic, kind, joints) in self.controllers {
            let controller = seen.controller_topic(topic, *kind);
            controller.has_listener = Some(true);
            controller.joints = Some(joints.iter().map(|&joint| joint.to_owned()).collect());
        }
        seen
    }

    /// What a policy of this configuration needs, as its checkpoint would tell it.
    fn needs(&self, parameters: &Parameters) -> Needs {
        let settings = parameters.settings();
        let names = settings.inputs.cameras.iter().map(|camera| &camera.name);
        let cameras = names
            .chain(&settings.policy.absent_cameras)
            .map(|name| NeededCamera {
                name: name.clone(),
                ..NeededCamera::default()
            });
        Needs {
            cameras: cameras.collect(),
            state_dim: self.state.len(),
            action_dim: settings.joint_mapping.actions.len(),
            ..Needs::default()
        }
    }
}

#[test]
fn every_configuration_fits_its_stack_without_a_problem() {
    for stack in STACKS {
        let parameters = parameters(stack.configuration);
        let needs = stack.needs(&parameters);
        let setup = Setup::of_parameters(&parameters, &needs, &str::to_owned);
        let report = judge(&stack.seen(), &needs, &setup);
        assert!(!report.has_problems(), "{}:\n{report}", stack.configuration);
        let text = report.to_string();
        assert!(
            text.contains("joints are there"),
            "{}:\n{text}",
            stack.configuration
        );
        assert!(
            text.contains("a controller listens, its joints are"),
            "{}:\n{text}",
            stack.configuration
        );
    }
}

#[test]
fn messages_in_the_form_of_each_stack_become_the_policy_s_state() {
    for stack in STACKS {
        let parameters = parameters(stack.configuration);
        let settings = parameters.settings();
        let clock = Clock::simulated();
        clock.set(START + Duration::from_secs(1));
        let inputs = Inputs::new(&settings.inputs, &settings.joint_names);
        let feed = Feed {
            inputs: &inputs,
            clock: &clock,
            max_age: None,
        };
        feed.prompt("pick up the cube");
        let topics = &settings.inputs;
        let index_of = |topic: &str| {
            topics
                .cameras
                .iter()
                .position(|camera| camera.topic == topic)
                .unwrap()
        };
        for millisecond in 0..1000 {
            for (topic, rate_hz, joints) in stack.joint_states {
                let index = topics
                    .joint_states
                    .iter()
                    .position(|one| one.topic == *topic)
                    .unwrap();
                if let Some(message) = joint_state(millisecond, *rate_hz, joints) {
                    assert_eq!(feed.joint_state(index, message), None);
                }
            }
            if millisecond.is_multiple_of(330) {
                let stamp = Some(START + Duration::from_millis(millisecond));
                for (topic, encoding, size) in stack.images {
                    let (layout, pixels) = layout(encoding, *size);
                    let content = pi0_node::observation::decode_image(layout, &pixels);
                    assert_eq!(feed.image(index_of(topic), Stamped { stamp, content }), None);
                }
                for (topic, format, size) in stack.pictures {
                    let content = pi0_node::observation::decode_compressed_image(format, &jpeg(*size));
                    assert_eq!(feed.image(index_of(topic), Stamped { stamp, content }), None);
                }
            }
        }
        let observed = inputs
            .observation_after(0)
            .unwrap_or_else(|| panic!("{}", stack.configuration));
        let state = settings
            .joint_mapping
            .state_to_policy(&observed.observation.state);
        for (found, expected) in state.iter().zip(stack.state) {
            assert!(
                (found - expected).abs() < 1e-3,
                "{}: {state:?}",
                stack.configuration
            );
        }
        assert_eq!(state.len(), stack.state.len());
        assert_eq!(
            observed.observation.images.len(),
            topics.cameras.len(),
            "{}",
            stack.configuration
        );
    }
}
