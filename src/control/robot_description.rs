//! The joint limits of a robot's description (URDF).

use std::sync::Arc;

use roxmltree::Document;

use super::JointLimits;

/// The limits in the newest robot description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DescribedLimits {
    /// One per commanded joint; none before a description with limits arrived.
    pub limits: Option<Arc<[JointLimits]>>,
    /// Why the limits of the newest description are not known, if so: the robot must not be moved without them.
    pub problem: Option<String>,
}

/// Error in the limits of a robot description.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DescriptionProblem {
    /// Text that is not XML.
    #[error("it is no XML: {0}")]
    Xml(String),
    /// Limit that is not a number as expected.
    #[error("the {limit} limit of joint {joint} is {found:?}, expected {expected}")]
    Number {
        /// Name of the joint.
        joint: String,
        /// Attribute of the limit.
        limit: &'static str,
        /// Text of the attribute.
        found: String,
        /// Description of a good value.
        expected: &'static str,
    },
}

/// The limits of each of `joints`: position (where the joint is revolute or prismatic) and velocity, in radians or
/// metres. A joint that the description does not have, or that it gives no limits, has none; a velocity of 0 is none, as
/// exporters write it for one that they do not know. Accelerations are not part of a URDF. Whether a joint can move within
/// its limits is not judged here.
///
/// # Errors
/// When the text is no XML, or a limit of one of the joints is no finite number or a negative velocity.
pub fn joint_limits(description: &str, joints: &[String]) -> Result<Vec<JointLimits>, DescriptionProblem> {
    let document =
        Document::parse(description).map_err(|error| DescriptionProblem::Xml(error.to_string()))?;
    let mut limits = vec![JointLimits::NONE; joints.len()];
    let described = document.root_element().children();
    for joint in described.filter(|node| node.has_tag_name("joint")) {
        let name = joint.attribute("name").unwrap_or_default();
        let Some(index) = joints.iter().position(|wanted| wanted == name) else {
            continue;
        };
        let Some(limit) = joint.children().find(|node| node.has_tag_name("limit")) else {
            continue;
        };
        let number = |attribute: &'static str, lowest: f64, expected| match limit.attribute(attribute) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() && number >= lowest => Ok(Some(number)),
                _ => Err(DescriptionProblem::Number {
                    joint: name.to_owned(),
                    limit: attribute,
                    found: text.to_owned(),
                    expected,
                }),
            },
        };
        let bound = |attribute| number(attribute, f64::NEG_INFINITY, "a finite number");
        if matches!(joint.attribute("type"), Some("revolute" | "prismatic")) {
            // As the URDF specification has it, a bound that is left out is 0.
            limits[index].lower = bound("lower")?.unwrap_or(0.0);
            limits[index].upper = bound("upper")?.unwrap_or(0.0);
        }
        let velocity = number("velocity", 0.0, "a finite number that is not negative")?;
        if let Some(velocity) = velocity.filter(|velocity| *velocity > 0.0) {
            limits[index].velocity = velocity;
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROBOT: &str = r#"<?xml version="1.0"?>
        <robot name="arm">
          <link name="base"/>
          <joint name="elbow" type="revolute"><limit lower="-1.5" upper="2" velocity="3.1" effort="10"/></joint>
          <joint name="wheel" type="continuous"><limit velocity="5" effort="1"/></joint>
          <joint name="mount" type="fixed"/>
          <transmission name="t"><joint name="elbow"><limit lower="9"/></joint></transmission>
        </robot>"#;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn limits_come_in_the_order_of_the_joints_that_are_asked_for() {
        let limits = joint_limits(ROBOT, &names(&["wheel", "elbow", "mount", "tail"])).unwrap();
        let wheel = JointLimits {
            velocity: 5.0,
            ..JointLimits::NONE
        };
        let elbow = JointLimits {
            lower: -1.5,
            upper: 2.0,
            velocity: 3.1,
            ..JointLimits::NONE
        };
        assert_eq!(limits, [wheel, elbow, JointLimits::NONE, JointLimits::NONE]);
    }

    #[test]
    fn a_description_that_cannot_be_read_is_refused_with_the_reason() {
        assert!(matches!(
            joint_limits("<robot>", &[]),
            Err(DescriptionProblem::Xml(_))
        ));
        for bad in ["nan", "two", "-3.1", "inf"] {
            let description = ROBOT.replace("3.1", bad);
            let problem = joint_limits(&description, &names(&["elbow"])).unwrap_err();
            assert!(
                problem.to_string().contains("velocity limit of joint elbow"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_velocity_of_0_is_one_that_is_not_known() {
        let limits = joint_limits(&ROBOT.replace("3.1", "0"), &names(&["elbow"])).unwrap();
        assert_eq!((limits[0].velocity, limits[0].upper), (f64::INFINITY, 2.0));
    }
}
