//! What can be wrong with a message.

/// Why a message cannot be used. The input it came on counts as missing until a good one comes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InputProblem {
    #[error("the encoding is {found:?}, expected one of {expected}")]
    Encoding { found: String, expected: String },
    #[error(
        "the image is {width} × {height} pixels, expected at least 1 × 1, and an even width of YUV 4:2:2"
    )]
    ImageSize { width: u32, height: u32 },
    #[error("the step is {found} bytes, but a row of pixels takes {expected}")]
    Step { found: u32, expected: usize },
    #[error(
        "the data is {found} bytes long, expected at least {expected}: {height} rows with a step of {step}"
    )]
    ImageData {
        found: usize,
        expected: u64,
        height: u32,
        step: u32,
    },
    #[error("the picture (its format is said to be {format:?}) cannot be read: {problem}")]
    Picture { format: String, problem: String },
    #[error("no position of {}", missing.join(", "))]
    MissingJoints { missing: Vec<String> },
    #[error("none of joint_names is in the message")]
    NoJoint,
    #[error("{found} values, expected {expected}")]
    Values { found: usize, expected: usize },
    #[error("value {index} is {value}, expected a finite number")]
    Value { index: usize, value: f64 },
    #[error("{found} positions for {names} names")]
    Positions { found: usize, names: usize },
    #[error("the position of {joint} is {value}, expected a finite number")]
    NotFinite { joint: String, value: f64 },
}
