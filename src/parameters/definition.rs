//! One definition of a parameter gives all of it: declaration to ROS, check, typed field, reference page and template.

use std::ops::RangeInclusive;

use super::ParameterValue;

/// What stands in a parameter file in place of a value that a person has to give.
pub const FILL_IN: &str = "FILL_IN";

/// Values that a parameter may have, beyond its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    /// Every value of the type.
    Any,
    /// A text, or at least one text none of which is empty.
    NotEmpty,
    /// Numbers in a range.
    Range(RangeInclusive<f64>),
    /// Finite numbers.
    Finite,
    /// Finite numbers other than 0.
    FiniteNonZero,
}

/// When a parameter can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changeable {
    /// Only as the node starts.
    Never,
    /// Also while the node is unconfigured.
    Unconfigured,
    /// At any time.
    Always,
}

/// One parameter, or one member of every entry of a map.
#[derive(Debug)]
pub struct Definition {
    /// Without the map and its entry: `scale` of `joints.left_gripper.scale`.
    pub name: &'static str,
    /// Value of a parameter that is not set. Also the type of the parameter.
    pub default: fn() -> ParameterValue,
    /// Allowed values beyond the type.
    pub allowed: Allowed,
    /// Empty when it has none.
    pub unit: &'static str,
    /// When the parameter can be changed.
    pub changeable: Changeable,
    pub(super) choices: &'static [&'static str],
    pub(super) shape: &'static str,
    pub(super) comment: &'static str,
}

