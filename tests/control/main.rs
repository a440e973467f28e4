//! Seams between chunks, of a simulated policy and of chunks that the shipped policy made.

mod blending;
mod recorded;
