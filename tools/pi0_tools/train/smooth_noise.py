"""Noise on what a robot executes while an expert's own targets are recorded."""

from math import sqrt

import numpy as np

NOISE_SECONDS = 0.3


class SmoothNoise:
    """Smooth noise, of a standard deviation for each value."""

    def __init__(self, random, deviations, step_seconds):
        self._random = random
        self._keep = float(np.exp(-step_seconds / NOISE_SECONDS))
        self._rough = np.zeros(len(deviations))
        self._smooth = np.zeros(len(deviations))
        self._scale = np.asarray(deviations) * (1 + self._keep) / sqrt(1 + self._keep**2)

    def next(self):
        """The noise of the next step, of the shape and in the units of the deviations."""
        keep = self._keep
        self._rough = keep * self._rough + sqrt(1 - keep**2) * self._random.standard_normal(len(self._rough))
        # A second filter takes out the jumps from step to step.
        self._smooth = keep * self._smooth + (1 - keep) * self._rough
        return self._scale * self._smooth
