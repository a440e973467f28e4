//! The axes of a motion: which values of a vector of positions are a joint by themselves and which are a pose together.
//!
//! Positions are joined by straight lines, and rotations by the shorter arc: what blends, limits and interpolates motions asks
//! here, and so treats both alike.

use std::ops::Range;
use std::sync::Arc;

use super::interpolation::lerp;
use crate::pose::{POSE_VALUES, Pose, Rotation};

/// Where the poses are in a vector of positions; every other value is a joint.
///
/// A pose has [`POSE_VALUES`] values. Its velocity, and any difference of two poses, has as many: metres along x, y and z,
/// radians about x, y and z, and a 0; all in the frame that the pose is in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AxisLayout {
    poses: Arc<[usize]>,
}

impl AxisLayout {
    /// Joints, and a pose from each of these indices on.
    pub fn with_poses(first_values: impl Into<Arc<[usize]>>) -> Self {
        Self {
            poses: first_values.into(),
        }
    }

    /// The values of each pose.
    pub fn poses(&self) -> impl Iterator<Item = Range<usize>> + use<'_> {
        self.poses.iter().map(|&first| first..first + POSE_VALUES)
    }

    /// Whether a value is part of a pose.
    pub(super) fn pose_of(&self, value: usize) -> Option<Range<usize>> {
        self.poses().find(|pose| pose.contains(&value))
    }

    /// The joints among `count` values.
    pub(super) fn joints(&self, count: usize) -> impl Iterator<Item = usize> + use<'_> {
        (0..count).filter(|&value| self.pose_of(value).is_none())
    }

    /// The positions at `share` (0 to 1) of the way from `from` to `to`.
    pub(super) fn interpolate(&self, from: &[f32], to: &[f32], share: f64) -> Vec<f32> {
        let pairs = from.iter().zip(to);
        let mut positions: Vec<f32> = pairs.map(|(&from, &to)| lerp(from, to, share)).collect();
        for pose in self.poses() {
            // A robot that stands still has the same values at any time.
            if from[pose.clone()] != to[pose.clone()] {
                let [from, to] = [from, to].map(|positions| Pose::from_values(&positions[pose.clone()]));
                write(&mut positions[pose], from.interpolate(to, share).values());
            }
        }
        positions
    }

    /// What brings `from` to `to`.
    pub(super) fn difference(&self, to: &[f32], from: &[f32]) -> Vec<f32> {
        let mut difference: Vec<f32> = to.iter().zip(from).map(|(to, from)| to - from).collect();
        for pose in self.poses() {
            let [to, from] = [to, from].map(|positions| Pose::from_values(&positions[pose.clone()]));
            write_difference(&mut difference[pose], to.difference(from));
        }
        difference
    }

    /// The positions after some differences, one after the other, each as many times as its factor.
    pub(super) fn moved(&self, positions: &[f32], by: &[(f32, &[f32])]) -> Vec<f32> {
        let moved = |index: usize| -> f32 { by.iter().map(|(factor, by)| factor * by[index]).sum() };
        let mut after: Vec<f32> = (0..positions.len())
            .map(|index| positions[index] + moved(index))
            .collect();
        for pose in self.poses() {
            let from = Pose::from_values(&positions[pose.clone()]);
            let to = by.iter().fold(from, |at, (factor, by)| {
                let by = read_difference(&by[pose.clone()]);
                at.moved(by.map(|vector| vector.map(|value| f64::from(*factor) * value)))
            });
            write(&mut after[pose], to.values());
        }
        after
    }

    /// What is to be added to the velocity of a motion that is displaced by `offset`, so that it is the velocity `wanted`: an
    /// offset turns the velocity too.
    pub(super) fn velocity_difference(&self, wanted: &[f32], displaced: &[f32], offset: &[f32]) -> Vec<f32> {
        let pairs = wanted.iter().zip(displaced);
        let mut difference: Vec<f32> = pairs.map(|(wanted, displaced)| wanted - displaced).collect();
        for pose in self.poses() {
            let [[_, offset], [linear, displaced], [wanted_linear, wanted]] =
                [offset, displaced, wanted].map(|values| read_difference(&values[pose.clone()]));
            let turned = Rotation::from_vector(offset).rotate(displaced);
            let minus = |one: [f64; 3], other: [f64; 3]| std::array::from_fn(|axis| one[axis] - other[axis]);
            write_difference(
                &mut difference[pose],
                [minus(wanted_linear, linear), minus(wanted, turned)],
            );
        }
        difference
    }

    /// The positions with the signs of quaternions that are nearer to those of `other`: the same rotations.
    pub fn with_signs_of(&self, mut positions: Vec<f32>, other: &[f32]) -> Vec<f32> {
        for pose in self.poses() {
            let [own, other] =
                [&positions, other].map(|positions| Pose::from_values(&positions[pose.clone()]).rotation);
            write(
                &mut positions[pose.start + 3..pose.end],
                own.with_sign_of(other).xyzw(),
            );
        }
        positions
    }

    /// The weighted mean of positions; the last ones are the newest.
    pub(super) fn mean(&self, weighted: &[(f64, Vec<f32>)]) -> Vec<f32> {
        let newest = weighted.len() - 1;
        let mut sum = vec![0.0; weighted[newest].1.len()];
        let mut weights = 0.0;
        for (weight, positions) in weighted {
            weights += weight;
            for (sum, position) in sum.iter_mut().zip(positions) {
                *sum += weight * f64::from(*position);
            }
        }
        let mut mean: Vec<f32> = sum.into_iter().map(|sum| (sum / weights) as f32).collect();
        for pose in self.poses() {
            let rotations = weighted.iter().map(|(weight, positions)| {
                let rotation = Pose::from_values(&positions[pose.clone()]).rotation;
                (*weight, rotation)
            });
            let rotation = Rotation::mean(&rotations.collect::<Vec<_>>(), newest);
            write(&mut mean[pose.start + 3..pose.end], rotation.xyzw());
        }
        mean
    }

    /// How far apart two positions are: of each joint the difference, of each pose the distance at its first value and the
    /// angle at its fourth.
    pub(super) fn distances(&self, from: &[f32], to: &[f32]) -> Vec<(usize, f32)> {
        let joints = self.joints(from.len());
        let mut distances: Vec<(usize, f32)> = joints
            .map(|joint| (joint, (to[joint] - from[joint]).abs()))
            .collect();
        for pose in self.poses() {
            let [from, to] = [from, to].map(|positions| Pose::from_values(&positions[pose.clone()]));
            let [distance, angle] = to.distances(from);
            distances.extend([(pose.start, distance as f32), (pose.start + 3, angle as f32)]);
        }
        distances
    }

    /// The speed of each joint, and of each pose along its way at its first value and about its axis at its fourth.
    pub(super) fn speeds(&self, velocities: &[f32]) -> Vec<(usize, f64)> {
        let joints = self.joints(velocities.len());
        let mut speeds: Vec<(usize, f64)> = joints
            .map(|joint| (joint, f64::from(velocities[joint].abs())))
            .collect();
        for pose in self.poses() {
            let [linear, angular] = read_difference(&velocities[pose.clone()]);
            let length = |vector: [f64; 3]| vector.iter().map(|value| value * value).sum::<f64>().sqrt();
            speeds.extend([(pose.start, length(linear)), (pose.start + 3, length(angular))]);
        }
        speeds
    }
}

