//! Rotations as unit quaternions.

use std::ops::Mul;

/// A vector in three dimensions.
pub(super) type Vector = [f64; 3];

/// A quaternion that is shorter than this is no rotation.
const SHORTEST: f64 = 1e-6;

/// Steps of the mean. The first ones do nearly all: rotations of chunks that overlap are close to each other.
const ITERATIONS: usize = 16;

/// A rotation. Two quaternions of opposite sign are the same one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    vector: Vector,
    scalar: f64,
}

impl Rotation {
    /// No rotation.
    pub const IDENTITY: Self = Self {
        vector: [0.0; 3],
        scalar: 1.0,
    };

    /// The rotation of a quaternion x, y, z, w, of any length but 0. One that is too short to have a direction, or has a value
    /// that is no finite number, gives a rotation of NaN, so that it cannot be taken for one.
    pub fn from_xyzw(quaternion: [f64; 4]) -> Self {
        let length = quaternion.iter().map(|value| value * value).sum::<f64>().sqrt();
        let has_direction = length > SHORTEST && length.is_finite();
        let length = if has_direction { length } else { f64::NAN };
        let [x, y, z, w] = quaternion.map(|value| value / length);
        Self {
            vector: [x, y, z],
            scalar: w,
        }
    }

    /// The quaternion x, y, z, w, of length 1.
    pub fn xyzw(self) -> [f64; 4] {
        let [x, y, z] = self.vector;
        [x, y, z, self.scalar]
    }

    /// The rotation about the direction of `vector`, by its length in radians.
    pub fn from_vector(vector: [f64; 3]) -> Self {
        let angle = length(vector);
        // sin(angle / 2) / angle, whose limit is 1/2.
        let share = if angle < 1e-6 {
            0.5 - angle * angle / 48.0
        } else {
            (angle / 2.0).sin() / angle
        };
        let [x, y, z] = vector.map(|value| share * value);
        Self::from_xyzw([x, y, z, (angle / 2.0).cos()])
    }

    /// The axis times the angle in radians, which is at most π.
    pub fn vector(self) -> [f64; 3] {
        let sine = length(self.vector);
        let sign = if self.scalar < 0.0 { -1.0 } else { 1.0 };
        let half = sine.atan2(sign * self.scalar);
        // angle / sin(angle / 2), whose limit is 2.
        let share = if sine < 1e-9 { 2.0 } else { 2.0 * half / sine };
        self.vector.map(|value| sign * share * value)
    }

    /// The rotation back.
    pub fn inverse(self) -> Self {
        Self {
            vector: self.vector.map(|value| -value),
            ..self
        }
    }

    /// A vector after this rotation.
    pub fn rotate(self, vector: [f64; 3]) -> [f64; 3] {
        let twice = cross(self.vector, vector).map(|value| 2.0 * value);
        let across = cross(self.vector, twice);
        std::array::from_fn(|axis| vector[axis] + self.scalar * twice[axis] + across[axis])
    }

    /// The angle between two rotations in radians, at most π.
    pub fn angle_to(self, other: Self) -> f64 {
        length((other * self.inverse()).vector())
    }

    /// The rotation at `share` (0 to 1) of the shorter way to another one, at constant velocity.
    pub fn slerp(self, to: Self, share: f64) -> Self {
        let way = (to * self.inverse()).vector();
        Self::from_vector(way.map(|value| share * value)) * self
    }

    /// The weighted mean: the rotation whose quaternion is nearest to all, whatever their signs (Markley et al. 2007).
    /// `first` of the rotations is where the search for it begins.
    pub fn mean(weighted: &[(f64, Self)], first: usize) -> Self {
        let mut mean = weighted[first].1;
        // The power iteration for the largest eigenvector of the sum of the quaternions' outer products.
        for _ in 0..ITERATIONS {
            let mut sum = [0.0; 4];
            for (weight, rotation) in weighted {
                let quaternion = rotation.xyzw();
                let mean = mean.xyzw();
                let along: f64 = quaternion.iter().zip(mean).map(|(one, other)| one * other).sum();
                for (sum, value) in sum.iter_mut().zip(quaternion) {
                    *sum += weight * along * value;
                }
            }
            mean = Self::from_xyzw(sum);
        }
        mean
    }

    /// The quaternion of this rotation whose sign is nearer to that of `other`.
    pub fn with_sign_of(self, other: Self) -> Self {
        let along: f64 = self.xyzw().iter().zip(other.xyzw()).map(|(a, b)| a * b).sum();
        if along < 0.0 { self.negative() } else { self }
    }

