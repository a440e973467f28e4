"""Motions with minimum jerk, which the scripted experts make."""

from math import ceil

# The highest speed of such a motion, over its mean speed.
PEAK_TO_MEAN = 1.875


def minimum_jerk(seconds_at_peak_speed, step_seconds, fewest_steps):
    """The share of a way that is behind after each step.

    seconds_at_peak_speed: how long the way would take at the highest speed that the motion may have.
    """
    steps = max(ceil(PEAK_TO_MEAN * seconds_at_peak_speed / step_seconds), fewest_steps)
    for step in range(1, steps + 1):
        time = step / steps
        yield 10 * time**3 - 15 * time**4 + 6 * time**5
