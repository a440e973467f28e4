import subprocess
import sys

CODE = """
import sys
from pi0_sim.robosuite_import import UNUSED, import_robosuite
robosuite = import_robosuite()
assert robosuite is import_robosuite()
import robosuite.macros
assert not robosuite.macros.ENABLE_NUMBA
for name in UNUSED:
    assert getattr(sys.modules.get(name), "__file__", "none") is not None, name
    assert name not in sys.modules or sys.modules[name].__spec__ is not None, name
"""


def test_robosuite_is_imported_without_a_word_and_without_leaving_empty_modules():
    finished = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
