"""A demo of the policy on the simulated robot, filmed."""
