"""
Group commit: what the sessions of a process write at the same time goes to their store together.

In threads, whoever waits takes the flight off, and a thread of its own does where nobody waits (relaxed durability, an
outage); in an event loop, one task does. Both end when there is nothing left to send.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from resumable._core.store_errors import StoreError, StoreUnavailableError

from ._queue import Queue
from ._rules import LONG_PATIENCE, Backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from resumable.store import Append, Appended, AsyncStore, Store

    from ._queue import Sender
    from ._roster import Vigil

_Wait: TypeAlias = tuple["asyncio.Future[None]", int, float]  # rung when it is over; for which write; [s] since when

_log = logging.getLogger("resumable.flight")

_IDLE = 2.0  # [s] How long the thread stays when there is nothing to send.
_LOOK = 0.25  # [s] How exactly patience ends in an event loop: one timer for all who wait is cheaper than one each.


class _Single:
    """One append, and nothing behind it."""

    def __init__(self, append: Append) -> None:
        self._append = append
        self.outcome: Appended | Exception | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send."""
        return self.outcome is None

    def load(self, now: float) -> Append | None:
        """As `Sender.load`."""
        del now
        return self._append if self.outcome is None else None

    def settle(self, outcome: Appended | Exception, now: float) -> None:
        """As `Sender.settle`; a store that is away is the outcome too."""
        del now
        self.outcome = outcome

    def until(self, number: int, since: float) -> float:
        """As `Sender.until`."""
        del number
        return since + LONG_PATIENCE if self.outcome is None else -math.inf

    def give_up(self) -> Appended:
        """
        Give the outcome, late or not.

        Raises:
            StoreError: It is none to be glad of.
        """
        if self.outcome is None:
            self.outcome = StoreUnavailableError(reason="timeout", cause_name="Flight")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def _tell(vigil: Vigil, outcomes: Sequence[Appended | Exception], now: float) -> None:
    """Have noted whether the store was there."""
    lost = outcomes[0]
    if isinstance(lost, StoreUnavailableError) and all(isinstance(one, StoreUnavailableError) for one in outcomes):
        vigil.away(lost)
    else:
        vigil.back(now)


class Flight:
    """
    Group commit for the threads of a process.

    Args:
        store: Where to.
        vigil: Hears whether the store is there.
        now: [s] Monotonic time.

    Attributes:
        guard: Held while a sender is asked or told anything.
        backlog: What all senders hold.
    """

    def __init__(self, store: Store, vigil: Vigil, now: Callable[[], float]) -> None:
        self.guard = threading.Condition()  # Re-entrant: a finalizer may end a session at any line.
        self.backlog = Backlog()
        self._store = store
        self._vigil = vigil
        self._now = now
        self._queue = Queue()
        self._is_flying = False
        self._thread: threading.Thread | None = None

    def append(self, append: Append) -> Appended:
        """
        Write one append, together with what others write.

        Raises:
            StoreError: Its own outcome.
        """
        single = _Single(append)
        self.carry(single, 1)
        with self.guard:
            return single.give_up()

    def carry(self, sender: Sender, number: int) -> None:
        """Send what a sender has, and wait as long as it says; what remains is sent all the same."""
        with self.guard:
            since = now = self._now()
            if sender.is_waiting:
                self._queue.join(sender)
            while (until := sender.until(number, since)) > now:
                self._turn(now, until, is_thread=False)
                now = self._now()
            if sender.is_waiting:
                self._staff()

    def wake(self) -> None:
        """Let everybody who waits ask again."""
        with self.guard:
            self.guard.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until nothing is on its way, at most *seconds*."""
        with self.guard:
            if self._queue:
                self._staff()
            self.guard.wait_for(lambda: not self._queue and not self._is_flying, seconds)

    def disown(self) -> None:
        """Let go in a forked child: what was to be sent is the parent's, and threads and lock holders stayed there."""
        self.guard = threading.Condition()
        self._queue.clear()
        self._is_flying = False
        self._thread = None

    def _staff(self) -> None:
        """See to it that somebody sends what nobody waits for."""
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._run, name="resumable-flight", daemon=True)
            with suppress(RuntimeError):  # No more threads, or the interpreter is ending; who waits next will send.
                thread.start()
                self._thread = thread
        self.guard.notify_all()

    def _run(self) -> None:
        with self.guard:
            while True:
                now = self._now()
                if self._queue or self._is_flying:
                    self._turn(now, now + _IDLE, is_thread=True)
                elif not self.guard.wait(_IDLE) and not self._queue:
                    self._thread = None
                    return

    def _turn(self, now: float, until: float, *, is_thread: bool) -> None:
        """Fly, or wait until there is something to be seen; holds the guard."""
        ready_at = self._queue.ready_at()
        if not is_thread and self._queue.is_away:
            self._staff()  # A silent store costs 2 s and more a flight; who has a caller bears that once.
            self.guard.wait(until - now)
        elif self._is_flying or ready_at > now:
            self.guard.wait(min(until, math.inf if self._is_flying else ready_at) - now)
        else:
            self._fly(now)

    def _fly(self, now: float) -> None:
        batch = self._queue.take(now)
        if not batch:
            return
        self._is_flying, is_heard = True, False
        try:
            outcomes = self._away([append for _, append in batch])
            is_heard = True
        finally:
            self._is_flying = False
            if not is_heard:  # Interrupted: another thread sends the same.
                self._queue.put_back(batch)
            self.guard.notify_all()
        now = self._now()
        _tell(self._vigil, outcomes, now)
        self._queue.settle(batch, outcomes, now)

    def _away(self, appends: Sequence[Append]) -> Sequence[Appended | Exception]:
        self.guard.release()
        try:
            return self._send(appends)
        finally:
            self.guard.acquire()

    def _send(self, appends: Sequence[Append]) -> Sequence[Appended | Exception]:
        try:
            return self._store.append(appends)
        except StoreError as exc:
            return [exc] * len(appends)
        except Exception as exc:  # noqa: BLE001  # Reason: one session's mistake is told to that session
            if len(appends) == 1:
                return [exc]
            return [self._send([one])[0] for one in appends]


