"""Checks of a store: who may write, and how a session begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError, LocalProtocolError
from resumable._core.store_errors import (
    FencedError,
    LeaseHeldError,
    SessionConflictError,
    SessionEndedError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from resumable.store import MAX_EVENTS, Append, Appended, Cancelled, Cursor, Grant, Marker, Opening, Status, Store

from ._conformance_scene import (
    KEPT,
    LONG,
    REQUEST,
    SHORT,
    events,
    markers,
    opened,
    raises,
    refused,
    taken,
    until,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def opening_creates(store: Store) -> None:
    """Opening an ID that is free creates the session: request, checkpoint and the marker of its first holder."""
    acquired = store.acquire("s", "first", duration=LONG, ttl=KEPT, opening=REQUEST)
    assert (acquired.grant, acquired.last_seq, acquired.checkpoint) == (Grant.CREATED, 0, None)
    assert (acquired.lease.holder, acquired.lease.base) == ("first", 0)
    found = store.get("s")
    assert (found.status, found.last_seq, found.holder) == (Status.RUNNING, 0, "first")
    assert (found.token, found.takeovers, found.cancel) == (acquired.lease.token, 0, None)
    assert (found.principal, found.request_hash) == ("alice", "hash of it")
    assert found.is_held
    assert LONG - 5 < found.lease_left <= LONG
    assert (found.text("model"), found.number("attempt"), found.text("absent"), found.number("absent")) == (
        "m",
        1,
        "",
        0,
    )
    assert store.request("s") == REQUEST.request
    [marker] = store.read("s")
    assert markers([marker]) == [(Status.RUNNING, "first", 0)]
    assert marker.cursor == (acquired.lease.token, 0)


def opening_attaches_or_conflicts(store: Store) -> None:
    """An ID that is there is held for the same request, and a conflict for another one, whoever holds it."""
    lease = opened(store)
    with raises(LeaseHeldError) as held:
        store.acquire("s", "second", duration=LONG, ttl=KEPT, opening=REQUEST)
    assert (held[0].holder, 0 < held[0].expires_in <= LONG) == ("first", True)
    other = Opening(b"{}", "another hash")
    with raises(SessionConflictError):
        store.acquire("s", "second", duration=LONG, ttl=KEPT, opening=other)
    write(store, lease, 1, b"a", end=Status.COMPLETE)
    with raises(SessionConflictError):
        store.acquire("s", "second", duration=LONG, ttl=KEPT, opening=other)
    assert store.request("s") == REQUEST.request


def same_holder_keeps(store: Store) -> None:
    """A holder whose answer was lost asks again and keeps its token."""
    lease = opened(store)
    write(store, lease, 1, b"a", fields={"model": "n"})
    again = store.acquire("s", "first", duration=LONG, ttl=KEPT, opening=REQUEST)
    assert (again.grant, again.lease, again.last_seq) == (Grant.KEPT, lease, 1)
    assert again.checkpoint is not None
    assert (again.checkpoint.text("model"), again.checkpoint.last_seq) == ("n", 1)
    write(store, again.lease, 2, b"b")


def nothing_there(store: Store) -> None:
    """What is not there is not found, by any operation."""
    lease = opened(store)
    assert store.delete("s")
    for call in (
        lambda: store.acquire("s", "first", duration=LONG, ttl=KEPT),
        lambda: store.get("s"),
        lambda: store.request("s"),
        lambda: store.read("s"),
        lambda: store.read("s", after=Cursor(lease.token, 0)),
        lambda: store.cancel("s"),
        lambda: store.orphan("s"),
        lambda: store.release(lease),
    ):
        with raises(SessionNotFoundError):
            call()
    assert [type(one) for one in (*store.renew([lease]), *store.look(["s"]))] == [SessionNotFoundError] * 2
    refused(store, SessionNotFoundError, lease, 1, b"a")
    assert not store.delete("s")
    assert not store.list()


def takeover_fences(store: Store) -> None:
    """After a takeover the older holder can neither append nor renew nor release (law L5)."""
    old = opened(store, duration=SHORT)
    write(store, old, 1, b"a", b"b")
    new = taken(store)
    assert new.token > old.token
    assert new.base == 2
    fenced = refused(store, FencedError, old, 3, b"zombie")
    assert (fenced.token, fenced.highest, fenced.holder) == (old.token, new.token, "second")
    refused(store, FencedError, old, 3, end=Status.COMPLETE)
    refused(store, FencedError, old, 2, b"b")
    assert isinstance(store.renew([old])[0], FencedError)
    with raises(FencedError):
        store.release(old)
    write(store, new, 3, b"c")
    assert events(store.read("s")) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert (store.get("s").takeovers, store.get("s").base) == (1, 2)
    store.release(new)
    for holder in ("third", "fourth"):  # Without an event of their own in between.
        newer = taken(store, holder=holder)
        assert newer.base == 3
        store.release(newer)


def takeover_is_told(store: Store) -> None:
    """A marker tells readers who took over and where; the new holder gets the checkpoint as it was."""
    old = opened(store, duration=SHORT)
    write(store, old, 1, b"a", fields={"attempt": 2})
    until(lambda: not store.get("s").is_held)
    acquired = store.acquire("s", "second", duration=LONG, ttl=KEPT, opening=REQUEST)
    assert (acquired.grant, acquired.last_seq, acquired.lease.base) == (Grant.TAKEN, 1, 1)
    assert acquired.checkpoint is not None
    assert (acquired.checkpoint.holder, acquired.checkpoint.number("attempt")) == ("first", 2)
    [marker] = store.read("s", after=Cursor(old.token, 1))
    assert markers([marker]) == [(Status.RUNNING, "second", 1)]
    assert isinstance(marker, Marker)
    assert marker.after == (old.token, 1)


def token_alone_is_no_lease(store: Store) -> None:
    """Token and holder must both match: a token can come again after a failover."""
    lease = opened(store)
    other = type(lease)("s", "impostor", lease.token, 0, LONG, KEPT)
    fenced = refused(store, FencedError, other, 1, b"a")
    assert fenced.holder == "first"
    assert isinstance(store.renew([other])[0], FencedError)
    with raises(FencedError):
        store.release(other)


def expiry_alone_fences_nobody(store: Store) -> None:
    """A holder that slept beyond its lease goes on as long as nobody has taken over."""
    lease = opened(store, duration=SHORT)
    until(lambda: not store.get("s").is_held)
    assert write(store, lease, 1, b"a") == Appended(1, 1, None)
    until(lambda: not store.get("s").is_held)
    assert store.renew([lease]) == [Appended(1, 0, None)]


def renewing_and_appending_keep(store: Store) -> None:
    """A renewal and an append keep the lease for its duration from now."""
    short = opened(store, duration=SHORT)
    lease = type(short)("s", "first", short.token, 0, LONG, KEPT)
    assert store.renew([lease, lease]) == [Appended(0, 0, None)] * 2
    assert store.get("s").lease_left > LONG / 2
    other = opened(store, "t", duration=SHORT)
    write(store, type(other)("t", "first", other.token, 0, LONG, KEPT), 1, b"a")
    assert store.get("t").lease_left > LONG / 2
    assert not store.renew([])


def release_is_at_once(store: Store) -> None:
    """A lease that is released is free at once, readers see it, and its former holder is fenced."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    store.release(lease)
    store.release(lease)
    assert write(store, lease, 1, b"a").written == 0
    refused(store, FencedError, lease, 2, b"b")
    assert isinstance(store.renew([lease])[0], FencedError)
    assert not store.get("s").is_held
    assert markers(store.read("s")) == [(Status.RUNNING, "first", 0), (Status.RUNNING, "", 1)]
    new = store.acquire("s", "first", duration=LONG, ttl=KEPT)
    assert (new.grant, new.lease.token > lease.token) == (Grant.TAKEN, True)
    refused(store, FencedError, lease, 2, b"of the former lease, though of the same holder")
    write(store, new.lease, 2, b"b")


