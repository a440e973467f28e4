"""The node's lifecycle, through the services that a lifecycle manager's own client calls."""

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState


@pytest.fixture(scope="module")
def manager(start_node, robot_beside, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    with start_node(log, "-p", "managed:=true"), robot_beside([]) as robot:
        yield robot


def state(manager):
    return manager.call(GetState, "get_state", GetState.Request()).current_state.id


def change(manager, transition):
    return manager.call(ChangeState, "change_state", ChangeState.Request(transition=Transition(id=transition))).success


def test_a_manager_leads_the_node_through_its_states_and_back(manager):
    assert state(manager) == State.PRIMARY_STATE_UNCONFIGURED
    for transition, expected in [
        (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
        (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
    ]:
        assert change(manager, transition), transition
        assert state(manager) == expected


def test_a_transition_that_does_not_begin_here_is_refused_and_changes_nothing(manager):
    assert not change(manager, Transition.TRANSITION_ACTIVATE)
    assert state(manager) == State.PRIMARY_STATE_UNCONFIGURED
    answer = manager.call(GetAvailableTransitions, "get_available_transitions", GetAvailableTransitions.Request())
    labels = [available.transition.label for available in answer.available_transitions]
    assert labels == ["configure", "shutdown"]


def test_a_node_that_cannot_be_configured_stays_unconfigured(manager):
    manager.set(checkpoint="/no/such/folder")
    assert not change(manager, Transition.TRANSITION_CONFIGURE)
    assert state(manager) == State.PRIMARY_STATE_UNCONFIGURED
    manager.wait_until(
        lambda: "/no/such/folder" in manager.statuses.get("pi0_node: inference", {}).get("last_error", ""),
        "the cause on /diagnostics",
    )
