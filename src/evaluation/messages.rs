//! Recorded messages of a policy's inputs and actions, with the fields that are used.

use std::time::Duration;

use image::RgbImage;

use super::cdr::{CdrError, CdrReader};
use crate::observation::{
    ChannelOrder, ImageLayout, InFrame, InputProblem, JointState, Stamped, Transform,
    decode_compressed_image, decode_image, some_joint_positions,
};
use crate::pose::{POSE_VALUES, Pose};

/// Type name of an uncompressed image.
pub const IMAGE: &str = "sensor_msgs/msg/Image";
/// Type name of a JPEG or PNG image.
pub const COMPRESSED_IMAGE: &str = "sensor_msgs/msg/CompressedImage";
/// Type name of joint positions.
pub const JOINT_STATE: &str = "sensor_msgs/msg/JointState";
/// Type name of a trajectory.
pub const JOINT_TRAJECTORY: &str = "trajectory_msgs/msg/JointTrajectory";
/// Type name of an array of numbers.
pub const FLOAT64_ARRAY: &str = "std_msgs/msg/Float64MultiArray";
/// Type name of a pose.
pub const POSE: &str = "geometry_msgs/msg/PoseStamped";
/// Type name of frames.
pub const TRANSFORMS: &str = "tf2_msgs/msg/TFMessage";
/// Type name of a velocity.
pub const TWIST: &str = "geometry_msgs/msg/TwistStamped";
/// Type name of a mobile base's pose and velocity.
pub const ODOMETRY: &str = "nav_msgs/msg/Odometry";
/// Type name of a text.
pub const STRING: &str = "std_msgs/msg/String";
/// Type name of simulated time.
pub const CLOCK: &str = "rosgraph_msgs/msg/Clock";

/// Reason why a recorded message cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// Bytes that are no such message.
    #[error(transparent)]
    Cdr(#[from] CdrError),
    /// Values that do not fit the input or the action.
    #[error(transparent)]
    Input(#[from] InputProblem),
    /// A trajectory of zero points.
    #[error("the trajectory has no points")]
    NoPoints,
}

/// Positions of one joint, each with its time after the message's stamp.
pub type JointPoints = Vec<(Duration, f32)>;

/// Reads a `sensor_msgs/Image` without decoding its pixels.
///
/// # Errors
/// When the bytes are no such message.
pub fn raw_frame(data: &[u8]) -> Result<Stamped<(ImageLayout<'_>, &[u8])>, CdrError> {
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
        channel_order: ChannelOrder::Unknown,
    };
    Ok(Stamped {
        stamp,
        content: (layout, reader.bytes("the pixels")?),
    })
}

/// Reads the pixels of a `sensor_msgs/Image`. The stamp is known even when the pixels cannot be used. `channel_order`: the
/// order of its colours where the encoding leaves it open.
///
/// # Errors
/// When the bytes are no such message. The inner error is about the pixels.
pub fn image(
    data: &[u8],
    channel_order: ChannelOrder,
) -> Result<Stamped<Result<RgbImage, InputProblem>>, CdrError> {
    let Stamped {
        stamp,
        content: (layout, pixels),
    } = raw_frame(data)?;
    let layout = ImageLayout {
        channel_order,
        ..layout
    };
    Ok(Stamped {
        stamp,
        content: decode_image(layout, pixels),
    })
}

/// Reads the format and the picture of a `sensor_msgs/CompressedImage` without decoding it.
///
/// # Errors
/// When the bytes are no such message.
pub fn compressed_frame(data: &[u8]) -> Result<Stamped<(&str, &[u8])>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let format = reader.text()?;
    Ok(Stamped {
        stamp,
        content: (format, reader.bytes("the picture")?),
    })
}

/// Reads the pixels of a `sensor_msgs/CompressedImage`. The stamp is known even when the pixels cannot be used.
///
/// # Errors
/// When the bytes are no such message. The inner error is about the pixels.
pub fn compressed_image(data: &[u8]) -> Result<Stamped<Result<RgbImage, InputProblem>>, CdrError> {
    let Stamped {
        stamp,
        content: (format, picture),
    } = compressed_frame(data)?;
    Ok(Stamped {
        stamp,
        content: decode_compressed_image(format, picture),
    })
}

/// Reads the names of the joints of a `trajectory_msgs/JointTrajectory`.
///
/// # Errors
/// When the bytes are no such message.
pub fn trajectory_joints(data: &[u8]) -> Result<Vec<String>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    header(&mut reader)?;
    reader.texts()
}

/// Reads the names and positions of a `sensor_msgs/JointState`.
///
/// # Errors
/// When the bytes are no such message.
pub fn joint_state(data: &[u8]) -> Result<Stamped<JointState>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let (names, positions) = (reader.texts()?, reader.f64s()?);
    Ok(Stamped {
        stamp,
        content: JointState { names, positions },
    })
}

/// Reads the points of a `trajectory_msgs/JointTrajectory` for the joints in `joints`, each by its index there. `prefix` is
/// put in front of the message's names.
///
/// # Errors
/// When the message has none of the joints, no point, or a position that is no finite number.
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
    if content.is_empty() {
        return Err(InputProblem::NoJoint.into());
    }
    Ok(Stamped { stamp, content })
}

