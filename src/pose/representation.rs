//! Rotations as the values of a policy's state and actions.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use super::rotation::{Rotation, Vector, cross, length};

/// Cosine of a pitch this close to 0: roll and yaw turn about the same axis, and roll is taken to be 0.
const GIMBAL_LOCK: f64 = 1e-7;

/// The values that a rotation is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RotationRepresentation {
    /// Three: the axis times the angle in radians (robosuite, LIBERO).
    #[default]
    AxisAngle,
    /// Four: a quaternion x, y, z, w.
    QuaternionXyzw,
    /// Four: a quaternion w, x, y, z.
    QuaternionWxyz,
    /// Six: the first two columns of the rotation matrix, one after the other (Zhou et al. 2019).
    SixD,
    /// Six: the first two rows of the rotation matrix, one after the other (PyTorch3D).
    SixDRows,
    /// No value: positions alone.
    None,
    /// Three: roll, pitch and yaw in radians, about the fixed axes x, y and z in this order (DROID; `xyz` of SciPy).
    Rpy,
    /// One: yaw in radians, of what stays upright (a mobile base).
    Yaw,
}

/// The coordinates of a position that a policy has, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PositionAxes {
    /// x, y and z.
    #[default]
    Xyz,
    /// x and y: a base that drives in any direction.
    Xy,
    /// x: a base that drives ahead and back.
    X,
}

impl PositionAxes {
    /// Number of values.
    pub fn len(self) -> usize {
        match self {
            Self::Xyz => 3,
            Self::Xy => 2,
            Self::X => 1,
        }
    }

    /// Never: every policy has x.
    pub fn is_empty(self) -> bool {
        false
    }
}

impl RotationRepresentation {
    /// Number of values.
    pub fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Yaw => 1,
            Self::AxisAngle | Self::Rpy => 3,
            Self::QuaternionXyzw | Self::QuaternionWxyz => 4,
            Self::SixD | Self::SixDRows => 6,
        }
    }

    /// Whether it has no value.
    pub fn is_empty(self) -> bool {
        self == Self::None
    }

    /// Whether values may be scaled and are still a rotation: their direction is an axis, or each is an angle.
    pub fn is_scalable(self) -> bool {
        matches!(self, Self::AxisAngle | Self::Rpy | Self::Yaw)
    }

    /// The rotation of values of a policy; it need not be exact, and is made orthonormal as Zhou et al. do. Values that are
    /// none, such as a quaternion of length 0, give a rotation of NaN.
    ///
    /// # Panics
    /// When there are not [`len`](Self::len) values.
    pub fn decode(self, values: &[f64]) -> Rotation {
        assert_eq!(values.len(), self.len());
        match *values {
            [] => Rotation::IDENTITY,
            [yaw] => Rotation::from_vector([0.0, 0.0, yaw]),
            [x, y, z] if self == Self::AxisAngle => Rotation::from_vector([x, y, z]),
            [roll, pitch, yaw] => {
                let about = |axis: usize, angle: f64| {
                    let mut vector = [0.0; 3];
                    vector[axis] = angle;
                    Rotation::from_vector(vector)
                };
                about(2, yaw) * about(1, pitch) * about(0, roll)
            }
            [x, y, z, w] if self == Self::QuaternionXyzw => Rotation::from_xyzw([x, y, z, w]),
            [w, x, y, z] => Rotation::from_xyzw([x, y, z, w]),
            [a, b, c, d, e, f] => {
                let rotation = orthonormal([a, b, c], [d, e, f]);
                // The rows of a matrix are the columns of its inverse.
                if self == Self::SixD {
                    rotation
                } else {
                    rotation.inverse()
                }
            }
            _ => Rotation::from_xyzw([f64::NAN; 4]),
        }
    }

    /// The values of a rotation. Most rotations have several (angles a turn apart, quaternions of either sign): those that are
    /// nearest to `near` are taken, or where that is empty those of the smallest angles.
    pub fn encode(self, rotation: Rotation, near: &[f64]) -> Vec<f64> {
        let [x, y, z, w] = rotation.xyzw();
        let candidates: Vec<Vec<f64>> = match self {
            Self::None => Vec::new(),
            Self::AxisAngle => {
                let vector = rotation.vector();
                let angle = length(vector);
                let turned = |turns: f64| vector.map(|value| value * (1.0 + turns * TAU / angle)).to_vec();
                match angle > 0.0 && !near.is_empty() {
                    true => vec![vector.to_vec(), turned(-1.0), turned(1.0)],
                    false => vec![vector.to_vec()],
                }
            }
            Self::QuaternionXyzw => with_either_sign(vec![x, y, z, w], w),
            Self::QuaternionWxyz => with_either_sign(vec![w, x, y, z], w),
            Self::SixD => {
                let [first, second, _] = rotation.columns();
                vec![[first, second].concat()]
            }
            Self::SixDRows => {
                let [first, second, _] = rotation.inverse().columns();
                vec![[first, second].concat()]
            }
            Self::Yaw => {
                let [_, _, yaw] = rpy(rotation);
                let turns = near.first().map_or(0.0, |near| ((near - yaw) / TAU).round());
                vec![vec![yaw + TAU * turns]]
            }
            Self::Rpy => {
                let [roll, pitch, yaw] = rpy(rotation);
                let other = [roll + PI, PI - pitch, yaw + PI];
                let turned = |angles: [f64; 3]| {
                    let turned = angles.iter().zip(near);
                    turned
                        .map(|(angle, near)| angle + TAU * ((near - angle) / TAU).round())
                        .collect()
                };
                match near.is_empty() {
                    true => vec![vec![roll, pitch, yaw]],
                    false => vec![turned([roll, pitch, yaw]), turned(other)],
                }
            }
        };
        let distance = |values: &Vec<f64>| -> f64 {
            let pairs = values.iter().zip(near);
            pairs.map(|(value, near)| (value - near).powi(2)).sum()
        };
        let nearest = candidates
            .into_iter()
            .min_by(|one, other| distance(one).total_cmp(&distance(other)));
        nearest.unwrap_or_default()
    }
}

