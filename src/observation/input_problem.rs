//! What can be wrong with a message.

use std::time::Duration;

use super::frame_tree::FrameProblem;

/// Why a message cannot be used. The input it came on counts as missing until a good one comes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputProblem {
    /// Image encoding that is not supported.
    #[error("the encoding is {found:?}, expected one of {expected}")]
    Encoding {
        /// Encoding of the message.
        found: String,
        /// Supported encodings, or a remedy.
        expected: String,
    },
    /// Image encoding that leaves the order of the colours open.
    #[error(
        "the encoding {found:?} does not say the order of its colours: set cameras.<name>.channel_order to rgb or bgr (bgr is \
         OpenCV's), or let the camera's driver publish it as {rgb} or {bgr}"
    )]
    ColourOrder {
        /// Encoding of the message.
        found: String,
        /// Encoding with red first.
        rgb: &'static str,
        /// Encoding with blue first.
        bgr: &'static str,
    },
    /// Raw Bayer pattern, by its encoding.
    #[error(
        "the encoding {0:?} is a raw Bayer pattern: convert it with the package image_proc and take its topic image_color"
    )]
    Bayer(String),
    /// Image without pixels, or of a size that its encoding does not have.
    #[error(
        "the image is {width} × {height} pixels, expected at least 1 × 1, an even width of YUV 4:2:2 and 4:2:0, and an \
         even height of 4:2:0"
    )]
    ImageSize {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Row length that is shorter than the pixels of a row.
    #[error("the step is {found} bytes, but a row of pixels takes {expected}")]
    Step {
        /// Bytes of a row in the message.
        found: u32,
        /// Bytes of its pixels.
        expected: usize,
    },
    /// Image whose data has another length than its rows.
    #[error(
        "the data is {found} bytes long, expected at least {expected}: {rows} rows with a step of {step}"
    )]
    ImageData {
        /// Bytes of the data.
        found: usize,
        /// Bytes of all rows.
        expected: u64,
        /// Rows in the data.
        rows: u64,
        /// Bytes of a row.
        step: u32,
    },
    /// Compressed image that cannot be decoded.
    #[error("the picture (its format is said to be {format:?}) cannot be read: {problem}")]
    Picture {
        /// Format field of the message.
        format: String,
        /// Error of the decoder.
        problem: String,
    },
    /// Message without some of the joints.
    #[error("no position of {}", missing.join(", "))]
    MissingJoints {
        /// Names of the missing joints.
        missing: Vec<String>,
    },
    /// Message without any joint of the robot.
    #[error("the message has no position of any of joint_names")]
    NoJoint,
    /// Stamp too far from the clock.
    #[error(
        "it is stamped {:.3} s {} this node's clock, further than max_age_ms ({} ms): does use_sim_time fit the robot's time, \
         and are the machines' clocks synchronised (NTP)?",
        apart.as_secs_f64(), if *is_ahead { "ahead of" } else { "behind" }, max_age.as_millis()
    )]
    Stamp {
        /// Distance of the stamp from now.
        apart: Duration,
        /// Whether the stamp is ahead of now.
        is_ahead: bool,
        /// Largest allowed distance.
        max_age: Duration,
    },
    /// Array with another number of values.
    #[error("{found} values, expected {expected}")]
    Values {
        /// Values in the message.
        found: usize,
        /// Values that belong to the state.
        expected: usize,
    },
    /// Value that is not a finite number.
    #[error("value {index} is {value}, expected a finite number")]
    Value {
        /// Index of the value.
        index: usize,
        /// The value.
        value: f64,
    },
    /// Message with another number of positions than names.
    #[error("{found} positions for {names} names")]
    Positions {
        /// Positions in the message.
        found: usize,
        /// Names in the message.
        names: usize,
    },
    /// Joint that is in the message more than once.
    #[error(
        "joint {joint} is {count} times in the message, expected once: do two drivers write the same name?"
    )]
    DuplicateJoint {
        /// Name of the joint.
        joint: String,
        /// Number of its positions.
        count: usize,
    },
    /// Pose in another frame.
    #[error("it is in the frame {found:?}, expected {expected:?}, as poses.<name>.base_frame says")]
    Frame {
        /// Frame of the message.
        found: String,
        /// Frame of the pose.
        expected: String,
    },
    /// Frames that give no pose.
    #[error(transparent)]
    Transform(#[from] FrameProblem),
    /// Quaternion that is no rotation.
    #[error("its quaternion has the length {length}, expected 1")]
    Quaternion {
        /// Length of the quaternion.
        length: f64,
    },
    /// Position that is not a finite number.
    #[error("the position of {joint} is {value}, expected a finite number")]
    NotFinite {
        /// Name of the joint.
        joint: String,
        /// The position.
        value: f64,
    },
}

impl InputProblem {
    /// Whether a value of the message is no finite number.
    pub fn is_not_finite(&self) -> bool {
        matches!(self, Self::Value { .. } | Self::NotFinite { .. })
    }
}
