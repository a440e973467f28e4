//! A frame of `/tf`.

use pi0_node::pose::Pose;
use r2r::builtin_interfaces::msg::Time;
use r2r::geometry_msgs::msg::TransformStamped;

/// The frame `child`, at a pose in `parent`.
pub fn transform(parent: &str, child: &str, pose: Pose, stamp: Time) -> TransformStamped {
    let mut transform = TransformStamped::default();
    transform.header.frame_id = parent.to_owned();
    transform.header.stamp = stamp;
    transform.child_frame_id = child.to_owned();
    let [x, y, z, qx, qy, qz, qw] = pose.values();
    let (translation, rotation) = (
        &mut transform.transform.translation,
        &mut transform.transform.rotation,
    );
    (translation.x, translation.y, translation.z) = (x, y, z);
    (rotation.x, rotation.y, rotation.z, rotation.w) = (qx, qy, qz, qw);
    transform
}
