//! Seams between chunks, of a simulated policy and of chunks that the shipped policy made.

mod blending;
mod clock_skew;
mod joint_trajectory_controller;
mod poses;
mod recorded;
mod simulated;
mod splices;
mod takeover;
