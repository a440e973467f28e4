"""Links pi0_sim and pi0_tools of this checkout into the environment of the Python that runs this."""

import sysconfig
from pathlib import Path

TOOLS = Path(__file__).resolve().parent

links = Path(sysconfig.get_path("purelib")) / "pi0_node.pth"
links.write_text(f"{TOOLS.parent / 'sim'}\n{TOOLS}\n", encoding="utf-8")
