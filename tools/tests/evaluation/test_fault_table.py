"""The table of faults."""

import subprocess
import sys

from pi0_tools.evaluation.fault_table import rows

CASES = """
import pytest

def test_that_passes(record_property):
    record_property("largest_step", 0.01)

def test_that_fails():
    assert False

def test_that_cannot_begin(no_such_fixture):
    pass
"""


def test_every_case_of_pytest_s_own_file_is_a_row_with_its_outcome_and_properties(tmp_path):
    (tmp_path / "test_cases.py").write_text(CASES, encoding="utf-8")
    junit = tmp_path / "results.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        "/dev/null",
        "-o",
        "junit_family=xunit1",
        "--rootdir",
        tmp_path,
        tmp_path,
    ]
    subprocess.run([*command, f"--junit-xml={junit}"], capture_output=True, cwd=tmp_path)
    found = [(row["test"], row["outcome"], row.get("largest_step")) for row in rows(junit)]
    assert found == [
        ("test_that_passes", "passed", "0.01"),
        ("test_that_fails", "failure", None),
        ("test_that_cannot_begin", "error", None),
    ]
