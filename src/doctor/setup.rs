//! How a robot is connected with a policy: as its parameters say, or as far as it could be worked out.

use crate::checkpoint::RecordedCrop;
use crate::control::OutputKind;
use crate::observation::{ChannelOrder, JointStatesTopic, Offer, Transport};
use crate::parameters::{Parameters, QosEnd, QosOverride};
use crate::policy::{Crop, JointMapping, UnitTransform};

use super::needs::Needs;

const STRING: &str = "std_msgs/msg/String";

/// Something that was worked out, or could not be.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<T> {
    /// What it is; `None` where a person has to say it.
    pub value: Option<T>,
    /// What it was worked out from, or what a person has to put.
    pub reason: String,
}

impl<T> Choice<T> {
    /// Something known, with where it is from.
    pub fn known(value: T, reason: impl Into<String>) -> Self {
        Self {
            value: Some(value),
            reason: reason.into(),
        }
    }

    /// Something that a person has to say, and how.
    pub fn open(reason: impl Into<String>) -> Self {
        Self {
            value: None,
            reason: reason.into(),
        }
    }

    /// Something that the parameters say.
    fn given(value: T) -> Self {
        Self::known(value, "as the parameters say")
    }
}

/// Where the images of a camera come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraSource {
    /// A topic.
    Topic {
        /// Full name.
        topic: String,
        /// Message type on it.
        transport: Transport,
        /// Order of the colours where the encoding leaves it open.
        channel_order: ChannelOrder,
    },
    /// The robot does not have the camera.
    Absent,
}

/// A camera of the checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraSetup {
    /// Name in the checkpoint.
    pub name: String,
    /// Where its images come from.
    pub source: Choice<CameraSource>,
    /// Part of each frame that the policy gets; an inner `None` for all of it.
    pub crop: Choice<Option<Crop>>,
}

/// A controller, and the joints or the pose that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSetup {
    /// Full name of its topic.
    pub topic: String,
    /// Message type on it.
    pub kind: OutputKind,
    /// Names of the robot's joints in the controller's order, or of the values of the pose.
    pub joints: Vec<String>,
    /// Text in front of them that the controller's own names do not have.
    pub prefix: String,
}

/// How a robot is connected with a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Cameras in the checkpoint's order.
    pub cameras: Vec<CameraSetup>,
    /// The robot's joints.
    pub joint_names: Choice<Vec<String>>,
    /// Name of each value of the checkpoint's state; `None` where they are the joints alone.
    pub state_names: Option<Vec<String>>,
    /// Topics of the joints' positions.
    pub joint_states: Vec<JointStatesTopic>,
    /// Conversion of each joint's position to the policy's units.
    pub transforms: Vec<Choice<UnitTransform>>,
    /// Joint that each value of an action is for; `None` inside for a value without one.
    pub action_joints: Choice<Vec<Option<String>>>,
    /// Which actions are relative to the state, where the checkpoint leaves it open.
    pub delta_actions: Option<Choice<()>>,
    /// Controllers.
    pub outputs: Choice<Vec<OutputSetup>>,
    /// Whether time comes from `/clock`.
    pub use_sim_time: bool,
    /// Actions a second.
    pub action_rate_hz: Choice<f64>,
    /// Topic of the robot's description and what is asked of its publishers; `None` for none.
    pub robot_description: Option<(String, Offer)>,
    /// Topic of the prompt and what is asked of its publishers.
    pub prompt: (String, Offer),
}

/// What a node asks of the publishers of a description, unless its parameters override it.
pub fn description_offer() -> Offer {
    Offer {
        message_type: STRING.to_owned(),
        is_best_effort: false,
        is_volatile: false,
    }
}

/// What a node asks of the publishers of a prompt, unless its parameters override it.
pub fn prompt_offer() -> Offer {
    Offer {
        is_volatile: true,
        ..description_offer()
    }
}

impl Setup {
    /// The setup of a node with these parameters. `full_name`: of a topic as the parameters have it.
    pub fn of_parameters(parameters: &Parameters, needs: &Needs, full_name: &dyn Fn(&str) -> String) -> Self {
        let settings = parameters.settings();
        let asked = |topic: &String, usual: Offer| {
            let overrides = parameters.qos_overrides().of(topic, QosEnd::Subscription);
            let asked = overrides.iter().fold(usual, |asked, setting| match setting {
                QosOverride::Reliable => Offer {
                    is_best_effort: false,
                    ..asked
                },
                QosOverride::BestEffort => Offer {
                    is_best_effort: true,
                    ..asked
                },
                QosOverride::Volatile => Offer {
                    is_volatile: true,
                    ..asked
                },
                QosOverride::TransientLocal => Offer {
                    is_volatile: false,
                    ..asked
                },
                QosOverride::KeepLast | QosOverride::KeepAll | QosOverride::Depth(_) => asked,
            });
            (full_name(topic), asked)
        };
        let camera = |name: &String| {
            let mut topics = settings.inputs.cameras.iter();
            let source = match topics.find(|camera| camera.name == *name) {
                Some(camera) => Choice::given(CameraSource::Topic {
                    topic: full_name(&camera.topic),
                    transport: camera.transport,
                    channel_order: camera.channel_order,
                }),
                None if settings.policy.absent_cameras.contains(name) => Choice::given(CameraSource::Absent),
                None => Choice::open(format!(
                    "the checkpoint has it and the parameters do not: set cameras.{name}.topic, or name it in absent_cameras"
                )),
            };
            let mut options = settings.policy.cameras.iter().flatten();
            let crop = options
                .find(|camera| camera.name == *name)
                .and_then(|camera| camera.crop);
            CameraSetup {
                name: name.clone(),
                source,
                crop: Choice::given(crop),
            }
        };
        let axes = settings.axes();
        let outputs = settings.outputs.iter().map(|output| OutputSetup {
            topic: full_name(&output.topic),
            kind: output.kind,
            joints: output
                .joints
                .iter()
                .map(|&index| axes.names()[index].clone())
                .collect(),
            prefix: output.prefix.clone(),
        });
        let transforms = settings.joint_mapping.joints.iter();
        let joint_states = settings.inputs.joint_states.iter().map(|one| JointStatesTopic {
            topic: full_name(&one.topic),
            prefix: one.prefix.clone(),
        });
        let description = settings.robot_description_topic.as_ref();
        Self {
            cameras: needs.cameras.iter().map(|one| camera(&one.name)).collect(),
            joint_names: Choice::given(settings.joint_names.clone()),
            state_names: Some(settings.state_names.clone()),
            joint_states: joint_states.collect(),
            transforms: transforms.map(|transform| Choice::given(*transform)).collect(),
            action_joints: Choice::given(settings.policy.checkpoint.joints.actions.clone()),
            delta_actions: None,
            outputs: Choice::given(outputs.collect()),
            use_sim_time: settings.use_sim_time,
            action_rate_hz: Choice::given(1.0 / settings.runtime.action_period.as_secs_f64()),
            robot_description: description.map(|topic| asked(topic, description_offer())),
            prompt: asked(&settings.inputs.prompt, prompt_offer()),
        }
    }
}

/// Converts a robot's position to the policy's units.
pub fn to_policy(transform: UnitTransform, position: f64) -> f64 {
    let mapping = JointMapping {
        joints: vec![transform],
        ..JointMapping::default()
    };
    f64::from(mapping.state_to_policy(&[position as f32])[0])
}

/// A recorded crop as a parameter has it.
pub fn crop_of(recorded: RecordedCrop) -> Crop {
    let [x, y, width, height] = recorded.crop;
    Crop { x, y, width, height }
}