impl Definition {
    /// The sentences of the reference page.
    pub fn description(&self) -> &'static str {
        self.comment.trim()
    }

    /// Whether the node does not start without it.
    pub fn is_required(&self) -> bool {
        self.check(&(self.default)()).is_err()
    }

    /// The value in the parameter's own type.
    ///
    /// A literal of YAML is taken for what it must mean here: `50` for a number with a fraction, alone or in an array, and
    /// `[]` for an empty array, which has no type in a parameter file and is one of booleans for `ros2 param`. That
    /// program also makes texts of some numbers: `ros2 param load` of `.inf` or `1.0e-05` sets `inf` or `1e-05`. A choice
    /// that is a number is a text.
    ///
    /// # Errors
    /// What was expected, when it has another type or lies outside of what is allowed.
    pub fn check(&self, value: &ParameterValue) -> Result<ParameterValue, String> {
        use ParameterValue::*;
        let default = (self.default)();
        let is_open = match value {
            String(text) => text == FILL_IN,
            StringArray(texts) => texts.iter().any(|text| text == FILL_IN),
            _ => false,
        };
        if is_open {
            return Err(format!(
                "a value of type {} in place of {FILL_IN}: the comment in the parameter file has what to put",
                default.type_name()
            ));
        }
        let value = match (&default, value) {
            (Double(_), Integer(integer)) => Double(*integer as f64),
            (DoubleArray(_), IntegerArray(integers)) => {
                DoubleArray(integers.iter().map(|&integer| integer as f64).collect())
            }
            (String(_), Integer(integer)) if self.choices.contains(&integer.to_string().as_str()) => {
                String(integer.to_string())
            }
            (Double(_), String(text)) => text.parse().map_or_else(|_| value.clone(), Double),
            (DoubleArray(_), empty) if empty.is_empty_array() => DoubleArray(Vec::new()),
            (IntegerArray(_), empty) if empty.is_empty_array() => IntegerArray(Vec::new()),
            (StringArray(_), empty) if empty.is_empty_array() => StringArray(Vec::new()),
            _ => value.clone(),
        };
        if std::mem::discriminant(&value) != std::mem::discriminant(&default) {
            return Err(format!("a value of type {}", default.type_name()));
        }
        let is_allowed = match (&self.allowed, &value) {
            (Allowed::NotEmpty, String(text)) => !text.is_empty(),
            (Allowed::NotEmpty, StringArray(texts)) => {
                !texts.is_empty() && texts.iter().all(|text| !text.is_empty())
            }
            (Allowed::Range(range), Integer(number)) => range.contains(&(*number as f64)),
            (Allowed::Range(range), Double(number)) => range.contains(number),
            (Allowed::Finite, Double(number)) => number.is_finite(),
            (Allowed::FiniteNonZero, Double(number)) => number.is_finite() && *number != 0.0,
            _ => true,
        };
        if is_allowed {
            Ok(value)
        } else {
            Err(self.expected())
        }
    }

    /// What is allowed, in words.
    pub fn expected(&self) -> String {
        match &self.allowed {
            Allowed::Any if !self.choices.is_empty() => format!("one of {}", self.choices.join(", ")),
            Allowed::Any if !self.shape.is_empty() => self.shape.to_owned(),
            Allowed::Any => "any".to_owned(),
            Allowed::NotEmpty => match (self.default)() {
                ParameterValue::StringArray(_) => "at least one, none of them empty".to_owned(),
                _ => "not empty".to_owned(),
            },
            Allowed::Range(range) => match (*range.start(), *range.end()) {
                (f64::NEG_INFINITY, f64::INFINITY) => "any number".to_owned(),
                (from, f64::INFINITY) => format!("at least {from}"),
                (from, to) => format!("{from} to {to}"),
            },
            Allowed::Finite => "a finite number".to_owned(),
            Allowed::FiniteNonZero => "a finite number other than 0".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::GROUPS;
    use super::*;

    fn definition(name: &str) -> &'static Definition {
        let mut all = GROUPS.iter().flat_map(|group| group.definitions);
        all.find(|definition| definition.name == name).unwrap()
    }

    #[test]
    fn every_default_is_allowed_but_of_what_is_required() {
        let required = GROUPS.iter().flat_map(|group| {
            let required = group
                .definitions
                .iter()
                .filter(|definition| definition.is_required());
            required.map(|definition| format!("{}{}", group.prefix, definition.name))
        });
        let expected = [
            "checkpoint",
            "cameras.<name>.topic",
            "joint_names",
            "poses.<name>.base_frame",
            "joint_states.<name>.topic",
            "extra_state.<name>.topic",
            "extra_state.<name>.size",
            "outputs.<name>.topic",
        ];
        assert_eq!(required.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_whole_number_serves_as_a_number_with_a_fraction() {
        let checked = definition("control_rate_hz").check(&ParameterValue::Integer(25));
        assert_eq!(checked, Ok(ParameterValue::Double(25.0)));
        let checked = definition("robot_range").check(&ParameterValue::IntegerArray(vec![0, 2]));
        assert_eq!(checked, Ok(ParameterValue::DoubleArray(vec![0.0, 2.0])));
    }

    #[test]
    fn what_a_person_has_to_fill_in_is_refused_whatever_the_type() {
        let text = ParameterValue::String(FILL_IN.to_owned());
        let array = ParameterValue::StringArray(vec!["waist".to_owned(), FILL_IN.to_owned()]);
        for group in GROUPS {
            for definition in group.definitions {
                for open in [&text, &array] {
                    let expected = definition.check(open).unwrap_err();
                    assert!(
                        expected.contains("in place of FILL_IN"),
                        "{}: {expected}",
                        definition.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_choice_that_is_a_number_is_a_text() {
        let bars = definition("image_bars");
        let below_black = ParameterValue::String("-3".to_owned());
        assert_eq!(bars.check(&ParameterValue::Integer(-3)), Ok(below_black));
        assert_eq!(
            bars.check(&ParameterValue::Integer(-2)),
            Err("a value of type string".to_owned())
        );
    }

    #[test]
    fn an_empty_list_of_no_type_or_another_is_an_empty_array() {
        use ParameterValue::{BoolArray, DoubleArray, IntegerArray, NotSet, StringArray};
        for empty in [NotSet, BoolArray(vec![]), StringArray(vec![])] {
            let checked = |name| definition(name).check(&empty);
            assert_eq!(checked("absent_cameras"), Ok(StringArray(vec![])));
            assert_eq!(checked("robot_range"), Ok(DoubleArray(vec![])));
            assert_eq!(checked("crop"), Ok(IntegerArray(vec![])));
            assert_eq!(checked("prompt"), Err("a value of type string".to_owned()));
        }
        assert!(definition("crop").check(&BoolArray(vec![true])).is_err());
    }

    #[test]
    fn other_types_and_values_out_of_range_are_refused_with_what_is_expected() {
        use ParameterValue::{Double, Integer, StringArray};
        let text = |value: &str| ParameterValue::String(value.to_owned());
        for (name, value, expected) in [
            ("threads", text("all"), "a value of type integer"),
            ("threads", Integer(-1), "0 to 1024"),
            ("control_rate_hz", Double(0.0), "1 to 1000"),
            ("control_rate_hz", Double(f64::NAN), "1 to 1000"),
            ("max_velocity", Double(0.0), "at least 0.001"),
            ("position_min", Double(f64::NAN), "any number"),
            ("scale", Double(f64::INFINITY), "a finite number other than 0"),
            ("seed", Integer(-7), "at least 0"),
            ("checkpoint", text(""), "not empty"),
            (
                "joint_names",
                StringArray(vec![String::new()]),
                "at least one, none of them empty",
            ),
        ] {
            assert_eq!(definition(name).check(&value), Err(expected.to_owned()), "{name}");
        }
        assert_eq!(
            definition("device").expected(),
            "one of auto, cpu, tenstorrent, remote"
        );
        assert!(definition("max_velocity").check(&Double(f64::INFINITY)).is_ok());
    }
}
