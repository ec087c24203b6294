"""The table of transitions: total, free of dead ends, and the source of its page."""

from __future__ import annotations

import re
from itertools import product

import pytest

from resumable._core.errors import LocalProtocolError, SeamError, SeamMissedError
from resumable._core.states import TRANSITIONS, Input, Read, Sleep, State, Stop
from tests.core.rig import Rig
from tests.core.states_page import PAGE, page

OVER = {State.DONE, State.FAILED, State.CLOSED}


def test_every_state_has_its_row():
    """A state that is added must say what may happen in it."""
    assert set(TRANSITIONS) == set(State)
    assert {cause for moves in TRANSITIONS.values() for cause in moves} == set(Input)


@pytest.mark.parametrize(("state", "cause"), list(product(State, Input)))
def test_every_pair_moves_as_the_table_says_or_is_refused(state, cause):
    """Nothing changes a state but the table; what it does not hold is a bug in the code that drives the machine."""
    session = Rig().session
    session.state = state
    if cause in TRANSITIONS[state]:
        session._move(cause)
        assert session.state is TRANSITIONS[state][cause]
    else:
        with pytest.raises(LocalProtocolError) as refused:
            session._move(cause)
        assert str(refused.value) == f"{cause.value} is not allowed in state {state.value}"
        assert session.state is state


def reachable(state):
    """Follow the table from a state."""
    seen, left = set(), [state]
    while left:
        seen.add(at := left.pop())
        left += [to for to in TRANSITIONS[at].values() if to not in seen]
    return seen


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_and_every_one_ends(state):
    """No state is idle, from each one the session can come to its end, and from an end nothing leads away."""
    assert state in reachable(State.READY)
    assert reachable(state) & OVER
    if state in OVER:
        assert reachable(state) == {state}


@pytest.mark.parametrize("state", State)
def test_caller_may_leave_at_any_time(state):
    """Closing is allowed in every state, and a second time too."""
    to = TRANSITIONS[state][Input.CLOSE]
    assert to is (state if state in OVER else State.CLOSED)


def test_actions_are_values():
    """A test or a driver compares them; a stop carries the error that is to be raised."""
    error = SeamError(2, SeamMissedError("diverged"))
    assert Read() == Read()
    assert Sleep(0.5) == Sleep(0.5) != Sleep(1.0)
    assert Stop(error).error is error


def test_page_is_what_the_table_says():
    """After a change of the table, draw the page anew: python -m tests.core.states_page."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_diagram_draws_every_change_once():
    """Each transition to another state is one arrow with the input's name."""
    drawn = re.findall(r"^    (\w+) --> (\w+): (.+)$", page(), re.MULTILINE)
    wanted = [
        (state.value, to.value, cause.value)
        for state, moves in TRANSITIONS.items()
        for cause, to in moves.items()
        if to is not state
    ]
    assert drawn == wanted


@pytest.mark.parametrize("cause", Input)
def test_what_comes_after_the_caller_left_is_only_late(cause):
    """Another thread may close in the middle of anything; the one that reads must not be hurt by it."""
    session = Rig().session
    session.close(0.0)
    session._move(cause)
    assert session.state is State.CLOSED
    assert isinstance(session.next_action(0.0), Stop)


def test_nothing_is_sent_when_the_caller_leaves_while_it_is_asked_for(monkeypatch):
    """A close between the look at the state and the next attempt wins."""
    session = Rig().session
    opening = session._open

    def closes_first(now):
        session.close(now)
        return opening(now)

    monkeypatch.setattr(session, "_open", closes_first)
    assert isinstance(session.next_action(0.0), Stop)
