//! Values of the state that are no joints.

use super::InputProblem;

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
