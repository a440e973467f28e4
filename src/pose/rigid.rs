//! Poses: a position and a rotation.

use std::ops::Mul;

use super::rotation::{Rotation, length};

/// Values of a pose in the robot's state and actions: x, y and z in metres, and a quaternion x, y, z, w.
pub const POSE_VALUES: usize = 7;

/// Names of these values.
pub const POSE_VALUE_NAMES: [&str; POSE_VALUES] = ["x", "y", "z", "qx", "qy", "qz", "qw"];

/// Where a frame is in another one: a point of the frame goes through the rotation, and then by the position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Metres.
    pub position: [f64; 3],
    /// Rotation of its axes.
    pub rotation: Rotation,
}

impl Pose {
    /// Of a frame in itself.
    pub const IDENTITY: Self = Self {
        position: [0.0; 3],
        rotation: Rotation::IDENTITY,
    };

    /// The pose of its [values](POSE_VALUES); of NaN where they have no rotation.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn from_values<T: Copy + Into<f64>>(values: &[T]) -> Self {
        assert_eq!(values.len(), POSE_VALUES);
        let value = |index: usize| values[index].into();
        Self {
            position: [0, 1, 2].map(value),
            rotation: Rotation::from_xyzw([3, 4, 5, 6].map(value)),
        }
    }

    /// Its values.
    pub fn values(self) -> [f64; POSE_VALUES] {
        let [x, y, z] = self.position;
        let [qx, qy, qz, qw] = self.rotation.xyzw();
        [x, y, z, qx, qy, qz, qw]
    }

    /// Where the other frame is in this one.
    pub fn inverse(self) -> Self {
        let rotation = self.rotation.inverse();
        Self {
            position: rotation.rotate(self.position).map(|value| -value),
            rotation,
        }
    }

    /// The pose at `share` (0 to 1) of the way to another one: its position on the line, its rotation on the shorter arc.
    pub fn interpolate(self, to: Self, share: f64) -> Self {
        Self {
            position: std::array::from_fn(|axis| {
                self.position[axis] + (to.position[axis] - self.position[axis]) * share
            }),
            rotation: self.rotation.slerp(to.rotation, share),
        }
    }

    /// What brings `from` to this pose: metres, and the axis times the angle in radians, both in the frame that the poses are in.
    pub fn difference(self, from: Self) -> [[f64; 3]; 2] {
        let linear = std::array::from_fn(|axis| self.position[axis] - from.position[axis]);
        [linear, (self.rotation * from.rotation.inverse()).vector()]
    }

    /// The pose after a [difference](Self::difference).
    pub fn moved(self, [linear, angular]: [[f64; 3]; 2]) -> Self {
        Self {
            position: std::array::from_fn(|axis| self.position[axis] + linear[axis]),
            rotation: Rotation::from_vector(angular) * self.rotation,
        }
    }

    /// Distance of the positions in metres, and angle between the rotations in radians.
    pub fn distances(self, other: Self) -> [f64; 2] {
        self.difference(other).map(length)
    }
}

/// Where a frame is in the first pose's frame, if it is at the second pose in that of the first.
impl Mul for Pose {
    type Output = Self;

    fn mul(self, inner: Self) -> Self {
        let turned = Self {
            position: self.rotation.rotate(inner.position),
            rotation: self.rotation * inner.rotation,
        };
        turned.moved([self.position, [0.0; 3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pose() -> Pose {
        Pose {
            position: [0.4, -0.1, 0.3],
            rotation: Rotation::from_vector([3.0, 0.4, -0.2]),
        }
    }

    #[test]
    fn a_pose_and_its_inverse_are_no_motion() {
        let [distance, angle] = (pose() * pose().inverse()).distances(Pose::IDENTITY);
        assert!(distance < 1e-12 && angle < 1e-9, "{distance} m, {angle} rad");
    }

    #[test]
    fn a_difference_leads_from_one_pose_to_the_other() {
        let other = Pose {
            position: [0.1, 0.2, 0.9],
            rotation: Rotation::from_vector([0.1, 2.0, 0.3]),
        };
        let [distance, angle] = pose().moved(other.difference(pose())).distances(other);
        assert!(distance < 1e-12 && angle < 1e-9, "{distance} m, {angle} rad");
    }

    #[test]
    fn a_delta_counts_along_the_base_s_axes_and_a_product_along_the_tool_s() {
        let down = Pose {
            position: [0.0; 3],
            rotation: Rotation::from_vector([std::f64::consts::PI, 0.0, 0.0]),
        };
        let up = [0.0, 0.0, 0.1];
        assert_eq!(down.moved([up, [0.0; 3]]).position, up);
        let along_tool = down
            * Pose {
                position: up,
                ..Pose::IDENTITY
            };
        assert!((along_tool.position[2] + 0.1).abs() < 1e-12, "{along_tool:?}");
    }

    #[test]
    fn values_without_a_rotation_are_not_taken_for_a_pose() {
        let pose = Pose::from_values(&[0.1_f32, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0]);
        assert!(pose.values()[3..].iter().all(|value| value.is_nan()));
    }
}
