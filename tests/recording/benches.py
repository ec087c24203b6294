"""Desks and journals of both colours behind one face, at a server or in memory; and stores that lose things."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import fakeredis
import pytest
from anyio.from_thread import start_blocking_portal

from resumable._core.store_errors import StoreUnavailableError
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._journal import AsyncJournal, Journal
from resumable.store import Append, AsyncMemoryStore, MemoryStore, Opening, Recorded, Store
from resumable.store.redis._clients import AsyncClients, Clients
from resumable.store.redis._stores import AsyncRedisStore, RedisStore
from resumable.testing._conformance_portal import _Across
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from resumable._core.store_errors import StoreError
    from resumable._recording._rules import Gap
    from resumable.store import Acquired, Appended, AsyncStore, Cursor, Lease, Status

OPENING = Opening(b"{}", "hash", "alice", {"model": "m"})
LIMIT = 30.0  # [s] On a machine that is busy; what is waited for takes some hundredths.
AWAY = StoreUnavailableError("connection", "ConnectionError")


class Writer(Protocol):
    """A journal of either colour, called from a thread."""

    acquired: Acquired
    session_id: str
    lease: Lease
    last_seq: int
    next_seq: int
    cursor: Cursor
    gap: Gap | None
    cancel_reason: str | None
    on_cancel: Callable[[], object] | None
    on_lost: Callable[[], object] | None

    def write(self, events: Sequence[bytes] = (), fields: Mapping[str, str | int | bytes] | None = None) -> None:
        """As `Journal.write`."""

    def end(
        self, status: Status, events: Sequence[bytes] = (), fields: Mapping[str, str | int | bytes] | None = None
    ) -> None:
        """As `Journal.end`."""

    def release(self) -> None:
        """As `Journal.release`."""


class _AcrossJournal:
    """An async journal, called from a thread; what is no call is its own."""

    def __init__(self, journal: AsyncJournal, portal: Any) -> None:
        self.__dict__.update(_journal=journal, _portal=portal)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        if name not in {"write", "end", "release"}:
            return found
        return lambda *args: self._portal.call(found, *args)

    def __setattr__(self, name: str, value: object) -> None:
        self._portal.call(setattr, self._journal, name, value)


class Bench:
    """
    A desk of either colour, and its store, called from a thread.

    Attributes:
        store: The store the desk works with.
        desk: The desk itself.
    """

    store: Store
    desk: Any

    def open(self, session_id: str = "s", opening: Opening | None = OPENING, **settings: Any) -> Writer:
        """As `Journal.open`."""
        raise NotImplementedError

    def log(self, session_id: str = "s") -> list[bytes]:
        """Give the events of a log, which must be dense."""
        entries = [one for one in self.store.read(session_id, limit=100_000) if isinstance(one, Recorded)]
        assert [one.seq for one in entries] == list(range(1, len(entries) + 1))
        return [one.event for one in entries]


class _SyncBench(Bench):
    def __init__(self, store: Store) -> None:
        self.store = store
        self.desk = Desk.of(store)

    def open(self, session_id: str = "s", opening: Opening | None = OPENING, **settings: Any) -> Any:
        return Journal.open(self.desk, session_id, opening, **settings)


class _AsyncBench(Bench):
    def __init__(self, portal: Any, store: AsyncStore, desk: AsyncDesk) -> None:
        self._portal = portal
        self._store = store
        self.store: Any = _Across(store, portal)
        self.desk = desk

    def open(self, session_id: str = "s", opening: Opening | None = OPENING, **settings: Any) -> Any:
        async def work() -> AsyncJournal:
            return await AsyncJournal.open(self.desk, session_id, opening, **settings)

        return _AcrossJournal(self._portal.call(work), self._portal)


def _store(url: str | None) -> Store:
    if url is None:
        return MemoryStore()
    if url == "fake":
        fake = fakeredis.FakeServer()
        return RedisStore(Clients(*(fakeredis.FakeRedis(server=fake, protocol=2) for _ in range(2))))
    return RedisStore.from_url(url)


def _astore(url: str | None) -> AsyncStore:
    if url is None:
        return AsyncMemoryStore()
    if url == "fake":
        fake = fakeredis.FakeServer()
        return AsyncRedisStore(AsyncClients(*(fakeredis.FakeAsyncRedis(server=fake, protocol=2) for _ in range(2))))
    return AsyncRedisStore.from_url(url)


@contextmanager
def bench_at(url: str | None, colour: str, wrap: Callable[[Any], Any] = lambda store: store) -> Iterator[Bench]:
    """
    Make a bench.

    Args:
        url: Of a server, or `"fake"`; in memory without one.
        colour: Of everything.
        wrap: Puts something before the store.
    """
    with ExitStack() as stack:
        if colour == "sync":
            bench: Any = _SyncBench(wrap(_store(url)))
            stack.callback(bench.store.close)
            stack.callback(bench.desk.close)
            yield bench
            return
        portal = stack.enter_context(start_blocking_portal())

        async def make() -> tuple[AsyncStore, AsyncDesk]:
            store: AsyncStore = wrap(_astore(url))
            return store, AsyncDesk.of(store)

        store, desk = portal.call(make)
        stack.callback(portal.call, store.close)
        stack.callback(portal.call, desk.close)
        yield _AsyncBench(portal, store, desk)


@pytest.fixture(scope="session")
def quiet_server() -> Iterator[Server]:
    """One server for all tests of this worker that do not break it."""
    with ExitStack() as stack:
        server = Server("valkey", short_directory(stack))
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    """Both colours."""
    colour: str = request.param
    return colour


@pytest.fixture(params=["memory", "fake", "server"])
def bench(request: pytest.FixtureRequest, colour: str, quiet_server: Server) -> Iterator[Bench]:
    """A desk of each colour: in memory, at fakeredis, at a real server."""
    urls = {"memory": None, "fake": "fake", "server": quiet_server.url}
    quiet_server.wipe()
    with bench_at(urls[request.param], colour) as bench:
        yield bench


def until(look: Callable[[], object], limit: float = LIMIT) -> float:
    """Wait until something is so, and tell how long it took [s]."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < limit, "it did not come about"
        time.sleep(0.002)
    return time.monotonic() - began


def together(*works: Callable[[], object]) -> None:
    """Do things at the same time, and raise what one raised."""
    errors: list[BaseException] = []

    def do(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  # Reason: raised below
            errors.append(exc)

    threads = [threading.Thread(target=do, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


class Lossy:
    """
    Loses flights to a store, as it is told, and holds them up.

    Attributes:
        fates: What becomes of the next flights: `"cut"`, `"lost"` (done, and not told) or `"ok"`, which is also what
            comes after them.
        flights: Every flight.
    """

    def __init__(self, store: Any, fates: Sequence[str] = ()) -> None:
        self._store = store
        self.fates = list(fates)
        self.flights: list[Sequence[Append]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def __dir__(self) -> list[str]:
        return dir(self._store)

    def _fate(self, appends: Sequence[Append]) -> str:
        self.flights.append(appends)
        return self.fates.pop(0) if self.fates else "ok"


class LossyStore(Lossy):
    """For threads."""

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `Store.append`, with losses."""
        fate = self._fate(appends)
        outcomes: Sequence[Appended | StoreError] = () if fate == "cut" else self._store.append(appends)
        if fate != "ok":
            raise AWAY
        return outcomes


class AsyncLossyStore(Lossy):
    """For a loop."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `LossyStore.append`."""
        fate = self._fate(appends)
        outcomes: Sequence[Appended | StoreError] = () if fate == "cut" else await self._store.append(appends)
        if fate != "ok":
            raise AWAY
        return outcomes
