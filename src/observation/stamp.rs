//! Checks of stamps.

use std::time::Duration;

use super::InputProblem;

/// Largest difference between the stamps of messages that belong together. Messages that are closer may overtake each other; a
/// stamp that is further back belongs to another time, of a recording that starts again or a clock that was set.
pub const TIME_JUMP: Duration = Duration::from_secs(1);

/// Returns whether time jumped back from the `newest` stamp to `stamp`.
pub fn jumped_back(newest: Duration, stamp: Duration) -> bool {
    stamp + TIME_JUMP < newest
}

/// What is wrong with a message that is stamped `stamp` and comes at `now`: the policy's actions are for the robot as it was
/// at that moment, so one that is further than `max_age` from the clock, before or after, is of no use.
pub fn stamp_problem(stamp: Duration, now: Duration, max_age: Duration) -> Option<InputProblem> {
    let apart = now.abs_diff(stamp);
    (apart > max_age).then_some(InputProblem::Stamp {
        apart,
        is_ahead: stamp > now,
        max_age,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_judged_both_ways_and_the_words_name_what_sets_clocks() {
        let now = Duration::from_secs(1_700_000_000);
        let max_age = Duration::from_millis(500);
        let judge = |stamp| stamp_problem(stamp, now, max_age).map(|problem| problem.to_string());
        for good in [now, now - max_age, now + max_age] {
            assert_eq!(judge(good), None);
        }
        for (bad, expected) in [
            (Duration::from_secs(12), "1699999988.000 s behind"),
            (now - Duration::from_secs(3600), "3600.000 s behind"),
            (now + Duration::from_secs(3), "3.000 s ahead of"),
        ] {
            let problem = judge(bad).unwrap();
            for words in [expected, "use_sim_time", "NTP", "max_age_ms (500 ms)"] {
                assert!(problem.contains(words), "{words} in {problem}");
            }
        }
    }
}
