//! Conversions between ROS messages and the node's own types.

use std::time::Duration;

use image::RgbImage;
use r2r::builtin_interfaces::msg::{Duration as DurationMessage, Time};
use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use r2r::geometry_msgs::msg::{
    Point, Pose as PoseMessage, PoseStamped, Quaternion, TransformStamped, Twist, TwistStamped, Vector3,
};
use r2r::nav_msgs::msg::Odometry;
use r2r::sensor_msgs::msg::{CompressedImage, Image, JointState as JointStateMessage};
use r2r::std_msgs::msg::{Float64MultiArray, Header};
use r2r::tf2_msgs::msg::TFMessage;
use r2r::trajectory_msgs::msg::{JointTrajectory, JointTrajectoryPoint};
use r2r::{QosProfile, qos::HistoryPolicy};

use crate::control::{TimedChunk, Trajectory, TrajectoryPoint};
use crate::observation::{
    ChannelOrder, ImageLayout, InFrame, InputProblem, JointState, Stamped, Transform,
    decode_compressed_image, decode_image,
};
use crate::parameters::QosOverride;
use crate::pose::{POSE_VALUES, Pose, Rotation};
use crate::runtime::{Level, Status};

/// An image without its pixels decoded. `channel_order`: the order of its colours where the encoding leaves it open.
pub fn raw_frame(message: &Image, channel_order: ChannelOrder) -> Stamped<(ImageLayout<'_>, &[u8])> {
    let layout = ImageLayout {
        width: message.width,
        height: message.height,
        step: message.step,
        encoding: &message.encoding,
        is_big_endian: message.is_bigendian != 0,
        channel_order,
    };
    stamped(&message.header, (layout, &message.data[..]))
}

/// Decodes an image. `channel_order`: the order of its colours where the encoding leaves it open.
pub fn image(message: &Image, channel_order: ChannelOrder) -> Stamped<Result<RgbImage, InputProblem>> {
    let Stamped {
        stamp,
        content: (layout, pixels),
    } = raw_frame(message, channel_order);
    Stamped {
        stamp,
        content: decode_image(layout, pixels),
    }
}

/// A compressed image without its picture decoded: its format and bytes.
pub fn compressed_frame(message: &CompressedImage) -> Stamped<(&str, &[u8])> {
    stamped(&message.header, (message.format.as_str(), &message.data[..]))
}

/// Decodes a JPEG or PNG image.
pub fn compressed_image(message: &CompressedImage) -> Stamped<Result<RgbImage, InputProblem>> {
    let image = decode_compressed_image(&message.format, &message.data);
    stamped(&message.header, image)
}

/// Converts names and positions of joints.
pub fn joint_state(message: JointStateMessage) -> Stamped<JointState> {
    let joint_state = JointState {
        names: message.name,
        positions: message.position,
    };
    stamped(&message.header, joint_state)
}

/// The values of a pose and its frame.
pub fn pose(message: &PoseStamped) -> Stamped<InFrame<[f64; POSE_VALUES]>> {
    let PoseMessage {
        position,
        orientation,
    } = &message.pose;
    let Quaternion { x, y, z, w } = *orientation;
    let in_frame = InFrame {
        frame: message.header.frame_id.clone(),
        content: [position.x, position.y, position.z, x, y, z, w],
    };
    stamped(&message.header, in_frame)
}

/// The velocities of a mobile base: along and about x, y and z.
pub fn odometry(message: &Odometry) -> Stamped<[f64; 6]> {
    let Twist { linear, angular } = &message.twist.twist;
    let velocities = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z];
    stamped(&message.header, velocities)
}

/// The frames of a message, with their parents. Names of ROS 1 began with a slash.
pub fn transforms(message: TFMessage) -> Vec<Stamped<Transform>> {
    let name = |name: String| match name.strip_prefix('/') {
        Some(name) => name.to_owned(),
        None => name,
    };
    let transform = |transform: TransformStamped| {
        let Vector3 { x, y, z } = transform.transform.translation;
        let position = [x, y, z];
        let Quaternion { x, y, z, w } = transform.transform.rotation;
        let content = Transform {
            parent: name(transform.header.frame_id.clone()),
            child: name(transform.child_frame_id),
            pose: Pose {
                position,
                rotation: Rotation::from_xyzw([x, y, z, w]),
            },
        };
        stamped(&transform.header, content)
    };
    message.transforms.into_iter().map(transform).collect()
}

/// The present pose of a trajectory that has one, in `frame`.
pub fn pose_target(trajectory: &Trajectory, frame: &str) -> PoseStamped {
    let value = |index: usize| f64::from(trajectory.present[index]);
    PoseStamped {
        header: Header {
            frame_id: frame.to_owned(),
            ..header(trajectory.now)
        },
        pose: PoseMessage {
            position: Point {
                x: value(0),
                y: value(1),
                z: value(2),
            },
            orientation: Quaternion {
                x: value(3),
                y: value(4),
                z: value(5),
                w: value(6),
            },
        },
    }
}

/// The velocity of a trajectory of a pose, in `frame`.
pub fn twist(trajectory: &Trajectory, frame: &str) -> TwistStamped {
    let value = |index: usize| f64::from(trajectory.twists[index]);
    let vector = |first: usize| Vector3 {
        x: value(first),
        y: value(first + 1),
        z: value(first + 2),
    };
    TwistStamped {
        header: Header {
            frame_id: frame.to_owned(),
            ..header(trajectory.now)
        },
        twist: Twist {
            linear: vector(0),
            angular: vector(3),
        },
    }
}