/// Reads the values of a `geometry_msgs/PoseStamped` and its frame.
///
/// # Errors
/// When the bytes are no such message.
pub fn pose(data: &[u8]) -> Result<Stamped<InFrame<[f64; POSE_VALUES]>>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let (stamp, frame) = header_with_frame(&mut reader)?;
    let frame = frame.to_owned();
    let mut content = [0.0; POSE_VALUES];
    for value in &mut content {
        *value = reader.f64()?;
    }
    Ok(Stamped {
        stamp,
        content: InFrame { frame, content },
    })
}

/// Reads the velocities of a `nav_msgs/Odometry`: along and about x, y and z.
///
/// # Errors
/// When the bytes are no such message.
pub fn odometry(data: &[u8]) -> Result<Stamped<[f64; 6]>, CdrError> {
    const COVARIANCE: usize = 36;
    let mut reader = CdrReader::new(data)?;
    let stamp = header(&mut reader)?;
    let _child_frame = reader.text()?;
    for _of_pose in 0..POSE_VALUES + COVARIANCE {
        reader.f64()?;
    }
    let mut content = [0.0; 6];
    for value in &mut content {
        *value = reader.f64()?;
    }
    Ok(Stamped { stamp, content })
}

/// Reads the frames of a `tf2_msgs/TFMessage`, each with its parent.
///
/// # Errors
/// When the bytes are no such message.
pub fn transforms(data: &[u8]) -> Result<Vec<Stamped<Transform>>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let count = reader.u32()?;
    reader.sequence(count, 72, |reader| {
        let (stamp, parent) = header_with_frame(reader)?;
        let parent = parent.to_owned();
        let child = reader.text()?.to_owned();
        let mut values = [0.0; POSE_VALUES];
        for value in &mut values {
            *value = reader.f64()?;
        }
        let content = Transform {
            parent,
            child,
            pose: Pose::from_values(&values),
        };
        Ok(Stamped { stamp, content })
    })
}

/// Reads the values of a `std_msgs/Float64MultiArray`, which has no stamp.
///
/// # Errors
/// When the bytes are no such message.
pub fn float64_array(data: &[u8]) -> Result<Vec<f64>, CdrError> {
    let mut reader = CdrReader::new(data)?;
    let dimensions = reader.u32()?;
    reader.sequence(dimensions, 12, |reader| {
        let _label = reader.text()?;
        let (_size, _stride) = (reader.u32()?, reader.u32()?);
        Ok(())
    })?;
    let _data_offset = reader.u32()?;
    reader.f64s()
}

/// Reads the text of a `std_msgs/String`.
///
/// # Errors
/// When the bytes are no such message.
pub fn string(data: &[u8]) -> Result<String, CdrError> {
    CdrReader::new(data)?.text().map(str::to_owned)
}

/// Reads the time of a `rosgraph_msgs/Clock`.
///
/// # Errors
/// When the bytes are no such message.
pub fn clock(data: &[u8]) -> Result<Duration, CdrError> {
    time(&mut CdrReader::new(data)?)
}

/// Reads the stamp of a `std_msgs/Header`; `None` when it was never set.
fn header(reader: &mut CdrReader) -> Result<Option<Duration>, CdrError> {
    header_with_frame(reader).map(|(stamp, _)| stamp)
}

/// Reads the stamp of a `std_msgs/Header`, `None` when it was never set, and its frame.
fn header_with_frame<'a>(reader: &mut CdrReader<'a>) -> Result<(Option<Duration>, &'a str), CdrError> {
    let stamp = time(reader)?;
    let frame = reader.text()?;
    Ok(((!stamp.is_zero()).then_some(stamp), frame))
}

/// Reads a time; one before the epoch becomes the epoch.
fn time(reader: &mut CdrReader) -> Result<Duration, CdrError> {
    let (seconds, nanoseconds) = (reader.i32()?, reader.u32()?);
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(u64::from(nanoseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of rclpy's `serialize_message`, which leaves what it finds between values.
    const POSE_BYTES: &str = "00010000070000000065cd1d0500000062617365000104f510000124\
                              000000000000e03f000000000000d0bf000000000000c03f\
                              000000000000f03f000000000000000000000000000000000000000000000000";

    #[test]
    fn a_pose_is_read_as_ros_writes_it() {
        let byte = |index: usize| u8::from_str_radix(&POSE_BYTES[2 * index..2 * index + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..POSE_BYTES.len() / 2).map(byte).collect();
        let message = pose(&bytes).unwrap();
        assert_eq!(message.stamp, Some(Duration::from_millis(7500)));
        assert_eq!(message.content.frame, "base");
        assert_eq!(message.content.content, [0.5, -0.25, 0.125, 1.0, 0.0, 0.0, 0.0]);
        assert!(pose(&bytes[..80]).is_err());
    }

    #[test]
    fn the_velocities_of_a_base_are_read_behind_its_pose_as_ros_writes_them() {
        // Of rclpy's `serialize_message`.
        let bytes = include_bytes!("../../tests/fixtures/odometry.cdr");
        let message = odometry(bytes).unwrap();
        assert_eq!(message.stamp, Some(Duration::from_millis(7500)));
        assert_eq!(message.content, [0.25, -0.5, 0.0, 0.0, 0.0, 0.75]);
        assert!(odometry(&bytes[..400]).is_err());
    }
}
