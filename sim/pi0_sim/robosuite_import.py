"""robosuite, imported without the parts that no simulation on a robot's topics calls.

robosuite imports OpenCV for a window and numba for a compiler that its settings switch off. Where one is missing, an
empty module takes its place while robosuite is imported, and is gone afterwards.
"""

import importlib.util
import sys
from types import ModuleType

UNUSED = ("cv2", "numba")


def import_robosuite():
    """The module robosuite, with the settings of this simulation."""
    if "robosuite" not in sys.modules:
        # Settings have to be there before the first import; robosuite looks for them in this module.
        settings = ModuleType("robosuite.macros_private")
        # Compiled at every first start, numba's functions are slower than NumPy's.
        settings.ENABLE_NUMBA = False
        # MUJOCO_GL stays what it is.
        settings.MUJOCO_GPU_RENDERING = False
        # It warns that there is no file of settings, and of packages for other robots.
        settings.CONSOLE_LOGGING_LEVEL = "ERROR"
        sys.modules["robosuite.macros_private"] = settings
        missing = [name for name in UNUSED if importlib.util.find_spec(name) is None]
        sys.modules.update({name: ModuleType(name) for name in missing})
        try:
            import robosuite  # noqa: F401
        finally:
            for name in missing:
                del sys.modules[name]
    return sys.modules["robosuite"]