    /// The other quaternion of this rotation.
    pub(super) fn negative(self) -> Self {
        Self {
            vector: self.vector.map(|value| -value),
            scalar: -self.scalar,
        }
    }

    /// The columns of the rotation matrix: where the axes x, y and z go.
    pub(super) fn columns(self) -> [Vector; 3] {
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| self.rotate(axis))
    }

    /// The rotation of a matrix by its columns (Shepperd 1978).
    pub(super) fn from_columns(columns: [Vector; 3]) -> Self {
        let [[xx, yx, zx], [xy, yy, zy], [xz, yz, zz]] = columns;
        let candidates = [
            [1.0 + xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, 1.0 - xx + yy - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, 1.0 - xx - yy + zz, yx - xy],
            [zy - yz, xz - zx, yx - xy, 1.0 + xx + yy + zz],
        ];
        let largest = (0..4).max_by(|&one, &other| candidates[one][one].total_cmp(&candidates[other][other]));
        Self::from_xyzw(candidates[largest.unwrap_or(3)])
    }
}

/// First the right one, then the left one, both about fixed axes.
impl Mul for Rotation {
    type Output = Self;

    fn mul(self, right: Self) -> Self {
        let across = cross(self.vector, right.vector);
        let along: f64 = self.vector.iter().zip(right.vector).map(|(a, b)| a * b).sum();
        let vector: Vector = std::array::from_fn(|axis| {
            self.scalar * right.vector[axis] + right.scalar * self.vector[axis] + across[axis]
        });
        let [x, y, z] = vector;
        Self::from_xyzw([x, y, z, self.scalar * right.scalar - along])
    }
}

/// Length of a vector.
pub(crate) fn length(vector: [f64; 3]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

pub(super) fn cross(one: Vector, other: Vector) -> Vector {
    let [a, b, c] = one;
    let [x, y, z] = other;
    [b * z - c * y, c * x - a * z, a * y - b * x]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn a_quaternion_without_a_direction_is_no_rotation() {
        for quaternion in [
            [0.0; 4],
            [f64::NAN, 0.0, 0.0, 1.0],
            [f64::INFINITY, 0.0, 0.0, 1.0],
        ] {
            let rotation = Rotation::from_xyzw(quaternion);
            assert!(rotation.xyzw().iter().all(|value| value.is_nan()), "{rotation:?}");
        }
        assert_eq!(Rotation::from_xyzw([0.0, 0.0, 0.0, 2.0]), Rotation::IDENTITY);
    }

    #[test]
    fn a_vector_becomes_the_same_vector_again_also_where_it_is_very_short() {
        for angle in [0.0, 1e-12, 1e-7, 0.3, 3.0, PI - 1e-9] {
            let vector = [0.6 * angle, 0.0, -0.8 * angle];
            let again = Rotation::from_vector(vector).vector();
            for (again, value) in again.iter().zip(vector) {
                assert!((again - value).abs() < 1e-12, "{angle}: {again} and {value}");
            }
        }
    }

    #[test]
    fn the_way_between_two_rotations_is_the_shorter_one_whatever_the_signs_of_their_quaternions() {
        // Either side of half a turn, as a tool that points down is.
        let [from, to] = [PI - 0.1, PI + 0.1].map(|angle| Rotation::from_vector([angle, 0.0, 0.0]));
        for to in [to, to.negative()] {
            assert!((from.angle_to(to) - 0.2).abs() < 1e-12);
            for (share, angle) in [(0.0, PI - 0.1), (0.25, PI - 0.05), (0.5, PI), (1.0, PI + 0.1)] {
                let between = from.slerp(to, share);
                let expected = Rotation::from_vector([angle, 0.0, 0.0]);
                assert!(between.angle_to(expected) < 1e-12, "at {share}");
            }
        }
    }

    #[test]
    fn the_mean_of_two_is_half_way_and_weights_count() {
        let at = |angle: f64| Rotation::from_vector([0.0, angle, 0.0]);
        let mean = Rotation::mean(&[(1.0, at(PI - 0.2)), (1.0, at(PI + 0.2).negative())], 1);
        assert!(mean.angle_to(at(PI)) < 1e-9);
        let mean = Rotation::mean(&[(1.0, at(0.0)), (3.0, at(0.1))], 0);
        assert!(mean.angle_to(at(0.075)) < 1e-4);
    }

    #[test]
    fn a_sign_is_that_of_the_rotation_before() {
        let [one, next] = [PI - 0.01, PI + 0.01].map(|angle| Rotation::from_vector([angle, 0.0, 0.0]));
        let next = next.negative();
        assert_eq!(next.with_sign_of(one), next.negative());
        assert_eq!(one.with_sign_of(one), one);
    }
}
