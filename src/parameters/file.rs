//! A ROS 2 parameter file, read where no ROS 2 reads it.

use serde_norway::{Mapping, Value};

use super::ParameterValue;

/// Why a text has no parameters of the node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterFileError {
    /// Text that is not YAML.
    #[error("it is no YAML: {0}")]
    Yaml(String),
    /// Part of the file with another structure than parameters have.
    #[error("{place} is {found}, expected {expected}")]
    Shape {
        /// Path of the part within the file.
        place: String,
        /// What stands there.
        found: &'static str,
        /// What is expected there.
        expected: &'static str,
    },
    /// Text that is not `name:=value`.
    #[error("{0:?} is no NAME:=VALUE")]
    Override(String),
    /// File with parameters of other nodes alone.
    #[error("it has parameters of {}, but none of {node}", found.join(", "))]
    OtherNodes {
        /// Names of the nodes in the file.
        found: Vec<String>,
        /// Name of this node.
        node: String,
    },
}

/// What a parameter file sets for the node of this full name, `/pi0_node` say; what comes later counts. As for ROS 2, a
/// section is for a node's name with or without its namespace, with `*` for any one part of the name and `**` for any
/// number of them.
///
/// # Errors
/// When the text is no parameter file, or has no section for the node.
pub fn parameters_of(text: &str, node: &str) -> Result<Vec<(String, ParameterValue)>, ParameterFileError> {
    let file: Value =
        serde_norway::from_str(text).map_err(|error| ParameterFileError::Yaml(error.to_string()))?;
    let mut sections = Vec::new();
    find_sections(mapping(&file, "the file")?, "", &mut sections)?;
    let mut parameters = Vec::new();
    let mut is_for_node = false;
    for (pattern, section) in &sections {
        if matches(&parts(pattern), &parts(node)) {
            is_for_node = true;
            flatten(section, "", &mut parameters)?;
        }
    }
    if !is_for_node {
        return Err(ParameterFileError::OtherNodes {
            found: sections.into_iter().map(|(pattern, _)| pattern).collect(),
            node: node.to_owned(),
        });
    }
    Ok(parameters)
}

/// A parameter from its text on a command line, `name:=value`, in which the value is a scalar or a list of YAML.
///
/// # Errors
/// When the text has no `:=`, or what follows is no value of a parameter.
pub fn parse_override(text: &str) -> Result<(String, ParameterValue), ParameterFileError> {
    let (name, value) = text
        .split_once(":=")
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| ParameterFileError::Override(text.to_owned()))?;
    let value: Value =
        serde_norway::from_str(value).map_err(|error| ParameterFileError::Yaml(error.to_string()))?;
    Ok((name.to_owned(), parameter_value(&value, name)?))
}

/// Every mapping under a key `ros__parameters`, with the path to it.
fn find_sections<'a>(
    level: &'a Mapping,
    path: &str,
    sections: &mut Vec<(String, &'a Mapping)>,
) -> Result<(), ParameterFileError> {
    for (key, value) in level {
        let key = text_of(key, path)?;
        if key == "ros__parameters" {
            sections.push((
                path.to_owned(),
                mapping(value, &format!("ros__parameters of {path}"))?,
            ));
        } else {
            let path = format!("{path}/{}", key.trim_matches('/'));
            find_sections(mapping(value, &path)?, &path, sections)?;
        }
    }
    Ok(())
}

fn flatten(
    section: &Mapping,
    prefix: &str,
    parameters: &mut Vec<(String, ParameterValue)>,
) -> Result<(), ParameterFileError> {
    for (key, value) in section {
        let name = format!("{prefix}{}", text_of(key, prefix)?);
        match value {
            Value::Mapping(nested) => flatten(nested, &format!("{name}."), parameters)?,
            _ => {
                let value = parameter_value(value, &name)?;
                parameters.push((name, value));
            }
        }
    }
    Ok(())
}

