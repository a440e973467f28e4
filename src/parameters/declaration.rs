//! Every parameter of the node, as data: what ROS is told of it, what is checked, and what the documentation says.

use super::ParameterValue;

/// The value of a parameter that is not set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(&'static str),
    Texts(&'static [&'static str]),
    Integers(&'static [i64]),
    Doubles(&'static [f64]),
}

/// What a parameter may be, beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    Any,
    Integers {
        from: i64,
        to: i64,
    },
    Doubles {
        from: f64,
        to: f64,
    },
    OneOf(&'static [&'static str]),
    /// Each element of an array.
    EachOneOf(&'static [&'static str]),
    NotEmpty,
}

/// When a parameter can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changeable {
    /// Only as the node starts.
    Never,
    /// While the node is unconfigured too.
    Unconfigured,
    Always,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Declaration {
    pub name: &'static str,
    /// Also tells the type.
    pub default: DefaultValue,
    /// Empty when it has none.
    pub unit: &'static str,
    pub allowed: Allowed,
    pub changeable: Changeable,
    pub description: &'static str,
}

const ALOHA_JOINTS: &[&str] = &[
    "left_waist",
    "left_shoulder",
    "left_elbow",
    "left_forearm_roll",
    "left_wrist_angle",
    "left_wrist_rotate",
    "left_gripper",
    "right_waist",
    "right_shoulder",
    "right_elbow",
    "right_forearm_roll",
    "right_wrist_angle",
    "right_wrist_rotate",
    "right_gripper",
];

const fn fixed(
    name: &'static str,
    default: DefaultValue,
    allowed: Allowed,
    description: &'static str,
) -> Declaration {
    Declaration {
        name,
        default,
        unit: "",
        allowed,
        changeable: Changeable::Never,
        description,
    }
}

const fn changeable(declaration: Declaration) -> Declaration {
    Declaration {
        changeable: Changeable::Always,
        ..declaration
    }
}

const fn changeable_while_unconfigured(declaration: Declaration) -> Declaration {
    Declaration {
        changeable: Changeable::Unconfigured,
        ..declaration
    }
}

const fn with_unit(unit: &'static str, declaration: Declaration) -> Declaration {
    Declaration { unit, ..declaration }
}

