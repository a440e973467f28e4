//! Work on several threads.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::device::{DeviceError, Result};

/// Below this many elementary operations work is not shared: a thread that wakes and then looks for more takes longer,
/// and from a core of two threads it takes the other one's time.
const WORTH_SHARING: usize = 10_000_000;

/// The threads of a CPU device.
pub(super) struct Threads {
    /// None on a single thread.
    pool: Option<ThreadPool>,
}

impl Threads {
    /// `count` threads; 0 for as many as the machine runs at once.
    pub fn new(count: usize) -> Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        if count == 1 {
            return Ok(Self { pool: None });
        }
        ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("cpu-device-{index}"))
            .build()
            .map(|pool| Self { pool: Some(pool) })
            .map_err(|error| DeviceError::Unavailable(format!("could not start {count} threads: {error}")))
    }

    pub fn count(&self) -> usize {
        self.pool.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Calls `task` for every index below `count`; `operations` is the whole work, in elementary operations.
    pub fn for_each(&self, count: usize, operations: usize, task: impl Fn(usize) + Sync + Send) {
        match &self.pool {
            Some(pool) if operations > WORTH_SHARING && count > 1 => {
                pool.install(|| (0..count).into_par_iter().for_each(task));
            }
            _ => (0..count).for_each(task),
        }
    }

    /// Calls `task` for every chunk of `length` values, with the chunk's index.
    pub fn for_each_chunk<T: Send>(
        &self,
        values: &mut [T],
        length: usize,
        operations: usize,
        task: impl Fn(usize, &mut [T]) + Sync + Send,
    ) {
        match &self.pool {
            Some(pool) if operations > WORTH_SHARING => pool.install(|| {
                values
                    .par_chunks_mut(length)
                    .enumerate()
                    .for_each(|(index, chunk)| task(index, chunk));
            }),
            _ => values
                .chunks_mut(length)
                .enumerate()
                .for_each(|(index, chunk)| task(index, chunk)),
        }
    }
}
