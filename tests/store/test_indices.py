"""Indices and memory stay in proportion to the sessions there are."""

from __future__ import annotations

import pytest

from resumable._core.store_errors import StoreUnavailableError
from resumable.store import MemoryStore, Status, Vitals
from resumable.store.memory._model import MemorySessions
from resumable.store.redis._commands import sound
from resumable.testing import ManualClock
from resumable.testing._conformance_scene import REQUEST, opened, write
from tests.store.stores import store_at

INDEX, ALICE, ACTIVE = "resumable:index", "resumable:principal:alice", "resumable:active"


def test_a_list_goes_on_until_it_is_full(store):
    """What is looked for may stand behind many that are not."""
    for i in range(120):
        opened(store, f"s{i}")
    [oldest] = [one for one in store.list(limit=200) if one.session_id == "s0"]
    store.cancel("s0")
    write(store, store.acquire("s0", "first", duration=9, ttl=60).lease, 1, end=Status.FAILED)
    assert [one.session_id for one in store.list(status=Status.FAILED)] == ["s0"]
    assert len(store.list(limit=110)) == 110
    assert len(store.list(limit=200, max_age=1000)) == 120
    assert oldest.created <= min(one.created for one in store.list())


def test_an_index_forgets_what_is_gone(store, server):
    """Listing drops what has expired; looking for work drops what is over too."""
    opened(store, "gone")
    opened(store, "over")
    opened(store, "there")
    with server.client as client:
        for half in ("meta", "log", "request"):
            client.delete(f"resumable:{{gone}}:{half}")
        client.hset("resumable:{over}:meta", "status", "complete")
        client.zadd(ACTIVE, {"gone": 1, "over": 1, "there": 1})
        assert {one.session_id for one in store.list()} == {"over", "there"}
        assert {one.session_id for one in store.list(principal="alice")} == {"over", "there"}
        assert not store.due()
        assert set(client.zrange(INDEX, 0, -1)) == set(client.zrange(ALICE, 0, -1)) == {b"over", b"there"}
        assert client.zrange(ACTIVE, 0, -1) == [b"there"]


def test_an_index_is_trimmed(store, server):
    """A new session drops what nobody has asked for in longer than anything is kept."""
    opened(store, "new")
    with server.client as client:
        client.zadd(INDEX, {"old": 1})
        opened(store, "newer")
        assert set(client.zrange(INDEX, 0, -1)) == {b"new", b"newer"}


def test_an_ended_session_needs_no_look(store, server):
    """Its end, a cancel in place and a delete take it from the index."""
    write(store, opened(store, "complete"), 1, end=Status.COMPLETE)
    store.release(opened(store, "cancelled"))
    store.cancel("cancelled")
    opened(store, "deleted")
    store.delete("deleted")
    with server.client as client:
        assert client.zcard(ACTIVE) == 0


def test_a_server_that_says_nothing_of_itself(store, server):
    """Where INFO is unknown or forbidden, a ping is a ping."""
    with server.client as client:
        client.acl_setuser("quiet", enabled=True, passwords=["+word"], commands=["+@all", "-info"], keys=["*"])

    with store_at(server.tcp_url.replace("//", "//quiet:word@"), "sync") as quiet:
        assert quiet.ping() == Vitals(None, None, None)
    assert store.ping().role == "master"


def test_memory_does_not_grow_with_what_has_expired():
    """The reference forgets what has expired whenever the number of sessions has doubled."""
    clock = ManualClock(1000.0)
    store = MemoryStore(clock=clock.now)
    for i in range(500):
        store.acquire(f"s{i}", "h", duration=1, ttl=10, opening=REQUEST)
        clock.advance(1)
    sessions = store._sessions
    assert isinstance(sessions, MemorySessions)
    assert len(sessions._sessions) <= 32
    assert len(store.list()) == 9


def test_what_is_kept_moves_when_a_tenth_is_used_up():
    """Not with every write, and always for the whole time."""
    clock = ManualClock(1000.0)
    store = MemoryStore(clock=clock.now)
    lease = store.acquire("s", "h", duration=1, ttl=100, opening=REQUEST).lease
    clock.advance(9)
    store.renew([lease])
    clock.advance(90)
    store.renew([lease])
    clock.advance(99)
    assert store.get("s").created == 1000
    write(store, lease, 1, b"a")
    clock.advance(99)
    assert store.get("s").last_seq == 1


def test_an_error_among_answers_is_raised():
    """An answer that is an error is not read as one."""
    assert sound(b"fine") == b"fine"
    with pytest.raises(StoreUnavailableError):
        sound(StoreUnavailableError("busy", "BUSY"))
