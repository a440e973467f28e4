"""The simulated Blackhole, as TT-Metalium starts it: wolfpine's server, mended."""

import sys

import mended

mended.mend()

from framework.sim.blackhole.__main__ import main  # noqa: E402

sys.exit(main())
