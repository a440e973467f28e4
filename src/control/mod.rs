//! An action chunk becomes a trajectory: at every tick, the points that are still ahead.
