"""The scripts answer as the reference does, to any sequence of calls by several holders of several sessions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import fakeredis
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from resumable._core.store_errors import StoreError
from resumable.store import (
    Append,
    Checkpoint,
    Cursor,
    Lease,
    Marker,
    MemoryStore,
    Opening,
    Recorded,
    Status,
    Store,
    _packs,
)
from resumable.store._packs import pack_log
from resumable.store.redis._clients import Clients
from resumable.store.redis._stores import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

LONG, SHORT, KEPT = 1000.0, 0.001, 3600.0
SESSIONS = st.sampled_from(["s", "t"])
HOLDERS = st.sampled_from(["a", "b", "c"])
OPENINGS = st.sampled_from([None, Opening(b"1", "one", "p", {"attempt": 1}), Opening(b"2", "two")])
ENDS = st.sampled_from([None, None, None, Status.COMPLETE, Status.FAILED, Status.CANCELLED])


class Side:
    """One of the two stores, seen without what comes from a clock: tokens and times."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases: list[Lease] = []

    def do(self, call: Callable[[Side], Any]) -> Any:
        """Make a call and tell what came of it."""
        try:
            return self.plain(call(self))
        except StoreError as exc:
            return self.plain(exc)

    def plain(self, value: Any) -> Any:
        """Leave out of an outcome what a clock said."""
        match value:
            case StoreError():
                return type(value), without(vars(value), "token", "highest", "expires_in", "cursor")
            case Checkpoint() | Lease():
                return without(msgspec.structs.asdict(value), "token", "marker", "created", "updated", "lease_left")
            case Marker():
                return value.status, value.holder, value.base, value.after and value.after.seq
            case Recorded():
                return value.seq, value.event
            case list() | tuple():
                return [self.plain(one) for one in value]
            case _:
                return value


