"""
Sessions in memory, in two colours: for tests, and for programs that need no session to outlive them.

Leases are by the injected clock; waits are real.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

from resumable._core.store_errors import StoreUnavailableError
from resumable.store._records import LONGEST_WAIT, MAX_EVENTS, Vitals

from ._model import MemorySessions
from ._notes import AsyncMemoryNotes, MemoryNotes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from resumable._core.store_errors import StoreError
    from resumable.store._packs import Stored
    from resumable.store._records import (
        Acquired,
        Append,
        Appended,
        Cancelled,
        Cancels,
        Checkpoint,
        Cursor,
        Entry,
        Lease,
        Opening,
        Status,
        Upkeep,
    )

T = TypeVar("T")


class _Changes:
    """Every call goes through here, one at a time; who waits is told when anything may have changed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._run_id = secrets.token_hex(20)
        self._sessions = MemorySessions()
        self._is_woken = False
        self._is_closed = False

    def _now(self) -> int:
        """Read the clock [ms], unless the store is closed."""
        if self._is_closed:
            raise StoreUnavailableError(reason="closed", cause_name=type(self).__name__, retryable=False)
        return int(self._clock() * 1000)

    def _vitals(self, now: int) -> Vitals:
        """Say of oneself what a server says."""
        return Vitals(self._run_id, now / 1000 - self._started, "master")

    def _arrived(self, after: Mapping[str, Cursor]) -> Mapping[str, Sequence[Entry] | StoreError] | None:
        """Tell what a wait ends with; `None` while it goes on."""
        found = self._sessions.arrived(after, self._now())
        if found or self._is_woken:
            self._is_woken = False
            return found
        return None

    def _asked(self, after: Cursor | None) -> Cancels | None:
        """Tell what a wait for cancels ends with; `None` while it goes on."""
        self._now()
        found = self._sessions.cancels(after)
        return found if after is None or found.session_ids else None


class MemoryStore(MemoryNotes, _Changes):
    """
    Sessions in the memory of this process; a `Store`.

    Args:
        clock: [s] What leases, ages and ids are reckoned by; since 1970.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._condition = threading.Condition()

    @contextmanager
    def _changing(self) -> Generator[int]:
        with self._condition:
            try:
                yield self._now()
            finally:
                self._condition.notify_all()

    @contextmanager
    def _reading(self) -> Generator[int]:
        with self._condition:
            yield self._now()

    def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `Store.acquire`."""
        with self._changing() as now:
            return self._sessions.acquire(session_id, holder, duration, ttl, opening, now=now)

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `Store.append`."""
        with self._changing() as now:
            return self._sessions.append(appends, now)

    def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `Store.renew`."""
        with self._changing() as now:
            return self._sessions.renew(leases, now)

    def release(self, lease: Lease) -> None:
        """As `Store.release`."""
        with self._changing() as now:
            self._sessions.release(lease, now)

    def orphan(self, session_id: str) -> bool:
        """As `Store.orphan`."""
        with self._changing() as now:
            return self._sessions.orphan(session_id, now)

    def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `Store.cancel`."""
        with self._changing() as now:
            return self._sessions.cancel(session_id, reason, now)

    def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `Store.wait_cancelled`."""
        found = self._wait_for(lambda: self._asked(after), seconds)
        return found or self._sessions.cancels(after)

    def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `Store.read`."""
        with self._reading() as now:
            return self._sessions.read(session_id, after, limit, now)

    def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `Store.wait`."""
        found = self._wait_for(lambda: self._arrived(after), seconds)
        return found or {}

    def wake(self) -> None:
        """As `Store.wake`."""
        with self._changing():
            self._is_woken = True

    def get(self, session_id: str) -> Checkpoint:
        """As `Store.get`."""
        with self._reading() as now:
            return self._sessions.get(session_id, now)

    def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `Store.look`."""
        with self._reading() as now:
            return self._sessions.look(session_ids, now)

    def request(self, session_id: str) -> bytes:
        """As `Store.request`."""
        with self._reading() as now:
            return self._sessions.request(session_id, now)

    def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `Store.list`."""
        with self._reading() as now:
            return self._sessions.list_sessions(status, principal, (min_age, max_age), limit, now)

    def due(self, limit: int = 100) -> Sequence[str]:
        """As `Store.due`."""
        with self._reading() as now:
            return self._sessions.due(limit, now)

    def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `Store.claim`."""
        with self._changing() as now:
            return self._sessions.claim(upkeep, principal, (hold, min_age), limit, now)

    def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `Store.compact`."""
        with self._changing() as now:
            return self._sessions.compact(session_id, log, now)

    def delete(self, session_id: str) -> bool:
        """As `Store.delete`."""
        with self._changing() as now:
            return self._sessions.delete(session_id, now)

    def ping(self) -> Vitals:
        """As `Store.ping`."""
        with self._reading() as now:
            return self._vitals(now)

    def close(self) -> None:
        """As `Store.close`."""
        with self._closing():
            self._is_closed = True

    @contextmanager
    def _closing(self) -> Generator[None]:
        with self._condition:
            yield
            self._condition.notify_all()

    def _wait_for(self, look: Callable[[], T | None], seconds: float) -> T | None:
        until = time.monotonic() + min(seconds, LONGEST_WAIT)
        with self._condition:
            while (found := look()) is None and (left := until - time.monotonic()) > 0:
                self._condition.wait(left)
        return found


