//! The one table of all parameters.

use super::definition::{Allowed::*, Changeable, Definition};
use super::policy_device::PolicyDevice;
use super::reader::{Reader, Section};
use super::runtime_settings::SecondGoal;
use super::typed::Typed;
use crate::control::{BlendingStrategy, OutputKind, RtcMode};
use crate::device::{AttentionSoftmax, Precision, TuningLevel};
use crate::observation::{ChannelOrder, ExtraStateKind, Transport};
use crate::policy::{
    ActionMode, Crop, DeltaFrame, ImageBars, OpenpiNormalisation, PrefixAttentionSchedule, Resize,
    RobotPreset, StateInPrompt,
};
use crate::pose::{PositionAxes, RotationRepresentation};
use crate::protocol::{KeyPreset, PictureFormat};

/// In `action_joints`, a value of the actions that no joint gets.
pub const UNUSED: &str = "unused";

/// Makes a typed struct of parameters and their definitions from one row a parameter: its description as a doc comment,
/// then name, type, default, allowed values, unit, and when it can be set.
macro_rules! parameters {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $(
                $(#[doc = $comment:literal])+
                $field:ident: $type:ty = $default:expr, $allowed:expr, $unit:literal, $changeable:ident;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $comment])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $name {
            const ROWS: [Definition; [$( stringify!($field) ),+].len()] = [$(
                Definition {
                    name: without_raw(stringify!($field)),
                    default: || { let default: $type = $default; Typed::to_value(&default) },
                    allowed: $allowed,
                    unit: $unit,
                    changeable: Changeable::$changeable,
                    choices: <$type as Typed>::CHOICES,
                    shape: <$type as Typed>::SHAPE,
                    comment: concat!($( $comment ),+),
                },
            )+];
        }

        impl Section for $name {
            const DEFINITIONS: &'static [Definition] = &Self::ROWS;

            fn read(reader: &mut Reader, prefix: &str, defaults: &Self) -> Self {
                let [$( $field ),+] = &Self::ROWS;
                Self { $( $field: reader.read(prefix, $field, &defaults.$field), )+ }
            }
        }
    };
}