/// A quaternion and its negative; that with a `scalar` that is not negative first.
fn with_either_sign(quaternion: Vec<f64>, scalar: f64) -> Vec<Vec<f64>> {
    let negative = quaternion.iter().map(|value| -value).collect();
    match scalar < 0.0 {
        true => vec![negative, quaternion],
        false => vec![quaternion, negative],
    }
}

/// The rotation whose first column has the direction of `first`, and whose second lies in the plane of both.
fn orthonormal(first: Vector, second: Vector) -> Rotation {
    let unit = |vector: Vector| {
        let length = length(vector);
        vector.map(|value| if length > 1e-6 { value / length } else { f64::NAN })
    };
    let x = unit(first);
    let along: f64 = x.iter().zip(second).map(|(x, second)| x * second).sum();
    let y = unit(std::array::from_fn(|axis| second[axis] - along * x[axis]));
    if x.iter().chain(&y).any(|value| !value.is_finite()) {
        return Rotation::from_xyzw([f64::NAN; 4]);
    }
    Rotation::from_columns([x, y, cross(x, y)])
}

fn rpy(rotation: Rotation) -> [f64; 3] {
    let [[xx, yx, zx], [xy, yy, zy], [_, _, zz]] = rotation.columns();
    let cosine = xx.hypot(yx);
    if cosine < GIMBAL_LOCK {
        let pitch = if zx < 0.0 { FRAC_PI_2 } else { -FRAC_PI_2 };
        return [0.0, pitch, (-xy).atan2(yy)];
    }
    [zy.atan2(zz), (-zx).atan2(cosine), yx.atan2(xx)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RotationRepresentation::*;
    use super::*;

    const ALL: [RotationRepresentation; 6] = [AxisAngle, QuaternionXyzw, QuaternionWxyz, SixD, SixDRows, Rpy];

    fn rotation() -> impl Strategy<Value = Rotation> {
        prop::array::uniform4(-1.0..1.0_f64)
            .prop_filter("a direction", |values| {
                values.iter().map(|value| value * value).sum::<f64>() > 0.01
            })
            .prop_map(Rotation::from_xyzw)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_near_whatever_it_is_to_be(
            rotation in rotation(),
            near in prop::collection::vec(-4.0..4.0_f64, 6),
        ) {
            for representation in ALL {
                for near in [&[][..], &near[..representation.len()]] {
                    let values = representation.encode(rotation, near);
                    prop_assert_eq!(values.len(), representation.len());
                    let again = representation.decode(&values);
                    prop_assert!(rotation.angle_to(again) < 1e-6, "{:?}: {:?}", representation, values);
                }
            }
        }
    }

    #[test]
    fn values_that_are_no_rotation_are_not_taken_for_one() {
        for (representation, values) in [
            (QuaternionXyzw, vec![0.0; 4]),
            (SixD, vec![0.0; 6]),
            (SixDRows, vec![1.0, 0.0, 0.0, 2.0, 0.0, 0.0]),
            (AxisAngle, vec![f64::NAN, 0.0, 0.0]),
            (Rpy, vec![0.0, f64::INFINITY, 0.0]),
            (Yaw, vec![f64::NAN]),
        ] {
            let decoded = representation.decode(&values).xyzw();
            assert!(
                decoded.iter().all(|value| value.is_nan()),
                "{representation:?}: {decoded:?}"
            );
        }
    }

    #[test]
    fn the_yaw_of_a_rotation_is_its_heading_and_goes_on_beyond_half_a_turn() {
        for (angle, near) in [(3.0, &[][..]), (-3.0, &[]), (3.5, &[3.0]), (-9.0, &[-9.3])] {
            let heading = Rotation::from_vector([0.0, 0.0, angle]);
            assert!((Yaw.encode(heading, near)[0] - angle).abs() < 1e-9, "{angle}");
            assert!(Yaw.decode(&[angle]).angle_to(heading) < 1e-9, "{angle}");
            let tilted = heading * Rotation::from_vector([0.2, 0.0, 0.0]);
            assert!((Yaw.encode(tilted, near)[0] - angle).abs() < 1e-9, "{angle}");
        }
    }

    #[test]
    fn a_tool_that_points_down_keeps_its_values_on_either_side_of_half_a_turn() {
        // robosuite writes the quaternion as its simulation has it: the angle goes on beyond π.
        for angle in [PI - 0.05, PI + 0.05] {
            let rotation = Rotation::from_vector([angle, 0.0, 0.0]);
            let values = AxisAngle.encode(rotation, &[PI, 0.0, 0.0]);
            assert!((values[0] - angle).abs() < 1e-9, "{values:?}");
            let shortest = AxisAngle.encode(rotation, &[]);
            assert!(length([shortest[0], shortest[1], shortest[2]]) <= PI);
            let values = Rpy.encode(rotation, &[PI, 0.0, 0.0]);
            assert!((values[0] - angle).abs() < 1e-9, "{values:?}");
            let values = QuaternionXyzw.encode(rotation, &[1.0, 0.0, 0.0, 0.0]);
            assert!(values[0] > 0.9, "{values:?}");
            assert!(QuaternionXyzw.encode(rotation, &[])[3] >= 0.0);
        }
    }
}
