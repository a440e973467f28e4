//! The recorded messages that a policy's inputs and actions come in, by the fields that are needed of them.

use std::time::Duration;

use image::RgbImage;

use super::cdr::{CdrError, CdrReader};
use crate::observation::{
    ImageLayout, InputProblem, SomePositions, decode_compressed_image, decode_image, extra_state,
    joint_positions, some_joint_positions,
};

pub const IMAGE: &str = "sensor_msgs/msg/Image";
pub const COMPRESSED_IMAGE: &str = "sensor_msgs/msg/CompressedImage";
pub const JOINT_STATE: &str = "sensor_msgs/msg/JointState";
pub const JOINT_TRAJECTORY: &str = "trajectory_msgs/msg/JointTrajectory";
pub const FLOAT64_ARRAY: &str = "std_msgs/msg/Float64MultiArray";
pub const STRING: &str = "std_msgs/msg/String";
pub const CLOCK: &str = "rosgraph_msgs/msg/Clock";

/// Why a recorded message cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MessageError {
    #[error(transparent)]
    Cdr(#[from] CdrError),
    #[error(transparent)]
    Input(#[from] InputProblem),
    #[error("the trajectory has no points")]
    NoPoints,
}

/// What a message says, and its stamp; none for a stamp that was never set.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped<T> {
    pub stamp: Option<Duration>,
    pub content: T,
}

/// Positions of one joint, each with its time from the message's stamp.
pub type JointPoints = Vec<(Duration, f32)>;

/// The pixels of a `sensor_msgs/Image`. The stamp is told even when the pixels cannot be used.
///
/// # Errors
/// When the bytes are no such message. The inner error is that of the pixels.
pub fn image(data: &[u8]) -> Result<Stamped<Result<RgbImage, InputProblem>>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let (height, width) = (reader.u32()?, reader.u32()?);
    let encoding = reader.text()?;
    let is_big_endian = reader.u8()? != 0;
    let step = reader.u32()?;
    let layout = ImageLayout {
        width,
        height,
        step,
        encoding,
        is_big_endian,
    };
    let content = decode_image(layout, reader.bytes("the pixels")?);
    Ok(Stamped { stamp, content })
}

/// The pixels of a `sensor_msgs/CompressedImage`.
///
/// # Errors
/// As [`image`].
pub fn compressed_image(data: &[u8]) -> Result<Stamped<Result<RgbImage, InputProblem>>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let format = reader.text()?;
    let content = decode_compressed_image(format, reader.bytes("the picture")?);
    Ok(Stamped { stamp, content })
}

/// The positions of those of `joints` that a `sensor_msgs/JointState` has, by their place. `prefix` is put in front of
/// its names.
///
/// # Errors
/// As [`image`].
pub fn some_joints(
    data: &[u8],
    prefix: &str,
    joints: &[String],
) -> Result<Stamped<Result<SomePositions, InputProblem>>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let names = reader.texts()?;
    let content = some_joint_positions(&names, &reader.f64s()?, prefix, joints);
    Ok(Stamped { stamp, content })
}

/// The positions of all of `joints` in a `sensor_msgs/JointState`.
///
/// # Errors
/// As [`image`].
pub fn joint_state(
    data: &[u8],
    joints: &[String],
) -> Result<Stamped<Result<Vec<f32>, InputProblem>>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let names = reader.texts()?;
    let content = joint_positions(&names, &reader.f64s()?, joints);
    Ok(Stamped { stamp, content })
}

/// Where a `trajectory_msgs/JointTrajectory` takes those of `joints` that it has, by their place. `prefix` is put in
/// front of its names.
///
/// # Errors
/// When it has none of the joints, no point, or a position that is no finite number.
pub fn joint_trajectory(
    data: &[u8],
    prefix: &str,
    joints: &[String],
) -> Result<Stamped<Vec<(usize, JointPoints)>>, MessageError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let names = reader.texts()?;
    let count = reader.u32()?;
    let points = reader.sequence(count, 24, |reader| {
        let positions = reader.f64s()?;
        for _velocities_accelerations_effort in 0..3 {
            reader.f64s()?;
        }
        Ok((time(reader)?, positions))
    })?;
    if points.is_empty() {
        return Err(MessageError::NoPoints);
    }
    let mut content: Vec<(usize, JointPoints)> = Vec::new();
    for (time_from_start, positions) in points {
        for (joint, position) in some_joint_positions(&names, &positions, prefix, joints)? {
            match content.iter_mut().find(|(other, _)| *other == joint) {
                Some((_, points)) => points.push((time_from_start, position)),
                None => content.push((joint, vec![(time_from_start, position)])),
            }
        }
    }
    match content.is_empty() {
        true => Err(InputProblem::NoJoint.into()),
        false => Ok(Stamped { stamp, content }),
    }
}

/// The `size` values of a `std_msgs/Float64MultiArray`. It has no stamp.
///
/// # Errors
/// When there are more or fewer, or one is no finite number.
pub fn float64_array(data: &[u8], size: usize) -> Result<Vec<f32>, MessageError> {
    let mut reader = CdrReader::new(data)?;
    let dimensions = reader.u32()?;
    reader.sequence(dimensions, 12, |reader| {
        let _label = reader.text()?;
        let (_size, _stride) = (reader.u32()?, reader.u32()?);
        Ok(())
    })?;
    let _data_offset = reader.u32()?;
    Ok(extra_state(&reader.f64s()?, size)?)
}

/// The text of a `std_msgs/String`.
///
/// # Errors
/// When the bytes are no such message.
pub fn string(data: &[u8]) -> Result<String, CdrError> {
    CdrReader::new(data)?.text().map(str::to_owned)
}

/// The time of a `rosgraph_msgs/Clock`.
///
/// # Errors
/// When the bytes are no such message.
pub fn clock(data: &[u8]) -> Result<Duration, CdrError> {
    time(&mut CdrReader::new(data)?)
}

/// The stamp of a `std_msgs/Header`; none when it was never set.
fn header(reader: &mut CdrReader) -> Result<Option<Duration>, CdrError> {
    let stamp = time(reader)?;
    let _frame_id = reader.text()?;
    Ok((!stamp.is_zero()).then_some(stamp))
}

/// A time before the epoch is the epoch.
fn time(reader: &mut CdrReader) -> Result<Duration, CdrError> {
    let (seconds, nanoseconds) = (reader.i32()?, reader.u32()?);
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(u64::from(nanoseconds)))
}