/// Every parameter, in the order in which it is documented.
pub const DECLARATIONS: &[Declaration] = &[
    changeable_while_unconfigured(fixed(
        "checkpoint",
        DefaultValue::Text(""),
        Allowed::NotEmpty,
        "Folder of the checkpoint: its weights, configuration, tokenizer and normalisation statistics.",
    )),
    changeable_while_unconfigured(fixed(
        "device",
        DefaultValue::Text("auto"),
        Allowed::OneOf(&["auto", "cpu", "tenstorrent"]),
        "Where the model runs; auto takes the fastest device there is.",
    )),
    changeable_while_unconfigured(fixed(
        "precision",
        DefaultValue::Text("f32"),
        Allowed::OneOf(&["f32", "bf16", "int8"]),
        "What the CPU device stores weights in; bf16 takes half the memory, int8 a quarter. Where the machine multiplies these, \
         activations are rounded as well.",
    )),
    changeable_while_unconfigured(with_unit(
        "threads",
        fixed(
            "threads",
            DefaultValue::Integer(0),
            Allowed::Integers { from: 0, to: 1024 },
            "Threads of the CPU device; 0 is one for each core.",
        ),
    )),
    fixed(
        "cameras",
        DefaultValue::Texts(&["top"]),
        Allowed::NotEmpty,
        "The checkpoint's names of the cameras that the robot has.",
    ),
    fixed(
        "camera_topics",
        DefaultValue::Texts(&["/camera/top/image_raw"]),
        Allowed::NotEmpty,
        "Topic of each camera, in the order of cameras.",
    ),
    fixed(
        "camera_transports",
        DefaultValue::Texts(&[]),
        Allowed::EachOneOf(&["raw", "compressed"]),
        "What comes on the topic of each camera, in the order of cameras: raw for sensor_msgs/Image, compressed for \
         sensor_msgs/CompressedImage with JPEG or PNG; empty is raw for all.",
    ),
    fixed(
        "optional_cameras",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "Those of cameras without which chunks are made too; the model is told that they are missing while they have no \
         frame within sync_slop_ms.",
    ),
    with_unit(
        "pixels",
        fixed(
            "camera_crops",
            DefaultValue::Integers(&[]),
            Allowed::Any,
            "The part of each frame that the policy sees: x and y of its top left corner, width and height, for each \
             camera in the order of cameras; empty is the whole frames.",
        ),
    ),
    changeable(with_unit(
        "hertz",
        fixed(
            "vision_refresh_hz",
            DefaultValue::Doubles(&[]),
            Allowed::Doubles {
                from: 0.0,
                to: 1000.0,
            },
            "How often the policy looks at a new frame of each camera at most, in the order of cameras; 0 is at every \
             inference, and so is it for all when empty. A frame that stays costs no vision.",
        ),
    )),
    fixed(
        "absent_cameras",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "The checkpoint's names of the cameras that the robot does not have; the model is told that they are missing.",
    ),
    fixed(
        "joint_names",
        DefaultValue::Texts(ALOHA_JOINTS),
        Allowed::NotEmpty,
        "The robot's joints in the order of the checkpoint's state and actions.",
    ),
    fixed(
        "joint_states_topics",
        DefaultValue::Texts(&["/joint_states"]),
        Allowed::NotEmpty,
        "Topics of the joint positions (sensor_msgs/JointState); joints are found by name, and a message may have some \
         of them.",
    ),
    fixed(
        "joint_states_prefixes",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "What is put in front of the joints' names of each topic, in the order of joint_states_topics, to tell two arms \
         with the same names apart; empty is nothing for all.",
    ),
    fixed(
        "extra_state_topics",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "Topics of what follows the joints in the checkpoint's state (std_msgs/Float64MultiArray).",
    ),
    fixed(
        "extra_state_sizes",
        DefaultValue::Integers(&[]),
        Allowed::Any,
        "Values of each of extra_state_topics.",
    ),
    with_unit(
        "milliseconds",
        fixed(
            "sync_slop_ms",
            DefaultValue::Double(0.0),
            Allowed::Doubles {
                from: 0.0,
                to: 1000.0,
            },
            "How far the stamps of an observation's messages may be from that of its joint positions: the newest set of \
             messages that fits is observed. 0 takes the newest message of every input, whatever its stamp.",
        ),
    ),
    fixed(
        "joint_scales",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "The checkpoint's units in one of the robot's, for each of joint_names: -1 for the other direction, 57.29578 for \
         degrees of radians; the checkpoint's position is scale times (robot's position - offset). Empty is 1 for all.",
    ),
    fixed(
        "joint_offsets",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "The robot's position where the checkpoint's is 0, in the robot's units, for each of joint_names; empty is 0 for \
         all.",
    ),
    fixed(
        "grippers",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "Those of joint_names whose positions are told by two ends instead of scale and offset.",
    ),
    fixed(
        "gripper_robot_ranges",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "The robot's positions at two ends of each of grippers.",
    ),
    fixed(
        "gripper_policy_ranges",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "The checkpoint's positions at the same ends of each of grippers. Positions beyond the ends are not limited.",
    ),
    fixed(
        "action_joints",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "For each value of the checkpoint's actions the one of joint_names that it is for, or unused; empty is joint_names.",
    ),
    fixed(
        "action_modes",
        DefaultValue::Texts(&[]),
        Allowed::EachOneOf(&["absolute", "relative", "increment"]),
        "What each value of the checkpoint's actions is: the joint's position, its distance from where the joint was when it \
         was observed, or its distance from the action before. Empty is absolute for all. Relative actions that the \
         checkpoint itself tells of stay absolute here.",
    ),
    fixed(
        "action_scales",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "What each value of the checkpoint's actions is multiplied by to be in the units of its state; empty is 1 for all.",
    ),
    fixed(
        "trajectory_topic",
        DefaultValue::Text("/joint_trajectory"),
        Allowed::NotEmpty,
        "Topic that the trajectory of all joints is published on (trajectory_msgs/JointTrajectory), unless there are \
         output_topics.",
    ),
    fixed(
        "output_topics",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "Topics in place of trajectory_topic, where several controllers move the robot.",
    ),
    fixed(
        "output_types",
        DefaultValue::Texts(&[]),
        Allowed::EachOneOf(&["trajectory", "array"]),
        "What is published on each of output_topics: trajectory for trajectory_msgs/JointTrajectory, array for the \
         positions of now as std_msgs/Float64MultiArray; empty is trajectory for all.",
    ),
    fixed(
        "output_joints",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "For each of output_topics the names of its joints, with spaces between them, in the controller's order. Every joint \
         of the actions is in one of them.",
    ),
    fixed(
        "output_prefixes",
        DefaultValue::Texts(&[]),
        Allowed::Any,
        "What the joints' names of each of output_topics have in front that its controller does not know; empty is nothing \
         for all.",
    ),
    fixed(
        "prompt_topic",
        DefaultValue::Text("/prompt"),
        Allowed::NotEmpty,
        "Topic that a new prompt comes on (std_msgs/String); the newest of it and the parameter prompt counts.",
    ),
    changeable(fixed(
        "prompt",
        DefaultValue::Text(""),
        Allowed::Any,
        "What the robot is to do, in words; while it is empty no chunk is made.",
    )),
    changeable(with_unit(
        "hertz",
        fixed(
            "control_rate_hz",
            DefaultValue::Double(50.0),
            Allowed::Doubles {
                from: 1.0,
                to: 1000.0,
            },
            "Trajectories published a second, in ROS time.",
        ),
    )),
    changeable(with_unit(
        "hertz",
        fixed(
            "action_rate_hz",
            DefaultValue::Double(50.0),
            Allowed::Doubles {
                from: 0.1,
                to: 1000.0,
            },
            "Actions a second in the recordings that the policy learned from; counts from the next chunk on.",
        ),
    )),
    changeable(with_unit(
        "actions",
        fixed(
            "actions_to_execute",
            DefaultValue::Integer(0),
            Allowed::Integers { from: 0, to: 1000 },
            "Actions of a chunk that are played before the next chunk is inferred, at most the checkpoint's horizon; \
             the rest play on until it comes. 0 is half of the horizon. Counts from the next chunk on.",
        ),
    )),
    changeable(fixed(
        "playback_speed",
        DefaultValue::Double(1.0),
        Allowed::Doubles { from: 0.1, to: 10.0 },
        "Actions are played this many times as fast as they were recorded; below 1 is slower. Counts from the next chunk \
         on.",
    )),
    changeable(fixed(
        "chunk_overlap",
        DefaultValue::Text("replace"),
        Allowed::OneOf(&["replace", "blend", "ensemble", "inpaint"]),
        "How a fresh chunk takes over from the one that is played: see docs/control.md. Counts from the next chunk on.",
    )),
    changeable(with_unit(
        "seconds",
        fixed(
            "align_fade_s",
            DefaultValue::Double(0.06),
            Allowed::Doubles { from: 0.0, to: 10.0 },
            "Time within which a fresh chunk takes over: what it differs by from the one that was played fades out; 0 is \
             at once, with a jump. Counts from the next chunk on.",
        ),
    )),
    changeable(fixed(
        "ensemble_coefficient",
        DefaultValue::Double(0.01),
        Allowed::Doubles {
            from: -10.0,
            to: 10.0,
        },
        "Of chunk_blending ensemble: a chunk that is i chunks newer than the oldest weighs exp(-i times this). Counts from \
         the next chunk on.",
    )),
    changeable(with_unit(
        "steps",
        fixed(
            "denoise_steps",
            DefaultValue::Integer(0),
            Allowed::Integers { from: 0, to: 1000 },
            "Euler steps from noise to actions, from the next chunk on; 0 is the checkpoint's number.",
        ),
    )),
    changeable_while_unconfigured(fixed(
        "seed",
        DefaultValue::Integer(0),
        Allowed::Integers {
            from: 0,
            to: i64::MAX,
        },
        "Seed of the noise; the same seed and observations give the same chunks.",
    )),
    changeable(with_unit(
        "points",
        fixed(
            "publish_horizon",
            DefaultValue::Integer(50),
            Allowed::Integers { from: 3, to: 1000 },
            "Points of a published trajectory at most, without the one that lets a short one reach 0.2 s ahead.",
        ),
    )),
    changeable(with_unit(
        "seconds",
        fixed(
            "look_ahead_s",
            DefaultValue::Double(0.3),
            Allowed::Doubles { from: 0.2, to: 10.0 },
            "How far a published trajectory reaches ahead, with three points at least. When the node is killed or the network \
             fails, a controller plays what it has to the end: shorter stops the robot sooner, longer bridges longer gaps \
             between messages.",
        ),
    )),
    changeable(fixed(
        "joint_position_min",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "The lowest position of each joint that gets a value of the actions, in the robot's unit and in the order of \
         the actions; empty is no limit. Limits are kept by every point of every trajectory.",
    )),
    changeable(fixed(
        "joint_position_max",
        DefaultValue::Doubles(&[]),
        Allowed::Any,
        "The highest position of each joint that gets a value of the actions, in the robot's unit and in the order \
         of the actions; empty is no limit.",
    )),
    changeable(fixed(
        "joint_velocity_max",
        DefaultValue::Doubles(&[3.0]),
        Allowed::Doubles { from: 1e-3, to: 1e6 },
        "The highest velocity of a joint, in the robot's unit per second, whatever other limits are known. One for all \
         joints that get a value of the actions, or one for each in the order of the actions; 1000000 is no limit.",
    )),
    changeable(fixed(
        "joint_acceleration_max",
        DefaultValue::Doubles(&[]),
        Allowed::Doubles { from: 1e-3, to: 1e6 },
        "The highest acceleration of each joint that gets a value of the actions, in the robot's unit per second \
         squared and in the order of the actions; empty is no limit.",
    )),
    fixed(
        "robot_description_topic",
        DefaultValue::Text("/robot_description"),
        Allowed::Any,
        "Topic of the robot's URDF (std_msgs/String, transient local), of which the position and velocity limits of \
         the joints that get a value of the actions are kept too; empty is none. A URDF is in radians and metres, \
         and so must the joints be.",
    ),
    changeable(fixed(
        "limit_return_velocity",
        DefaultValue::Double(0.1),
        Allowed::Doubles { from: 0.0, to: 1e6 },
        "How fast a joint that is outside of its position limits may move back to them where a chunk asks for it, in the \
         robot's unit per second; it never moves further out. 0 holds the robot instead.",
    )),
    changeable(fixed(
        "max_start_jump",
        DefaultValue::Doubles(&[0.5]),
        Allowed::Doubles { from: 1e-3, to: 1e6 },
        "From standstill no joint is sent further than this from where it was measured, in the robot's unit; else the \
         robot is held. One for all joints that get a value of the actions, or one for each in the order of the \
         actions; 1000000 is anywhere.",
    )),
    changeable(fixed(
        "max_following_error",
        DefaultValue::Doubles(&[0.5]),
        Allowed::Doubles { from: 1e-3, to: 1e6 },
        "The robot is held when a joint is measured further than this from where it was told to be while a chunk is \
         played, in the robot's unit: it is blocked, or its controller stopped. One for all joints that get a value of the \
         actions, or one for each in the order of the actions; 1000000 is any distance. A gripper that holds an object \
         needs its whole range.",
    )),
    changeable(with_unit(
        "seconds",
        fixed(
            "stop_time_s",
            DefaultValue::Double(0.2),
            Allowed::Doubles { from: 0.0, to: 10.0 },
            "Time in which the robot comes to rest when it is to be held; longer where the acceleration limits ask for it.",
        ),
    )),
    changeable(with_unit(
        "milliseconds",
        fixed(
            "max_age_ms",
            DefaultValue::Double(500.0),
            Allowed::Doubles {
                from: 1.0,
                to: 60_000.0,
            },
            "The robot is held when a camera that is not optional, one of the joints or an extra state sends nothing good \
             for longer than this. A message whose stamp is further than this from the node's clock, before or after, is \
             not good.",
        ),
    )),
    changeable(with_unit(
        "seconds",
        fixed(
            "max_run_time_s",
            DefaultValue::Double(0.0),
            Allowed::Doubles {
                from: 0.0,
                to: 86_400.0,
            },
            "How long one prompt may move the robot; then it is held until the next prompt. 0 is as long as it likes.",
        ),
    )),
    fixed(
        "auto_start",
        DefaultValue::Boolean(true),
        Allowed::Any,
        "Whether the node moves the robot from its start on; otherwise from the first call of ~/enable on.",
    ),
    fixed(
        "control_priority",
        DefaultValue::Integer(50),
        Allowed::Integers { from: 0, to: 99 },
        "Real-time priority (SCHED_FIFO) that is asked for the control thread; where it is not granted, nice -10 is asked \
         for. 0 asks for nothing. The log says what was granted.",
    ),
    fixed(
        "managed",
        DefaultValue::Boolean(false),
        Allowed::Any,
        "Whether the node waits unconfigured for whoever manages its lifecycle; otherwise it configures and activates \
         itself.",
    ),
    fixed(
        "use_sim_time",
        DefaultValue::Boolean(false),
        Allowed::Any,
        "Whether time comes from the topic /clock instead of the system.",
    ),
];

