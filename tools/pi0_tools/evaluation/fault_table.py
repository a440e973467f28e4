"""Prints the results of `make faults` as JSON: a row for each fault, with what was measured.

Its input is the JUnit file that pytest writes.
"""

import argparse
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def rows(junit):
    """A row a test, in the file's order: its name, passed or failed, its seconds, and its properties."""
    table = []
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        outcome = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
        measured = {entry.get("name"): entry.get("value") for entry in case.iter("property")}
        table.append({"test": case.get("name"), "outcome": outcome, "seconds": float(case.get("time")), **measured})
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("junit", type=Path)
    print(json.dumps(rows(parser.parse_args().junit), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
