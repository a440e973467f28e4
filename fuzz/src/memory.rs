//! An allocator that counts, and ends the program where an input takes more memory than it may.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that an input may take, and further ones for each of its own.
const BASE: usize = 64 << 20;
const FOR_EACH_BYTE: usize = 10;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: memory is that of the system's allocator; nothing but counters is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's layout is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the memory came from the system's allocator with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both exist while the content is moved.
        add(size);
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the memory came from the system's allocator with this layout.
        unsafe { System.realloc(memory, layout, size) }
    }
}

fn add(size: usize) {
    let allocated = ALLOCATED.fetch_add(size, Ordering::Relaxed).saturating_add(size);
    if allocated > LIMIT.load(Ordering::Relaxed) {
        // What follows allocates too.
        LIMIT.store(usize::MAX, Ordering::Relaxed);
        eprintln!(
            "an allocation of {size} bytes exceeds the limit:\n{}",
            Backtrace::force_capture()
        );
        std::process::abort();
    }
}

/// Runs what reads an input. Ends the program if the memory that is allocated meanwhile exceeds 64 MiB and ten times the
/// input. Libraries in C are not counted.
pub fn bounded<T>(input: &[u8], read: impl FnOnce() -> T) -> T {
    bounded_above(0, input, read)
}

/// As [`bounded`], with so many bytes more.
pub fn bounded_above<T>(more: usize, input: &[u8], read: impl FnOnce() -> T) -> T {
    let limit = ALLOCATED.load(Ordering::Relaxed) + BASE + FOR_EACH_BYTE * input.len();
    LIMIT.store(limit + more, Ordering::Relaxed);
    let result = read();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    result
}
