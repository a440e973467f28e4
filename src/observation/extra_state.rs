//! Values of the state that are neither joints nor poses.

use super::InputProblem;

/// The velocities of a base among the six of a `nav_msgs/Odometry`, which are in the base's own frame: of 3 those along x and y
/// (metres per second) and about z (radians per second), of 2 those along x and about z, and all of any other number.
pub fn base_velocity([x, y, z, roll, pitch, yaw]: [f64; 6], size: usize) -> Vec<f64> {
    match size {
        2 => vec![x, yaw],
        3 => vec![x, y, yaw],
        _ => vec![x, y, z, roll, pitch, yaw],
    }
}

/// The values of a `std_msgs/Float64MultiArray`, whatever its layout field.
///
/// # Errors
/// When there are more or fewer than `size`, or one is no finite number.
pub fn extra_state(values: &[f64], size: usize) -> Result<Vec<f32>, InputProblem> {
    if values.len() != size {
        return Err(InputProblem::Values {
            found: values.len(),
            expected: size,
        });
    }
    let finite = values.iter().enumerate().map(|(index, &value)| {
        let narrow = value as f32;
        let problem = InputProblem::Value { index, value };
        narrow.is_finite().then_some(narrow).ok_or(problem)
    });
    finite.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_the_velocities_that_it_can_drive() {
        let all = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        assert_eq!(base_velocity(all, 3), [0.1, 0.2, 0.6]);
        assert_eq!(base_velocity(all, 2), [0.1, 0.6]);
        assert_eq!(base_velocity(all, 6), all);
    }

    #[test]
    fn as_many_finite_values_as_configured_are_taken_and_nothing_else() {
        assert_eq!(extra_state(&[1.0, -2.5], 2), Ok(vec![1.0, -2.5]));
        let problem = extra_state(&[1.0], 2).unwrap_err();
        assert_eq!(
            problem,
            InputProblem::Values {
                found: 1,
                expected: 2
            }
        );
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            let problem = extra_state(&[1.0, value], 2).unwrap_err();
            assert!(problem.to_string().contains("value 1 is"), "{problem}");
        }
    }
}