fn parameter_value(value: &Value, name: &str) -> Result<ParameterValue, ParameterFileError> {
    let wrong = |found, expected| ParameterFileError::Shape {
        place: format!("the parameter {name}"),
        found,
        expected,
    };
    Ok(match value {
        Value::Null => ParameterValue::NotSet,
        Value::Bool(value) => ParameterValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => ParameterValue::Integer(integer),
            None => ParameterValue::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => ParameterValue::String(text.clone()),
        Value::Sequence(values) => {
            let values = values
                .iter()
                .map(|value| parameter_value(value, name))
                .collect::<Result<Vec<_>, _>>()?;
            array(&values).ok_or_else(|| wrong("a list of several types", "a list of one type"))?
        }
        Value::Mapping(_) => return Err(wrong("a mapping", "a value or a list")),
        Value::Tagged(_) => return Err(wrong("a tagged value", "a value or a list")),
    })
}

/// None when the values differ in type. An empty list has none.
fn array(values: &[ParameterValue]) -> Option<ParameterValue> {
    macro_rules! all {
        ($of:ident) => {
            values
                .iter()
                .map(|value| match value {
                    ParameterValue::$of(value) => Some(value.clone()),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
        };
    }
    match values.first() {
        None => Some(ParameterValue::NotSet),
        Some(ParameterValue::Bool(_)) => Some(ParameterValue::BoolArray(all!(Bool)?)),
        Some(ParameterValue::Integer(_)) => Some(ParameterValue::IntegerArray(all!(Integer)?)),
        Some(ParameterValue::Double(_)) => Some(ParameterValue::DoubleArray(all!(Double)?)),
        Some(ParameterValue::String(_)) => Some(ParameterValue::StringArray(all!(String)?)),
        Some(_) => None,
    }
}

fn parts(name: &str) -> Vec<&str> {
    name.split('/').filter(|part| !part.is_empty()).collect()
}

fn matches(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            matches(rest, name) || name.split_first().is_some_and(|(_, name)| matches(pattern, name))
        }
        (Some((&part, pattern)), Some((&name_part, name))) => {
            (part == "*" || part == name_part) && matches(pattern, name)
        }
        _ => false,
    }
}

fn mapping<'a>(value: &'a Value, place: &str) -> Result<&'a Mapping, ParameterFileError> {
    value.as_mapping().ok_or_else(|| ParameterFileError::Shape {
        place: place.to_owned(),
        found: "no mapping",
        expected: "node names, then ros__parameters, then parameters",
    })
}

fn text_of<'a>(key: &'a Value, place: &str) -> Result<&'a str, ParameterFileError> {
    key.as_str().ok_or_else(|| ParameterFileError::Shape {
        place: format!("a name in {place:?}"),
        found: "no text",
        expected: "a name",
    })
}

#[cfg(test)]
mod tests {
    use super::super::Parameters;
    use super::*;

    const NODE: &str = "/robot/pi0_node";

