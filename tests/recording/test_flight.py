"""What the sessions of a process write at the same time: each its own outcome and order, and few calls."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable._core.errors import ConfigurationError
from resumable._core.store_errors import FencedError, SessionNotFoundError, StoreError, StoreUnavailableError
from resumable._recording._flight import AsyncFlight, Flight
from resumable._recording._roster import Vigil
from resumable.store import Append, Appended, AsyncMemoryStore, MemoryStore, Opening, Recorded, Status
from resumable.store._redis import RedisStore
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
    flight = Flight(lossy, Vigil(), time_of())
    leases = [store.acquire(f"s{i}", "me", duration=99, ttl=99, opening=OPENING).lease for i in range(40)]

    def one(lease: Lease) -> None:
        for seq in range(1, 51):
            assert flight.append(Append(lease, seq, [b"%d" % seq])) == Appended(seq, 1, None)

    together(*(lambda lease=lease: one(lease) for lease in leases))
    for lease in leases:
        assert events_of(store, lease.session_id) == [b"%d" % seq for seq in range(1, 51)]
    assert len(lossy.flights) < 40 * 50 / 4
    store.close()


def time_of() -> Any:
    """Give the clock a desk uses."""
    import time  # noqa: PLC0415  # Reason: named once

    return time.monotonic


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


def test_what_comes_during_a_flight_goes_in_the_next():
    """One call for the first, one for all that came meanwhile; each with the outcome that is its own."""
    store = Gated()
    flight = Flight(store, Vigil(), time_of())
    leases = [store.acquire(f"s{i}", "me", duration=99, ttl=99, opening=OPENING).lease for i in range(5)]
    store.delete("s3")
    outcomes: dict[str, object] = {}

    def one(lease: Lease) -> None:
        try:
            outcomes[lease.session_id] = flight.append(Append(lease, 1, [b"x"]))
        except StoreError as exc:
            outcomes[lease.session_id] = type(exc)

    def first() -> None:
        one(leases[0])

    def rest() -> None:
        until(lambda: store.flights)
        together(*(lambda lease=lease: one(lease) for lease in leases[1:]), release)

    def release() -> None:
        until(lambda: len(flight._queue) == 4)
        store.gate.set()

    together(first, rest)
    assert [len(appends) for appends in store.flights] == [1, 4]
    done = Appended(1, 1, None)
    assert outcomes == {"s0": done, "s1": done, "s2": done, "s3": SessionNotFoundError, "s4": done}


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_mistake_of_one_is_told_to_that_one(colour):
    """An append that cannot be meant is refused alone, whoever shares its flight."""
    with bench_at(None, colour, LossyStore if colour == "sync" else AsyncLossyStore) as bench:
        good, bad = bench.open("good"), bench.open("bad")
        for _ in range(5):

            def mistake() -> None:
                with pytest.raises(ConfigurationError):
                    bad.write([b"x"], {"token": 1})

            together(mistake, lambda: good.write([b"y"]))
        assert bench.log("good") == [b"y"] * 5
        assert bench.log("bad") == []


class Interrupted(MemoryStore):
    """A store whose first append is interrupted by its user, after it was done."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.is_new = True

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """Append, and interrupt."""
        outcomes = super().append(appends)
        if self.is_new:
            self.is_new = False
            assert self.gate.wait(20)
            raise KeyboardInterrupt
        return outcomes


def test_an_interrupted_leader_harms_nobody():
    """Whoever shares a flight with a thread that is interrupted is served by another thread."""
    store = Interrupted()
    flight = Flight(store, Vigil(), time_of())
    a, b = (store.acquire(name, "me", duration=99, ttl=99, opening=OPENING).lease for name in "ab")

    def interrupted() -> None:
        with pytest.raises(KeyboardInterrupt):
            flight.append(Append(a, 1, [b"a"]))

    def patient() -> None:
        until(lambda: not store.is_new)
        together(lambda: flight.append(Append(b, 1, [b"b"])), follow)

    def follow() -> None:
        until(lambda: len(flight._queue) == 1)
        store.gate.set()

    together(interrupted, patient)
    assert (events_of(store, "a"), events_of(store, "b")) == ([b"a"], [b"b"])


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
        assert flight._task is not None
        flight._task.cancel()
        assert await asyncio.wait_for(waiting, 20) == Appended(1, 1, None)

    asyncio.run(scenario())


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


def test_an_append_of_a_fenced_writer_is_his_alone():
    """A typed error for him, and nothing in the log."""
    store = MemoryStore()
    flight = Flight(store, Vigil(), time_of())
    lease = store.acquire("s", "me", duration=99, ttl=99, opening=OPENING).lease
    store.release(lease)
    store.acquire("s", "other", duration=99, ttl=99)
    with pytest.raises(FencedError):
        flight.append(Append(lease, 1, [b"a"]))
    assert not events_of(store, "s")
