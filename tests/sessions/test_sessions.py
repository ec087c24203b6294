"""Sessions by ID: what is read of them (law L6), what is told of them, and what is done to them; in both colours."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable._core.errors import ConfigurationError
from resumable._core.store_errors import (
    CursorError,
    LogLostError,
    SessionEndedError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from resumable.sessions import SessionEvent
from resumable.store import Append, AsyncMemoryStore, Cursor, MemoryStore, Opening, Status, Store
from resumable.store._url import open_store
from resumable.testing._conformance_scene import until
from tests.sessions.faces import sessions_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])
OPENING = Opening(b'{"body":{}}', "hash", "alice", {"model": "m"})
_NAMES = (f"sessions-test-{number}" for number in count(1))


class Author:
    """Writes one session into this process's memory."""

    def __init__(self, store: Store, *, lease: float = 60.0, opening: Opening = OPENING) -> None:
        self.store = store
        self.its = next(_NAMES)
        self.duration = lease
        self.seq = 0
        self.lease = store.acquire(self.its, "first", duration=lease, ttl=600.0, opening=opening).lease

    def write(self, count: int, end: Status | None = None) -> None:
        """Append so many events."""
        events = [b'{"type":"ping","n":%d}' % (self.seq + i) for i in range(1, count + 1)]
        [done] = self.store.append([Append(self.lease, self.seq + 1, events, end=end)])
        assert not isinstance(done, Exception), done
        self.seq += count

    def hand_over(self) -> None:
        """Release it, and take it as another."""
        self.store.release(self.lease)
        self.lease = self.store.acquire(self.its, "second", duration=self.duration, ttl=600.0).lease


@pytest.fixture
def store() -> Iterator[Store]:
    """An opening of the process's memory."""
    opened = open_store("memory://")
    yield opened
    opened.close()


def told(events: list[SessionEvent]) -> list[Any]:
    """Say of each event of the message its number, of each other one its type."""
    return [event.type if event.is_change else event.event["n"] for event in events]


@COLOURS
@settings(max_examples=25)
@given(steps=st.lists(st.integers(0, 5), max_size=5), ends=st.booleans())
def test_reading_after_every_event_gives_what_follows(colour, steps, ends):
    """Behind each event k, replay and tail give k+1, k+2 … of every session, live or finished (law L6)."""
    opened = open_store("memory://")
    author = Author(opened)
    for step in steps:
        author.write(step) if step else author.hand_over()
    if ends:
        author.write(1, Status.COMPLETE)
    with sessions_of(colour) as sessions:
        whole = list(sessions.replay(author.its))
        assert [event.event["n"] for event in whole if not event.is_change] == [*range(1, author.seq + 1)]
        for k in range(len(whole)):
            assert list(sessions.replay(author.its, whole[k].cursor)) == whole[k + 1 :]
            with sessions.tail(author.its, str(whole[k].cursor)) as tail:
                assert [next(tail) for _ in whole[k + 1 :]] == whole[k + 1 :]
        if ends:
            assert list(sessions.tail(author.its)) == whole
        plain = [event for event in whole if not event.is_change]
        assert list(sessions.replay(author.its, changes=False)) == plain
    opened.close()


@COLOURS
def test_what_becomes_of_a_session_is_told(colour, store):
    """Opening, handing over, falling silent, being taken over and the end are events, each with its facts."""
    author = Author(store, lease=0.3)
    author.write(1)
    with sessions_of(colour) as sessions, sessions.tail(author.its) as tail:
        got = [next(tail), next(tail)]
        author.hand_over()
        got += [next(tail), next(tail), next(tail)]
        author.lease = store.acquire(author.its, "third", duration=60.0, ttl=600.0).lease
        author.write(1, Status.FAILED)
        got += tail
    assert told(got) == [
        "session.opened",
        1,
        "session.released",
        "session.taken_over",
        "session.lapsed",
        "session.taken_over",
        2,
        "session.failed",
    ]
    assert got[4].cursor == got[3].cursor
    assert got[4].event == {"type": "session.lapsed", "status": "running", "holder": "second"}
    assert got[5].event == {"type": "session.taken_over", "status": "running", "holder": "third", "last_seq": 1}
    assert [event.is_end for event in got] == [False] * 7 + [True]
    assert tail.cursor == got[-1].cursor


@COLOURS
def test_an_orphan_is_told(colour, store):
    """That a session waits for a credential is an event too, and what follows it is read."""
    author = Author(store, lease=0.01)
    until(lambda: not store.get(author.its).is_held)
    store.orphan(author.its)
    with sessions_of(colour) as sessions:
        assert told(list(sessions.replay(author.its))) == ["session.opened", "session.orphaned"]
        sessions.cancel(author.its)
        assert told(list(sessions.tail(author.its)))[-1] == "session.cancelled"


@COLOURS
def test_a_tail_can_leave_changes_out(colour, store):
    """With `changes=False` only events of the message come, and the cursor moves on all the same."""
    author = Author(store)
    author.write(2)
    author.hand_over()
    author.write(1, Status.COMPLETE)
    with sessions_of(colour) as sessions, sessions.tail(author.its, changes=False) as tail:
        assert told(list(tail)) == [1, 2, 3]
        assert list(sessions.replay(author.its, tail.cursor)) == []


@COLOURS
@pytest.mark.parametrize("cursor", ["$", "0", "-", "+", "1-1-1", "01-1", "", "1 - 1", "9" * 17 + "-1"])
def test_a_malformed_cursor_is_an_error_at_once(colour, cursor):
    """What is no cursor is refused when it is passed, before any store is asked."""
    with sessions_of(colour, "ftp://nowhere") as sessions:
        for read in (sessions.replay, sessions.tail):
            with pytest.raises(CursorError):
                read("s", cursor)


