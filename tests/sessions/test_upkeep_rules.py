"""What a sweep may do at once, when it compacts, and what it tells of what it cannot do; in memory, in its own time."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

import resumable
from resumable import StoreUnavailableError
from resumable._recording._desk import AsyncDesk, Desk
from resumable.sessions import Sessions, Swept, _upkeep
from resumable.sessions._upkeep import AsyncSweeper, Rules, Sweeper
from resumable.store import Append, AsyncMemoryStore, MemoryStore, Status
from resumable.testing import ManualClock
from tests.sessions.faces import sessions_of
from tests.sessions.lapsed import PLAIN, leave_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])


@pytest.fixture(autouse=True)
def no_vigil(monkeypatch):
    """Let the stores of these tests pass for old ones, and let nobody wait by chance."""
    monkeypatch.setattr(_upkeep, "_LEASE", 0.0)
    monkeypatch.setattr(_upkeep, "SPREAD", 0.0)


class Slow:
    """Streams that take a moment, and how many are read at once; "s3" cannot be had."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def resume(self, name: str) -> Slow:
        """Give a stream."""
        if name == "s3":
            raise LookupError(name)
        return self

    async def aresume(self, name: str) -> Slow:
        """Likewise."""
        return self.resume(name)

    def __enter__(self) -> list[None]:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.01)
        return []

    def __exit__(self, *_: object) -> None:
        self.now -= 1

    async def __aenter__(self) -> Self:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.now -= 1

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        raise StopAsyncIteration


@COLOURS
def test_only_so_many_are_continued_at_once(colour):
    """However many there are, and one that fails costs the others nothing."""
    slow, rules = Slow(), Rules(at_once=3)
    clock = ManualClock(1000.0)
    store = MemoryStore(clock=clock.now)
    for i in range(12):
        leave_plain(store, f"s{i}", waits=False)
    clock.advance(1.0)

    async def asweep() -> Swept:
        coloured = AsyncMemoryStore(clock=clock.now)
        coloured._sessions = store._sessions
        clock.advance(1.0)
        return await AsyncSweeper(AsyncDesk.of(coloured), slow.aresume, rules, lambda: 0.5).sweep()

    if colour == "sync":
        swept = Sweeper(Desk.of(store), slow.resume, rules, lambda: 0.5).sweep()
    else:
        swept = asyncio.run(asweep())
    assert slow.most == 3
    assert sorted(swept.continued) == sorted(f"s{i}" for i in range(12) if i != 3)
    assert {name: type(error) for name, error in swept.failures.items()} == {"s3": LookupError}


@contextmanager
def sweeping(colour: str, clock: ManualClock, kind: Any) -> Iterator[Any]:
    """Give sessions of a class, and their store in the other way to look at it."""
    from tests.sessions import faces  # noqa: PLC0415  # Reason: replaced for a moment

    store: Any = MemoryStore(clock=clock.now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "Sessions" if colour == "sync" else "AsyncSessions", kind)

        def make() -> Any:
            if colour == "sync":
                return store
            other = AsyncMemoryStore(clock=clock.now)
            other._sessions = store._sessions
            return other

        with sessions_of(colour, make) as sessions:
            yield sessions, store


@COLOURS
def test_what_is_over_is_compacted_after_a_while(colour):
    """By age, once, and never what is not over; it reads as it did."""
    clock = ManualClock(1000.0)
    kind = {"sync": Sessions, "async": resumable.AsyncSessions}[colour]
    with sweeping(colour, clock, kind) as (sessions, store):
        for name in ("old", "young", "running"):
            lease = store.acquire(name, "h", duration=1000.0, ttl=6000.0, opening=PLAIN).lease
            end = None if name == "running" else Status.COMPLETE
            store.append([Append(lease, 1, [b'{"type":"ping","n":%d}' % i for i in range(450)], end=end)])
            store.append([Append(lease, 451, [b"{}"] * 450)]) if end is None else None
            clock.advance(100.0)
        before = list(sessions.replay("old"))
        assert not sessions.sweep(compact_after=None).compacted
        assert sessions.sweep(compact_after=250.0).compacted == ("old",)
        assert not sessions.sweep(compact_after=250.0).compacted
        assert list(sessions.replay("old")) == before
        assert [sessions.get(name).is_compact for name in ("old", "young", "running")] == [True, False, False]
        assert [sessions.compact(name) for name in ("old", "young", "running")] == [True, True, False]


