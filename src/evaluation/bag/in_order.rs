//! Sorting of messages by their times: a file without an index has them in the order of writing, which is nearly that order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use super::message::{Recorded, Visit};
use crate::observation::TIME_JUMP;

/// Most bytes that wait together.
const CAPACITY: usize = 128 << 20;

/// Messages that wait for older ones, until a message comes that is newer by more than [`TIME_JUMP`].
#[derive(Debug, Default)]
pub(super) struct InOrder {
    waiting: BinaryHeap<Reverse<Waiting>>,
    bytes: usize,
    newest: Duration,
    given: Duration,
    count: u64,
    late: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    log_time: Duration,
    number: u64,
    topic: String,
    data: Vec<u8>,
}

impl InOrder {
    /// Adds a message and passes on the messages that need not wait any longer.
    pub fn take(&mut self, message: Recorded, visit: &mut Visit) -> ControlFlow<()> {
        self.bytes += message.data.len();
        self.count += 1;
        self.newest = self.newest.max(message.log_time);
        self.late += u64::from(message.log_time < self.given);
        self.waiting.push(Reverse(Waiting {
            log_time: message.log_time,
            number: self.count,
            topic: message.topic.to_owned(),
            data: message.data.to_vec(),
        }));
        while let Some(Reverse(oldest)) = self.waiting.peek()
            && (self.newest.saturating_sub(oldest.log_time) > TIME_JUMP || self.bytes > CAPACITY)
        {
            self.give_oldest(visit)?;
        }
        ControlFlow::Continue(())
    }

    /// Passes on all waiting messages.
    pub fn finish(&mut self, visit: &mut Visit) -> ControlFlow<()> {
        while !self.waiting.is_empty() {
            self.give_oldest(visit)?;
        }
        ControlFlow::Continue(())
    }

    /// Number of messages that were passed on after newer ones.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Log time of the newest message.
    pub fn newest(&self) -> Duration {
        self.newest
    }

    fn give_oldest(&mut self, visit: &mut Visit) -> ControlFlow<()> {
        let Some(Reverse(message)) = self.waiting.pop() else {
            return ControlFlow::Continue(());
        };
        self.bytes -= message.data.len();
        self.given = self.given.max(message.log_time);
        visit(Recorded {
            topic: &message.topic,
            log_time: message.log_time,
            data: &message.data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(milliseconds: &[u64]) -> (Vec<u64>, u64) {
        let mut in_order = InOrder::default();
        let mut times = Vec::new();
        let mut visit = |message: Recorded| {
            times.push(message.log_time.as_millis() as u64);
            ControlFlow::Continue(())
        };
        for &time in milliseconds {
            let message = Recorded {
                topic: "/a",
                log_time: Duration::from_millis(time),
                data: &[1],
            };
            assert!(in_order.take(message, &mut visit).is_continue());
        }
        assert!(in_order.finish(&mut visit).is_continue());
        (times, in_order.late())
    }

    #[test]
    fn messages_within_a_second_are_put_in_order() {
        assert_eq!(given(&[30, 10, 20, 900, 40]), (vec![10, 20, 30, 40, 900], 0));
    }

    #[test]
    fn a_message_that_is_more_than_a_second_late_is_counted() {
        assert_eq!(given(&[0, 500, 3000, 100]), (vec![0, 500, 100, 3000], 1));
    }
}
