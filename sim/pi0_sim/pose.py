"""Where something is and how it is turned."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Pose:
    """position_m: shape (3,). quaternion: x, y, z, w, of either sign. Both in the frame that the context names."""

    position_m: np.ndarray
    quaternion: np.ndarray

    @property
    def rotation(self):
        return Rotation.from_quat(self.quaternion)