impl DefaultValue {
    /// As ROS holds it.
    pub fn value(&self) -> ParameterValue {
        match *self {
            Self::Boolean(value) => ParameterValue::Bool(value),
            Self::Integer(value) => ParameterValue::Integer(value),
            Self::Double(value) => ParameterValue::Double(value),
            Self::Text(value) => ParameterValue::String(value.to_owned()),
            Self::Texts(values) => {
                ParameterValue::StringArray(values.iter().map(|&value| value.to_owned()).collect())
            }
            Self::Integers(values) => ParameterValue::IntegerArray(values.to_vec()),
            Self::Doubles(values) => ParameterValue::DoubleArray(values.to_vec()),
        }
    }
}

impl Declaration {
    /// The value as the parameter's type.
    ///
    /// Two literals of YAML are taken for what they must mean here: `50` for a number with a fraction, alone or in an
    /// array, and `[]`, which ROS gives no type, for an empty array.
    ///
    /// # Errors
    /// What was expected, when it has another type or lies outside of what is allowed.
    pub fn check(&self, value: &ParameterValue) -> Result<ParameterValue, String> {
        let value = match (&self.default, value) {
            (DefaultValue::Double(_), ParameterValue::Integer(integer)) => {
                ParameterValue::Double(*integer as f64)
            }
            (DefaultValue::Doubles(_), ParameterValue::IntegerArray(integers)) => {
                ParameterValue::DoubleArray(integers.iter().map(|&integer| integer as f64).collect())
            }
            (DefaultValue::Doubles(_), ParameterValue::NotSet) => ParameterValue::DoubleArray(Vec::new()),
            (DefaultValue::Texts(_), ParameterValue::NotSet) => ParameterValue::StringArray(Vec::new()),
            (DefaultValue::Integers(_), ParameterValue::NotSet) => ParameterValue::IntegerArray(Vec::new()),
            _ => value.clone(),
        };
        let expected = self.default.value();
        if std::mem::discriminant(&value) != std::mem::discriminant(&expected) {
            return Err(format!("a value of type {}", expected.type_name()));
        }
        let is_allowed = match (self.allowed, &value) {
            (Allowed::Integers { from, to }, ParameterValue::Integer(value)) => (from..=to).contains(value),
            (Allowed::Doubles { from, to }, ParameterValue::Double(value)) => (from..=to).contains(value),
            (Allowed::Doubles { from, to }, ParameterValue::DoubleArray(values)) => {
                values.iter().all(|value| (from..=to).contains(value))
            }
            (Allowed::OneOf(choices), ParameterValue::String(value)) => choices.contains(&value.as_str()),
            (Allowed::EachOneOf(choices), ParameterValue::StringArray(values)) => {
                values.iter().all(|value| choices.contains(&value.as_str()))
            }
            (Allowed::NotEmpty, ParameterValue::String(value)) => !value.is_empty(),
            (Allowed::NotEmpty, ParameterValue::StringArray(values)) => {
                !values.is_empty() && values.iter().all(|value| !value.is_empty())
            }
            _ => true,
        };
        if is_allowed {
            Ok(value)
        } else {
            Err(self.expected())
        }
    }