@COLOURS
def test_a_future_cursor_is_an_error(colour, store):
    """A cursor that lies in the future is an error when it is read from."""
    author = Author(store)
    with sessions_of(colour) as sessions:
        for read in (sessions.replay, sessions.tail):
            with pytest.raises(CursorError, match="in the future"):
                next(read(author.its, Cursor(author.lease.token, 1)))


@COLOURS
def test_what_is_not_there_is_an_error(colour):
    """Every way to ask for a session that does not exist says so."""
    with sessions_of(colour) as sessions:
        for ask in (sessions.get, sessions.request, sessions.cancel):
            with pytest.raises(SessionNotFoundError):
                ask("nobody")
        for read in (sessions.replay, sessions.tail):
            with pytest.raises(SessionNotFoundError):
                next(read("nobody"))
        assert sessions.delete("nobody") is False


@COLOURS
def test_sessions_are_inspected(colour, store):
    """What is known of a session, its request, and lists of sessions are what the store says."""
    opening = Opening(b'{"body":{"a":1}}', "hash", principal := next(_NAMES))
    running, over = Author(store, opening=opening), Author(store, opening=opening)
    over.write(3, Status.COMPLETE)
    with sessions_of(colour) as sessions:
        found = sessions.get(over.its)
        assert (found.status, found.last_seq, found.principal) == (Status.COMPLETE, 3, principal)
        assert sessions.request(over.its) == b'{"body":{"a":1}}'
        assert {one.session_id for one in sessions.list(principal=principal)} == {running.its, over.its}
        assert [one.session_id for one in sessions.list(principal=principal, status="complete")] == [over.its]
        assert [one.session_id for one in sessions.list(principal=principal, status=Status.RUNNING)] == [running.its]
        assert sessions.list(principal=principal, min_age=60.0) == []
        assert len(sessions.list(principal=principal, max_age=60.0, limit=1)) == 1


@COLOURS
def test_sessions_are_cancelled_and_deleted(colour, store):
    """A cancel asks the holder, a second one finds the session ended; a delete removes it, once."""
    author = Author(store)
    with sessions_of(colour) as sessions:
        assert sessions.cancel(author.its, "enough").holder == "first"
        assert sessions.get(author.its).cancel == "enough"
        author.write(1, Status.COMPLETE)
        with pytest.raises(SessionEndedError):
            sessions.cancel(author.its)
        assert sessions.delete(author.its) is True
        assert sessions.delete(author.its) is False


@COLOURS
def test_what_is_given_is_left_open(colour):
    """A store that was passed in works on when its sessions are left; what they opened themselves does not."""
    given: list[Any] = []

    def make() -> Any:
        given.append(MemoryStore() if colour == "sync" else AsyncMemoryStore())
        return given[0]

    with sessions_of(colour, make) as sessions:
        assert sessions.list() == []
    with sessions_of(colour, lambda: given[0]) as sessions:
        assert sessions.list() == []
        own = sessions._desk().store
        assert own is given[0]
    with sessions_of(colour) as sessions:
        own = sessions._desk().store
    assert own._is_closed
    assert not given[0]._is_closed


@COLOURS
def test_left_sessions_are_an_error(colour, store):
    """After leaving, everything says that the store is closed; who tails then is told, too."""
    author = Author(store)
    with sessions_of(colour) as sessions:
        tail = sessions.tail(author.its)
        next(tail)
        failed: list[StoreUnavailableError] = []

        def wait() -> None:
            try:
                next(tail)
            except StoreUnavailableError as error:
                failed.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        sessions.close()
        sessions.close()
        waiting.join(30)
        assert [error.reason for error in failed] == ["closed"]
        for use in (sessions.list, lambda: next(sessions.tail(author.its))):
            with pytest.raises(StoreUnavailableError) as caught:
                use()
            assert (caught.value.reason, caught.value.retryable) == ("closed", False)


@COLOURS
def test_a_closed_reading_has_ended(colour, store):
    """What is closed gives nothing more, whether it had begun or not, and without asking the store."""
    author = Author(store)
    author.write(3)
    with sessions_of(colour) as sessions:
        for read in (sessions.replay, sessions.tail):
            begun, not_begun = read(author.its), read("nobody")
            next(begun)
            for reading in (begun, not_begun):
                reading.close()
                reading.close()
                assert list(reading) == []


@COLOURS
def test_the_store_is_opened_when_it_is_needed(colour, monkeypatch):
    """Making sessions asks nothing; the first use does, of the URL, else of what the environment names."""
    monkeypatch.setenv("RESUMABLE_URL", "memory://")
    with sessions_of(colour, "ftp://nowhere") as sessions, pytest.raises(ConfigurationError, match="ftp://"):
        sessions.list()
    with sessions_of(colour, None) as sessions:
        assert sessions.delete("nobody") is False


def test_an_entry_that_is_no_json_is_an_error_when_it_is_looked_into(store):
    """Bytes that are no event are given out as they are, without a type; decoding them is an error of the log."""
    author = Author(store)
    store.append([Append(author.lease, 1, [b"\xff", b"[]", b'{"no":"type"}'])])
    with sessions_of("sync") as sessions:
        _, torn, array, bare = sessions.replay(author.its)
    assert [(event.type, event.json) for event in (torn, array, bare)] == [
        ("", b"\xff"),
        ("", b"[]"),
        ("", b'{"no":"type"}'),
    ]
    for event in (torn, array):
        with pytest.raises(LogLostError):
            _ = event.event
    assert bare.event == {"no": "type"}


def test_an_event_hides_its_content():
    """The representation of an event names it and leaves its content out."""
    event = SessionEvent("s", Cursor(1, 2), "ping", b'{"secret":1}')
    assert repr(event) == "SessionEvent('s', '1-2', 'ping')"
