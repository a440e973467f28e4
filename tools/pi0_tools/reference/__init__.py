"""Fixtures from LeRobot's π0, which the Rust network is compared with."""
