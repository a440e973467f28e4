//! Seams between chunks, of a simulated policy and of chunks that the shipped policy made.

mod recorded;
mod seams;
