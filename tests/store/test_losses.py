"""What becomes of every call when the store has lost something, or holds what this version did not write."""

from __future__ import annotations

import pytest

from resumable._core.store_errors import (
    LogLostError,
    LogRewoundError,
    SeqExpiredError,
    SessionNotFoundError,
    SessionSchemaError,
)
from resumable.store import Cursor, Opening
from resumable.testing._conformance_scene import opened, write
from tests.store.stores import KEPT, LOG, LONG, META, REQUEST, outcome, unavailable


@pytest.mark.parametrize("key", [META, LOG], ids=["checkpoint", "log"])
def test_half_a_session(store, server, key):
    """What an eviction left of a session is told as lost by every call, and never as new or empty."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    with server.client as client:
        client.delete(key)
    lost = "checkpoint" if key == META else "log"
    assert isinstance(outcome(store, lease, 2, b"b"), LogLostError)
    assert isinstance(store.renew([lease])[0], LogLostError)
    assert isinstance(store.look(["s"])[0], LogLostError)
    calls = [lambda: store.get("s"), lambda: store.cancel("s"), lambda: store.release(lease)]
    if key == META:
        calls += [lambda: store.acquire("s", "x", duration=LONG, ttl=KEPT, opening=Opening(b"", "h"))]
        assert len(store.read("s")) == 2  # What the log has is right all the same.
    else:
        calls += [lambda: store.read("s"), lambda: store.read("s", after=Cursor(lease.token, 1))]
        # Nobody holds it: a cancel would have to write its marker.
        with server.client as client:
            client.hset(META, "lease_until_ms", 1)
        calls += [lambda: store.acquire("s", "x", duration=LONG, ttl=KEPT), lambda: store.orphan("s")]
    for call in calls:
        with pytest.raises(LogLostError) as caught:
            call()
        assert caught.value.lost == lost


def test_no_request(store, server):
    """A session without its request is read and written, and its request is told as lost."""
    lease = opened(store)
    with server.client as client:
        client.delete(REQUEST)
    write(store, lease, 1, b"a")
    with pytest.raises(LogLostError) as caught:
        store.request("s")
    assert caught.value.lost == "request"


def test_a_server_restarted_empty(store, server):
    """A holder whose session is gone is told so, and does not begin a new one by writing."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    server.wipe()
    assert isinstance(outcome(store, lease, 2, b"b"), SessionNotFoundError)
    with pytest.raises(SessionNotFoundError):
        store.read("s", after=Cursor(lease.token, 1))


def test_a_failover_that_lost_events(store, server):
    """The holder is told where the log ends and sends again from there; ids are the same, so readers see no change."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    with server.client as client:
        kept = {key: client.dump(key) for key in (META, LOG)}
        write(store, lease, 2, b"b", b"c")
        for key, value in kept.items():
            client.restore(key, 0, value, replace=True)
    rewound = outcome(store, lease, 4, b"d")
    assert isinstance(rewound, LogRewoundError)
    assert (rewound.seen, rewound.last_seq) == (3, 1)
    write(store, lease, 2, b"b", b"c", b"d")
    assert [entry.cursor.seq for entry in store.read("s", after=Cursor(lease.token, 3))] == [4]


def test_a_failover_with_a_takeover(store, server):
    """A reader that saw what was lost is told by replay and by wait, and never gets other text in its place."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    with server.client as client:
        kept = {key: client.dump(key) for key in (META, LOG)}
        write(store, lease, 2, b"b", b"c")
        for key, value in kept.items():
            client.restore(key, 0, value, replace=True)
    store.release(lease)
    new = store.acquire("s", "second", duration=LONG, ttl=KEPT).lease
    write(store, new, 2, b"other")
    seen = Cursor(lease.token, 3)
    with pytest.raises(LogRewoundError) as caught:
        store.read("s", after=seen)
    assert (caught.value.seen, caught.value.last_seq) == (3, 1)
    assert isinstance(store.wait({"s": seen}, 1.0)["s"], LogRewoundError)


def test_a_log_that_was_trimmed(store, server):
    """A cursor behind which something was removed is told from where the log still is."""
    lease = opened(store)
    write(store, lease, 1, b"a", b"b", b"c")
    with server.client as client:
        client.xtrim(LOG, maxlen=1, approximate=False)
    for after in (None, Cursor(lease.token, 1)):
        with pytest.raises(SeqExpiredError) as caught:
            store.read("s", after=after)
        assert caught.value.earliest == 3
    assert isinstance(store.wait({"s": Cursor(lease.token, 1)}, 1.0)["s"], SeqExpiredError)
    assert len(store.read("s", after=Cursor(lease.token, 3))) == 0


def test_what_a_newer_version_wrote(store, server):
    """A newer major schema is refused before anything is changed; a newer minor one is read, its fields kept."""
    lease = opened(store)
    with server.client as client:
        client.hset(META, mapping={"schema": "1.4", "mood": "good"})
        assert store.get("s").text("mood") == "good"
        write(store, lease, 1, b"a")
        store.release(lease)
        lease = store.acquire("s", "second", duration=LONG, ttl=KEPT).lease
        assert store.get("s").text("mood") == "good"
        client.hset(META, mapping={"schema": "2", "lease_until_ms": 1})
        for call in (lambda: store.get("s"), lambda: store.acquire("s", "x", duration=LONG, ttl=KEPT)):
            with pytest.raises(SessionSchemaError) as caught:
                call()
            assert (caught.value.found, caught.value.supported) == ("2", 1)
        assert isinstance(store.look(["s"])[0], SessionSchemaError)
        assert client.hget(META, "holder") == b"second"


def test_a_key_that_is_something_else(store, server):
    """A key of another type under our name is an error that waiting does not cure."""
    with server.client as client:
        client.set(META, "mine")
    error = unavailable(lambda: store.acquire("s", "x", duration=LONG, ttl=KEPT, opening=Opening(b"", "h")))
    assert (error.reason, error.retryable) == ("refused", False)


def test_every_key_has_a_time_to_live(store, server):
    """All keys there are expire, those of a session at one instant, refreshed when a tenth is used up."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    store.cancel("s")
    store.wake()
    with server.client as client:
        keys = {key.decode() for key in client.keys("*")}
        assert {META, LOG, REQUEST, "resumable:active", "resumable:index", "resumable:control"} < keys
        assert "resumable:principal:alice" in keys
        assert all(client.pttl(key) > 0 for key in keys)
        at = {client.pexpiretime(key) if server.name == "valkey" else None for key in (META, LOG, REQUEST)}
        assert len(at) == 1
        for key in (META, LOG, REQUEST):
            client.pexpire(key, round(KEPT * 950))
        write(store, lease, 2, b"b")
        assert client.pttl(META) <= KEPT * 950
        for key in (META, LOG, REQUEST):
            client.pexpire(key, round(KEPT * 850))
        store.renew([lease])
        assert all(client.pttl(key) > KEPT * 900 for key in (META, LOG, REQUEST))
