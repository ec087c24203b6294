"""Cursors, names and arguments: what is accepted, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.errors import ConfigurationError
from resumable._core.store_errors import CursorError
from resumable.store import Cursor, Status
from resumable.store._checks import check_holder, check_session_id, milliseconds
from resumable.store._keys import Keys

NUMBERS = st.integers(0, 10**16 - 1)


@given(NUMBERS, NUMBERS)
def test_a_cursor_has_one_spelling(token, seq):
    """What is written is read back, and nothing else reads as the same."""
    text = str(Cursor(token, seq))
    assert Cursor.parse(text) == (token, seq)
    for other in (f"0{text}", f" {text}", f"{text}\n", f"+{text}", text.replace("-", "_")):
        with pytest.raises(CursorError):
            Cursor.parse(other)


@pytest.mark.parametrize("text", ["", "$", "+", "-", "0", "1-", "-1", "1-1-1", "1-*", "١-١", "1" * 17 + "-1", "x" * 99])
def test_what_means_something_to_the_server_is_no_cursor(text):
    """A client's cursor never reaches the server unread; the error quotes no more than 64 characters."""
    with pytest.raises(CursorError) as caught:
        Cursor.parse(text)
    assert caught.value.cursor == text[:64]


def test_what_is_over_stays_over():
    """Three of the states are ends."""
    assert {status for status in Status if status.is_over} == {Status.COMPLETE, Status.FAILED, Status.CANCELLED}


@pytest.mark.parametrize("session_id", ["", "a b", "a/b", "{a}", "ä", "a" * 129, "a\n"])
def test_an_id_that_cannot_be_one(session_id):
    """An ID that would not be safe in a key, a path or a header is refused."""
    with pytest.raises(ConfigurationError):
        check_session_id(session_id)
    with pytest.raises(ConfigurationError):
        Keys().session(session_id)


def test_the_keys_of_a_session_live_in_one_slot():
    """All three carry the ID as their tag, and nothing else in braces."""
    names = Keys.under("own").session("a.b-c_1")
    assert names == ("own:{a.b-c_1}:meta", "own:{a.b-c_1}:log", "own:{a.b-c_1}:request")


@pytest.mark.parametrize("prefix", ["", "a{b", "a}", "a b", "x" * 65])
def test_a_prefix_that_cannot_be_one(prefix):
    """A prefix with braces would move the tag."""
    with pytest.raises(ConfigurationError):
        Keys.under(prefix)


@pytest.mark.parametrize("holder", ["", "x" * 257, "ä" * 129])
def test_a_holder_that_cannot_be_one(holder):
    """A holder has a name, of bounded length."""
    with pytest.raises(ConfigurationError):
        check_holder(holder)


@pytest.mark.parametrize("seconds", [0, -1, 0.0001, float("nan"), float("inf"), 1e11])
def test_a_duration_that_cannot_be_one(seconds):
    """A duration is at least a millisecond, and finite."""
    with pytest.raises(ConfigurationError):
        milliseconds("ttl", seconds)
    assert milliseconds("ttl", 0.0016) == 2
