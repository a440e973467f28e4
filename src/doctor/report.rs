//! What fits and what does not, for people and for programs.

use std::fmt;

use serde::Serialize;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It fits.
    Ok,
    /// It may be right, and a person should look.
    Look,
    /// It does not fit, or is not known: the robot would not move, or not as the policy means.
    Problem,
}

/// One thing that fits or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is to be taken.
    pub level: Level,
    /// What it is about: `camera top`, `joint waist`.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What to do; empty where it fits.
    pub advice: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One after the other, as they are to be read.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds something that fits.
    pub fn ok(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.add(Level::Ok, subject, found, "");
    }

    /// Adds something that a person should look at.
    pub fn look(&mut self, subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Look, subject, found, advice);
    }

    /// Adds something that does not fit.
    pub fn problem(
        &mut self,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(Level::Problem, subject, found, advice);
    }

    fn add(
        &mut self,
        level: Level,
        subject: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.findings.push(Finding {
            level,
            subject: subject.into(),
            found: found.into(),
            advice: advice.into(),
        });
    }

    /// Whether something does not fit.
    pub fn has_problems(&self) -> bool {
        self.count(Level::Problem) > 0
    }

    fn count(&self, level: Level) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    }
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Look => "look",
            Self::Problem => "problem",
        }
    }
}

/// A line for each finding, its advice in a line below, and the counts at the end.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for Finding {
            level,
            subject,
            found,
            advice,
        } in &self.findings
        {
            writeln!(f, "{:<8} {subject}: {found}", level.name())?;
            if !advice.is_empty() {
                writeln!(f, "{:<8} → {advice}", "")?;
            }
        }
        let [ok, look, problem] = [Level::Ok, Level::Look, Level::Problem].map(|level| self.count(level));
        write!(f, "{ok} ok, {look} to look at, {problem} problems")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_lines_for_people_and_an_object_for_programs() {
        let mut report = Report::default();
        report.ok("camera top", "rgb8");
        report.look("joint waist", "far", "move it");
        assert!(!report.has_problems());
        report.problem("output", "nobody listens", "start it");
        assert!(report.has_problems());
        let expected = "ok       camera top: rgb8\nlook     joint waist: far\n         → move it\n\
                        problem  output: nobody listens\n         → start it\n1 ok, 1 to look at, 1 problems";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][2]["level"], "problem");
        assert_eq!(json["findings"][1]["advice"], "move it");
    }
}
