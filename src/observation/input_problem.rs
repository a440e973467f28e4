//! What can be wrong with a message.

use std::time::Duration;

/// Why a message cannot be used. The input it came on counts as missing until a good one comes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputProblem {
    #[error("the encoding is {found:?}, expected one of {expected}")]
    Encoding { found: String, expected: String },
    #[error(
        "the encoding {found:?} does not say the order of its colours: let the camera's driver publish it as {rgb} or {bgr}"
    )]
    ColourOrder {
        found: String,
        rgb: &'static str,
        bgr: &'static str,
    },
    #[error(
        "the encoding {0:?} is a raw Bayer pattern: convert it with the package image_proc and take its topic image_color"
    )]
    Bayer(String),
    #[error(
        "the image is {width} × {height} pixels, expected at least 1 × 1, an even width of YUV 4:2:2 and 4:2:0, and an \
         even height of 4:2:0"
    )]
    ImageSize { width: u32, height: u32 },
    #[error("the step is {found} bytes, but a row of pixels takes {expected}")]
    Step { found: u32, expected: usize },
    #[error(
        "the data is {found} bytes long, expected at least {expected}: {rows} rows with a step of {step}"
    )]
    ImageData {
        found: usize,
        expected: u64,
        rows: u64,
        step: u32,
    },
    #[error("the picture (its format is said to be {format:?}) cannot be read: {problem}")]
    Picture { format: String, problem: String },
    #[error("no position of {}", missing.join(", "))]
    MissingJoints { missing: Vec<String> },
    #[error("the message has no position of any of joint_names")]
    NoJoint,
    #[error(
        "it is stamped {:.3} s {} this node's clock, further than max_age_ms ({} ms): does use_sim_time fit the robot's time, \
         and are the machines' clocks synchronised (NTP)?",
        apart.as_secs_f64(), if *is_ahead { "ahead of" } else { "behind" }, max_age.as_millis()
    )]
    Stamp {
        apart: Duration,
        is_ahead: bool,
        max_age: Duration,
    },
    #[error("{found} values, expected {expected}")]
    Values { found: usize, expected: usize },
    #[error("value {index} is {value}, expected a finite number")]
    Value { index: usize, value: f64 },
    #[error("{found} positions for {names} names")]
    Positions { found: usize, names: usize },
    #[error(
        "joint {joint} is {count} times in the message, expected once: do two drivers write the same name?"
    )]
    DuplicateJoint { joint: String, count: usize },
    #[error("the position of {joint} is {value}, expected a finite number")]
    NotFinite { joint: String, value: f64 },
}

impl InputProblem {
    /// Whether a value of the message is no finite number.
    pub fn is_not_finite(&self) -> bool {
        matches!(self, Self::Value { .. } | Self::NotFinite { .. })
    }
}
