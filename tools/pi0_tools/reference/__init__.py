"""Fixtures from LeRobot's π0 and π0.5, which the Rust network is compared with."""
