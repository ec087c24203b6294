"""Checks of a store: waiting for what comes, over many logs at once."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resumable._core.store_errors import LogRewoundError, StoreError
from resumable.store import Cursor, Status, Store

from ._conformance_scene import KEPT, LONG, events, markers, opened, until, write

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from resumable.store import Entry

_LONG_WAIT = 4.0  # [s] Long enough that returning sooner cannot be chance.


@contextmanager
def _waiting(call: Callable[[], object]) -> Generator[list[float]]:
    """Run a wait in another thread, let it begin, and note how long it took in all."""
    took: list[float] = []

    def run() -> None:
        began = time.monotonic()
        call()
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.05)  # Most runs find it waiting by then; none depends on it.
    try:
        yield took
    finally:
        thread.join(2 * _LONG_WAIT)


def _entries(found: Mapping[str, Sequence[Entry] | StoreError], session_id: str) -> Sequence[Entry]:
    entries = found[session_id]
    assert not isinstance(entries, StoreError), entries
    return entries


def what_is_there_is_not_waited_for(store: Store) -> None:
    """A wait returns at once what follows its cursors, of those logs that have something."""
    one, two = opened(store, "one"), opened(store, "two")
    write(store, one, 1, b"a", b"b")
    found = store.wait({"one": Cursor(one.token, 1), "two": Cursor(two.token, 0)}, _LONG_WAIT)
    assert set(found) == {"one"}
    assert events(_entries(found, "one")) == [(2, b"b")]
    whole = _entries(store.wait({"one": Cursor(0, 0)}, _LONG_WAIT), "one")
    assert events(whole) == [(1, b"a"), (2, b"b")]


def a_wait_ends(store: Store) -> None:
    """A wait for what does not come ends empty, in its time."""
    lease = opened(store)
    began = time.monotonic()
    assert not store.wait({"s": Cursor(lease.token, 0)}, 0.05)
    assert not store.wait({}, 0.01)
    assert time.monotonic() - began < _LONG_WAIT


def an_append_ends_a_wait(store: Store) -> None:
    """What is appended while somebody waits reaches it, of any of its logs, markers too."""
    one, two = opened(store, "one"), opened(store, "two")
    cursors = {"one": Cursor(one.token, 0), "two": Cursor(two.token, 0)}
    found: list[Mapping[str, Sequence[Entry] | StoreError]] = []
    with _waiting(lambda: found.append(store.wait(cursors, _LONG_WAIT))) as took:
        write(store, two, 1, b"a", b"b")
    assert events(_entries(found[0], "two")) == [(1, b"a"), (2, b"b")]
    assert took[0] < _LONG_WAIT
    cursors["two"] = Cursor(two.token, 2)
    with _waiting(lambda: found.append(store.wait(cursors, _LONG_WAIT))) as took:
        write(store, one, 1, end=Status.FAILED)
    assert markers(_entries(found[1], "one")) == [(Status.FAILED, "", 0)]
    assert took[0] < _LONG_WAIT


def waking_ends_a_wait(store: Store) -> None:
    """Waking ends the wait that is under way, or else the next one, once."""
    lease = opened(store)
    cursors = {"s": Cursor(lease.token, 0)}
    found: list[Mapping[str, Sequence[Entry] | StoreError]] = []
    with _waiting(lambda: found.append(store.wait(cursors, _LONG_WAIT))) as took:
        store.wake()
    assert (found, took[0] < _LONG_WAIT) == ([{}], True)
    store.wake()
    began = time.monotonic()
    assert not store.wait(cursors, _LONG_WAIT)
    assert time.monotonic() - began < _LONG_WAIT
    assert not store.wait(cursors, 0.05)


def a_rewound_log_is_told(store: Store) -> None:
    """A reader that has seen what the log lost is told so, and gets none of what came in its place."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    store.release(lease)
    write(store, store.acquire("s", "second", duration=LONG, ttl=KEPT).lease, 2, b"other")
    rewound = store.wait({"s": Cursor(lease.token, 9)}, _LONG_WAIT)["s"]
    assert isinstance(rewound, LogRewoundError)
    assert (rewound.seen, rewound.last_seq) == (9, 1)


def a_cancel_ends_a_wait(store: Store) -> None:
    """Who waits for cancels hears of one at once."""
    opened(store)
    begin = store.wait_cancelled(None, _LONG_WAIT)
    told: list[Sequence[str]] = []
    with _waiting(lambda: told.append(store.wait_cancelled(begin.cursor, _LONG_WAIT).session_ids)) as took:
        store.cancel("s")
    assert ([set(one) for one in told], took[0] < _LONG_WAIT) == ([{"s"}], True)


def the_store_says_it_is_there(store: Store) -> None:
    """A ping is answered, and two answers are of one server."""
    first, second = store.ping(), store.ping()
    assert first.run_id == second.run_id
    until(lambda: (store.ping().uptime or 0) >= (first.uptime or 0))


WAIT_CHECKS: tuple[Callable[[Store], None], ...] = (
    what_is_there_is_not_waited_for,
    a_wait_ends,
    an_append_ends_a_wait,
    waking_ends_a_wait,
    a_rewound_log_is_told,
    a_cancel_ends_a_wait,
    the_store_says_it_is_there,
)