/// The linear and the angular part of the values of a velocity or a difference.
pub(super) fn read_difference<T: Copy + Into<f64>>(values: &[T]) -> [[f64; 3]; 2] {
    [[0, 1, 2], [3, 4, 5]].map(|axes| axes.map(|index| values[index].into()))
}

fn write<const N: usize>(values: &mut [f32], from: [f64; N]) {
    for (value, from) in values.iter_mut().zip(from) {
        *value = from as f32;
    }
}

fn write_difference(values: &mut [f32], [[x, y, z], [about_x, about_y, about_z]]: [[f64; 3]; 2]) {
    write(values, [x, y, z, about_x, about_y, about_z, 0.0]);
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// A joint, and a pose behind it.
    fn layout() -> AxisLayout {
        AxisLayout::with_poses([1])
    }

    fn positions(joint: f32, x: f64, about_x: f64) -> Vec<f32> {
        let pose = Pose {
            position: [x, 0.0, 0.0],
            rotation: Rotation::from_vector([about_x, 0.0, 0.0]),
        };
        let pose = pose.values().map(|value| value as f32);
        [&[joint][..], &pose].concat()
    }

    fn angle_about_x(positions: &[f32]) -> f64 {
        Pose::from_values(&positions[1..]).rotation.vector()[0]
    }

    #[test]
    fn rotations_are_joined_by_the_shorter_arc_across_half_a_turn() {
        let between = layout().interpolate(
            &positions(0.0, 0.0, PI - 0.1),
            &positions(1.0, 2.0, PI + 0.3),
            0.5,
        );
        assert!((between[0] - 0.5).abs() < 1e-6 && (between[1] - 1.0).abs() < 1e-6);
        assert!(
            (angle_about_x(&between).abs() - (PI - 0.1)).abs() < 1e-5,
            "{between:?}"
        );
    }

    #[test]
    fn a_difference_is_undone_and_several_are_done_in_order() {
        let (from, to) = (positions(0.5, 0.1, 3.0), positions(-0.5, 0.4, -3.0));
        let difference = layout().difference(&to, &from);
        assert!(
            (difference[4] - (2.0 * PI as f32 - 6.0)).abs() < 1e-5,
            "{difference:?}"
        );
        assert_eq!(difference[7], 0.0);
        let again = layout().moved(&from, &[(0.5, &difference), (0.5, &difference)]);
        for (index, distance) in layout().distances(&again, &to) {
            assert!(distance < 1e-6, "{index}: {distance}");
        }
    }

    #[test]
    fn an_offset_turns_the_velocity_that_it_is_compared_with() {
        let mut offset = vec![0.0; 8];
        offset[4] = std::f32::consts::FRAC_PI_2;
        let mut about_y = vec![0.0; 8];
        about_y[5] = 1.0;
        let mut about_z = vec![0.0; 8];
        about_z[6] = 1.0;
        // A motion about y that is turned about x goes about z.
        let difference = layout().velocity_difference(&about_z, &about_y, &offset);
        assert!(
            difference.iter().all(|value| value.abs() < 1e-6),
            "{difference:?}"
        );
    }

    #[test]
    fn the_mean_of_rotations_has_no_wrap() {
        let mean = layout().mean(&[
            (1.0, positions(0.0, 0.0, PI - 0.2)),
            (1.0, positions(1.0, 1.0, -PI + 0.2)),
        ]);
        assert!((mean[0] - 0.5).abs() < 1e-6 && (mean[1] - 0.5).abs() < 1e-6);
        assert!((angle_about_x(&mean).abs() - PI).abs() < 1e-5, "{mean:?}");
    }

    #[test]
    fn distances_and_speeds_of_a_pose_are_along_its_way_and_about_its_axis() {
        let (from, mut to) = (positions(0.5, 0.0, 0.1), positions(0.2, 0.3, 0.4));
        to[2] = 0.4;
        let distances = layout().distances(&from, &to);
        for ((index, distance), expected) in distances.iter().zip([(0, 0.3), (1, 0.5), (4, 0.3)]) {
            assert_eq!(*index, expected.0);
            assert!((distance - expected.1).abs() < 1e-6, "{distances:?}");
        }
        let velocities = layout().difference(&to, &from);
        for ((_, speed), (_, distance)) in layout().speeds(&velocities).iter().zip(distances) {
            assert!((speed - f64::from(distance)).abs() < 1e-6);
        }
    }
}