def ending_is_told(store: Store) -> None:
    """The last events and the end are one step; then nothing can be added, and the same again changes nothing."""
    for status in (Status.COMPLETE, Status.FAILED, Status.CANCELLED):
        name = status.value
        lease = opened(store, name)
        write(store, lease, 1, b"a")
        assert write(store, lease, 2, b"b", fields={"error": "none"}, end=status) == Appended(2, 1, None)
        assert write(store, lease, 2, b"b", end=status) == Appended(2, 0, None)
        assert write(store, lease, 1, b"a", b"b") == Appended(2, 0, None)
        ended = refused(store, SessionEndedError, lease, 3, b"c")
        assert (ended.status, ended.last_seq) == (name, 2)
        refused(store, SessionEndedError, lease, 3, end=Status.COMPLETE if status is Status.FAILED else Status.FAILED)
        assert isinstance(store.renew([lease])[0], SessionEndedError)
        with raises(SessionEndedError):
            store.release(lease)
        with raises(SessionEndedError):
            store.acquire(name, "second", duration=LONG, ttl=KEPT)
        assert not store.orphan(name)
        assert events(store.read(name)) == [(1, b"a"), (2, b"b")]
        assert markers(store.read(name))[1:] == [(status, "", 2)]
        found = store.get(name)
        assert (found.status, found.is_held, found.text("error")) == (status, False, "none")


