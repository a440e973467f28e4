import sys
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = CHECKOUT / "config"
refusals = SimpleNamespace(**run_path(str(CHECKOUT / "launch" / "refusals.py")))
PARAMETERS = "\n  ros__parameters:\n    device: cpu\n"


@pytest.mark.parametrize("configuration", sorted(CONFIGURATIONS.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("namespace", ["", "left"])
def test_every_configuration_starts_a_node_in_any_namespace(configuration, namespace):
    refusals.check_params_file(str(configuration), namespace, "pi0_node")


@pytest.mark.parametrize(
    ("section", "namespace"),
    [("pi0_node", ""), ("pi0_node", "left"), ("/pi0_node", ""), ("/left/pi0_node", "/left/"), ("/**", "left")],
)
def test_a_section_for_the_node_is_found(tmp_path, section, namespace):
    params_file = tmp_path / "robot.yaml"
    params_file.write_text(f"/camera:{PARAMETERS}{section}:{PARAMETERS}")
    refusals.check_params_file(str(params_file), namespace, "pi0_node")


def test_a_mistyped_file_is_refused_by_its_name(tmp_path):
    for missing in (tmp_path / "robto.yaml", tmp_path):
        with pytest.raises(ValueError, match=f"params_file is {missing}, which cannot be read"):
            refusals.check_params_file(str(missing), "", "pi0_node")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [", "which is no YAML"),
        ("", "for no node"),
        ("just text", "for no node"),
        ("device: cpu", "for no node"),
        (f"pi0_nod:{PARAMETERS}", "for pi0_nod, expected one of"),
        (f"/pi0_node:{PARAMETERS}", r"for /pi0_node, expected one of /\*\*, \*\*, pi0_node, /left/pi0_node"),
    ],
)
def test_a_file_that_would_leave_the_node_with_its_defaults_is_refused(tmp_path, content, reason):
    params_file = tmp_path / "robot.yaml"
    params_file.write_text(content)
    with pytest.raises(ValueError, match=reason):
        refusals.check_params_file(str(params_file), "left", "pi0_node")


def recorder(code):
    return (sys.executable, "-c", code)


def test_a_recorder_with_the_storage_is_accepted():
    refusals.check_recorder("mcap", recorder("print('--storage {mcap,sqlite3}')"))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no_such_program", "bag"), "no_such_program bag cannot be run"),
        (recorder("import sys; sys.exit('invalid choice: bag')"), "failed .invalid choice: bag"),
        (recorder("print('--storage {sqlite3}')"), "no storage mcap"),
    ],
)
def test_a_recorder_that_cannot_run_is_refused_with_what_is_needed(command, reason):
    with pytest.raises(RuntimeError, match=rf"(?s){reason}.*rosbag2-storage-mcap"):
        refusals.check_recorder("mcap", command)