    fn names(text: &str) -> Vec<String> {
        let parameters = parameters_of(text, NODE).unwrap();
        parameters.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_configuration_of_the_simulation_is_read_whole() {
        let file = include_str!("../../config/aloha_sim.yaml");
        let mut parameters = parameters_of(file, "/pi0_node").unwrap();
        parameters.push((
            "checkpoint".to_owned(),
            ParameterValue::String("/checkpoint".to_owned()),
        ));
        let parameters = Parameters::from_overrides(parameters.into_iter()).unwrap();
        assert_eq!(parameters.settings().joint_names.len(), 14);
        assert_eq!(
            parameters.settings().policy.cameras.as_ref().unwrap()[0]
                .crop
                .map(|crop| crop.x),
            Some(120)
        );
    }

    #[test]
    fn values_have_the_types_that_ros_gives_them() {
        let file = "/**:\n  ros__parameters:\n    a: 1\n    b: 1.0\n    c: \"1\"\n    d: [x, y]\n    e: []\n    f: {g: true}\n    h: [1, 2]";
        let values = parameters_of(file, NODE).unwrap();
        let expected = [
            ("a", ParameterValue::Integer(1)),
            ("b", ParameterValue::Double(1.0)),
            ("c", ParameterValue::String("1".to_owned())),
            (
                "d",
                ParameterValue::StringArray(vec!["x".to_owned(), "y".to_owned()]),
            ),
            ("e", ParameterValue::NotSet),
            ("f.g", ParameterValue::Bool(true)),
            ("h", ParameterValue::IntegerArray(vec![1, 2])),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn sections_are_chosen_by_the_node_s_name() {
        for (section, is_for_node) in [
            ("/**", true),
            ("/*/pi0_node", true),
            ("/**/pi0_node", true),
            ("/robot/pi0_node", true),
            ("robot/pi0_node", true),
            ("/pi0_node", false),
            ("/*", false),
            ("/other/pi0_node", false),
        ] {
            let found = parameters_of(&format!("{section}:\n  ros__parameters:\n    a: 1"), NODE);
            assert_eq!(found.is_ok(), is_for_node, "{section}");
        }
        assert_eq!(
            names("robot:\n  pi0_node:\n    ros__parameters:\n      a: 1"),
            ["a"]
        );
    }

    #[test]
    fn a_parameter_of_the_command_line_is_its_name_and_a_value_of_yaml() {
        let text = |value: &str| ParameterValue::String(value.to_owned());
        for (given, name, value) in [
            (
                "control_rate_hz:=25",
                "control_rate_hz",
                ParameterValue::Integer(25),
            ),
            (
                "joints.waist.scale:=-1.0",
                "joints.waist.scale",
                ParameterValue::Double(-1.0),
            ),
            (
                "joint_defaults.max_velocity:=.inf",
                "joint_defaults.max_velocity",
                ParameterValue::Double(f64::INFINITY),
            ),
            ("auto_start:=false", "auto_start", ParameterValue::Bool(false)),
            ("prompt:=pick up the cube", "prompt", text("pick up the cube")),
            ("prompt:=pick#1, then:pour", "prompt", text("pick#1, then:pour")),
            ("prompt:='pick: the # cube'", "prompt", text("pick: the # cube")),
            ("prompt:=say \"a := b\"", "prompt", text("say \"a := b\"")),
            ("prompt:=\"12\"", "prompt", text("12")),
            (
                "absent_cameras:=[left, right]",
                "absent_cameras",
                ParameterValue::StringArray(vec!["left".to_owned(), "right".to_owned()]),
            ),
            ("absent_cameras:=[]", "absent_cameras", ParameterValue::NotSet),
        ] {
            assert_eq!(parse_override(given), Ok((name.to_owned(), value)), "{given}");
        }
    }

    #[test]
    fn a_parameter_of_the_command_line_that_is_no_value_is_refused_with_its_name() {
        for (given, words) in [
            ("control_rate_hz=25", "no NAME:=VALUE"),
            (":=25", "no NAME:=VALUE"),
            (
                "prompt:=pick: the cube",
                "the parameter prompt is a mapping, expected a value or a list",
            ),
            ("absent_cameras:=[left, 1]", "a list of several types"),
            ("absent_cameras:=[left", "no YAML"),
        ] {
            let refused = parse_override(given).unwrap_err().to_string();
            assert!(refused.contains(words), "{given}: {refused}");
        }
    }

    #[test]
    fn a_file_for_other_nodes_names_them() {
        let error = parameters_of("camera:\n  ros__parameters:\n    a: 1", NODE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has parameters of /camera, but none of /robot/pi0_node"
        );
    }

    #[test]
    fn what_is_no_parameter_file_is_refused() {
        for text in [
            "",
            "[1, 2]",
            "a: [",
            "/**:\n  ros__parameters: 3",
            "/**:\n  ros__parameters:\n    a: [1, x]",
        ] {
            assert!(parameters_of(text, NODE).is_err(), "{text}");
        }
    }
}