@COLOURS
def test_what_cannot_be_done_is_told(colour):
    """A session that lost its half is a failure of its own, with the error."""
    clock = ManualClock(1000.0)
    kind = {"sync": Sessions, "async": resumable.AsyncSessions}[colour]
    with sweeping(colour, clock, kind) as (sessions, store):
        leave_plain(store, "gone", waits=False)
        clock.advance(1.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(store._sessions), "orphan", _lose)
            assert {name: type(one).__name__ for name, one in sessions.sweep().failures.items()} == {
                "gone": "LogLostError"
            }


def _lose(_: Any, session_id: str, now: int) -> bool:
    del now
    raise resumable.LogLostError(session_id, "log")


@COLOURS
def test_a_log_that_is_damaged_is_told(colour):
    """A session that cannot be compacted is a failure of its own; a store that goes away ends the sweep."""
    clock = ManualClock(1000.0)
    kind = {"sync": Sessions, "async": resumable.AsyncSessions}[colour]
    with sweeping(colour, clock, kind) as (sessions, store), pytest.MonkeyPatch.context() as patch:
        leave_plain(store, "s", waits=False)
        clock.advance(1.0)
        store.cancel("s")
        clock.advance(400.0)
        patch.setattr(type(store._sessions), "read", lambda *_: _lose(None, "s", 0))
        assert [type(one).__name__ for one in sessions.sweep().failures.values()] == ["LogLostError"]
        clock.advance(100.0)
        patch.setattr(type(store._sessions), "read", _vanish)
        with pytest.raises(StoreUnavailableError):
            sessions.sweep()
        assert not store.get("s").is_compact


def _vanish(*_: object) -> None:
    raise StoreUnavailableError(reason="timeout", cause_name="TimeoutError")


@COLOURS
def test_after_an_outage_holders_come_first(colour, monkeypatch):
    """A store that was started a moment ago is swept only after a full lease, and not by all at the same time."""
    monkeypatch.setattr(_upkeep, "_LEASE", 15.0)
    intervals = {0.0: (14.0, 30.0), 16.0: (7.5, 22.5)}
    for uptime, (least, most) in intervals.items():
        clock = ManualClock(1000.0)
        kind = {"sync": Sessions, "async": resumable.AsyncSessions}[colour]
        with sweeping(colour, clock, kind) as (sessions, store):
            clock.advance(uptime)
            leave_plain(store, "s", waits=False)
            clock.advance(0.1)
            swept = [sessions.sweep() for _ in range(20)]
            assert all(least <= one.again_in <= most for one in swept)
            assert max(one.again_in for one in swept) - min(one.again_in for one in swept) > 1.0
            assert [name for one in swept for name in one.orphaned] == (["s"] if uptime else [])


def test_a_store_that_goes_away_is_noted():
    """The sweep that finds it away raises, and the next one waits for the holders."""

    class Moody(MemoryStore):
        is_away = False

        def ping(self) -> Any:
            if self.is_away:
                _vanish()
            return super().ping()

    clock = ManualClock(1000.0)
    store = Moody(clock=clock.now)
    clock.advance(1000.0)
    leave_plain(store, "s", waits=False)
    clock.advance(1.0)
    with Sessions(store) as sessions, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_upkeep, "_LEASE", 15.0)
        store.is_away = True
        with pytest.raises(StoreUnavailableError):
            sessions.sweep()
        store.is_away = False
        swept = sessions.sweep()
        assert swept == Swept(again_in=swept.again_in)
        assert 14.9 <= swept.again_in <= 30.0
        assert store.get("s").status is Status.RUNNING
