//! The definitions as documentation: the rows of the reference page, and a parameter file to fill in.

use std::fmt::Write;

use super::table::{GROUPS, Group};
use super::{Changeable, Definition};

/// Width of the comments in the parameter file.
const COLUMNS: usize = 110;

/// The rows of the tables in `docs/parameters.md`.
pub fn table_rows() -> Vec<String> {
    let rows = GROUPS.iter().flat_map(|group| {
        let definitions = group.definitions.iter();
        definitions.map(|definition| definition.table_row(group.prefix))
    });
    rows.collect()
}

/// A parameter file that has every parameter with its description: those that every robot must set to fill in, the others
/// at their defaults in comments.
pub fn template() -> String {
    let mut text = String::from("/**:\n  ros__parameters:\n");
    for group in GROUPS {
        group.write(&mut text);
    }
    text
}

impl Group {
    /// Writes the group into a parameter file: an entry of a map under a name that stands for those of the robot.
    fn write(&self, text: &mut String) {
        let keys: Vec<&str> = self.prefix.split_terminator('.').collect();
        let mut indent = 4;
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n    # {}", self.heading);
        for key in keys {
            let _ = writeln!(text, "{:indent$}#{}:", "", key.trim_matches(['<', '>']));
            indent += 2;
        }
        for definition in self.definitions {
            for line in wrapped(&definition.comment(), COLUMNS - indent) {
                let _ = writeln!(text, "{:indent$}# {line}", "");
            }
            let default = (definition.default)();
            let is_set = self.prefix.is_empty() && definition.is_required();
            let mark = if is_set { "" } else { "#" };
            let _ = writeln!(text, "{:indent$}{mark}{}: {default}", "", definition.name);
        }
    }
}

impl Definition {
    fn table_row(&self, prefix: &str) -> String {
        let default = match self.is_required() {
            true => "required".to_owned(),
            false => format!("`{}`", (self.default)()),
        };
        let unit = if self.unit.is_empty() { "–" } else { self.unit };
        let while_running = match self.changeable {
            Changeable::Never => "no",
            Changeable::Unconfigured => "unconfigured",
            Changeable::Always => "yes",
        };
        format!(
            "| `{prefix}{}` | {} | {default} | {unit} | {} | {while_running} | {} |",
            self.name,
            (self.default)().type_name(),
            self.expected(),
            self.description()
        )
    }

    /// The comment above the parameter in a parameter file.
    fn comment(&self) -> String {
        let unit = match self.unit {
            "" => String::new(),
            unit => format!(" Unit: {unit}."),
        };
        let required = if self.is_required() { " Required." } else { "" };
        format!(
            "{}{unit} Range: {}.{required}",
            self.description(),
            self.expected()
        )
    }
}

/// The words of a text in lines of at most `columns` characters.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::overrides::{names, owned, text};
    use super::super::{ParameterValue, Parameters, parameters_of};
    use super::*;

    #[test]
    fn the_reference_page_has_every_parameter_as_it_is_defined() {
        let page = include_str!("../../docs/parameters.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = table_rows();
        assert_eq!(rows, expected, "the rows must be:\n{}", expected.join("\n"));
    }

    #[test]
    fn the_template_sets_what_is_required_and_its_comments_set_everything_else_to_the_default() {
        let template = template();
        let names_of = |text: &str| {
            let parameters = parameters_of(text, "/pi0_node").unwrap().into_iter();
            parameters.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names_of(&template), ["checkpoint", "joint_names"]);
        let lines = template
            .lines()
            .map(|line| match line.trim_start().strip_prefix('#') {
                Some(set) if !set.starts_with(' ') => line.replacen('#', "", 1),
                _ => line.to_owned(),
            });
        let filled = lines.collect::<Vec<_>>().join("\n");
        let expected = GROUPS.iter().flat_map(|group| {
            let prefix = group.prefix.replace(['<', '>'], "");
            group
                .definitions
                .iter()
                .map(move |definition| format!("{prefix}{}", definition.name))
        });
        assert_eq!(names_of(&filled), expected.collect::<Vec<_>>());
        let whole = [
            ("checkpoint", text("/checkpoint")),
            ("joint_names", names("name")),
            ("cameras.name.topic", text("/top")),
            ("pose_names", names("name")),
            ("poses.name.topic", text("/pose")),
            ("poses.name.base_frame", text("base")),
            ("joint_states.name.topic", text("/joint_states")),
            ("extra_state_names", names("name")),
            ("extra_state.name.topic", text("/force")),
            ("extra_state.name.size", ParameterValue::Integer(1)),
            ("outputs.name.topic", text("/commands")),
            ("outputs.name.joints", names("name")),
        ];
        let defaults = Parameters::from_overrides(owned(&whole)).unwrap();
        let given = parameters_of(&filled, "/pi0_node")
            .unwrap()
            .into_iter()
            .chain(owned(&whole));
        let filled = Parameters::from_overrides(given).unwrap();
        assert_eq!(filled.settings(), defaults.settings());
    }

    #[test]
    fn no_line_of_the_template_is_too_long() {
        for line in template().lines() {
            assert!(line.chars().count() <= COLUMNS + 2, "{line}");
        }
    }
}
