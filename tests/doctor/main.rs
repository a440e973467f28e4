//! Whether a robot and a policy fit each other: on made-up sightings, on bags of independent writers, and as a program.

mod bags;
mod guesses;
mod problems;
mod program;
mod robot;
mod stacks;
