"""The layout shows what a node with the simulated robot's configuration publishes, joint by joint."""

import json
import re
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATION = CHECKOUT / "config" / "aloha_sim.yaml"
LAYOUT = json.loads((CHECKOUT / "config" / "foxglove_layout.json").read_text())
PANELS = LAYOUT["configById"]
PARAMETERS = yaml.safe_load(CONFIGURATION.read_text())["/**"]["ros__parameters"]
CAMERA_TOPICS = [camera["topic"] for camera in PARAMETERS["cameras"].values()]
# The defaults of the node, but for the robot's description.
TOPICS = {"/joint_states", "/joint_trajectory", "/prompt", "/diagnostics", "/pi0_node/chunk"}
DIAGNOSTIC = re.compile(r'/diagnostics\.status\[:\]\{name=="(.+?)"\}\.values\[:\]\{key=="(\w+)"\}\.value')


def panels_of(kind):
    return [panel for name, panel in PANELS.items() if name.startswith(f"{kind}!")]


def message_paths():
    return [path for kind in ("Plot", "StateTransitions") for panel in panels_of(kind) for path in panel["paths"]]


def leaves(split):
    if isinstance(split, str):
        return [split]
    assert split["direction"] in ("row", "column")
    assert 0 < split["splitPercentage"] < 100
    return leaves(split["first"]) + leaves(split["second"])


def shown_topics():
    topics = {re.split(r"[.{\[]", path["value"])[0] for path in message_paths()}
    topics |= {panel["imageMode"]["imageTopic"] for panel in panels_of("Image")}
    topics |= {panel["topicName"] for panel in panels_of("Publish")}
    return topics | {
        panel["topicToRender"] for kind in ("DiagnosticSummary", "DiagnosticStatusPanel") for panel in panels_of(kind)
    }


def test_every_panel_is_shown_once():
    assert sorted(leaves(LAYOUT["layout"])) == sorted(PANELS)


def test_its_topics_are_those_of_the_configuration():
    assert shown_topics() == TOPICS | set(CAMERA_TOPICS)


def test_every_camera_of_the_configuration_is_shown():
    assert [panel["imageMode"]["imageTopic"] for panel in panels_of("Image")] == CAMERA_TOPICS


def test_the_prompt_is_published_as_the_node_takes_it():
    (panel,) = panels_of("Publish")
    assert (panel["topicName"], panel["datatype"]) == ("/prompt", "std_msgs/msg/String")
    assert json.loads(panel["value"]) == {"data": PARAMETERS["prompt"]}


@pytest.mark.parametrize(
    ("array", "suffix"),
    [
        ("/joint_trajectory.points[0].positions", " commanded"),
        ("/joint_states.position", " measured"),
        ("/pi0_node/chunk.points[:].positions", ""),
    ],
)
def test_each_joint_is_plotted_from_its_own_place(array, suffix):
    plotted = {path["label"]: path["value"] for path in message_paths() if path["value"].startswith(f"{array}[")}
    joints = PARAMETERS["joint_names"]
    assert plotted == {f"{joint}{suffix}": f"{array}[{place}]" for place, joint in enumerate(joints)}


def test_lines_are_drawn():
    assert all(path["enabled"] for panel in panels_of("Plot") for path in panel["paths"])


def test_the_diagnostics_that_are_plotted_are_documented():
    documented = (CHECKOUT / "docs" / "node.md").read_text()
    found = [
        DIAGNOSTIC.fullmatch(path["value"]) for path in message_paths() if path["value"].startswith("/diagnostics")
    ]
    assert found
    assert all(f"`{status}`" in documented and f"`{key}`" in documented for status, key in map(re.Match.groups, found))
