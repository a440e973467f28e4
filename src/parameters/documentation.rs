//! What the documentation and the configuration files say of the parameters, so that a test can hold them to it.

use super::{Changeable, Declaration, in_yaml};

impl Declaration {
    /// The row of the table in `docs/parameters.md`.
    pub fn table_row(&self) -> String {
        let default = self.default.value();
        let unit = if self.unit.is_empty() { "–" } else { self.unit };
        let while_running = match self.changeable {
            Changeable::Never => "no",
            Changeable::Unconfigured => "unconfigured",
            Changeable::Always => "yes",
        };
        format!(
            "| `{}` | {} | `{}` | {unit} | {} | {while_running} | {} |",
            self.name,
            default.type_name(),
            in_yaml(&default),
            self.expected(),
            self.description
        )
    }

    /// The comment above the parameter in a configuration file; there it is broken into lines.
    pub fn comment(&self) -> String {
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" Unit: {}.", self.unit)
        };
        let default = in_yaml(&self.default.value());
        format!(
            "{}{unit} Range: {}. Default: {default}.",
            self.description,
            self.expected()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::DECLARATIONS;

    #[test]
    fn the_documentation_has_every_parameter_as_it_is_declared() {
        let documentation = include_str!("../../docs/parameters.md");
        let rows: Vec<&str> = documentation
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> = DECLARATIONS
            .iter()
            .map(|declaration| declaration.table_row())
            .collect();
        assert_eq!(rows, expected, "the table must be:\n{}", expected.join("\n"));
    }

    #[test]
    fn the_configuration_has_every_parameter_with_its_comment() {
        let configuration = include_str!("../../config/aloha_sim.yaml");
        let (_, parameters) = configuration.split_once("ros__parameters:").unwrap();
        let mut found = Vec::new();
        let mut comment = Vec::new();
        for line in parameters.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("# ") {
                comment.push(text);
            } else if let Some((name, _)) = line.split_once(':') {
                found.push((name, comment.join(" ")));
                comment.clear();
            }
        }
        let expected = DECLARATIONS.iter().map(|one| (one.name, one.comment()));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
