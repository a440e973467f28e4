"""Keeps simulated time and wall-clock time in step."""

import time


class Pace:
    """One deadline per simulation step; a late simulation lets simulated time run slower and skips nothing."""

    # A short delay is caught up, so that simulated time stays exact on average; a longer one is not.
    CATCH_UP_SECONDS = 0.25

    def __init__(self, step_seconds, real_time_factor, clock=time.monotonic):
        """real_time_factor: simulated seconds per wall-clock second."""
        self._period_s = step_seconds / real_time_factor
        self._clock = clock
        self._deadline_s = clock() + self._period_s

    def remaining_s(self):
        """Wall-clock seconds until the step is due; zero when it is late."""
        return max(0.0, self._deadline_s - self._clock())

    def next_step(self):
        """Moves on to the next step; returns False when the simulation gave up catching up."""
        kept = self._clock() - self._deadline_s <= self.CATCH_UP_SECONDS
        if not kept:
            self._deadline_s = self._clock()
        self._deadline_s += self._period_s
        return kept
