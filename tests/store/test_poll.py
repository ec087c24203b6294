"""How many logs are waited for by asking."""

from __future__ import annotations

import pytest

from resumable._core.store_errors import LogRewoundError, StoreUnavailableError
from resumable.store import Cursor, Recorded
from resumable.store._keys import Keys
from resumable.store._records import LONGEST_WAIT
from resumable.store.cluster._poll import LONGEST_PAUSE, SHORTEST_PAUSE, Poll

LOST = StoreUnavailableError("connection", "ConnectionError")
EVENT = [[b"log", [[b"5-2", [b"d", b"{}"]]]]]
REWOUND = [[b"log", [[b"6-0", [b"status", b"running", b"holder", b"x", b"base", b"0", b"after", b"5-0"]]]]]


@pytest.fixture
def poll() -> Poll:
    """A wait for two logs that began at 100 s."""
    return Poll(Keys(), {"s": Cursor(5, 1), "t": Cursor(5, 1)}, 60.0, 100.0)


def test_each_log_is_asked_for_alone(poll):
    """No command has keys of two slots, and none blocks."""
    assert [command.words[-2:] for command in poll.flight] == [
        ("resumable:{s}:log", "5-1"),
        ("resumable:{t}:log", "5-1"),
    ]
    assert not any("BLOCK" in command.words for command in poll.flight)


def test_what_came(poll):
    """Logs that have something are there, each with its entries or with what became of it."""
    found = poll.read([EVENT, None])
    assert found == {"s": [Recorded(5, 2, b"{}")]}
    assert isinstance(poll.read([None, REWOUND])["t"], LogRewoundError)


def test_pauses_grow(poll):
    """From short to long while nothing comes, at least twice what a poll took, and never beyond the end."""
    pauses = [poll.pause(100.0, 100.0) for _ in range(6)]
    assert (pauses[0], pauses[-1]) == (SHORTEST_PAUSE, LONGEST_PAUSE)
    assert pauses == sorted(pauses)
    assert poll.pause(100.0, 100.2) == pytest.approx(0.4)
    assert poll.pause(100.0, 100.0 + LONGEST_WAIT - 0.01) == pytest.approx(0.01)
    assert poll.pause(100.0, 100.0 + LONGEST_WAIT) is None


def test_a_primary_that_is_away(poll):
    """The others' logs are given out; when nothing has come by the end, its absence is told."""
    assert poll.read([LOST, EVENT]).keys() == {"t"}
    assert poll.read([LOST, None]) == {}
    assert poll.pause(100.0, 101.0) is not None
    with pytest.raises(StoreUnavailableError):
        poll.pause(100.0, 200.0)
    poll.read([None, None])
    assert poll.pause(100.0, 200.0) is None


def test_what_waiting_does_not_cure(poll):
    """A right that is missing is told at once."""
    with pytest.raises(StoreUnavailableError):
        poll.read([None, StoreUnavailableError("permission", "NOPERM", retryable=False)])
