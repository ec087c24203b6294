"""What the checks of a store have in common: openings, writers, and waiting until the store says so."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from resumable.store import Append, Appended, Lease, Marker, Opening, Recorded, Status, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from resumable._core.store_errors import StoreError
    from resumable.store import Entry

E = TypeVar("E", bound="StoreError")

REQUEST = Opening(b'{"model": "m"}', "hash of it", "alice", {"model": "m", "attempt": 1})
LONG = 1000.0  # [s] A lease that does not run out while a check runs.
SHORT = 0.02  # [s] A lease to run out.
KEPT = 60.0  # [s]
_PATIENCE = 20.0  # [s] On a machine that is busy; what is waited for takes some hundredths.


def opened(store: Store, session_id: str = "s", holder: str = "first", *, duration: float = LONG) -> Lease:
    """Open a new session."""
    return store.acquire(session_id, holder, duration=duration, ttl=KEPT, opening=REQUEST).lease


def taken(store: Store, session_id: str = "s", holder: str = "second") -> Lease:
    """Take a session over, once its lease has run out."""
    until(lambda: not store.get(session_id).is_held)
    return store.acquire(session_id, holder, duration=LONG, ttl=KEPT).lease


def write(
    store: Store,
    lease: Lease,
    first_seq: int,
    *events: bytes,
    fields: Mapping[str, str | int | bytes] | None = None,
    end: Status | None = None,
) -> Appended:
    """Append to one session and expect it to succeed."""
    [outcome] = store.append([Append(lease, first_seq, events, fields or {}, end)])
    assert isinstance(outcome, Appended), outcome
    return outcome


def refused(store: Store, kind: type[E], lease: Lease, first_seq: int, *events: bytes, end: Status | None = None) -> E:
    """Append to one session and expect it to be refused."""
    [outcome] = store.append([Append(lease, first_seq, events, end=end)])
    assert isinstance(outcome, kind), outcome
    return outcome


@contextmanager
def raises(kind: type[E]) -> Generator[list[E]]:
    """Expect an error; it is in the list afterwards."""
    caught: list[E] = []
    try:
        yield caught
    except kind as exc:
        caught.append(exc)
    else:
        raise AssertionError(kind.__name__)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until the store says so."""
    limit = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.002)


def events(entries: Sequence[Entry]) -> list[tuple[int, bytes]]:
    """Pick the events out, each with its seq."""
    return [(entry.seq, entry.event) for entry in entries if isinstance(entry, Recorded)]


def markers(entries: Sequence[Entry]) -> list[tuple[Status, str, int]]:
    """Pick the markers out: status, holder and base of each."""
    return [(entry.status, entry.holder, entry.base) for entry in entries if isinstance(entry, Marker)]
