"""
One reader for a whole process: it waits on every followed log at once, over one connection, and fans out.

A hub runs while somebody follows, in one daemon thread or one task, and goes on for no more than a wait after that.
Nobody's reading slows it down, or the writers, or anybody else's reading.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from resumable._core.store_errors import StoreError, StoreUnavailableError
from resumable._drive import SystemClock

from ._taps import Feed, Taps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from resumable._core.store_errors import StoreError as Refusal
    from resumable._drive import Clock
    from resumable.store import AsyncStore, Checkpoint, Cursor, Entry, Store

    from ._taps import Delivery


_LONGEST_WAIT = 5.0  # [s] What a store's `wait` is bounded by.
_SHORTEST_WAIT = 0.001  # [s]
_CHECK = 1.0  # [s] How often a follower makes sure that the hub runs: a fork leaves threads behind.
_BACKOFF = 0.02  # [s] After the first failed wait, doubled with each.
_LONGEST_BACKOFF = 1.0  # [s]


class AsyncBell:
    """Where one waits in an event loop; `asyncio.Event`, which is for many, takes a coroutine for each who waits."""

    __slots__ = ("_is_rung", "_waiter")

    def __init__(self) -> None:
        self._is_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let who waits go on."""
        self._is_rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Let the next one wait."""
        self._is_rung = False

    def wait(self) -> asyncio.Future[None]:
        """Wait until it is set."""
        self._waiter = asyncio.get_running_loop().create_future()
        if self._is_rung:
            self._waiter.set_result(None)
        return self._waiter


B = TypeVar("B", threading.Event, AsyncBell)


def backoff(failures: int) -> float:
    """[s] Say how long to leave a store alone that has failed this often in a row."""
    return min(_BACKOFF * 2.0 ** min(failures - 1, 16), _LONGEST_BACKOFF)


class _Switchboard(Generic[B]):
    """
    What the colours have in common: who follows what, and what the loop has to do next.

    Attributes:
        clock: Where time comes from.
    """

    def __init__(self, guard: AbstractContextManager[object], clock: Clock | None) -> None:
        self.clock = clock or SystemClock()
        self._guard = guard
        self._taps = Taps()
        self._is_waiting = False
        self._is_closed = False
        self._failures = 0

    def leave(self, feed: Feed[B]) -> None:
        """Let nothing arrive at a feed any more."""
        with self._guard:
            self._taps.leave(feed)

    def take(self, feed: Feed[B]) -> Delivery:
        """Take what has arrived at a feed: what follows its cursor, and whether more may come."""
        with self._guard:
            return feed.take()

    def _add(self, feed: Feed[B]) -> bool:
        """Add a feed, and say whether the wait under way must be ended; one waking is enough."""
        self._taps.join(feed, self.clock.now())
        if self._is_closed:
            self._end()
        wakes, self._is_waiting = self._is_waiting, False
        return wakes

    def _end(self) -> None:
        self._is_closed = True
        self._taps.refused(StoreUnavailableError("closed", type(self).__name__, retryable=False))

    def _begin(self) -> Mapping[str, Cursor] | None:
        """Say from where to wait; `None` when there is nobody to wait for."""
        with self._guard:
            start = self._taps.cursors()
            self._is_waiting = not self._is_closed and bool(start)
            if not self._is_waiting:
                self._forget()
                return None
            return start

    def _forget(self) -> None:
        """Note that the loop ends, so that who joins next starts another."""
        raise NotImplementedError

    def _seconds(self) -> float:
        """[s] Say for how long to wait."""
        with self._guard:
            return min(max(self._taps.until_look(self.clock.now()), _SHORTEST_WAIT), _LONGEST_WAIT)

    def _arrived(self, start: Mapping[str, Cursor], found: Mapping[str, Sequence[Entry] | Refusal]) -> Sequence[str]:
        """Give out what a wait brought, and say whom to look at."""
        with self._guard:
            self._is_waiting = False
            self._failures = 0
            self._taps.arrived(start, found, self.clock.now())
            return self._taps.due(self.clock.now())

    def _looked(self, due: Sequence[str], told: Sequence[Checkpoint | Refusal], since: float) -> None:
        with self._guard:
            self._taps.looked(due, told, since)

    def _lost(self, error: StoreUnavailableError) -> float:
        """[s] Take note that the store cannot be asked, and say for how long to leave it alone."""
        with self._guard:
            self._is_waiting = False
            self._failures += 1
            self._taps.lost(error, self.clock.now())
            return backoff(self._failures)

    def _refused(self, error: StoreError) -> None:
        with self._guard:
            self._is_waiting = False
            self._taps.refused(error)

    def _crash(self, error: Exception) -> None:
        """End, with everybody told: nobody must wait for what will not come."""
        with self._guard:
            self._forget()
            self._taps.refused(error)


class Hub(_Switchboard[threading.Event]):
    """
    The reader of one store for all followers of a process.

    Whoever makes it closes it; threads share it.

    Args:
        store: Where the logs are; nobody else waits on it.
        clock: Where time comes from.

    Attributes:
        store: The same.
    """

    def __init__(self, store: Store, *, clock: Clock | None = None) -> None:
        super().__init__(threading.Lock(), clock)
        self.store = store
        self._thread: threading.Thread | None = None

    def feed(self, session_id: str, patience: float) -> Feed[threading.Event]:
        """Make the feed of a follower; it joins when it has read what there is."""
        return Feed(session_id, threading.Event(), patience)

    def join(self, feed: Feed[threading.Event]) -> None:
        """
        Let what follows a feed's cursor arrive at it.

        Args:
            feed: Made by this hub, and not joined.
        """
        with self._guard:
            wakes = self._add(feed)
            self._start()
        if wakes:
            with suppress(StoreError):  # The wait meets the same, or ends in its time.
                self.store.wake()

    def wait(self, feed: Feed[threading.Event]) -> None:
        """
        Wait until something has arrived at a feed.

        Args:
            feed: Joined to this hub.
        """
        while not feed.bell.wait(_CHECK):
            with self._guard:
                self._start()

    def close(self) -> None:
        """Tell every follower that the store is closed, and end; bounded by the longest wait."""
        with self._guard:
            thread = self._thread
            self._end()
        if thread is not None:
            with suppress(StoreError):
                self.store.wake()
            thread.join(_LONGEST_WAIT)

    def _start(self) -> None:
        if not self._is_closed and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="resumable-hub", daemon=True)
            self._thread.start()

    def _forget(self) -> None:
        self._thread = None

    def _run(self) -> None:
        try:
            while (start := self._begin()) is not None:
                self._turn(start)
        except Exception as exc:  # noqa: BLE001  # Reason: a bug is told to everybody who waits
            self._crash(exc)
        except BaseException as exc:
            self._crash(StoreUnavailableError("closed", type(exc).__name__, retryable=False))
            raise

    def _turn(self, start: Mapping[str, Cursor]) -> None:
        """Wait once, give out what came, and look at whom it is time to look at."""
        try:
            due = self._arrived(start, self.store.wait(start, self._seconds()))
            since = self.clock.now()
            if due:
                self._looked(due, self.store.look(due), since)
            pause = self._taps.pause
        except StoreUnavailableError as lost:
            pause = self._lost(lost)
        except StoreError as refused:
            self._refused(refused)
            pause = _BACKOFF
        if pause:
            self.clock.sleep(pause)


class AsyncHub(_Switchboard[AsyncBell]):
    """
    The reader of one store for all followers of an event loop.

    Whoever makes it closes it.

    Args:
        store: Where the logs are; nobody else waits on it.
        clock: Where time comes from.

    Attributes:
        store: The same.
    """

    def __init__(self, store: AsyncStore, *, clock: Clock | None = None) -> None:
        super().__init__(threading.RLock(), clock)  # Nobody contends; `nullcontext` costs more.
        self.store = store
        self._task: asyncio.Task[None] | None = None

    def feed(self, session_id: str, patience: float) -> Feed[AsyncBell]:
        """As `Hub.feed`."""
        return Feed(session_id, AsyncBell(), patience)

    async def join(self, feed: Feed[AsyncBell]) -> None:
        """As `Hub.join`."""
        with self._guard:
            wakes = self._add(feed)
            self._start()
        if wakes:
            with suppress(StoreError):  # The wait meets the same, or ends in its time.
                await self.store.wake()

    def wait(self, feed: Feed[AsyncBell]) -> Awaitable[None]:
        """As `Hub.wait`; no coroutine of its own, since this is done once for every event."""
        return feed.bell.wait()

    async def close(self) -> None:
        """As `Hub.close`, at once."""
        task = self._task
        self._end()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _start(self) -> None:
        if not self._is_closed and self._task is None:
            # Without the context of whoever came first: the task outlives it.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    def _forget(self) -> None:
        self._task = None

    async def _run(self) -> None:
        try:
            while (start := self._begin()) is not None:
                await self._turn(start)
        except Exception as exc:  # noqa: BLE001  # Reason: a bug is told to everybody who waits
            self._crash(exc)
        except BaseException as exc:
            self._crash(StoreUnavailableError("closed", type(exc).__name__, retryable=False))
            raise

    async def _turn(self, start: Mapping[str, Cursor]) -> None:
        """Wait once, give out what came, and look at whom it is time to look at."""
        try:
            due = self._arrived(start, await self.store.wait(start, self._seconds()))
            since = self.clock.now()
            if due:
                self._looked(due, await self.store.look(due), since)
            pause = self._taps.pause
        except StoreUnavailableError as lost:
            pause = self._lost(lost)
        except StoreError as refused:
            self._refused(refused)
            pause = _BACKOFF
        if pause:
            await self.clock.asleep(pause)
