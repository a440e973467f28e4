//! Prefetching of memory.

use super::kernel::MOST_PANELS_AT_ONCE;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The next part of some panels, prefetched a share at a time while something else is computed.
pub(super) struct Prefetch<'a> {
    rest: [&'a [u8]; MOST_PANELS_AT_ONCE],
    share: usize,
}

impl<'a> Prefetch<'a> {
    /// Divides `memory` into shares.
    pub fn new(memory: [&'a [u8]; MOST_PANELS_AT_ONCE], shares: usize) -> Self {
        Self {
            rest: memory,
            share: memory[0].len().div_ceil(shares.max(1)).next_multiple_of(LINE),
        }
    }

    /// Prefetches the next share into the second-level cache: the first one is full of operands.
    #[inline(always)]
    pub fn next_share(&mut self) {
        for rest in &mut self.rest {
            let (share, behind) = rest.split_at(self.share.min(rest.len()));
            for line in share.chunks(LINE) {
                ask_for(line.as_ptr());
            }
            *rest = behind;
        }
    }
}

/// Prefetches memory that is written or read next, all of it.
#[inline(always)]
pub(super) fn ask_for_all(memory: &[f32]) {
    for line in memory.chunks(LINE / size_of::<f32>()) {
        ask_for(line.as_ptr().cast());
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ask_for(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: every such machine has the instruction, which reads nothing that could be seen.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) };
}

/// Does nothing: the machine's own prediction is enough.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn ask_for(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_asked_for_in_so_many_shares() {
        let memory = [0; 1000];
        for shares in [0, 1, 3, 7, 100] {
            let mut prefetch = Prefetch::new([&memory; MOST_PANELS_AT_ONCE], shares);
            for _ in 0..shares.max(1) {
                prefetch.next_share();
            }
            assert!(
                prefetch.rest.iter().all(|rest| rest.is_empty()),
                "{shares} shares"
            );
        }
    }

    #[test]
    fn no_more_than_there_is_is_asked_for() {
        let mut prefetch = Prefetch::new([&[0; 65], &[], &[], &[]], 2);
        for _ in 0..3 {
            prefetch.next_share();
        }
        assert!(prefetch.rest.iter().all(|rest| rest.is_empty()));
    }
}
