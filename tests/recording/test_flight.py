"""What the sessions of a process write at the same time: each its own outcome and order, and few calls."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable._core.errors import ConfigurationError
from resumable._core.store_errors import FencedError, SessionNotFoundError, StoreError, StoreUnavailableError
from resumable._recording._desk import Desk
from resumable._recording._flight import AsyncFlight, Flight
from resumable._recording._journal import Journal
from resumable._recording._queue import AIR, FULL
from resumable._recording._roster import Vigil
from resumable.store import Append, Appended, AsyncMemoryStore, MemoryStore, Opening, Recorded, Status
from resumable.store.redis._stores import RedisStore
from tests.recording.benches import AsyncLossyStore, LossyStore, bench_at, together, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import Lease, Store

OPENING = Opening(b"{}", "h")
WRITES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30)
FATES = st.lists(st.sampled_from(["ok", "cut", "lost"]), max_size=12)


def events_of(store: Store, session_id: str) -> list[bytes]:
    """Give the events of a log, which must be dense."""
    entries = [entry for entry in store.read(session_id, limit=10_000) if isinstance(entry, Recorded)]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    return [entry.event for entry in entries]


@settings(max_examples=30)
@given(WRITES, FATES)
def test_any_interleaving_gives_each_session_its_own(writes, fates):
    """Sessions that write at the same time, through flights that are lost: each log has its own events, in order."""

    async def scenario() -> None:
        lossy = AsyncLossyStore(AsyncMemoryStore(), fates)
        flight = AsyncFlight(lossy, Vigil(), asyncio.get_running_loop().time)
        opened = [await lossy.acquire(f"s{i}", "me", duration=99, ttl=99, opening=OPENING) for i in range(4)]

        async def one(number: int) -> None:
            seq = 1
            for session, pauses in writes:
                for _ in range(pauses):
                    await asyncio.sleep(0)
                if session == number:
                    append = Append(opened[number].lease, seq, [b"%d.%d" % (number, seq)])
                    while isinstance(await outcome(flight, append), StoreUnavailableError):
                        pass
                    seq += 1

        await asyncio.gather(*map(one, range(4)))
        for i in range(4):
            count = sum(session == i for session, _ in writes)
            found = [entry for entry in await lossy.read(f"s{i}") if isinstance(entry, Recorded)]
            assert [entry.event for entry in found] == [b"%d.%d" % (i, seq) for seq in range(1, count + 1)]
            assert [entry.seq for entry in found] == list(range(1, count + 1))

    asyncio.run(scenario())


async def outcome(flight: AsyncFlight, append: Append) -> Appended | StoreError:
    """Append, and give the outcome back, whatever it is."""
    try:
        return await flight.append(append)
    except StoreError as exc:
        return exc


def test_threads_that_write_at_once_share_flights(server):
    """Forty threads write fifty events each: every log is whole, in far fewer calls than events."""
    store = RedisStore.from_url(server.url)
    lossy = LossyStore(store)
    flight = Flight(lossy, Vigil(), time.monotonic)
    leases = [store.acquire(f"s{i}", "me", duration=99, ttl=99, opening=OPENING).lease for i in range(40)]

    def one(lease: Lease) -> None:
        for seq in range(1, 51):
            assert flight.append(Append(lease, seq, [b"%d" % seq])) == Appended(seq, 1, None)

    together(*(lambda lease=lease: one(lease) for lease in leases))
    for lease in leases:
        assert events_of(store, lease.session_id) == [b"%d" % seq for seq in range(1, 51)]
    assert len(lossy.flights) < 40 * 50 / 4
    store.close()


class Gated(MemoryStore):
    """A store whose first append waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.flights: list[Sequence[Append]] = []

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """Wait, then append."""
        self.flights.append(appends)
        assert self.gate.wait(20)
        return super().append(appends)


def crowded(store: Gated, *appends: Append) -> list[object]:
    """Append at the same time, behind a flight that takes its time; give the outcomes."""
    flight = Flight(store, Vigil(), time.monotonic)
    first = store.acquire("first", "me", duration=99, ttl=99, opening=OPENING).lease
    outcomes: list[object] = [None] * len(appends)

    def one(number: int) -> None:
        until(lambda: store.flights)
        try:
            outcomes[number] = flight.append(appends[number])
        except BaseException as exc:  # noqa: BLE001  # Reason: an interrupt is an outcome here
            outcomes[number] = type(exc)

    def release() -> None:
        until(lambda: len(flight._queue) == len(appends))
        store.gate.set()

    together(lambda: flight.append(Append(first, 1, [b"x"])), *(partial(one, i) for i in range(len(appends))), release)
    return outcomes