    /// What is allowed, in words.
    pub fn expected(&self) -> String {
        match (self.allowed, self.default) {
            (Allowed::Any, _) => "any".to_owned(),
            (Allowed::Integers { from, to: i64::MAX }, _) => format!("at least {from}"),
            (Allowed::Integers { from, to }, _) => format!("{from} to {to}"),
            (Allowed::Doubles { from, to }, DefaultValue::Doubles(_)) => format!("{from} to {to} each"),
            (Allowed::Doubles { from, to }, _) => format!("{from} to {to}"),
            (Allowed::OneOf(choices), _) => format!("one of {}", choices.join(", ")),
            (Allowed::EachOneOf(choices), _) => format!("each one of {}", choices.join(", ")),
            (Allowed::NotEmpty, DefaultValue::Texts(_)) => "at least one, none of them empty".to_owned(),
            (Allowed::NotEmpty, _) => "not empty".to_owned(),
        }
    }
}

/// The value as it is written in YAML.
pub fn in_yaml(value: &ParameterValue) -> String {
    fn list<T>(values: &[T], text: impl Fn(&T) -> String) -> String {
        format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", "))
    }
    match value {
        ParameterValue::NotSet => "not set".to_owned(),
        ParameterValue::Bool(value) => value.to_string(),
        ParameterValue::Integer(value) => value.to_string(),
        ParameterValue::Double(value) => format!("{value:?}"),
        ParameterValue::String(value) => format!("{value:?}"),
        ParameterValue::BoolArray(values) => list(values, bool::to_string),
        ParameterValue::ByteArray(values) => list(values, u8::to_string),
        ParameterValue::IntegerArray(values) => list(values, i64::to_string),
        ParameterValue::DoubleArray(values) => list(values, |value| format!("{value:?}")),
        ParameterValue::StringArray(values) => list(values, String::clone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(name: &str) -> &'static Declaration {
        DECLARATIONS
            .iter()
            .find(|declaration| declaration.name == name)
            .unwrap()
    }

    #[test]
    fn every_default_but_the_checkpoint_is_allowed() {
        for declaration in DECLARATIONS.iter().filter(|one| one.name != "checkpoint") {
            let value = declaration.default.value();
            assert_eq!(declaration.check(&value), Ok(value), "{}", declaration.name);
        }
    }

    #[test]
    fn a_whole_number_serves_as_a_number_with_a_fraction() {
        let checked = declaration("control_rate_hz").check(&ParameterValue::Integer(25));
        assert_eq!(checked, Ok(ParameterValue::Double(25.0)));
        let checked = declaration("vision_refresh_hz").check(&ParameterValue::IntegerArray(vec![2]));
        assert_eq!(checked, Ok(ParameterValue::DoubleArray(vec![2.0])));
    }

    #[test]
    fn an_empty_list_without_a_type_is_an_empty_array() {
        let checked = declaration("absent_cameras").check(&ParameterValue::NotSet);
        assert_eq!(checked, Ok(ParameterValue::StringArray(vec![])));
        let checked = declaration("vision_refresh_hz").check(&ParameterValue::NotSet);
        assert_eq!(checked, Ok(ParameterValue::DoubleArray(vec![])));
    }

    #[test]
    fn other_types_and_values_out_of_range_are_refused_with_what_is_expected() {
        let text = |value: &str| ParameterValue::String(value.to_owned());
        for (name, value, expected) in [
            ("threads", text("all"), "a value of type integer"),
            ("threads", ParameterValue::Integer(-1), "0 to 1024"),
            ("control_rate_hz", ParameterValue::Double(0.0), "1 to 1000"),
            ("control_rate_hz", ParameterValue::Double(f64::NAN), "1 to 1000"),
            (
                "vision_refresh_hz",
                ParameterValue::DoubleArray(vec![5.0, -1.0]),
                "0 to 1000 each",
            ),
            ("device", text("gpu"), "one of auto, cpu, tenstorrent"),
            ("seed", ParameterValue::Integer(-7), "at least 0"),
            ("checkpoint", text(""), "not empty"),
            (
                "cameras",
                ParameterValue::StringArray(vec![String::new()]),
                "at least one, none of them empty",
            ),
        ] {
            assert_eq!(
                declaration(name).check(&value),
                Err(expected.to_owned()),
                "{name}"
            );
        }
    }
}
