//! Recordings, from bags to what an evaluation says of them.

mod fixtures;
mod reading;
