//! Tests that are not run, and say so.

use libtest_mimic::{Completion, Trial};

/// A trial that is not run, which its name says, and is not passed when it is asked for all the same.
pub fn ignored(behaviour: &str, why: &'static str) -> Trial {
    let completion = move || Ok(Completion::ignored_with(why));
    Trial::ignorable_test(format!("{behaviour} ({why})"), completion).with_ignored_flag(true)
}
