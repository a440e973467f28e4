"""The simulated Blackhole, as TT-Metalium starts it: wolfpine's server, mended."""

import os
import sys
import threading
import time

import mended

mended.mend()

from framework.sim.blackhole.__main__ import main  # noqa: E402


def end_with_parent(parent: int) -> None:
    """TT-Metalium starts the simulator detached, and a test that is killed would leave it running."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
sys.exit(main())