def without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leave out what comes from a clock."""
    return {name: fact for name, fact in facts.items() if name not in names}


class Agreement(RuleBasedStateMachine):
    """Every rule makes the same call on both sides and compares what came of it."""

    other: Callable[[], Store]

    @initialize()
    def make(self) -> None:
        """Begin with two empty stores."""
        self.sides = [Side(MemoryStore()), Side(type(self).other())]

    def teardown(self) -> None:
        """Close both."""
        for side in self.sides:
            side.store.close()

    def both(self, call: Callable[[Side], Any]) -> Any:
        """Make a call on both sides; what came of it must be the same."""
        first, second = (side.do(call) for side in self.sides)
        assert first == second
        return first

    @rule(session_id=SESSIONS, holder=HOLDERS, opening=OPENINGS, is_short=st.booleans())
    def acquire(self, session_id: str, holder: str, opening: Opening | None, *, is_short: bool) -> None:
        """Ask for a lease; a short one has run out before the next call."""

        def call(side: Side) -> Any:
            duration = SHORT if is_short else LONG
            acquired = side.store.acquire(session_id, holder, duration=duration, ttl=KEPT, opening=opening)
            side.leases.append(msgspec.structs.replace(acquired.lease, duration=LONG))
            return acquired.grant, acquired.last_seq, acquired.checkpoint, acquired.lease

        self.both(call)
        time.sleep(2 * SHORT)

    @rule(which=st.integers(0, 99), first=st.integers(-3, 2), n=st.integers(0, 4), end=ENDS, is_short=st.booleans())
    def append(self, which: int, first: int, n: int, end: Status | None, *, is_short: bool) -> None:
        """Append from somewhere near the end of the log, with any lease that was ever granted."""
        if not self.sides[0].leases:
            return

        def call(side: Side) -> Any:
            lease = side.leases[which % len(side.leases)]
            lease = msgspec.structs.replace(lease, duration=SHORT if is_short else LONG)
            try:
                last = side.store.get(lease.session_id).last_seq
            except StoreError:
                last = 0
            seq = max(last + 1 + first, lease.base + 1, 1)
            events = [str(i).encode() for i in range(seq, seq + n)]
            return side.store.append([Append(lease, seq, events, {"text_chars": seq}, end)])

        self.both(call)
        time.sleep(2 * SHORT)

    @rule(which=st.integers(0, 99))
    def renew(self, which: int) -> None:
        """Renew any lease."""
        if self.sides[0].leases:
            self.both(lambda side: side.store.renew([side.leases[which % len(side.leases)]]))

    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        """Release any lease."""
        if self.sides[0].leases:
            self.both(lambda side: side.store.release(side.leases[which % len(side.leases)]))

    @rule(session_id=SESSIONS)
    def orphan(self, session_id: str) -> None:
        """Mark as orphaned."""
        self.both(lambda side: side.store.orphan(session_id))

    @rule(session_id=SESSIONS, reason=st.sampled_from(["why", "because"]))
    def cancel(self, session_id: str, reason: str) -> None:
        """Cancel."""
        self.both(lambda side: side.store.cancel(session_id, reason))

    @rule(session_id=SESSIONS, leave=st.sampled_from([0, 0, 0, 1]))
    def compact(self, session_id: str, leave: int) -> None:
        """Put the log into packs, or what is not all of it."""

        def call(side: Side) -> Any:
            log = side.store.read(session_id)
            return side.store.compact(session_id, pack_log(log[: len(log) - leave]))

        self.both(call)

    @rule(session_id=SESSIONS)
    def delete(self, session_id: str) -> None:
        """Delete; its successor must be of another millisecond, which ids are made of."""
        self.both(lambda side: side.store.delete(session_id))
        time.sleep(2 * SHORT)

    @rule(session_id=SESSIONS, at=st.integers(0, 99), limit=st.integers(1, 5))
    def read(self, session_id: str, at: int, limit: int) -> None:
        """Read a page from some entry."""

        def call(side: Side) -> Any:
            whole = side.store.read(session_id)
            return side.store.read(session_id, after=whole[at % len(whole)].cursor, limit=limit)

        self.both(call)

    @rule(session_id=SESSIONS, which=st.integers(0, 99), seq=st.integers(0, 6))
    def read_from_anywhere(self, session_id: str, which: int, seq: int) -> None:
        """Read from what may be no entry, of any lease that was ever granted."""
        if self.sides[0].leases:
            self.both(
                lambda side: side.store.read(session_id, after=Cursor(side.leases[which % len(side.leases)].token, seq))
            )

    @rule(session_id=SESSIONS, which=st.integers(0, 99), seq=st.integers(0, 6))
    def wait(self, session_id: str, which: int, seq: int) -> None:
        """Wait, hardly, behind what may be no entry."""

        def call(side: Side) -> Any:
            cursor = Cursor(side.leases[which % len(side.leases)].token, seq)
            return list(side.store.wait({session_id: cursor}, SHORT).values())

        if self.sides[0].leases:
            self.both(call)

    @invariant()
    def everything_known_is_the_same(self) -> None:
        """Logs, checkpoints, requests and lists agree after every call."""
        if hasattr(self, "sides"):
            for session_id in ("s", "t"):
                for name in ("read", "get", "request"):
                    self.both(lambda side, name=name, at=session_id: getattr(side.store, name)(at))  # type: ignore[misc]  # Reason: bound now
            self.both(lambda side: sorted(one.session_id for one in side.store.list(status=Status.RUNNING)))


def fake() -> Store:
    """Make a store over a fake server of its own."""
    server = fakeredis.FakeServer()
    return RedisStore(Clients(*(fakeredis.FakeRedis(server=server, protocol=2) for _ in range(2))))


def test_the_scripts_agree_with_the_reference_in_fakeredis():
    """In the fake that users test with."""
    agree(fake, 20)


def test_the_scripts_agree_with_the_reference_at_a_server(server):
    """In real servers."""

    def make() -> Store:
        server.wipe()
        return RedisStore.from_url(server.url)

    agree(make, 20)


@pytest.fixture(autouse=True)
def small_packs(monkeypatch):
    """Let packs begin at one event: the machine writes few."""
    monkeypatch.setattr(_packs, "_SMALLEST", 1)
    monkeypatch.setattr(_packs, "_MOST", 3)


def agree(make: Callable[[], Store], examples: int) -> None:
    """Run the machine against stores that *make* makes."""
    machine = type("AgreementHere", (Agreement,), {"other": staticmethod(make)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30, parent=settings.default)
    )
