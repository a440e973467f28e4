//! Recordings, from bags to what an evaluation says of them.

mod command_line;
mod damaged_messages;
mod evaluating;
mod fixtures;
mod observations;
mod reading;
mod robot;
