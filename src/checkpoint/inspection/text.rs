//! An inspection as a text for people.

use std::fmt;

use super::{InspectedStatistics, Inspection};

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut row = |name: &str, value: String| -> fmt::Result {
            match value.is_empty() {
                true => Ok(()),
                false => writeln!(f, "{name:<11} {value}"),
            }
        };
        row("folder", self.folder.display().to_string())?;
        row(
            "policy",
            self.policy.clone().unwrap_or_else(|| "unknown".to_owned()),
        )?;
        row("written by", self.writer.clone())?;
        let types: Vec<String> = self
            .parameters
            .iter()
            .map(|(dtype, values)| format!("{:.2} million {dtype}", *values as f64 / 1e6))
            .collect();
        if !types.is_empty() {
            let gigabytes = self.weight_bytes as f64 / 1e9;
            row("weights", format!("{} ({gigabytes:.3} GB)", types.join(", ")))?;
        }
        row("cameras", self.cameras.join(", "))?;
        let dims: Vec<String> = ["state", "action"]
            .iter()
            .zip(self.configured_dims)
            .filter_map(|(name, dim)| Some(format!("{name} of {} values", dim?)))
            .collect();
        row("configured", dims.join(", "))?;
        row("actions", self.action_names.join(", "))?;
        for statistics in &self.statistics {
            row("statistics", statistics.to_string())?;
        }
        row("prompt", self.prompt.unwrap_or_default().to_owned())?;
        let limits = [
            (self.max_prompt_tokens, "tokens of a prompt at most"),
            (self.action_horizon, "actions in a chunk"),
            (self.denoise_steps, "denoising steps"),
        ];
        let limits: Vec<String> = limits
            .iter()
            .filter_map(|(number, name)| Some(format!("{} {name}", (*number)?)))
            .collect();
        row("limits", limits.join(", "))?;
        row(
            "tokenizer",
            if self.has_tokenizer {
                "tokenizer.json"
            } else {
                "none"
            }
            .to_owned(),
        )?;
        for assumed in &self.assumed {
            row("assumed", assumed.clone())?;
        }
        for missing in &self.missing {
            row("missing", missing.clone())?;
        }
        match &self.refusal {
            None => writeln!(f, "the node takes it"),
            Some(refusal) => writeln!(f, "the node refuses it: {refusal}"),
        }
    }
}

impl fmt::Display for InspectedStatistics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(asset) = &self.asset {
            write!(f, "{asset}: ")?;
        }
        write!(f, "{}", self.of)?;
        match self.length {
            Some(length) => write!(f, " of {length} values")?,
            None => write!(f, " without statistics")?,
        }
        if let Some(mode) = &self.mode {
            write!(f, ", {mode}")?;
        }
        if !self.without_extent.is_empty() {
            write!(f, ", always the same in training: {:?}", self.without_extent)?;
        }
        Ok(())
    }
}