def test_what_comes_during_a_flight_goes_in_the_next():
    """One call for the first, one for all that came meanwhile; each with the outcome that is its own."""
    store = Gated()
    leases = [store.acquire(name, "me", duration=99, ttl=99, opening=OPENING).lease for name in "abcd"]
    store.delete("c")
    done = Appended(1, 1, None)
    outcomes = crowded(store, *(Append(lease, 1, [b"x"]) for lease in leases))
    assert outcomes == [done, done, SessionNotFoundError, done]
    assert [len(appends) for appends in store.flights] == [1, 4]


def test_a_mistake_of_one_is_told_to_that_one():
    """An append that cannot be meant is refused alone, whoever shares its flight."""
    store = Gated()
    leases = [store.acquire(name, "me", duration=99, ttl=99, opening=OPENING).lease for name in "abc"]
    appends = [Append(lease, 1, [b"x"], {"token": 1} if lease is leases[1] else {}) for lease in leases]
    assert crowded(store, *appends) == [Appended(1, 1, None), ConfigurationError, Appended(1, 1, None)]
    assert [len(flight) for flight in store.flights[:2]] == [1, 3]


def test_a_mistake_of_one_task_is_told_to_that_one():
    """So it is in a loop."""

    async def scenario() -> None:
        store = AsyncMemoryStore()
        flight = AsyncFlight(store, Vigil(), time.monotonic)
        leases = [(await store.acquire(name, "me", duration=99, ttl=99, opening=OPENING)).lease for name in "abc"]
        appends = [Append(lease, 1, [b"x"], {"token": 1} if lease is leases[1] else {}) for lease in leases]
        outcomes = await asyncio.gather(*map(flight.append, appends), return_exceptions=True)
        assert outcomes[0] == outcomes[2] == Appended(1, 1, None)
        assert isinstance(outcomes[1], ConfigurationError)

    asyncio.run(scenario())


class Interrupted(Gated):
    """A store whose second flight is interrupted by its user, after it was done."""

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """Append, and interrupt."""
        outcomes = super().append(appends)
        if len(self.flights) == 2:
            raise KeyboardInterrupt
        return outcomes


def test_an_interrupted_leader_harms_nobody():
    """Whoever shares a flight with a thread that is interrupted is served by another thread."""
    store = Interrupted()
    leases = [store.acquire(name, "me", duration=99, ttl=99, opening=OPENING).lease for name in "abc"]
    outcomes = crowded(store, *(Append(lease, 1, [b"x"]) for lease in leases))
    assert outcomes.count(KeyboardInterrupt) == 1
    assert outcomes.count(Appended(1, 0, None)) == 2  # Both were written by the flight nobody heard of.
    assert [events_of(store, name) for name in "abc"] == [[b"x"]] * 3


