//! Texts of prompts, as a policy was trained with them.

/// Intervals of normalised values, from −1 on; each has its lower edge.
const BINS_A_UNIT: f32 = 128.0;
/// Highest interval, which has no upper edge.
const LAST_BIN: i32 = 255;

/// Text around the task of the robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptForm {
    /// The task as it is, and a newline at its end (LeRobot's π0).
    Task,
    /// The task without line breaks and underscores, and a newline (openpi's π0).
    CleanedTask,
    /// The cleaned task, and the normalised state as numbers from −1 to 255 (π0.5).
    TaskAndState {
        /// Length to which the state is padded with zeros first; 0 for its own.
        padded_to: usize,
    },
}

/// Use of the state in π0.5's prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateInPrompt {
    /// The prompt is the task alone, as of openpi's configuration `pi05_libero`.
    None,
    /// The values of the state (LeRobot from 0.5 on, openpi).
    Values,
    /// The values of the state, padded with zeros to `max_state_dim` (LeRobot 0.4).
    Padded,
}

impl PromptForm {
    /// π0.5's prompt with such a use of the state.
    pub fn pi05(state: StateInPrompt, max_state_dim: usize) -> Self {
        match state {
            StateInPrompt::None => Self::CleanedTask,
            StateInPrompt::Values => Self::TaskAndState { padded_to: 0 },
            StateInPrompt::Padded => Self::TaskAndState {
                padded_to: max_state_dim,
            },
        }
    }

    /// Text of a prompt; `state` is normalised. Empty where the task has no word.
    pub fn text(self, task: &str, state: &[f32]) -> String {
        self.text_of_bins(task, state.len(), state.iter().map(|value| bin(*value)))
    }

    /// Text that has as many tokens as any of this task with a state of `state_dim` values: three digits for
    /// every value. `None` where the text does not depend on the state.
    pub fn longest_text(self, task: &str, state_dim: usize) -> Option<String> {
        match self {
            Self::Task | Self::CleanedTask => None,
            Self::TaskAndState { .. } => {
                let bins = std::iter::repeat_n(LAST_BIN, state_dim);
                Some(self.text_of_bins(task, state_dim, bins))
            }
        }
    }

    fn text_of_bins(self, task: &str, state_dim: usize, bins: impl Iterator<Item = i32>) -> String {
        if task.trim().is_empty() {
            return String::new();
        }
        match self {
            Self::Task if task.ends_with('\n') => task.to_owned(),
            Self::Task => format!("{task}\n"),
            Self::CleanedTask => format!("{}\n", cleaned(task)),
            Self::TaskAndState { padded_to } => {
                let padding = std::iter::repeat_n(bin(0.0), padded_to.saturating_sub(state_dim));
                let bins: Vec<String> = bins.chain(padding).map(|bin| bin.to_string()).collect();
                format!("Task: {}, State: {};\nAction: ", cleaned(task), bins.join(" "))
            }
        }
    }
}

/// Cleans a task (openpi `tokenizer.py`, LeRobot `Pi05PrepareStateTokenizerProcessorStep`).
fn cleaned(task: &str) -> String {
    task.trim().replace(['_', '\n'], " ")
}

/// Interval of a normalised value: −1 below −1, 255 from 127/128 on and for what is no number (NumPy's
/// `digitize` with 256 edges, minus 1).
fn bin(value: f32) -> i32 {
    match value {
        _ if value < -1.0 => -1,
        // The product is exact, a sum with 1 could be rounded up to the next edge.
        _ if value < 1.0 => (value * BINS_A_UNIT).floor() as i32 + BINS_A_UNIT as i32,
        _ => LAST_BIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: PromptForm = PromptForm::TaskAndState { padded_to: 0 };

    #[test]
    fn values_go_to_the_interval_that_they_lie_in() {
        for (value, expected) in [
            (-1.0, 0),
            ((-1.0_f32).next_down(), -1),
            (f32::NEG_INFINITY, -1),
            (0.0, 128),
            (-1e-9, 127),
            (-f32::from_bits(1), 127),
            (0.5, 192),
            (0.992_187_5, 255),
            (0.992_187_5_f32.next_down(), 254),
            (1.0, 255),
            (7.0, 255),
            (f32::INFINITY, 255),
            (f32::NAN, 255),
        ] {
            assert_eq!(bin(value), expected, "{value}");
        }
    }

    #[test]
    fn pi05_s_prompt_has_the_cleaned_task_and_the_state() {
        assert_eq!(
            STATE.text(" pick_up\nthe cube ", &[0.0, -1.0, 9.0, -9.0]),
            "Task: pick up the cube, State: 128 0 255 -1;\nAction: "
        );
    }

    #[test]
    fn a_padded_state_ends_in_the_interval_of_zero() {
        let padded = PromptForm::pi05(StateInPrompt::Padded, 4);
        assert_eq!(
            padded.text("go", &[1.0, -1.0]),
            "Task: go, State: 255 0 128 128;\nAction: "
        );
        let longest = padded.longest_text("go", 2).unwrap();
        assert_eq!(longest, "Task: go, State: 255 255 128 128;\nAction: ");
    }

    #[test]
    fn a_prompt_without_state_is_the_task_and_a_newline() {
        assert_eq!(PromptForm::Task.text("pick_up", &[1.0]), "pick_up\n");
        assert_eq!(PromptForm::Task.text("pick up\n", &[1.0]), "pick up\n");
        let form = PromptForm::pi05(StateInPrompt::None, 32);
        assert_eq!(form.text(" pick_up\n", &[1.0]), "pick up\n");
        assert_eq!(form.longest_text("pick up", 1), None);
    }

    #[test]
    fn a_task_without_a_word_is_no_prompt() {
        for form in [PromptForm::Task, PromptForm::CleanedTask, STATE] {
            assert_eq!(form.text(" \n", &[1.0]), "", "{form:?}");
        }
    }
}
