//! The policy's joints in a joint state message.

use super::InputProblem;

/// The positions of the joints `wanted`, in that order, from a message with any joints in any order.
///
/// # Errors
/// When a joint is missing, has no position, or its position is no finite number.
pub fn joint_positions(
    names: &[String],
    positions: &[f64],
    wanted: &[String],
) -> Result<Vec<f32>, InputProblem> {
    if positions.len() < names.len() {
        return Err(InputProblem::Positions {
            found: positions.len(),
            names: names.len(),
        });
    }
    let found: Vec<Option<f64>> = wanted
        .iter()
        .map(|joint| {
            names
                .iter()
                .position(|name| name == joint)
                .map(|index| positions[index])
        })
        .collect();
    let missing: Vec<String> = wanted
        .iter()
        .zip(&found)
        .filter(|(_, position)| position.is_none())
        .map(|(joint, _)| joint.clone())
        .collect();
    if !missing.is_empty() {
        return Err(InputProblem::MissingJoints { missing });
    }
    let positions = wanted.iter().zip(found.into_iter().flatten());
    positions
        .map(|(joint, position)| {
            let value = position as f32;
            value.is_finite().then_some(value).ok_or(InputProblem::NotFinite {
                joint: joint.clone(),
                value: position,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn joints_are_found_by_name_in_any_order_among_others() {
        let positions = joint_positions(
            &names("wheel elbow waist"),
            &[9.0, 2.0, 1.0],
            &names("waist elbow"),
        );
        assert_eq!(positions, Ok(vec![1.0, 2.0]));
    }

    #[test]
    fn every_missing_joint_is_named() {
        let problem = joint_positions(&names("waist"), &[1.0], &names("waist elbow wrist")).unwrap_err();
        let missing = names("elbow wrist");
        assert_eq!(problem, InputProblem::MissingJoints { missing });
    }

    #[test]
    fn fewer_positions_than_names_are_refused() {
        let problem = joint_positions(&names("waist elbow"), &[1.0], &names("waist")).unwrap_err();
        assert_eq!(problem, InputProblem::Positions { found: 1, names: 2 });
    }

    #[test]
    fn a_position_that_is_no_finite_number_is_refused_and_its_joint_named() {
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            let problem =
                joint_positions(&names("waist elbow"), &[1.0, value], &names("waist elbow")).unwrap_err();
            assert!(problem.to_string().contains("elbow"), "{problem}");
        }
    }

    #[test]
    fn joints_that_the_policy_does_not_use_may_be_no_numbers() {
        let positions = joint_positions(&names("waist wheel"), &[1.0, f64::NAN], &names("waist"));
        assert_eq!(positions, Ok(vec![1.0]));
    }
}
