//! The primitives of what passes between threads. `loom/` puts those of loom in their place.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
