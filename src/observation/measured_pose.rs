//! Measured poses.

use super::InputProblem;
use crate::pose::{POSE_VALUE_NAMES, POSE_VALUES, Pose};

/// A quaternion whose length is further from 1 than this was not meant to be a rotation.
const LENGTH_TOLERANCE: f64 = 0.01;

/// The values of a pose as a message has them: x, y and z in metres, and a quaternion x, y, z, w. The sign of the quaternion is
/// that of the pose `before`, so that values change no more than the pose does.
///
/// # Errors
/// When a value is no finite number, or the quaternion is far from length 1.
pub fn measured_pose(values: [f64; POSE_VALUES], before: Option<&[f32]>) -> Result<Vec<f32>, InputProblem> {
    if let Some(index) = values.iter().position(|value| !(*value as f32).is_finite()) {
        return Err(InputProblem::NotFinite {
            joint: POSE_VALUE_NAMES[index].to_owned(),
            value: values[index],
        });
    }
    let length = values[3..].iter().map(|value| value * value).sum::<f64>().sqrt();
    if (length - 1.0).abs() > LENGTH_TOLERANCE {
        return Err(InputProblem::Quaternion { length });
    }
    let mut pose = Pose::from_values(&values);
    if let Some(before) = before {
        pose.rotation = pose.rotation.with_sign_of(Pose::from_values(before).rotation);
    }
    Ok(pose.values().iter().map(|value| *value as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quaternion_is_made_exact_and_has_the_sign_of_the_one_before() {
        let down = [0.4, 0.0, 0.2, 1.002, 0.0, 0.0, 0.0];
        let first = measured_pose(down, None).unwrap();
        assert_eq!(first, [0.4, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0]);
        let other_sign = [0.4, 0.0, 0.2, -1.0, 0.0, 0.0, 0.0];
        assert_eq!(measured_pose(other_sign, Some(&first)).unwrap(), first);
        assert_eq!(measured_pose(other_sign, None).unwrap()[3], -1.0);
    }

    #[test]
    fn what_is_no_pose_is_refused() {
        let with = |index: usize, value: f64| {
            let mut values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
            values[index] = value;
            measured_pose(values, None).unwrap_err()
        };
        assert!(with(1, f64::NAN).is_not_finite());
        assert!(with(4, f64::INFINITY).is_not_finite());
        for (value, length) in [(0.0, 0.0), (0.5, 0.5)] {
            assert_eq!(with(6, value), InputProblem::Quaternion { length });
        }
    }
}