def test_a_finalizer_may_end_a_session_at_any_line():
    """Garbage is collected where it is: also while this thread holds the guard, or flies. Nothing hangs."""
    store = MemoryStore()
    desk = Desk.of(store)
    garbage = [Journal.open(desk, name, OPENING) for name in "ab"]
    journal = Journal.open(desk, "s", OPENING)
    load, append = journal.load, store.append

    def collecting(now: float) -> Append | None:
        if len(garbage) > 1:
            garbage.pop().end(Status.CANCELLED)
        return load(now)

    def collecting_too(appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        if len(garbage) == 1:
            garbage.pop().end(Status.CANCELLED)
        return append(appends)

    journal.load = collecting
    store.append = collecting_too  # type: ignore[method-assign]
    together(lambda: journal.write([b"x"]))
    assert events_of(store, "s") == [b"x"]
    until(lambda: [store.get(name).status for name in "ab"] == [Status.CANCELLED] * 2)
    desk.close()


def test_a_flight_needs_no_thread_of_its_own():
    """Who waits takes it off; only what nobody waits for has a thread, which ends when there is nothing left."""
    with bench_at(None, "sync") as bench:
        bench.open("waits").write([b"a"])
        assert bench.desk.flight._thread is None
        relaxed = bench.open("relaxed", durability="relaxed")
        relaxed.write([b"a"])
        until(lambda: relaxed.last_seq == 1)
        assert bench.desk.flight._thread is not None


def test_the_task_of_a_loop_may_be_cancelled():
    """Somebody who cancels every task of a loop does not stop the writing of those who go on."""

    async def scenario() -> None:
        store = AsyncMemoryStore()
        flight = AsyncFlight(AsyncLossyStore(store, ["cut"]), Vigil(), asyncio.get_running_loop().time)
        lease = (await store.acquire("s", "me", duration=99, ttl=99, opening=OPENING)).lease
        with pytest.raises(StoreUnavailableError):
            await flight.append(Append(lease, 1, [b"a"]))
        waiting = asyncio.create_task(flight.append(Append(lease, 1, [b"a"])))
        await asyncio.sleep(0)
        [task] = flight._tasks
        task.cancel()
        assert await asyncio.wait_for(waiting, 20) == Appended(1, 1, None)

    asyncio.run(scenario())


class Crowded(AsyncMemoryStore):
    """A store that is slow, and counts who is in the air."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self.flights = 0
        self.now: list[str] = []

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """Note whose appends are under way, give way a few times, and append."""
        names = [one.lease.session_id for one in appends]
        assert not set(names) & set(self.now), "a session has one append in the air"
        self.now += names
        self.flights += 1
        self.most = max(self.most, self.flights)
        for _ in range(5):
            await asyncio.sleep(0)
        outcomes = await super().append(appends)
        self.now = [name for name in self.now if name not in set(names)]
        self.flights -= 1
        return outcomes


def test_full_flights_share_the_air_and_a_session_is_in_one_of_them():
    """Under load a flight need not wait for the one before it; every log is whole and in order."""

    async def scenario() -> int:
        store = Crowded()
        flight = AsyncFlight(store, Vigil(), asyncio.get_running_loop().time)
        leases = [
            (await store.acquire(f"s{i}", "me", duration=99, ttl=99, opening=OPENING)).lease for i in range(3 * FULL)
        ]

        async def one(lease: Lease, pauses: int) -> None:
            for _ in range(pauses):
                await asyncio.sleep(0)
            for seq in range(1, 5):
                assert await flight.append(Append(lease, seq, [b"%d" % seq])) == Appended(seq, 1, None)

        await asyncio.gather(*(one(lease, i * 6 // len(leases)) for i, lease in enumerate(leases)))
        await flight.flush(20)
        assert not flight._tasks
        return store.most

    assert asyncio.run(scenario()) == AIR


def test_a_caller_that_is_cancelled_leaves_no_mess():
    """His write may be in the log; the next one goes behind it."""

    async def scenario() -> None:
        with_store = AsyncMemoryStore()
        flight = AsyncFlight(with_store, Vigil(), asyncio.get_running_loop().time)
        lease = (await with_store.acquire("s", "me", duration=99, ttl=99, opening=OPENING)).lease
        first = asyncio.create_task(flight.append(Append(lease, 1, [b"a"])))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await flight.append(Append(lease, 2, [b"b"], {}, Status.COMPLETE)) == Appended(2, 1, None)
        assert not flight._bells

    asyncio.run(scenario())


class Steps:
    """A sender with several writes, each in an append of its own."""

    def __init__(self, lease: Lease, count: int) -> None:
        self.appends = [Append(lease, seq, [b"%d" % seq]) for seq in range(1, count + 1)]
        self.done = 0

    @property
    def is_waiting(self) -> bool:
        """While some are left."""
        return self.done < len(self.appends)

    def load(self, now: float) -> Append | None:
        """Give the next."""
        del now
        return self.appends[self.done]

    def settle(self, outcome: Appended | Exception, now: float) -> None:
        """Count it."""
        del outcome, now
        self.done += 1

    def until(self, number: int, since: float) -> float:
        """Until that many are done."""
        return since + 60 if self.done < number else -math.inf


def test_two_who_wait_for_one_sender_go_on_when_it_is_their_turn():
    """Whose write has landed goes on; whose has not goes on waiting; who need not wait does not."""

    async def scenario() -> None:
        store = AsyncMemoryStore()
        flight = AsyncFlight(store, Vigil(), asyncio.get_running_loop().time)
        steps = Steps((await store.acquire("s", "me", duration=99, ttl=99, opening=OPENING)).lease, 2)
        first, second = flight.carry(steps, 1), flight.carry(steps, 2)
        await first
        assert (steps.done, second.done()) == (1, False)
        await second
        assert steps.done == 2
        assert flight.carry(steps, 2).done()
        assert not flight._bells

    asyncio.run(scenario())


def test_an_append_of_a_fenced_writer_is_his_alone():
    """A typed error for him, and nothing in the log."""
    store = MemoryStore()
    flight = Flight(store, Vigil(), time.monotonic)
    lease = store.acquire("s", "me", duration=99, ttl=99, opening=OPENING).lease
    store.release(lease)
    store.acquire("s", "other", duration=99, ttl=99)
    with pytest.raises(FencedError):
        flight.append(Append(lease, 1, [b"a"]))
    assert not events_of(store, "s")
