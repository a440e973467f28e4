"""Runs of the policy node on the simulated robot, and bags for `pi0_eval`."""