class AsyncFlight:
    """`Flight`, for one event loop."""

    def __init__(self, store: AsyncStore, vigil: Vigil, now: Callable[[], float]) -> None:
        self.guard: AbstractContextManager[object] = threading.RLock()  # Nobody contends; `nullcontext` costs more.
        self.backlog = Backlog()
        self._store = store
        self._vigil = vigil
        self._now = now
        self._queue = Queue()
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._departure: asyncio.TimerHandle | None = None
        self._departs_at = math.inf
        self._bells: dict[Sender, list[_Wait]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def append(self, append: Append) -> Appended:
        """As `Flight.append`."""
        single = _Single(append)
        await self.carry(single, 1)
        with self.guard:
            return single.give_up()

    def carry(self, sender: Sender, number: int) -> asyncio.Future[None]:
        """As `Flight.carry`, to be awaited; no coroutine, since there is one call for nearly every event."""
        now = self._now()
        if sender.is_waiting:
            self._queue.join(sender)
            self._staff(now)
        bell = self._loop.create_future()
        if sender.until(number, now) <= now:
            bell.set_result(None)
            return bell
        self._bells.setdefault(sender, []).append((bell, number, now))
        if self._timer is None:
            self._watch()
        return bell

    def wake(self) -> None:
        """Let everybody who need not wait any more go on."""
        now = self._now()
        for sender in list(self._bells):
            self._ring(sender, now)

    async def flush(self, seconds: float) -> None:
        """As `Flight.flush`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._queue or self._tasks:
                    self._staff(self._now())
                    if self._tasks:
                        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await asyncio.sleep(self._queue.ready_at() - self._now())

    def disown(self) -> None:
        """As `Flight.disown`; the loop stayed with the parent."""
        self._queue.clear()
        self._bells.clear()
        self._tasks.clear()
        self._leaving = self._timer = self._departure = None
        self._departs_at = math.inf

    def _ring(self, sender: Sender, now: float) -> None:
        """Let those go on who need not wait for a sender any more."""
        staying: list[_Wait] = []
        for wait in self._bells.pop(sender, ()):
            bell, number, since = wait
            if bell.done():  # cancelled
                continue
            if sender.until(number, since) > now:
                staying.append(wait)
            else:
                bell.set_result(None)
        if staying:
            self._bells[sender] = staying

    def _watch(self) -> None:
        self._timer = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        self._timer = None
        self.wake()
        self._staff(self._now())  # A flight may have been cancelled, with all other tasks.
        if self._bells:
            self._watch()

    def _staff(self, now: float) -> None:
        """See to it that the next flight leaves when it is time."""
        if self._leaving is not None and not self._leaving.done():
            return
        at = self._queue.ready_at()
        if at <= now:
            self._leaving = self._loop.create_task(self._fly(), name="resumable-flight")
            self._tasks.add(self._leaving)
            self._leaving.add_done_callback(self._tasks.discard)
        elif at < self._departs_at:
            if self._departure is not None:
                self._departure.cancel()
            self._departs_at = at
            self._departure = self._loop.call_later(at - now, self._depart)

    def _depart(self) -> None:
        self._departure, self._departs_at = None, math.inf
        self._staff(self._now())

    async def _fly(self) -> None:
        self._leaving = None
        now = self._now()
        batch = self._queue.take(now)
        self._staff(now)  # There may be enough for another.
        if not batch:
            return
        try:
            outcomes = await self._send([append for _, append in batch])
        except BaseException:
            self._queue.put_back(batch)
            raise
        now = self._now()
        _tell(self._vigil, outcomes, now)
        self._queue.settle(batch, outcomes, now)
        for sender, _ in batch:
            self._ring(sender, now)
        self._staff(now)

    async def _send(self, appends: Sequence[Append]) -> Sequence[Appended | Exception]:
        """As `Flight._send`."""
        try:
            return await self._store.append(appends)
        except StoreError as exc:
            return [exc] * len(appends)
        except Exception as exc:  # noqa: BLE001  # Reason: one session's mistake is told to that session
            if len(appends) == 1:
                return [exc]
            return [(await self._send([one]))[0] for one in appends]