class AsyncMemoryStore(AsyncMemoryNotes, _Changes):
    """
    Sessions in the memory of this process; an `AsyncStore`, under asyncio and trio.

    Args:
        clock: [s] What leases, ages and ids are reckoned by; since 1970.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._changed = anyio.Event()

    @contextmanager
    def _changing(self) -> Generator[int]:
        try:
            yield self._now()
        finally:
            self._changed.set()  # once in its life, so the next change needs another
            self._changed = anyio.Event()

    @contextmanager
    def _reading(self) -> Generator[int]:
        yield self._now()

    async def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `AsyncStore.acquire`."""
        with self._changing() as now:
            return self._sessions.acquire(session_id, holder, duration, ttl, opening, now=now)

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `AsyncStore.append`."""
        with self._changing() as now:
            return self._sessions.append(appends, now)

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `AsyncStore.renew`."""
        with self._changing() as now:
            return self._sessions.renew(leases, now)

    async def release(self, lease: Lease) -> None:
        """As `AsyncStore.release`."""
        with self._changing() as now:
            self._sessions.release(lease, now)

    async def orphan(self, session_id: str) -> bool:
        """As `AsyncStore.orphan`."""
        with self._changing() as now:
            return self._sessions.orphan(session_id, now)

    async def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `AsyncStore.cancel`."""
        with self._changing() as now:
            return self._sessions.cancel(session_id, reason, now)

    async def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `AsyncStore.wait_cancelled`."""
        found = await self._wait_for(lambda: self._asked(after), seconds)
        return found or self._sessions.cancels(after)

    async def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `AsyncStore.read`."""
        with self._reading() as now:
            return self._sessions.read(session_id, after, limit, now)

    async def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `AsyncStore.wait`."""
        found = await self._wait_for(lambda: self._arrived(after), seconds)
        return found or {}

    async def wake(self) -> None:
        """As `AsyncStore.wake`."""
        with self._changing():
            self._is_woken = True

    async def get(self, session_id: str) -> Checkpoint:
        """As `AsyncStore.get`."""
        with self._reading() as now:
            return self._sessions.get(session_id, now)

    async def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `AsyncStore.look`."""
        with self._reading() as now:
            return self._sessions.look(session_ids, now)

    async def request(self, session_id: str) -> bytes:
        """As `AsyncStore.request`."""
        with self._reading() as now:
            return self._sessions.request(session_id, now)

    async def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `AsyncStore.list`."""
        with self._reading() as now:
            return self._sessions.list_sessions(status, principal, (min_age, max_age), limit, now)

    async def due(self, limit: int = 100) -> Sequence[str]:
        """As `AsyncStore.due`."""
        with self._reading() as now:
            return self._sessions.due(limit, now)

    async def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `AsyncStore.claim`."""
        with self._changing() as now:
            return self._sessions.claim(upkeep, principal, (hold, min_age), limit, now)

    async def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `AsyncStore.compact`."""
        with self._changing() as now:
            return self._sessions.compact(session_id, log, now)

    async def delete(self, session_id: str) -> bool:
        """As `AsyncStore.delete`."""
        with self._changing() as now:
            return self._sessions.delete(session_id, now)

    async def ping(self) -> Vitals:
        """As `AsyncStore.ping`."""
        with self._reading() as now:
            return self._vitals(now)

    async def close(self) -> None:
        """As `AsyncStore.close`."""
        with self._closing():
            self._is_closed = True

    @contextmanager
    def _closing(self) -> Generator[None]:
        yield
        self._changed.set()

    async def _wait_for(self, look: Callable[[], T | None], seconds: float) -> T | None:
        until = time.monotonic() + min(seconds, LONGEST_WAIT)
        while (found := look()) is None and (left := until - time.monotonic()) > 0:
            with anyio.move_on_after(left):
                await self._changed.wait()
        return found
