"""
Keeps the leases of a process, apart from anybody's iteration, and hears when a session is asked to stop.

Two loops: one renews and tells, one listens; two daemon threads, or two tasks. They run while there is anything to
keep. A caller that pauses for minutes between two events keeps its lease; a writer that nobody holds any more loses it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from resumable._core.store_errors import StoreError, StoreUnavailableError

from ._queue import backoff
from ._roster import Roster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from resumable.store import Appended, AsyncStore, Cancels, Cursor, Lease, Store

    from ._roster import Listener, Vigil

_log = logging.getLogger("resumable.keeper")

_LISTEN = 2.0  # [s] At a stretch; then it is seen whether there is still somebody to listen for.
_IDLE = 5.0  # [s] How long the loops stay when there is nothing to keep.


class _Charge:
    """What the colours have in common: the leases, and who is to be woken for them."""

    def __init__(self, guard: AbstractContextManager[object], vigil: Vigil, now: Callable[[], float]) -> None:
        self._guard = guard
        self._vigil = vigil
        self._now = now
        self._roster = Roster()
        self._is_closed = False

    def keep(self, lease: Lease, listener: Listener) -> None:
        """Renew a lease from now on, as long as *listener* lives, and tell it what becomes of it."""
        with self._guard:
            self._roster.keep(lease, listener, self._now())
            self._staff()
            self._wake()

    def drop(self, lease: Lease) -> None:
        """Renew a lease no more."""
        with self._guard:
            self._roster.drop(lease)

    def lost(self, lease: Lease, error: Exception) -> None:
        """Tell the listener, in the keeper's thread or task, that the lease is lost."""
        with self._guard:
            self._roster.lost(lease, error)
            self._wake()

    def asked(self, lease: Lease, reason: str) -> None:
        """Tell the listener, in the keeper's thread or task, that the session is asked to stop."""
        with self._guard:
            self._roster.asked(lease, reason)
            self._wake()

    def takeover_in(self, lease: float) -> float:
        """
        [s] Say how long nothing may be taken over: not until its holders had a full lease to come back in.

        Args:
            lease: [s] Its duration.
        """
        return self._vigil.takeover_in(lease, self._now())

    def may_take_over(self, now: float, lease: float = 15.0) -> bool:
        """Whether something may be taken over *now*; see `takeover_in`."""
        return self._vigil.takeover_in(lease, now) <= 0

    def _take(self) -> tuple[Sequence[Lease], Sequence[Callable[[], None]], float]:
        """Say what to renew, what to tell, and for how long there is nothing of either."""
        with self._guard:
            now = self._now()
            due, notices = self._roster.due(now), self._roster.notices()
            return due, notices, min(max(self._roster.due_at() - now, 0.0), _IDLE)

    def _renewed(self, leases: Sequence[Lease], outcomes: Sequence[Appended | Exception]) -> None:
        with self._guard:
            self._roster.renewed(leases, outcomes, self._now())

    def _away(self, leases: Sequence[Lease], error: StoreUnavailableError) -> None:
        self._vigil.away(error)
        self._renewed(leases, [error] * len(leases))

    def _heard(self, heard: Cancels, *, is_new: bool) -> Cursor:
        with self._guard:
            if self._roster.hear(None if is_new else heard.session_ids, self._now()):
                self._wake()
        return heard.cursor

    def _staff(self) -> None:
        """Start the loops that do not run; holds the guard."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Have the loops look again; holds the guard."""
        raise NotImplementedError


def _tell(notices: Sequence[Callable[[], None]]) -> None:
    for tell in notices:
        try:
            tell()
        except Exception:  # noqa: BLE001  # Reason: one's trouble must not cost the others their leases
            _log.exception("resumable.listener_failed")


def _note(exc: Exception) -> None:
    if not isinstance(exc, StoreError):  # That one is expected now and then, and told to writers.
        _log.error("resumable.listen_failed", exc_info=exc)


