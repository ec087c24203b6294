"""Checks of a store: what is in a log, who reads it from where, and what is known about a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable._core.store_errors import (
    CursorError,
    LogRewoundError,
    SessionNotFoundError,
    StoreError,
)
from resumable.store import Append, Appended, Checkpoint, Cursor, Status, Store

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

# Bytes that a protocol of lines, a terminal or a text could trip over.
STRANGE = (b"", b"\x00", b"\r\n", b'{"text":"\xe2\x80\xa8"}', bytes(range(256)), b"x" * 100_000)


def every_cursor_replays(store: Store) -> None:
    """Reading after entry k yields what follows k, in order, for every k and any limit, across holders (law L6)."""
    lease = opened(store, duration=SHORT)
    write(store, lease, 1, b"a", b"b")
    write(store, lease, 3, b"c")
    new = taken(store)
    write(store, new, 4, b"d", end=Status.COMPLETE)
    whole = store.read("s")
    assert events(whole) == [(1, b"a"), (2, b"b"), (3, b"c"), (4, b"d")]
    assert markers(whole) == [(Status.RUNNING, "first", 0), (Status.RUNNING, "second", 3), (Status.COMPLETE, "", 4)]
    assert [entry.cursor for entry in whole] == sorted({entry.cursor for entry in whole})
    for k, entry in enumerate(whole):
        for limit in (1, 2, 500):
            assert list(store.read("s", after=entry.cursor, limit=limit)) == list(whole[k + 1 : k + 1 + limit])
    assert list(store.read("s", limit=2)) == list(whole[:2])
    assert list(store.read("s", after=Cursor(0, 0))) == list(whole)


def bytes_are_kept(store: Store) -> None:
    """Events, requests and fields are any bytes, and come back as they were."""
    lease = opened(store)
    fields: dict[str, str | int | bytes] = {f"field {i}": value for i, value in enumerate(STRANGE)}
    write(store, lease, 1, *STRANGE, fields=fields)
    assert [event for _, event in events(store.read("s"))] == list(STRANGE)
    assert store.get("s").fields == {"model": b"m", "attempt": b"1"} | fields


def sending_again_is_safe(store: Store) -> None:
    """What is in the log is not written twice; of what overlaps, only the new part is."""
    lease = opened(store)
    assert write(store, lease, 1, b"a", b"b") == Appended(2, 2, None)
    assert write(store, lease, 1, b"a", b"b") == Appended(2, 0, None)
    assert write(store, lease, 2, b"b", b"c") == Appended(3, 1, None)
    assert write(store, lease, 1, b"a") == Appended(3, 0, None)
    assert events(store.read("s")) == [(1, b"a"), (2, b"b"), (3, b"c")]


def a_hole_is_refused(store: Store) -> None:
    """An append that would leave a hole is told where the log ends, and writes nothing."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    rewound = refused(store, LogRewoundError, lease, 3, b"c")
    assert (rewound.seen, rewound.last_seq) == (2, 1)
    assert events(store.read("s")) == [(1, b"a")]
    write(store, lease, 2, b"b", b"c")


def a_flight_has_outcomes(store: Store) -> None:
    """Appends of several sessions in one flight have an outcome each, in order; one may come twice."""
    first, second = opened(store, "one"), opened(store, "two")
    store.delete("two")
    outcomes = store.append([Append(first, 1, [b"a"]), Append(second, 1, [b"x"]), Append(first, 2, [b"b"])])
    assert [outcomes[0], outcomes[2]] == [Appended(1, 1, None), Appended(2, 1, None)]
    assert isinstance(outcomes[1], SessionNotFoundError)
    assert not store.append([])
    assert events(store.read("one")) == [(1, b"a"), (2, b"b")]


def fields_go_with_events(store: Store) -> None:
    """Fields of the checkpoint are written with the events, or without any; what is not named stays."""
    lease = opened(store)
    assert write(store, lease, 1, fields={"attempt": 2, "snapshot": b"\x80"}) == Appended(0, 0, None)
    write(store, lease, 1, b"a", fields={"text_chars": 5})
    found = store.get("s")
    assert found.fields == {"model": b"m", "attempt": b"2", "snapshot": b"\x80", "text_chars": b"5"}
    assert (found.last_seq, found.updated >= found.created) == (1, True)
    refused(store, LogRewoundError, lease, 9, b"z")
    assert store.get("s").fields == found.fields


