"""What a store promises to those who look after its sessions: claims, and logs that are put into packs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from resumable._core.store_errors import CursorError, SessionEndedError, SessionNotFoundError
from resumable.store import MAX_EVENTS, Cursor, Status, Store
from resumable.store._packs import Pack, pack_log
from resumable.store._records import Upkeep

from ._conformance_scene import KEPT, LONG, REQUEST, SHORT, opened, raises, refused, taken, until, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable.store import Entry

_HOLD = 0.3  # [s] Of a claim that is to run out.
_MANY = 1200  # events; more than a page and more than a pack


def claims_are_of_one(store: Store) -> None:
    """What one caller was given to look after, no other is given until his time is up."""
    for i in range(4):
        opened(store, f"s{i}", duration=SHORT)
    opened(store, "held")
    until(lambda: len(store.due()) == 4)
    first = store.claim(Upkeep.LAPSED, hold=LONG, limit=3)
    rest = store.claim(Upkeep.LAPSED, hold=_HOLD)
    assert sorted([*first, *rest]) == ["s0", "s1", "s2", "s3"]
    assert (len(first), len(rest)) == (3, 1)
    until(lambda: store.claim(Upkeep.LAPSED, hold=LONG) == rest)
    assert not store.claim(Upkeep.LAPSED, hold=LONG)


def claims_leave_the_young(store: Store) -> None:
    """Only what has been due for as long as was asked is given out; a takeover begins it anew."""
    opened(store, duration=SHORT)
    until(lambda: bool(store.due()))
    assert not store.claim(Upkeep.LAPSED, hold=LONG, min_age=LONG)
    assert list(store.claim(Upkeep.LAPSED, hold=LONG)) == ["s"]
    store.acquire("s", "second", duration=SHORT, ttl=KEPT)
    until(lambda: list(store.claim(Upkeep.LAPSED, hold=LONG)) == ["s"])


def orphans_are_claimed(store: Store) -> None:
    """What is orphaned is given out to who asks for its principal, and no longer to others; until it is taken over."""
    opened(store, duration=SHORT)
    store.release(opened(store, "other"))
    until(lambda: len(store.due()) == 2)
    assert store.orphan("s")
    assert list(store.due()) == list(store.claim(Upkeep.LAPSED, hold=LONG)) == ["other"]
    assert not store.claim(Upkeep.ORPHANED, hold=LONG)
    assert not store.claim(Upkeep.ORPHANED, hold=LONG, principal="alice", min_age=LONG)
    until(lambda: list(store.claim(Upkeep.ORPHANED, hold=0.0, principal="alice")) == ["s"])
    taken(store)
    time.sleep(0.005)  # The claim has run out.
    assert not store.claim(Upkeep.ORPHANED, hold=LONG, principal="alice")


def finished_are_claimed(store: Store) -> None:
    """What is over is given out until it is compact, however it ended; what is not is not."""
    write(store, opened(store, "complete"), 1, b"a", end=Status.COMPLETE)
    store.release(opened(store, "cancelled"))
    store.cancel("cancelled")
    write(store, opened(store, "deleted"), 1, end=Status.FAILED)
    store.delete("deleted")
    opened(store, "running")
    assert not store.claim(Upkeep.FINISHED, hold=0.0, min_age=LONG)
    time.sleep(0.005)  # So that two ends are of another millisecond than now.
    assert sorted(store.claim(Upkeep.FINISHED, hold=0.0)) == ["cancelled", "complete"]
    time.sleep(0.005)
    assert store.compact("complete", pack_log(store.read("complete")))
    assert list(store.claim(Upkeep.FINISHED, hold=LONG)) == ["cancelled"]


def packs_replay(store: Store) -> None:
    """A compact log reads as it did from every cursor it gave, page by page, and says the same of any other."""
    log = _long(store)
    store.wake()
    before = [store.wait({"s": entry.cursor}, 0.05) for entry in log[:: MAX_EVENTS // 5]]
    assert store.compact("s", pack_log(log))
    assert store.get("s").is_compact
    assert _whole(store) == log
    for at in (0, 1, 2, 600, 601, 602, 603, MAX_EVENTS, len(log) - 3, len(log) - 2, len(log) - 1):
        assert list(store.read("s", after=log[at].cursor)) == log[at + 1 : at + 1 + MAX_EVENTS], at
        assert list(store.read("s", after=log[at].cursor, limit=7)) == log[at + 1 : at + 8], at
    store.wake()
    assert [store.wait({"s": entry.cursor}, 0.05) for entry in log[:: MAX_EVENTS // 5]] == before
    with raises(CursorError):
        store.read("s", after=Cursor(log[-1].token + 1, 0))


def packs_change_nothing_else(store: Store) -> None:
    """A compact session is over as it was: its checkpoint and request stay, nobody may write or take it."""
    log = _long(store)
    lease = opened(store, "other")
    there, request = store.get("s"), store.request("s")
    assert store.compact("s", pack_log(log))
    assert store.compact("s", pack_log(log))
    after = store.get("s")
    assert (after.last_seq, after.status, after.fields) == (there.last_seq, there.status, there.fields)
    assert store.request("s") == request
    assert [one.is_compact for one in (*store.list(status=Status.COMPLETE), store.get("other"))] == [True, False]
    with raises(SessionEndedError):
        store.acquire("s", "third", duration=LONG, ttl=KEPT, opening=REQUEST)
    write(store, lease, 1, b"a")
    assert store.delete("s")
    with raises(SessionNotFoundError):
        store.read("s")


def packs_are_of_this_log(store: Store) -> None:
    """What is not over is not compacted, nor what has changed since it was read; its log is as it was."""
    with raises(SessionNotFoundError):
        store.compact("s", pack_log(_foreign(store)))
    lease = opened(store)
    write(store, lease, 1, *_some(20))
    running = store.read("s")
    assert not store.compact("s", pack_log(running))
    write(store, lease, 21, b"z", end=Status.COMPLETE)
    log = store.read("s")
    for wrong in ([], running, log[1:], log[:-1], store.read("foreign")):
        assert not store.compact("s", pack_log(wrong))
    assert not store.get("s").is_compact
    assert store.read("s") == log
    refused(store, SessionEndedError, lease, 22, b"y")


def _foreign(store: Store) -> list[Entry]:
    write(store, opened(store, "foreign"), 1, *_some(30), end=Status.COMPLETE)
    return list(store.read("foreign"))


def _long(store: Store) -> list[Entry]:
    """Write a session of several pages and two holders, and read it."""
    lease = opened(store, duration=SHORT)
    write(store, lease, 1, *_some(MAX_EVENTS))
    write(store, lease, MAX_EVENTS + 1, *_some(100))
    lease = taken(store)
    write(store, lease, MAX_EVENTS + 101, *_some(MAX_EVENTS))
    write(store, lease, 2 * MAX_EVENTS + 101, *_some(_MANY - 2 * MAX_EVENTS - 103))
    store.release(lease)
    lease = taken(store, holder="third")
    write(store, lease, _MANY - 2, b"\n\x00\xff", b"", b"x" * 300_000, end=Status.COMPLETE)
    log = _whole(store)
    assert sum(not isinstance(one, Pack) for one in pack_log(log)) < 10
    return log


def _some(count: int) -> list[bytes]:
    return [b'{"type":"content_block_delta","n":%d}' % i for i in range(count)]


def _whole(store: Store) -> list[Entry]:
    log: list[Entry] = []
    while page := store.read("s", after=log[-1].cursor if log else None):
        log += page
    return log


UPKEEP_CHECKS: tuple[Callable[[Store], None], ...] = (
    claims_are_of_one,
    claims_leave_the_young,
    orphans_are_claimed,
    finished_are_claimed,
    packs_replay,
    packs_change_nothing_else,
    packs_are_of_this_log,
)