class Keeper(_Charge):
    """
    Keeps leases for the threads of a process.

    Args:
        store: Where they are.
        vigil: Hears whether the store is there, and says what that means for takeovers.
        now: [s] Monotonic time.
    """

    def __init__(self, store: Store, vigil: Vigil, now: Callable[[], float]) -> None:
        self._condition = threading.Condition()  # Re-entrant: a finalizer may end a session at any line.
        super().__init__(self._condition, vigil, now)
        self._store = store
        self._threads: dict[str, threading.Thread] = {}

    def close(self) -> None:
        """Keep nothing any more; what is left runs out by itself."""
        with self._guard:
            self._is_closed = True
            self._roster = Roster()
            self._wake()

    def disown(self) -> None:
        """Let go in a forked child: the leases are the parent's, and threads and lock holders stayed there."""
        self._guard = self._condition = threading.Condition()
        self._roster.disown()
        self._threads = {}

    def _staff(self) -> None:
        for name, loop in (("resumable-keeper", self._keep), ("resumable-cancels", self._listen)):
            if name not in self._threads and not self._is_closed:
                thread = threading.Thread(target=loop, args=[name], name=name, daemon=True)
                with suppress(RuntimeError):  # No more threads, or the interpreter is ending: appends keep leases too.
                    thread.start()
                    self._threads[name] = thread

    def _wake(self) -> None:
        self._condition.notify_all()

    def _keep(self, name: str) -> None:
        while self._is_needed(name):
            due, notices, pause = self._take()
            _tell(notices)
            if due:
                self._renew(due)
            elif not notices:
                with self._guard:
                    if self._roster.due_at() > self._now():
                        self._condition.wait(pause)

    def _renew(self, leases: Sequence[Lease]) -> None:
        try:
            outcomes = self._store.renew(leases)
        except StoreUnavailableError as away:
            self._away(leases, away)
        except Exception as exc:  # noqa: BLE001  # Reason: told to all whom it concerns
            self._renewed(leases, [exc] * len(leases))
        else:
            self._vigil.back(self._now())
            self._renewed(leases, outcomes)

    def _listen(self, name: str) -> None:
        cursor, failures = None, 0
        while self._is_needed(name):
            try:
                heard = self._store.wait_cancelled(cursor, _LISTEN)
            except Exception as exc:  # noqa: BLE001  # Reason: whatever it is, listening goes on
                _note(exc)
                failures += 1
                with self._guard:
                    self._condition.wait_for(lambda: self._is_closed, backoff(failures))
            else:  # What was asked before this loop heard anything, the leases know.
                cursor, failures = self._heard(heard, is_new=cursor is None or failures > 0), 0

    def _is_needed(self, name: str) -> bool:
        with self._guard:
            self._condition.wait_for(lambda: self._is_closed or self._roster.is_needed, _IDLE)
            is_needed = self._roster.is_needed and not self._is_closed
            if not is_needed:
                self._threads.pop(name, None)
            return is_needed


class AsyncKeeper(_Charge):
    """`Keeper`, for one event loop."""

    def __init__(self, store: AsyncStore, vigil: Vigil, now: Callable[[], float]) -> None:
        super().__init__(nullcontext(), vigil, now)
        self._store = store
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """As `Keeper.close`; both loops have ended when it returns."""
        self._is_closed = True
        self._roster = Roster()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def disown(self) -> None:
        """As `Keeper.disown`; the loop stayed with the parent."""
        self._roster.disown()
        self._tasks = {}

    def _staff(self) -> None:
        loop = asyncio.get_running_loop()
        for name, work in (("resumable-keeper", self._keep), ("resumable-cancels", self._listen)):
            if (name not in self._tasks or self._tasks[name].done()) and not self._is_closed:
                self._tasks[name] = loop.create_task(work(), name=name)

    def _wake(self) -> None:
        self._changed.set()

    async def _keep(self) -> None:
        while await self._is_needed():
            self._changed.clear()
            due, notices, pause = self._take()
            _tell(notices)
            if due:
                await self._renew(due)
            elif not notices:
                await self._change(pause)

    async def _renew(self, leases: Sequence[Lease]) -> None:
        """As `Keeper._renew`."""
        try:
            outcomes = await self._store.renew(leases)
        except StoreUnavailableError as away:
            self._away(leases, away)
        except Exception as exc:  # noqa: BLE001  # Reason: told to all whom it concerns
            self._renewed(leases, [exc] * len(leases))
        else:
            self._vigil.back(self._now())
            self._renewed(leases, outcomes)

    async def _listen(self) -> None:
        cursor, failures = None, 0
        while await self._is_needed():
            try:
                heard = await self._store.wait_cancelled(cursor, _LISTEN)
            except Exception as exc:  # noqa: BLE001  # Reason: whatever it is, listening goes on
                _note(exc)
                failures += 1
                await asyncio.sleep(backoff(failures))
            else:  # What was asked before this loop heard anything, the leases know.
                cursor, failures = self._heard(heard, is_new=cursor is None or failures > 0), 0

    async def _is_needed(self) -> bool:
        until = self._now() + _IDLE
        while not self._roster.is_needed and (left := until - self._now()) > 0:
            self._changed.clear()
            await self._change(left)
        return self._roster.is_needed

    async def _change(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