def looking_leaves_out(store: Store) -> None:
    """Looking at several sessions leaves out what is large, and tells of each that is not there."""
    lease = opened(store, "a")
    write(store, lease, 1, fields={"snapshot": b"large", "policy": b"p", "attempts": b"a", "title": "t"})
    opened(store, "b")
    there, gone, other = store.look(["a", "none", "b"])
    assert isinstance(there, Checkpoint)
    assert there.fields == {"model": b"m", "attempt": b"1", "title": b"t"}
    assert isinstance(gone, SessionNotFoundError)
    assert isinstance(other, Checkpoint)
    assert not store.look([])
    assert store.get("a").fields["snapshot"] == b"large"


def foreign_cursors_are_errors(store: Store) -> None:
    """A cursor from the future, of another log or of an earlier life is an error, never silence and never new text."""
    lease = opened(store)
    write(store, lease, 1, b"a", b"b")
    for future in (Cursor(lease.token, 3), Cursor(lease.token + 1, 0), Cursor(10**15, 7)):
        with raises(CursorError):
            store.read("s", after=future)
    store.release(lease)
    write(store, store.acquire("s", "second", duration=LONG, ttl=KEPT).lease, 3, b"c")
    with raises(LogRewoundError) as rewound:
        store.read("s", after=Cursor(lease.token, 9))
    assert (rewound[0].seen, rewound[0].last_seq) == (9, 2)
    until(lambda: store.delete("s") and opened(store).token > lease.token)  # Tokens come from a clock of milliseconds.
    with raises(LogRewoundError) as rewound:
        store.read("s", after=Cursor(lease.token, 2))
    assert (rewound[0].seen, rewound[0].last_seq) == (2, 0)


def listing_filters(store: Store) -> None:
    """Sessions are listed newest first, by status, principal and age."""
    last = opened(store, "a")
    for name in ("b", "c"):
        before = last
        last = opened(store, name)
        while last.token <= before.token:  # Born in the same millisecond: not newer.
            store.delete(name)
            last = opened(store, name)
    write(store, last, 1, b"x", end=Status.FAILED)
    assert [one.session_id for one in store.list()] == ["c", "b", "a"]
    assert [one.session_id for one in store.list(limit=2)] == ["c", "b"]
    assert [one.session_id for one in store.list(status=Status.FAILED)] == ["c"]
    assert [one.session_id for one in store.list(status=Status.RUNNING, principal="alice")] == ["b", "a"]
    assert not store.list(principal="bob")
    assert not store.list(principal="")
    assert not store.list(min_age=LONG)
    assert len(store.list(max_age=LONG)) == 3
    store.delete("b")
    assert [one.session_id for one in store.list()] == ["c", "a"]


def due_are_those_without_holder(store: Store) -> None:
    """Worth a look is what is running and nobody holds; what is orphaned waits for its principal."""
    opened(store, "held")
    released = opened(store, "released")
    store.release(released)
    opened(store, "expired", duration=SHORT)
    over = opened(store, "over", duration=SHORT)
    write(store, over, 1, b"a", end=Status.COMPLETE)
    kept = opened(store, "kept", duration=SHORT)
    write(store, type(kept)("kept", "first", kept.token, 0, LONG, KEPT), 1, b"a")
    until(lambda: not store.get("expired").is_held)
    until(lambda: sorted(store.due()) == ["expired", "released"])
    assert len(store.due(1)) == 1
    store.delete("expired")
    assert list(store.due()) == ["released"]
    store.orphan("released")
    assert not store.due()


def what_is_kept_expires_whole(store: Store) -> None:
    """A session expires as a whole, its time counted from its last write; never half of it."""
    ttl = 0.15
    for name in ("opened", "written", "over"):
        store.acquire(name, "first", duration=LONG, ttl=KEPT, opening=REQUEST)
        lease = store.acquire(name, "first", duration=LONG, ttl=ttl).lease
        if name != "opened":
            write(store, lease, 1, b"a", end=Status.COMPLETE if name == "over" else None)
    seen: dict[str, set[type]] = {"opened": set(), "written": set(), "over": set()}

    def are_gone() -> bool:
        for name, kinds in seen.items():
            for read in (store.get, store.request, store.read):
                try:
                    read(name)
                except StoreError as exc:
                    kinds.add(type(exc))
        return all(seen.values())

    until(are_gone)
    assert list(seen.values()) == [{SessionNotFoundError}] * 3
    assert not store.list()
    assert not store.due()
    assert opened(store, "over").base == 0
    assert not events(store.read("over"))


LOG_CHECKS: tuple[Callable[[Store], None], ...] = (
    every_cursor_replays,
    bytes_are_kept,
    sending_again_is_safe,
    a_hole_is_refused,
    a_flight_has_outcomes,
    fields_go_with_events,
    looking_leaves_out,
    foreign_cursors_are_errors,
    listing_filters,
    due_are_those_without_holder,
    what_is_kept_expires_whole,
)