def cancel_asks_the_holder(store: Store) -> None:
    """A cancel of a session that is held tells the holder, in every answer and to whoever listens."""
    lease = opened(store)
    listening = store.wait_cancelled(None, 1.0).cursor
    assert store.cancel("s", "the user left") == Cancelled("first", 0)
    assert store.cancel("s", "again") == Cancelled("first", 0)
    assert store.get("s").cancel == "the user left"
    assert write(store, lease, 1, b"a") == Appended(1, 1, "the user left")
    assert store.renew([lease]) == [Appended(1, 0, "the user left")]
    told = store.wait_cancelled(listening, 1.0)
    assert set(told.session_ids) == {"s"}
    assert store.wait_cancelled(store.wait_cancelled(None, 1.0).cursor, 0.01).session_ids in ((), [])
    write(store, lease, 2, end=Status.CANCELLED)
    assert store.cancel("s") == Cancelled("", 1)


def cancel_ends_in_place(store: Store) -> None:
    """A cancel of a session that nobody holds ends it, and its holder, if it wakes, is told."""
    lease = opened(store, duration=SHORT)
    write(store, lease, 1, b"a")
    until(lambda: not store.get("s").is_held)
    assert store.cancel("s") == Cancelled("", 1)
    assert store.cancel("s") == Cancelled("", 1)
    assert refused(store, SessionEndedError, lease, 2, b"b").status == "cancelled"
    assert markers(store.read("s"))[1:] == [(Status.CANCELLED, "", 1)]
    done = opened(store, "done")
    write(store, done, 1, end=Status.COMPLETE)
    with raises(SessionEndedError):
        store.cancel("done")


def takeover_finds_cancel(store: Store) -> None:
    """A takeover that finds a cancel waiting ends the session."""
    lease = opened(store, duration=SHORT * 5)
    if store.cancel("s").holder:  # A machine may be slow enough for the lease to have run out.
        until(lambda: not store.get("s").is_held)
    for _ in range(2):
        with raises(SessionEndedError) as ended:
            store.acquire("s", "second", duration=LONG, ttl=KEPT)
        assert ended[0].status == "cancelled"
    assert markers(store.read("s"))[1:] == [(Status.CANCELLED, "", 0)]
    refused(store, SessionEndedError, lease, 1, b"a")


def orphan_waits(store: Store) -> None:
    """A session that nobody holds can be marked as orphaned: readers see it, its holder is fenced, anybody takes it."""
    lease = opened(store)
    assert not store.orphan("s")
    store.release(lease)
    assert store.orphan("s")
    assert store.orphan("s")
    assert store.get("s").status is Status.ORPHANED
    assert markers(store.read("s"))[1:] == [(Status.RUNNING, "", 0), (Status.ORPHANED, "", 0)]
    refused(store, FencedError, lease, 1, b"a")
    write(store, store.acquire("s", "second", duration=LONG, ttl=KEPT).lease, 1, b"a")
    assert store.get("s").status is Status.RUNNING
    opened(store, "t", duration=SHORT * 5)
    if store.cancel("t").holder:
        until(lambda: not store.get("t").is_held)
    assert not store.orphan("t")
    assert store.get("t").status is Status.CANCELLED


def arguments_are_checked(store: Store) -> None:
    """What cannot work is refused before anything is sent."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    store.release(lease)
    new = store.acquire("s", "second", duration=LONG, ttl=KEPT).lease
    for wrong in (
        lambda: store.acquire("no/slash", "first", duration=LONG, ttl=KEPT),
        lambda: store.acquire("s", "", duration=LONG, ttl=KEPT),
        lambda: store.acquire("s", "first", duration=0, ttl=KEPT),
        lambda: store.acquire("x", "first", duration=LONG, ttl=KEPT, opening=Opening(b"", "", "", {"token": 1})),
        lambda: store.append([Append(new, 2, [b""] * (MAX_EVENTS + 1))]),
        lambda: store.append([Append(new, 2, fields={"status": "complete"})]),
        lambda: store.append([Append(new, 2, end=Status.ORPHANED)]),
        lambda: store.cancel("s", ""),
        lambda: store.get("{s}"),
    ):
        _refuses(wrong, ConfigurationError)
    _refuses(lambda: store.append([Append(new, 1, [b"a"])]), LocalProtocolError)


def closed_is_unavailable(store: Store) -> None:
    """A store that was closed says so, at once, and can be closed again."""
    store.close()
    store.close()
    with raises(StoreUnavailableError) as closed:
        store.get("s")
    assert (closed[0].reason, closed[0].retryable) == ("closed", False)


def _refuses(call: Callable[[], object], kind: type[Exception]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(kind.__name__)


LEASE_CHECKS: tuple[Callable[[Store], None], ...] = (
    opening_creates,
    opening_attaches_or_conflicts,
    same_holder_keeps,
    nothing_there,
    takeover_fences,
    takeover_is_told,
    token_alone_is_no_lease,
    expiry_alone_fences_nobody,
    renewing_and_appending_keep,
    release_is_at_once,
    ending_is_told,
    cancel_asks_the_holder,
    cancel_ends_in_place,
    takeover_finds_cancel,
    orphan_waits,
    arguments_are_checked,
    closed_is_unavailable,
)
