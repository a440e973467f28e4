//! The newest messages of an input by their stamps.

use std::collections::VecDeque;
use std::time::Duration;

use super::stamp::{TIME_JUMP, jumped_back};

/// Messages within [`TIME_JUMP`] of the newest one, at most `limit` of them, in the order of their stamps; of one stamp, the
/// one that came last.
#[derive(Clone, Debug)]
pub struct History<T> {
    messages: VecDeque<(Duration, T)>,
    limit: usize,
}

impl<T> History<T> {
    /// With a `limit` of 1 it is the message that came last, whatever its stamp.
    pub fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            limit,
        }
    }

    pub fn push(&mut self, stamp: Duration, message: T) {
        let newest = self.newest().map(|(newest, _)| newest);
        if self.limit <= 1 || newest.is_some_and(|newest| jumped_back(newest, stamp)) {
            self.messages.clear();
        }
        let place = self.messages.partition_point(|(other, _)| *other <= stamp);
        match place
            .checked_sub(1)
            .and_then(|before| self.messages.get_mut(before))
        {
            Some(same) if same.0 == stamp => same.1 = message,
            _ => self.messages.insert(place, (stamp, message)),
        }
        let newest = self.newest().map_or(stamp, |(newest, _)| newest);
        let oldest_kept = newest.saturating_sub(TIME_JUMP);
        while self.messages.len() > self.limit
            || self
                .messages
                .front()
                .is_some_and(|(oldest, _)| *oldest < oldest_kept)
        {
            self.messages.pop_front();
        }
    }

    pub fn newest(&self) -> Option<(Duration, &T)> {
        self.messages.back().map(|(stamp, message)| (*stamp, message))
    }

    /// The message whose stamp is nearest to `stamp` (of two the newer one), at most `slop` from it.
    pub fn nearest(&self, stamp: Duration, slop: Duration) -> Option<(Duration, &T)> {
        let after = self.messages.partition_point(|(other, _)| *other < stamp);
        let before = after.checked_sub(1).and_then(|index| self.messages.get(index));
        let candidates = self.messages.get(after).into_iter().chain(before);
        candidates
            .map(|(other, message)| (*other, message))
            .filter(|(other, _)| other.abs_diff(stamp) <= slop)
            .min_by_key(|(other, _)| other.abs_diff(stamp))
    }

    /// The last message that is not after `stamp` and the first one that is not before it; none where there are not both.
    pub fn around(&self, stamp: Duration) -> Option<[(Duration, &T); 2]> {
        let after = self.messages.partition_point(|(other, _)| *other < stamp);
        let message = |index: usize| self.messages.get(index).map(|(stamp, message)| (*stamp, message));
        match message(after)? {
            exact if exact.0 == stamp => Some([exact, exact]),
            after_it => Some([message(after.checked_sub(1)?)?, after_it]),
        }
    }

    /// The stamps, newest first.
    pub fn stamps(&self) -> impl Iterator<Item = Duration> {
        self.messages.iter().rev().map(|(stamp, _)| *stamp)
    }

    /// Whether only the message that came last is kept.
    pub fn is_single(&self) -> bool {
        self.limit <= 1
    }

    pub fn clear(&mut self) {
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn history(limit: usize, stamps_ms: &[u64]) -> History<u64> {
        let mut history = History::new(limit);
        for &stamp in stamps_ms {
            history.push(ms(stamp), stamp);
        }
        history
    }

    #[test]
    fn the_nearest_message_within_the_slop_is_found_and_none_further_away() {
        let history = history(8, &[1000, 1030, 1060]);
        let nearest = |at, slop| history.nearest(ms(at), ms(slop)).map(|(_, message)| *message);
        assert_eq!(nearest(1041, 20), Some(1030));
        assert_eq!(nearest(1045, 20), Some(1060));
        assert_eq!(nearest(1045, 10), None);
        assert_eq!(nearest(990, 10), Some(1000));
        assert_eq!(nearest(1071, 10), None);
    }

    #[test]
    fn the_messages_around_a_time_are_those_before_and_after_it() {
        let history = history(8, &[1000, 1030, 1060]);
        let around = |at| Some(history.around(ms(at))?.map(|(_, message)| *message));
        assert_eq!(around(1041), Some([1030, 1060]));
        assert_eq!(around(1030), Some([1030, 1030]));
        assert_eq!(around(1060), Some([1060, 1060]));
        assert_eq!(around(999), None);
        assert_eq!(around(1061), None);
    }

    #[test]
    fn messages_that_overtook_each_other_are_put_in_order() {
        let history = history(8, &[1000, 1060, 1030]);
        assert_eq!(history.newest(), Some((ms(1060), &1060)));
        assert_eq!(
            history.stamps().collect::<Vec<_>>(),
            [ms(1060), ms(1030), ms(1000)]
        );
    }

    #[test]
    fn no_more_than_the_limit_and_than_a_second_is_kept() {
        assert_eq!(history(2, &[1000, 1010, 1020]).stamps().count(), 2);
        assert_eq!(history(8, &[1000, 1500, 2400]).stamps().count(), 2);
    }

    #[test]
    fn of_one_stamp_the_message_that_came_last_is_kept() {
        let mut history = history(8, &[1000, 1010]);
        history.push(ms(1000), 7);
        assert_eq!(history.nearest(ms(1000), ms(0)), Some((ms(1000), &7)));
        assert_eq!(history.stamps().count(), 2);
    }

    #[test]
    fn stamps_that_go_far_back_start_again() {
        let history = history(8, &[5000, 5010, 100]);
        assert_eq!(history.newest(), Some((ms(100), &100)));
    }

    #[test]
    fn with_a_limit_of_one_the_message_that_came_last_counts() {
        let history = history(1, &[1000, 1060, 1030]);
        assert_eq!(history.newest(), Some((ms(1030), &1030)));
    }
}
