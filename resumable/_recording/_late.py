"""
Sessions that could not be opened when their streams began: what is written is held until the store is back.

A `Late` stands where a journal stands. When the store answers and knows no session of that name, it is opened, all
that was held is written in one go, and from there on it is a journal like any other; the gap says how late it was.
Where there is a session of that name by then, or no room, or too late an end, the stream stays unkept: two answers are
never put under one name. The colours differ by `await` alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from resumable._core.store_errors import (
    SessionConflictError,
    SessionNotFoundError,
    StoreError,
    StoreUnavailableError,
)

from ._context import is_resumed
from ._journal import AsyncJournal, Journal
from ._queue import backoff
from ._roster import is_known
from ._rules import ALL_BACKLOG, BACKLOG, LINGER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resumable._core.report import Report
    from resumable.store import Opening, Status

    from ._desk import AsyncDesk, Desk
    from ._terms import Terms

    Fields = Mapping[str, str | int | bytes]

_log = logging.getLogger("resumable")


def may_flow(refusal: StoreUnavailableError, store_outage: str) -> bool:
    """Whether a stream may flow though its session could not be opened: there is no answer under this name."""
    return store_outage == "degrade" and not is_resumed() and not is_known(refusal)


class _Held:
    """What the colours have in common: what was written, and for how long and how much of it is held."""

    acquired: Final = None

    def __init__(self, desk: Desk | AsyncDesk, opening: Opening, terms: Terms, report: Report) -> None:
        self._opening = opening
        self._terms = terms
        self._report = report
        self._now = desk.now
        self._guard = desk.flight.guard
        self._backlog = desk.flight.backlog
        self._since = desk.now()
        self._until = math.inf
        self._events: list[bytes] = []
        self._fields: dict[str, str | int | bytes] = {}
        self._end: Status | None = None
        self._size = 0
        self._is_given_up = False
        self._written: Journal | AsyncJournal | None = None
        self.on_cancel: Callable[[], object] | None = None
        self.on_lost: Callable[[], object] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self._is_given_up or self._written is not None

    @property
    def last_seq(self) -> int:
        """As `Journal.last_seq`."""
        return 0 if self._written is None else self._written.last_seq

    @property
    def next_seq(self) -> int:
        """As `Journal.next_seq`."""
        return len(self._events) + 1 if self._written is None else self._written.next_seq

    @property
    def cancel_reason(self) -> str | None:
        """As `Journal.cancel_reason`."""
        return None if self._written is None else self._written.cancel_reason

    def give_up(self, reason: str) -> None:
        """Hold nothing any more: the stream stays unkept."""
        with self._guard:
            if self.is_settled:
                return
            _log.warning("resumable.session_stays_unkept session=%s reason=%s", self._report.session_id, reason)
            self._weigh(-self._size)
            self._fields.clear()
            self._is_given_up = True

    def _hold(self, events: Sequence[bytes], fields: Fields, end: Status | None) -> None:
        self._events += [b""] * len(events) if self._is_given_up else events
        if self._is_given_up:
            return
        self._fields.update(fields)
        self._weigh(sum(map(len, events)))
        if end is not None:
            self._end, self._until = end, self._now() + LINGER
        if self._size > BACKLOG or self._backlog.size > ALL_BACKLOG:
            self.give_up("backlog")

    def _weigh(self, size: int) -> None:
        self._size += size
        with self._guard:
            self._backlog.size += size

    def _is_late(self) -> bool:
        return self._now() > self._until

    def _begin(self, journal: Journal | AsyncJournal) -> None:
        """Go on as a journal, which is behind its caller by all that was held."""
        journal.begin_late(self._since, len(self._events))
        self._weigh(-self._size)
        self._written, self._report.unkept = journal, None
        journal.on_cancel, journal.on_lost = self.on_cancel, self.on_lost
        _log.info("resumable.session_kept_late session=%s events=%d", self._report.session_id, len(self._events))


class Late(_Held):
    """The writer of a session that is not there yet, for threads; one at a time calls it, and the reception."""

    def __init__(self, desk: Desk, opening: Opening, terms: Terms, report: Report) -> None:
        super().__init__(desk, opening, terms, report)
        self._desk = desk
        self._lock = threading.Lock()
        self._journal: Journal | None = None

    def write(self, events: Sequence[bytes] = (), fields: Fields | None = None) -> None:
        """As `Journal.write`; at once, while there is nothing to write to."""
        with self._lock:
            if self._journal is None:
                self._hold(events, fields or {}, None)
                return
        self._journal.write(events, fields)

    def end(self, status: Status, events: Sequence[bytes] = (), fields: Fields | None = None) -> None:
        """As `Journal.end`; at once, while there is nothing to write to."""
        with self._lock:
            if self._journal is None:
                self._hold(events, fields or {}, status)
                return
        self._journal.end(status, events, fields)

    def release(self) -> None:
        """As `Journal.release`."""
        with self._lock:
            if self._journal is None:
                self.give_up("released")
                return
        self._journal.release()

    def try_open(self) -> bool:
        """Open the session, if that can be done; say whether it need not be tried again."""
        if self._is_late():
            self.give_up("timeout")
        if self.is_settled:
            return True
        try:
            journal = self._open()
        except StoreUnavailableError as away:
            if not away.retryable:
                self.give_up(away.reason)
            return not away.retryable
        except StoreError as refusal:
            self.give_up(type(refusal).__name__)
            return True
        with self._lock:
            if self._is_given_up:
                journal.release()
            else:
                self._hand_over(journal)
        return True

    def _open(self) -> Journal:
        """Open the session, if nobody has one of that name."""
        its, terms = self._report.session_id, self._terms
        [there] = self._desk.store.look([its])
        if not isinstance(there, SessionNotFoundError):
            raise there if isinstance(there, StoreError) else SessionConflictError(its)
        return Journal.open(
            self._desk,
            its,
            self._opening,
            lease=terms.lease,
            ttl=terms.ttl,
            durability=terms.durability,
            store_outage=terms.store_outage,
        )

    def _hand_over(self, journal: Journal) -> None:
        self._begin(journal)
        self._journal = journal
        with suppress(StoreError):  # The caller hears of it when he writes again.
            if self._end is None:
                journal.write(self._events, self._fields)
            else:
                journal.end(self._end, self._events, self._fields)


class AsyncLate(_Held):
    """`Late`, method for method, for one event loop."""

    def __init__(self, desk: AsyncDesk, opening: Opening, terms: Terms, report: Report) -> None:
        super().__init__(desk, opening, terms, report)
        self._desk = desk
        self._lock = asyncio.Lock()
        self._journal: AsyncJournal | None = None

    async def write(self, events: Sequence[bytes] = (), fields: Fields | None = None) -> None:
        """As `Late.write`."""
        async with self._lock:
            if self._journal is None:
                self._hold(events, fields or {}, None)
                return
        await self._journal.write(events, fields)

    async def end(self, status: Status, events: Sequence[bytes] = (), fields: Fields | None = None) -> None:
        """As `Late.end`."""
        async with self._lock:
            if self._journal is None:
                self._hold(events, fields or {}, status)
                return
        await self._journal.end(status, events, fields)

    async def release(self) -> None:
        """As `Late.release`."""
        async with self._lock:
            if self._journal is None:
                self.give_up("released")
                return
        await self._journal.release()

    async def try_open(self) -> bool:
        """As `Late.try_open`."""
        if self._is_late():
            self.give_up("timeout")
        if self.is_settled:
            return True
        try:
            journal = await self._open()
        except StoreUnavailableError as away:
            if not away.retryable:
                self.give_up(away.reason)
            return not away.retryable
        except StoreError as refusal:
            self.give_up(type(refusal).__name__)
            return True
        async with self._lock:
            if self._is_given_up:
                await journal.release()
            else:
                await self._hand_over(journal)
        return True

    async def _open(self) -> AsyncJournal:
        """Open the session, if nobody has one of that name."""
        its, terms = self._report.session_id, self._terms
        [there] = await self._desk.store.look([its])
        if not isinstance(there, SessionNotFoundError):
            raise there if isinstance(there, StoreError) else SessionConflictError(its)
        return await AsyncJournal.open(
            self._desk,
            its,
            self._opening,
            lease=terms.lease,
            ttl=terms.ttl,
            durability=terms.durability,
            store_outage=terms.store_outage,
        )

    async def _hand_over(self, journal: AsyncJournal) -> None:
        self._begin(journal)
        self._journal = journal
        with suppress(StoreError):  # The caller hears of it when he writes again.
            if self._end is None:
                await journal.write(self._events, self._fields)
            else:
                await journal.end(self._end, self._events, self._fields)


class Reception:
    """Opens late sessions of one store, one after the other, in a thread that runs while there are any."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[Late] = deque()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def admit(self, late: Late) -> None:
        """Open a session as soon as that can be done."""
        with self._guard:
            self._waiting.append(late)
            if self._thread is None or not self._thread.is_alive():  # A fork leaves threads behind.
                self._thread = threading.Thread(target=self._run, name="resumable-reception", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Give up whoever waits."""
        self._closed.set()
        with self._guard:
            waiting, self._waiting = self._waiting, deque()
        for late in waiting:
            late.give_up("closed")

    def disown(self) -> None:
        """Let go in a forked child."""
        self._guard, self._closed = threading.Lock(), threading.Event()
        self._waiting.clear()
        self._thread = None

    def _next(self) -> Late | None:
        with self._guard:
            while self._waiting and self._waiting[0].is_settled:
                self._waiting.popleft()
            if not self._waiting:
                self._thread = None
                return None
            return self._waiting[0]

    def _run(self) -> None:
        failures = 0
        while (late := self._next()) is not None:
            try:
                failures = 0 if late.try_open() else failures + 1
            except Exception:  # noqa: BLE001  # Reason: a bug of ours, or of a store, keeps nobody else waiting
                _log.exception("resumable.late_failed")
                late.give_up("error")
            if failures:
                self._closed.wait(backoff(failures))


class AsyncReception:
    """`Reception`, for one event loop, in a task."""

    def __init__(self) -> None:
        self._waiting: deque[AsyncLate] = deque()
        self._task: asyncio.Task[None] | None = None

    def admit(self, late: AsyncLate) -> None:
        """As `Reception.admit`."""
        self._waiting.append(late)
        if self._task is None:
            # Without the context of whoever came first: the task outlives it.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def close(self) -> None:
        """As `Reception.close`."""
        waiting, self._waiting = self._waiting, deque()
        for late in waiting:
            late.give_up("closed")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def disown(self) -> None:
        """As `Reception.disown`; the loop stayed with the parent."""
        self._waiting.clear()
        self._task = None

    def _next(self) -> AsyncLate | None:
        while self._waiting and self._waiting[0].is_settled:
            self._waiting.popleft()
        if not self._waiting:
            self._task = None
            return None
        return self._waiting[0]

    async def _run(self) -> None:
        failures = 0
        try:
            while (late := self._next()) is not None:
                try:
                    failures = 0 if await late.try_open() else failures + 1
                except Exception:  # noqa: BLE001  # Reason: a bug of ours, or of a store, keeps nobody else waiting
                    _log.exception("resumable.late_failed")
                    late.give_up("error")
                if failures:
                    await asyncio.sleep(backoff(failures))
        finally:  # Where the loop ends, this task is cancelled.
            for late in self._waiting:
                late.give_up("closed")