/// A field's name without the `r#` of a name that is a keyword.
const fn without_raw(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

parameters! {
    /// The policy, and where it runs.
    PolicyParameters {
        /// Folder of the checkpoint, or its name on the Hugging Face Hub: owner/name or owner/name@revision. Not used with
        /// device remote.
        checkpoint: String = String::new(), NotEmpty, "", Unconfigured;
        /// File of PaliGemma's tokenizer, or a folder with it; empty looks for it in the checkpoint, the hub's cache and
        /// openpi's.
        tokenizer: String = String::new(), Any, "", Unconfigured;
        /// Checkpoint that an adapter (LoRA) changes, its folder or its name on the hub; empty is the one that the adapter
        /// names.
        checkpoint_base: String = String::new(), Any, "", Unconfigured;
        /// How images get the network's size: plain is bilinear without antialiasing, antialias is Pillow's bilinear on
        /// bytes; auto is plain for a checkpoint of LeRobot and antialias for openpi's.
        resize: Option<Resize> = None, Any, "", Unconfigured;
        /// Value of the bars beside an image that is no square, where black is -1: LeRobot 0.4 trained with -3. auto is -3
        /// where the checkpoint shows that it is of 0.4, and else -1.
        image_bars: Option<ImageBars> = None, Any, "", Unconfigured;
        /// Folder in assets of an openpi checkpoint whose statistics count; empty is the only one.
        openpi_asset: String = String::new(), Any, "", Unconfigured;
        /// Actions in a chunk of an openpi checkpoint without config.json; 0 is the published number, 50.
        openpi_action_horizon: usize = 0, Range(0.0..=1000.0), "actions", Unconfigured;
        /// Tokens that a prompt of an openpi checkpoint may have (max_token_len of its training); 0 is the published number.
        openpi_max_prompt_tokens: usize = 0, Range(0.0..=1000.0), "tokens", Unconfigured;
        /// Statistics that scale states and actions of an openpi checkpoint (use_quantile_norm of its training); auto is
        /// mean_std with π0 and quantiles with π0.5. LeRobot's checkpoints have it themselves.
        normalisation: Option<OpenpiNormalisation> = None, Any, "", Unconfigured;
        /// Values of an openpi checkpoint's actions that are relative to the state, as its training's make_bool_mask: [6, -1,
        /// 6, -1] is six that are, one that is not, and again.
        delta_actions: Vec<bool> = Vec::new(), Any, "", Unconfigured;
        /// Device that runs the model; auto takes the fastest one there is, remote is the server of the parameter server.
        device: PolicyDevice = PolicyDevice::Auto, Any, "", Unconfigured;
        /// Number format in which the CPU device stores weights: bf16 takes half the memory of f32, int8 a quarter.
        /// Where the machine multiplies these, activations are rounded as well.
        precision: Precision = Precision::F32, Any, "", Unconfigured;
        /// Threads of the CPU device; 0 is one for each core.
        threads: usize = 0, Range(0.0..=1024.0), "threads", Unconfigured;
        /// Softmax of attention on a Tenstorrent card: exact, or with an exponential function that is off by up to 3 % and
        /// saves one to two milliseconds of a chunk (as tt-metal's pi0_5 has it).
        card_attention: AttentionSoftmax = AttentionSoftmax::Exact, Any, "", Unconfigured;
        /// Ways of computing on a Tenstorrent card that should save time: none of them, those that only divide the work
        /// differently (layout), or those that round more too (all). See docs/tenstorrent.md.
        card_tuning: TuningLevel = TuningLevel::None, Any, "", Unconfigured;
        /// Whether the node resets a Tenstorrent card that hangs (tt-smi -r), while the robot is held. Every other program that
        /// uses the card loses it.
        card_reset: bool = false, Any, "", Unconfigured;
        /// Euler steps from noise to actions, from the next chunk on; 0 is the checkpoint's number.
        denoise_steps: usize = 0, Range(0.0..=1000.0), "steps", Always;
        /// State in the prompt of a π0.5 policy: none, its values, or its values padded with zeros to max_state_dim; auto is
        /// as the program that wrote the checkpoint trained it (padded by LeRobot 0.4, values by later ones and by openpi).
        state_in_prompt: Option<StateInPrompt> = None, Any, "", Unconfigured;
        /// Seed of the noise; the same seed and observations give the same chunks.
        seed: u64 = 0, Range(0.0..=f64::INFINITY), "", Unconfigured;
        /// Task of the robot, in words; while it is empty no chunk is made.
        prompt: String = String::new(), Any, "", Always;
        /// Time by which every chunk is held back after its inference, as if the device were slower; for measurements alone
        /// (make eval-delay). Above 0 it is a warning on /diagnostics.
        added_inference_latency_s: f64 = 0.0, Range(0.0..=10.0), "seconds", Unconfigured;
        /// Topic of new prompts (std_msgs/String); the newest of it and the parameter prompt counts.
        prompt_topic: String = "/prompt".into(), NotEmpty, "", Never;
    }
}

parameters! {
    /// The server of a policy on another machine.
    ServerParameters {
        /// Server of the policy with device remote: ws://host:port, or wss://host:port for TLS.
        server: String = String::new(), Any, "", Unconfigured;
        /// Names of an observation's values, as the server expects them: those of openpi's clients of ALOHA, DROID or LIBERO.
        /// Cameras have their own names behind images/ or observation/.
        server_keys: KeyPreset = KeyPreset::Aloha, Any, "", Unconfigured;
        /// How frames travel: raw, which every server takes, or as JPEG or PNG, which only pi0_server takes.
        server_images: PictureFormat = PictureFormat::Raw, Any, "", Unconfigured;
        /// Side of the square that a frame is made to fit into before it travels, if it is larger; 0 is the size that the
        /// policy sees, or 224 where the server does not say it.
        server_image_size: usize = 0, Range(0.0..=8192.0), "pixels", Unconfigured;
        /// Longest wait for a chunk. Then the connection is given up with the chunk, and the robot is held (SERVER_LOST)
        /// until there is another one.
        server_deadline_ms: f64 = 500.0, Range(1.0..=600_000.0), "milliseconds", Unconfigured;
        /// File with the key that the server asks for; empty is none.
        server_api_key_file: String = String::new(), Any, "", Unconfigured;
        /// File with the certificates (PEM) that a server with wss:// is trusted by; empty are the public authorities.
        server_ca_file: String = String::new(), Any, "", Unconfigured;
    }
}

parameters! {
    /// Cameras that the robot lacks.
    AbsentCameras {
        /// Cameras of the checkpoint that the robot does not have; the model gets them as missing.
        absent_cameras: Vec<String> = Vec::new(), Any, "", Never;
    }
}

parameters! {
    /// One camera, by its name in the checkpoint.
    CameraParameters {
        /// Topic of the camera of this name in the checkpoint. The robot has the cameras that have a topic, at least one.
        topic: String = String::new(), NotEmpty, "", Never;
        /// Messages on the topic: raw for sensor_msgs/Image, compressed for sensor_msgs/CompressedImage with JPEG or PNG.
        transport: Transport = Transport::Raw, Any, "", Never;
        /// Order of the colours of raw images whose encoding leaves it open (8UC3, 8UC4, 16UC3, 16UC4): OpenCV's own is bgr.
        /// unknown refuses such images.
        channel_order: ChannelOrder = ChannelOrder::Unknown, Any, "", Never;
        /// Part of each frame that the policy gets: x and y of its top left corner, width and height; empty is the whole
        /// frame.
        crop: Option<Crop> = None, Any, "pixels", Never;
        /// Whether chunks are made without this camera too: the model gets it as missing while it has no frame within
        /// sync_slop_ms.
        optional: bool = false, Any, "", Never;
        /// Highest rate at which new frames go through the vision tower; 0 is every inference. A frame that is used again
        /// takes no time in the vision tower.
        refresh_hz: f64 = 0.0, Range(0.0..=1000.0), "hertz", Always;
    }
}

parameters! {
    /// Order of the joints.
    JointOrder {
        /// Joints of the robot, in the order of the checkpoint's state where state_order has no other.
        joint_names: Vec<String> = Vec::new(), NotEmpty, "", Never;
        /// Joint that each value of the checkpoint's actions is for, or unused; empty is joint_names. A joint that has a
        /// value is a commanded joint. The name of a pose stands for all of its values: x, y, z, and its action_rotation.
        action_joints: Vec<String> = Vec::new(), Any, "", Never;
        /// Unit transforms of a known robot, in place of those of its joints: aloha is ALOHA in the units of its own runtime
        /// with openpi's adapt_to_pi, aloha_before_2025_07 the same as openpi had it before 8 July 2025, and LeRobot 0.3.
        robot_preset: RobotPreset = RobotPreset::None, Any, "", Never;
    }
}

parameters! {
    /// One joint: how its position and actions become the checkpoint's, and its limits.
    JointParameters {
        /// Checkpoint's units in one of the robot's: -1 for the other direction, 57.29578 for a checkpoint in degrees and a
        /// robot in radians. The checkpoint's position is scale times (robot's position - offset).
        scale: f64 = 1.0, FiniteNonZero, "", Never;
        /// Robot's position where the checkpoint's is 0, in the robot's unit.
        offset: f64 = 0.0, Finite, "", Never;
        /// Robot's positions at two ends of the joint's range, in place of scale and offset. Positions beyond the ends are
        /// not clipped.
        robot_range: Option<[f64; 2]> = None, Any, "", Never;
        /// Checkpoint's positions at the two ends of robot_range.
        policy_range: Option<[f64; 2]> = None, Any, "", Never;
        /// Meaning of an action: the joint's position, its distance from the observed position (relative), its distance from the
        /// action before (increment), or how far it goes until the next action (velocity). Relative actions that the checkpoint
        /// itself declares are absolute here.
        action_mode: ActionMode = ActionMode::Absolute, Any, "", Never;
        /// Factor that brings an action into the units of the checkpoint's state.
        action_scale: f64 = 1.0, FiniteNonZero, "", Never;
        /// Position, in the units of the checkpoint's state, that an absolute action of 0 is for.
        action_offset: f64 = 0.0, Finite, "", Never;
        /// Whether the joint never moved in the data: the model gets 0 for it, and its action is the mean of the data.
        constant: bool = false, Any, "", Never;
        /// Lowest position, in the robot's unit. Every point of every trajectory keeps the limits.
        position_min: f64 = f64::NEG_INFINITY, Range(f64::NEG_INFINITY..=f64::INFINITY), "", Always;
        /// Highest position, in the robot's unit.
        position_max: f64 = f64::INFINITY, Range(f64::NEG_INFINITY..=f64::INFINITY), "", Always;
        /// Highest velocity, in the robot's unit per second, whatever other limits are known; .inf is no limit.
        max_velocity: f64 = 3.0, Range(1e-3..=f64::INFINITY), "", Always;
        /// Highest acceleration, in the robot's unit per second squared; .inf is no limit.
        max_acceleration: f64 = f64::INFINITY, Range(1e-3..=f64::INFINITY), "", Always;
        /// Longest distance from the measured position to the first commanded one when the robot starts from standstill,
        /// in the robot's unit; further away the robot is held. .inf is any distance.
        max_start_jump: f64 = 0.5, Range(1e-3..=f64::INFINITY), "", Always;
        /// Longest distance from the commanded position to the measured one while a chunk is played, in the robot's unit;
        /// further away the robot is held, for the joint is blocked or its controller stopped. .inf is any distance. A
        /// gripper that holds an object needs its whole range.
        max_following_error: f64 = 0.5, Range(1e-3..=f64::INFINITY), "", Always;
    }
}

parameters! {
    /// Poses of the robot.
    PoseOrder {
        /// Poses of the robot, such as that of its tool, which the checkpoint's state or actions have.
        pose_names: Vec<String> = Vec::new(), Any, "", Never;
    }
}

parameters! {
    /// One pose: where it comes from, how it and its actions become the checkpoint's, and its limits.
    PoseParameters {
        /// Topic of the measured pose (geometry_msgs/PoseStamped); empty takes the pose of tool_frame from /tf and /tf_static.
        topic: String = String::new(), Any, "", Never;
        /// Frame that the measured and the commanded pose are in. A message of another frame is refused.
        base_frame: String = String::new(), NotEmpty, "", Never;
        /// Frame of the tool in /tf, where there is no topic.
        tool_frame: String = String::new(), Any, "", Never;
        /// Coordinates of the position in the checkpoint's state: xyz, or xy and x of a mobile base.
        state_axes: PositionAxes = PositionAxes::Xyz, Any, "", Never;
        /// Values behind the position in the checkpoint's state: axis_angle (robosuite, LIBERO), quaternion_xyzw,
        /// quaternion_wxyz, rotation_6d (columns of the matrix), rotation_6d_rows (PyTorch3D), rpy in radians (DROID), yaw of
        /// what stays upright, or none.
        state_rotation: RotationRepresentation = RotationRepresentation::AxisAngle, Any, "", Never;
        /// Of all values that mean the same rotation, those nearest to these count, such as the mean of the data: a tool that
        /// points down has an angle near half a turn, either way. Empty is the smallest angle.
        rotation_near: Vec<f64> = Vec::new(), Any, "", Never;
        /// Coordinates of the position in the checkpoint's actions, as in state_axes. The others stay as they are.
        action_axes: PositionAxes = PositionAxes::Xyz, Any, "", Never;
        /// Values behind the position in the checkpoint's actions, as in state_rotation.
        action_rotation: RotationRepresentation = RotationRepresentation::AxisAngle, Any, "", Never;
        /// Meaning of an action: the pose, its change from the observed pose (relative), its change from the action before
        /// (increment), the first one from the observed pose, or its change until the next action (velocity), which begins at
        /// the observed pose.
        action_mode: ActionMode = ActionMode::Absolute, Any, "", Never;
        /// Axes that a change is along and about: those of base_frame, or those of the tool.
        action_frame: DeltaFrame = DeltaFrame::Base, Any, "", Never;
        /// Metres in a value of the position; output_max of a robosuite controller, or 1 / action_rate_hz for velocities.
        action_position_scale: f64 = 1.0, FiniteNonZero, "metres", Never;
        /// Radians in a value of a rotation that is angles.
        action_rotation_scale: f64 = 1.0, FiniteNonZero, "radians", Never;
        /// Lowest x, y and z of the workspace; empty is no limit. At the edge the robot is held (WORKSPACE_EDGE).
        workspace_min: Option<[f64; 3]> = None, Any, "metres", Always;
        /// Highest x, y and z of the workspace; empty is no limit.
        workspace_max: Option<[f64; 3]> = None, Any, "metres", Always;
        /// Highest velocity along the way; .inf is no limit.
        max_linear_velocity: f64 = 0.5, Range(1e-3..=f64::INFINITY), "metres per second", Always;
        /// Highest velocity of the rotation; .inf is no limit.
        max_angular_velocity: f64 = 2.0, Range(1e-3..=f64::INFINITY), "radians per second", Always;
        /// Highest acceleration of the position; .inf is no limit.
        max_linear_acceleration: f64 = f64::INFINITY, Range(1e-3..=f64::INFINITY), "metres per second squared", Always;
        /// Highest acceleration of the rotation; .inf is no limit.
        max_angular_acceleration: f64 = f64::INFINITY, Range(1e-3..=f64::INFINITY), "radians per second squared", Always;
        /// Share of its distance from the commanded pose that an output of type twist takes the measured one towards it a
        /// second, beside the motion's own velocity; 0 sends that alone, and errors add up.
        twist_gain: f64 = 1.0, Range(0.0..=10.0), "per second", Always;
        /// Axes of an output of type twist: those of base_frame, or those of tool_frame, as a mobile base is driven.
        twist_frame: DeltaFrame = DeltaFrame::Base, Any, "", Never;
        /// Longest distance from the measured position to the first commanded one when the robot starts from standstill;
        /// further away the robot is held.
        max_start_distance: f64 = 0.1, Range(1e-3..=f64::INFINITY), "metres", Always;
        /// Largest angle from the measured rotation to the first commanded one, likewise.
        max_start_angle: f64 = 0.5, Range(1e-3..=f64::INFINITY), "radians", Always;
        /// Longest distance from the commanded position to the measured one while a chunk is played; further away the robot is
        /// held, for it is blocked or its controller stopped.
        max_following_distance: f64 = 0.2, Range(1e-3..=f64::INFINITY), "metres", Always;
        /// Largest angle from the commanded rotation to the measured one, likewise.
        max_following_angle: f64 = 1.0, Range(1e-3..=f64::INFINITY), "radians", Always;
    }
}

parameters! {
    /// What the state is made of, beside cameras and joints.
    StateParameters {
        /// Topic of the joint positions (sensor_msgs/JointState), unless there are `joint_states.<name>.topic`. Joints are
        /// found by name, and a message may have some of them.
        joint_states_topic: String = "/joint_states".into(), NotEmpty, "", Never;
        /// Parts of the checkpoint's state that follow the joints and poses, in its order.
        extra_state_names: Vec<String> = Vec::new(), Any, "", Never;
        /// Parts of the checkpoint's state in its order: names of joints, poses and extra states; empty is joint_names,
        /// pose_names, extra_state_names. What is not named is measured, and the policy does not get it.
        state_order: Vec<String> = Vec::new(), Any, "", Never;
        /// Longest distance of the stamps of an observation's messages from that of its joint positions: the newest set of
        /// messages that fits is observed. 0 takes the newest message of every input, whatever its stamp.
        sync_slop_ms: f64 = 0.0, Range(0.0..=1000.0), "milliseconds", Never;
    }
}

parameters! {
    /// One topic of joint positions, where there are several.
    JointStatesParameters {
        /// Topic of joint positions, where several drivers send them.
        topic: String = String::new(), NotEmpty, "", Never;
        /// Text in front of the topic's own names of joints, to tell two arms with the same names apart.
        prefix: String = String::new(), Any, "", Never;
    }
}

parameters! {
    /// One part of the state that is no joint.
    ExtraStateParameters {
        /// Topic of this part of the state.
        topic: String = String::new(), NotEmpty, "", Never;
        /// Messages on the topic: array for std_msgs/Float64MultiArray, odometry for the velocities of a mobile base in
        /// nav_msgs/Odometry.
        r#type: ExtraStateKind = ExtraStateKind::Array, Any, "", Never;
        /// Values of this part of the state; of odometry 3 for the velocities along x and y and about z, or 2 for those along x
        /// and about z.
        size: usize = 0, Range(1.0..=1000.0), "values", Never;
        /// Factor from each value to the checkpoint's units, such as 57.29578 for degrees; empty is 1.
        scale: Vec<f64> = Vec::new(), Any, "", Never;
    }
}

parameters! {
    /// The output to one controller.
    TrajectoryOutput {
        /// Topic of the trajectory of all commanded joints (trajectory_msgs/JointTrajectory), unless there are
        /// `outputs.<name>.topic`.
        trajectory_topic: String = "/joint_trajectory".into(), NotEmpty, "", Never;
    }
}

parameters! {
    /// One output, where several controllers move the robot.
    OutputParameters {
        /// Topic of one controller, where there are several.
        topic: String = String::new(), NotEmpty, "", Never;
        /// Messages on the topic: trajectory for trajectory_msgs/JointTrajectory, array for the positions of now as
        /// std_msgs/Float64MultiArray, pose for the pose of now as geometry_msgs/PoseStamped, twist for the
        /// velocity that follows it as geometry_msgs/TwistStamped, 0 while the robot is held.
        r#type: OutputKind = OutputKind::Trajectory, Any, "", Never;
        /// Joints of the controller, in its order. Every commanded joint is in one output.
        joints: Vec<String> = Vec::new(), Any, "", Never;
        /// Pose of the controller, of type pose or twist. Every commanded pose is in one output.
        pose: String = String::new(), Any, "", Never;
        /// Text in front of joint_names that the controller's own names do not have.
        prefix: String = String::new(), Any, "", Never;
    }
}

parameters! {
    /// How chunks become trajectories.
    ControlParameters {
        /// Trajectories published a second, in ROS time.
        control_rate_hz: f64 = 50.0, Range(1.0..=1000.0), "hertz", Always;
        /// Actions a second in the recordings that the policy learned from; counts from the next chunk on.
        action_rate_hz: f64 = 50.0, Range(0.1..=1000.0), "hertz", Always;
        /// Actions of a chunk that are played before the next chunk is inferred, at most the checkpoint's horizon; the
        /// rest play on until it comes. 0 is half of the horizon. Counts from the next chunk on.
        execution_horizon: usize = 0, Range(0.0..=1000.0), "actions", Always;
        /// Factor of the recorded speed at which actions are played; below 1 is slower. Counts from the next chunk on.
        playback_speed: f64 = 1.0, Range(0.1..=10.0), "", Always;
        /// How a new chunk takes over from the one that is played: see docs/control.md. auto is rtc for a policy of this
        /// machine or of pi0_server, and replace for other servers, which take no actions of the chunk before. Counts from
        /// the next chunk on.
        chunk_blending: Option<BlendingStrategy> = None, Any, "", Always;
        /// Time within which a new chunk takes over: its difference from the one that was played fades out. 0 is at once,
        /// with a jump. Counts from the next chunk on.
        blend_duration_s: f64 = 0.06, Range(0.0..=10.0), "seconds", Always;
        /// Time after its arrival at which a new chunk takes over; the motion until then stays as it was published. A
        /// controller whose clock is ahead of the node's, or that gets messages late, by no more than this has the new motion
        /// before it begins. Counts from the next chunk on, where blend_duration_s is above 0.
        controller_latency_s: f64 = 0.06, Range(0.0..=0.2), "seconds", Always;
        /// Weight of age with chunk_blending ensemble: a chunk that is i chunks newer than the oldest weighs
        /// exp(-i times this). Counts from the next chunk on.
        ensemble_coefficient: f64 = 0.01, Range(-10.0..=10.0), "", Always;
        /// How the policy goes on from the old chunk with chunk_blending rtc (mode of LeRobot's RTC): guided towards it, or
        /// trained to begin with the actions that are played meanwhile. auto is trained for a checkpoint with an
        /// rtc_training_max_delay, and guided for others, for which trained is refused. Counts from the next chunk on.
        rtc_mode: Option<RtcMode> = None, Any, "", Always;
        /// How the weights of the old chunk's actions fall with rtc_mode guided, from 1 for those that are played before
        /// the new chunk arrives (prefix_attention_schedule of LeRobot's RTC). Counts from the next chunk on.
        rtc_prefix_attention_schedule: PrefixAttentionSchedule = PrefixAttentionSchedule::Linear, Any, "", Always;
        /// Actions of the old chunk that guide the new one at most with rtc_mode guided (execution_horizon of LeRobot's
        /// RTC). 0 is all that are left, as in the paper. Counts from the next chunk on.
        rtc_prefix_attention_horizon: usize = 0, Range(0.0..=1000.0), "actions", Always;
        /// Upper bound of the guidance weight with rtc_mode guided; above the number of denoising steps it overshoots. 0 is
        /// the smaller one of 10 and the number of steps. Counts from the next chunk on.
        rtc_max_guidance_weight: f64 = 0.0, Range(0.0..=100.0), "", Always;
        /// Points of a published trajectory from the present on at most, without the one that lets a short one reach 0.2 s
        /// ahead. With fewer than three a controller is at the end before the next trajectory comes.
        publish_horizon: usize = 50, Range(3.0..=1000.0), "points", Always;
        /// Time that a published trajectory reaches ahead, with three points at least. When the node is killed or the
        /// network fails, a controller plays what it has to the end: shorter stops the robot sooner, longer bridges longer
        /// gaps between messages.
        look_ahead_s: f64 = 0.3, Range(0.2..=10.0), "seconds", Always;
        /// Time of the motion before the present that a trajectory starts with. A controller whose clock is behind the
        /// node's by no more than this goes on where it is, and not from the measured position.
        trajectory_history_s: f64 = 0.04, Range(0.0..=0.2), "seconds", Always;
        /// Whether points have velocities, with which joint_trajectory_controller moves along cubics and not along lines:
        /// smoother, and no further and no faster. A trajectory has none where a velocity limit leaves no such cubics.
        waypoint_velocities: bool = false, Any, "", Always;
        /// Real-time priority (SCHED_FIFO) that is requested for the control thread; where it is not granted, nice -10 is
        /// requested. 0 requests nothing. The log has what was granted.
        control_priority: u8 = 50, Range(0.0..=99.0), "", Never;
    }
}

parameters! {
    /// Limits of the whole robot, and when it is held.
    SafetyParameters {
        /// Topic of the robot's URDF (std_msgs/String, transient local), whose position and velocity limits of the
        /// commanded joints are kept too; empty is none. A URDF is in radians and metres, and so must the joints be.
        robot_description_topic: String = "/robot_description".into(), Any, "", Never;
        /// Velocity at which a joint outside of its position limits may move back to them where a chunk asks for it, in
        /// the robot's unit per second; it never moves further out. 0 holds the robot instead.
        limit_return_velocity: f64 = 0.1, Range(0.0..=1e6), "", Always;
        /// Time in which the robot comes to rest when it is to be held; longer where the acceleration limits ask for it.
        stop_time_s: f64 = 0.2, Range(0.0..=10.0), "seconds", Always;
        /// Whether a joint beyond its max_following_error gives the robot to the person who moves it: the node publishes nothing
        /// until ~/takeover is called with false. Otherwise the robot is held until the joint reaches its command.
        yield_to_hand: bool = false, Any, "", Always;
        /// Longest silence of a camera that is not optional, of a joint or of an extra state; then the robot is held. A
        /// message whose stamp is further than this from the node's clock, before or after, does not count.
        max_age_ms: f64 = 500.0, Range(1.0..=60_000.0), "milliseconds", Always;
        /// Longest time that one prompt may move the robot; then it is held until the next prompt. 0 is no limit.
        max_run_time_s: f64 = 0.0, Range(0.0..=86_400.0), "seconds", Always;
    }
}

parameters! {
    /// Goals of the action that runs the policy.
    GoalParameters {
        /// A goal of the action ~/run_policy that comes while another runs: refuse rejects it, replace ends the run and
        /// begins the new one without a stop.
        second_goal: SecondGoal = SecondGoal::Refuse, Any, "", Always;
        /// Whether a run of ~/run_policy ends when nobody is subscribed to its feedback any more: its client is gone. A
        /// client that ends is noticed in two seconds, a killed one only after the middleware's lease.
        goal_needs_client: bool = false, Any, "", Always;
        /// Longest time for which the robot is held without a break during a run of ~/run_policy, the wait for its first
        /// chunk included, in wall time; then the run ends. 0 is no limit.
        goal_hold_limit_s: f64 = 30.0, Range(0.0..=3600.0), "seconds", Always;
    }
}

parameters! {
    /// How the node starts.
    LifecycleParameters {
        /// Whether the node moves the robot from its start on; otherwise from the first call of ~/enable on.
        auto_start: bool = true, Any, "", Never;
        /// Whether the node waits unconfigured for a lifecycle manager; otherwise it configures and activates itself.
        managed: bool = false, Any, "", Never;
        /// Whether time comes from the topic /clock instead of the system.
        use_sim_time: bool = false, Any, "", Never;
    }
}

/// Definitions that share a prefix, under a heading of the reference page.
#[derive(Debug)]
pub struct Group {
    pub heading: &'static str,
    /// Empty, or a map's name and a placeholder for the name of an entry: `joints.<name>.`.
    pub prefix: &'static str,
    pub definitions: &'static [Definition],
}

const fn group<S: Section>(heading: &'static str, prefix: &'static str) -> Group {
    Group {
        heading,
        prefix,
        definitions: S::DEFINITIONS,
    }
}

/// Every definition, in the order of the reference page.
pub const GROUPS: &[Group] = &[
    group::<PolicyParameters>("Policy", ""),
    group::<ServerParameters>("Policy server", ""),
    group::<CameraParameters>("Cameras", "cameras.<name>."),
    group::<AbsentCameras>("Cameras", ""),
    group::<JointOrder>("Joints", ""),
    group::<JointParameters>("Joints", "joints.<name>."),
    group::<PoseOrder>("Poses", ""),
    group::<PoseParameters>("Poses", "poses.<name>."),
    group::<StateParameters>("State", ""),
    group::<JointStatesParameters>("State", "joint_states.<name>."),
    group::<ExtraStateParameters>("State", "extra_state.<name>."),
    group::<TrajectoryOutput>("Outputs", ""),
    group::<OutputParameters>("Outputs", "outputs.<name>."),
    group::<ControlParameters>("Control", ""),
    group::<SafetyParameters>("Limits and safety", ""),
    group::<GoalParameters>("Goals", ""),
    group::<LifecycleParameters>("Lifecycle", ""),
];

/// Every parameter of the node, typed. Maps have their entries by name.
#[derive(Clone, Debug)]
pub struct NodeParameters {
    pub policy: PolicyParameters,
    pub server: ServerParameters,
    pub cameras: Vec<(String, CameraParameters)>,
    pub absent_cameras: Vec<String>,
    pub joint_order: JointOrder,
    pub joint_defaults: JointParameters,
    /// One for each of `joint_names`.
    pub joints: Vec<(String, JointParameters)>,
    pub pose_names: Vec<String>,
    /// One for each of `pose_names`.
    pub poses: Vec<(String, PoseParameters)>,
    pub state: StateParameters,
    pub joint_states: Vec<(String, JointStatesParameters)>,
    pub extra_state: Vec<(String, ExtraStateParameters)>,
    pub trajectory_topic: String,
    pub outputs: Vec<(String, OutputParameters)>,
    pub control: ControlParameters,
    pub safety: SafetyParameters,
    pub goals: GoalParameters,
    pub lifecycle: LifecycleParameters,
}

impl NodeParameters {
    /// Reads every parameter: maps have an entry for every name that the lists and topics give.
    pub fn read(reader: &mut Reader) -> Self {
        fn section<S: Section>(reader: &mut Reader) -> S {
            S::read(reader, "", &S::default())
        }
        fn map<S: Section>(reader: &mut Reader, map: &str, names: Vec<String>) -> Vec<(String, S)> {
            reader.read_map(map, names, &S::default())
        }
        let policy = section(reader);
        let server = section(reader);
        let cameras = reader.names_with("cameras", "topic");
        let cameras = map(reader, "cameras", cameras);
        let AbsentCameras { absent_cameras } = section(reader);
        let joint_order: JointOrder = section(reader);
        let joint_defaults = JointParameters::read(reader, "joint_defaults.", &JointParameters::default());
        let joints = reader.read_map("joints", unique(&joint_order.joint_names), &joint_defaults);
        let PoseOrder { pose_names } = section(reader);
        let poses = map(reader, "poses", unique(&pose_names));
        let state: StateParameters = section(reader);
        let joint_states = reader.names_with("joint_states", "topic");
        let joint_states = map(reader, "joint_states", joint_states);
        let extra_state = map(reader, "extra_state", unique(&state.extra_state_names));
        let TrajectoryOutput { trajectory_topic } = section(reader);
        let outputs = reader.names_with("outputs", "topic");
        let outputs = map(reader, "outputs", outputs);
        Self {
            policy,
            server,
            cameras,
            absent_cameras,
            joint_order,
            joint_defaults,
            joints,
            pose_names,
            poses,
            state,
            joint_states,
            extra_state,
            trajectory_topic,
            outputs,
            control: section(reader),
            safety: section(reader),
            goals: section(reader),
            lifecycle: section(reader),
        }
    }
}

/// The names of a list, each once; that one is there twice is a problem of its own.
fn unique(names: &[String]) -> Vec<String> {
    let is_first = |(index, name): &(usize, &String)| !names[..*index].contains(name);
    names
        .iter()
        .enumerate()
        .filter(is_first)
        .map(|(_, name)| name.clone())
        .collect()
}
