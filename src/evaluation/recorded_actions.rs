//! Ground truth of a prediction: the actions that were recorded after its observation.

use std::collections::VecDeque;
use std::time::Duration;

use super::messages::JointPoints;
use crate::control::lerp;

/// Tolerance of times: stamps and periods are rounded to nanoseconds, and simulations step in rounded times.
const SAME_TIME: Duration = Duration::from_micros(1);

/// Motion of a joint between two recorded messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// A command holds until the next message.
    Hold,
    /// A measured position moves to that of the next message.
    Interpolate,
}

/// Newest recorded actions of every joint, by their times. A message may have some of the joints.
#[derive(Debug)]
pub struct RecordedActions {
    joints: Vec<VecDeque<(Duration, JointPoints)>>,
    between: Between,
    longest_gap: Duration,
}

impl RecordedActions {
    /// Creates an empty record of `joint_count` joints. An action counts for `longest_gap` at most.
    pub fn new(joint_count: usize, between: Between, longest_gap: Duration) -> Self {
        Self {
            joints: vec![VecDeque::new(); joint_count],
            between,
            longest_gap,
        }
    }

    /// Adds the points of a joint from `time` on. Messages may come a little out of order.
    pub fn push(&mut self, joint: usize, time: Duration, points: JointPoints) {
        let messages = &mut self.joints[joint];
        let index = messages.partition_point(|(other, _)| *other <= time);
        messages.insert(index, (time, points));
    }

    /// Time up to which every joint is recorded; `None` before all of them were.
    pub fn newest(&self) -> Option<Duration> {
        let newest = self
            .joints
            .iter()
            .map(|messages| messages.back().map(|(time, _)| *time));
        newest.min().flatten()
    }

    /// Positions of all joints at `time`; `None` where the recording of a joint has a gap or is over.
    pub fn at(&self, time: Duration) -> Option<Vec<f32>> {
        self.joints
            .iter()
            .map(|messages| self.joint_at(messages, time))
            .collect()
    }

    fn joint_at(&self, messages: &VecDeque<(Duration, JointPoints)>, time: Duration) -> Option<f32> {
        let (newest, _) = messages.back()?;
        if time > *newest + SAME_TIME {
            return None;
        }
        let after = messages.partition_point(|(other, _)| *other <= time + SAME_TIME);
        let (start, points) = messages.get(after.checked_sub(1)?)?;
        let elapsed = time.saturating_sub(*start);
        if elapsed > self.longest_gap {
            return None;
        }
        match (self.between, messages.get(after)) {
            (Between::Interpolate, Some((end, next))) if *end - *start <= self.longest_gap => {
                let share = elapsed.as_secs_f64() / (*end - *start).as_secs_f64();
                Some(lerp(points.first()?.1, next.first()?.1, share))
            }
            (Between::Interpolate, Some(_)) if !elapsed.is_zero() => None,
            _ => along(points, elapsed),
        }
    }

    /// Drops messages that are not needed for times from `time` on.
    pub fn forget_before(&mut self, time: Duration) {
        for messages in &mut self.joints {
            while messages.get(1).is_some_and(|(next, _)| *next <= time) {
                messages.pop_front();
            }
        }
    }

    /// Drops all messages.
    pub fn clear(&mut self) {
        self.joints.iter_mut().for_each(VecDeque::clear);
    }
}

/// Position of a joint `elapsed` after the beginning of its points: interpolated between two of them, and constant after the
/// last one.
fn along(points: &JointPoints, elapsed: Duration) -> Option<f32> {
    let after = points.partition_point(|(time, _)| *time <= elapsed);
    let Some((start, from)) = after.checked_sub(1).and_then(|before| points.get(before)) else {
        return points.first().map(|(_, position)| *position);
    };
    let Some((end, to)) = points.get(after) else {
        return Some(*from);
    };
    let share = (elapsed - *start).as_secs_f64() / (*end - *start).as_secs_f64();
    Some(lerp(*from, *to, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn recorded(between: Between, messages: &[(u64, f32)]) -> RecordedActions {
        let mut actions = RecordedActions::new(1, between, ms(500));
        for &(time, position) in messages {
            actions.push(0, ms(time), vec![(Duration::ZERO, position)]);
        }
        actions
    }

    #[test]
    fn a_command_holds_until_the_next_one_and_a_measured_position_moves_to_it() {
        let messages = [(100, 1.0), (200, 2.0)];
        let commands = recorded(Between::Hold, &messages);
        assert_eq!(
            (commands.at(ms(150)), commands.at(ms(200))),
            (Some(vec![1.0]), Some(vec![2.0]))
        );
        let measured = recorded(Between::Interpolate, &messages);
        assert_eq!(
            (measured.at(ms(150)), measured.at(ms(200))),
            (Some(vec![1.5]), Some(vec![2.0]))
        );
    }

    #[test]
    fn there_is_no_action_before_the_recording_after_it_and_in_its_gaps() {
        for between in [Between::Hold, Between::Interpolate] {
            let actions = recorded(between, &[(100, 1.0), (2000, 2.0)]);
            for time in [50, 700, 2100] {
                assert_eq!(actions.at(ms(time)), None, "{between:?} at {time} ms");
            }
        }
    }

    #[test]
    fn a_trajectory_is_followed_along_its_points() {
        let mut actions = RecordedActions::new(1, Between::Hold, ms(500));
        actions.push(0, ms(100), vec![(ms(0), 0.0), (ms(100), 1.0)]);
        actions.push(0, ms(500), vec![(ms(0), 7.0)]);
        assert_eq!(actions.at(ms(150)), Some(vec![0.5]));
        assert_eq!(actions.at(ms(300)), Some(vec![1.0]));
        assert_eq!(actions.at(ms(500)), Some(vec![7.0]));
    }

    #[test]
    fn joints_of_several_messages_have_actions_while_all_of_them_are_recorded() {
        let mut actions = RecordedActions::new(2, Between::Hold, ms(500));
        actions.push(0, ms(100), vec![(ms(0), 1.0)]);
        assert_eq!((actions.newest(), actions.at(ms(100))), (None, None));
        actions.push(1, ms(110), vec![(ms(0), 2.0)]);
        actions.push(0, ms(120), vec![(ms(0), 3.0)]);
        assert_eq!(actions.newest(), Some(ms(110)));
        assert_eq!(actions.at(ms(105)), None);
        assert_eq!(actions.at(ms(110)), Some(vec![1.0, 2.0]));
        assert_eq!(actions.at(ms(120)), None);
    }

    #[test]
    fn messages_out_of_order_are_put_in_order() {
        let actions = recorded(Between::Hold, &[(200, 2.0), (100, 1.0), (300, 3.0)]);
        assert_eq!(actions.at(ms(150)), Some(vec![1.0]));
    }

    #[test]
    fn messages_that_are_not_needed_are_dropped() {
        let mut actions = recorded(Between::Hold, &[(100, 1.0), (200, 2.0), (300, 3.0)]);
        actions.forget_before(ms(250));
        assert_eq!(actions.joints[0].len(), 2);
        assert_eq!(actions.at(ms(250)), Some(vec![2.0]));
    }
}