/// `profile` with the overrides applied.
pub fn qos_profile(profile: QosProfile, overrides: &[QosOverride]) -> QosProfile {
    overrides.iter().fold(profile, |profile, setting| match *setting {
        QosOverride::Reliable => profile.reliable(),
        QosOverride::BestEffort => profile.best_effort(),
        QosOverride::Volatile => profile.volatile(),
        QosOverride::TransientLocal => profile.transient_local(),
        QosOverride::KeepLast => QosProfile {
            history: HistoryPolicy::KeepLast,
            ..profile
        },
        QosOverride::KeepAll => profile.keep_all(),
        QosOverride::Depth(depth) => QosProfile { depth, ..profile },
    })
}

/// Content with the stamp of its header; `None` for one that was never set.
fn stamped<T>(header: &Header, content: T) -> Stamped<T> {
    let stamp = time(&header.stamp);
    Stamped {
        stamp: (!stamp.is_zero()).then_some(stamp),
        content,
    }
}

/// Time since the epoch; a time before it is the epoch.
pub fn time(message: &Time) -> Duration {
    let seconds = u64::try_from(message.sec).unwrap_or(0);
    Duration::new(seconds, 0) + Duration::from_nanos(u64::from(message.nanosec))
}

/// A whole chunk, stamped with the time of its observation.
pub fn chunk(chunk: &TimedChunk, joints: &[String]) -> JointTrajectory {
    let point = |action: usize| TrajectoryPoint {
        positions: chunk.actions.action(action).to_vec(),
        velocities: Vec::new(),
        time_from_start: chunk
            .action_period
            .saturating_mul(u32::try_from(action).unwrap_or(u32::MAX)),
    };
    let points: Vec<TrajectoryPoint> = (0..chunk.actions.horizon()).map(point).collect();
    let whole = Trajectory {
        start: chunk.observed_at,
        now: chunk.observed_at,
        present: points[0].positions.clone(),
        twists: Vec::new(),
        points,
    };
    trajectory(joints, whole)
}

/// Positions of joints.
pub fn positions_array(positions: &[f32]) -> Float64MultiArray {
    Float64MultiArray {
        data: positions.iter().map(|&position| f64::from(position)).collect(),
        ..Float64MultiArray::default()
    }
}

/// The trajectory of `joints`.
pub fn trajectory(joints: &[String], trajectory: Trajectory) -> JointTrajectory {
    let point = |point: TrajectoryPoint| JointTrajectoryPoint {
        positions: point.positions.into_iter().map(f64::from).collect(),
        velocities: point.velocities.into_iter().map(f64::from).collect(),
        time_from_start: DurationMessage {
            sec: i32::try_from(point.time_from_start.as_secs()).unwrap_or(i32::MAX),
            nanosec: point.time_from_start.subsec_nanos(),
        },
        ..JointTrajectoryPoint::default()
    };
    JointTrajectory {
        header: header(trajectory.start),
        joint_names: joints.to_vec(),
        points: trajectory.points.into_iter().map(point).collect(),
    }
}

/// The statuses of the node of this full name as one message. Several nodes have statuses of the same names, and the hardware id
/// tells them apart.
pub fn diagnostics(now: Duration, node: &str, statuses: Vec<Status>) -> DiagnosticArray {
    let status = |status: Status| DiagnosticStatus {
        level: match status.level {
            Level::Ok => 0,
            Level::Warn => 1,
            Level::Error => 2,
        },
        name: status.name,
        message: status.message,
        hardware_id: node.to_owned(),
        values: status
            .values
            .into_iter()
            .map(|(key, value)| KeyValue { key, value })
            .collect(),
    };
    DiagnosticArray {
        header: header(now),
        status: statuses.into_iter().map(status).collect(),
    }
}

fn header(now: Duration) -> Header {
    Header {
        stamp: r2r::Clock::to_builtin_time(&now),
        frame_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trajectory_has_the_joints_the_stamp_and_the_time_of_each_point() {
        let joints = ["waist".to_owned()];
        let point = TrajectoryPoint {
            positions: vec![0.5],
            velocities: vec![0.1],
            time_from_start: Duration::from_millis(1020),
        };
        let whole = Trajectory {
            start: Duration::from_millis(7500),
            now: Duration::from_millis(7540),
            present: vec![0.5],
            twists: Vec::new(),
            points: vec![point],
        };
        let message = trajectory(&joints, whole);
        assert_eq!(message.joint_names, joints);
        assert_eq!(
            (message.header.stamp.sec, message.header.stamp.nanosec),
            (7, 500_000_000)
        );
        assert_eq!(message.points[0].positions, [0.5]);
        assert_eq!(message.points[0].velocities, [f64::from(0.1_f32)]);
        let from_start = &message.points[0].time_from_start;
        assert_eq!((from_start.sec, from_start.nanosec), (1, 20_000_000));
    }

    #[test]
    fn a_stamp_that_was_never_set_is_none() {
        let mut header = Header::default();
        assert_eq!(stamped(&header, ()).stamp, None);
        header.stamp.nanosec = 5;
        assert_eq!(stamped(&header, ()).stamp, Some(Duration::from_nanos(5)));
    }
}
