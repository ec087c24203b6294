"""
The writer of one session: what a caller is about to get goes into the log first, or soon.

The two colours differ by `await` alone; what they decide is decided in `_ledger` and `_roster`.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from resumable._core.errors import LocalProtocolError
from resumable._core.store_errors import FencedError, SessionEndedError, StoreError, StoreUnavailableError

from ._fields import lease_of
from ._ledger import Ledger
from ._roster import end_of, refuse_takeover, unfinished, was_left
from ._rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resumable.store import Acquired, Appended, Cursor, Entry, Lease, Opening, Status

    from ._desk import AsyncDesk, Desk
    from ._flight import AsyncFlight, Flight
    from ._keeper import AsyncKeeper, Keeper
    from ._rules import Gap

    Fields = Mapping[str, str | int | bytes]


class _Holder:
    """What the colours have in common: the books, and what is heard of the lease."""

    def __init__(
        self, acquired: Acquired, rules: Rules, flight: Flight | AsyncFlight, keeper: Keeper | AsyncKeeper
    ) -> None:
        self._acquired = acquired
        self._ledger = Ledger(acquired.lease, acquired.last_seq, rules, flight.backlog)
        self.load, self.until = self._ledger.load, self._ledger.until  # as of `Sender`; asked for every event
        self._hears = flight  # of whichever colour
        self._told = keeper
        self._on_cancel: Callable[[], object] | None = None
        self._on_lost: Callable[[], object] | None = None
        keeper.keep(acquired.lease, self)

    @property
    def acquired(self) -> Acquired:
        """How the lease was come by, and what was there before."""
        return self._acquired

    @property
    def session_id(self) -> str:
        """The session's ID."""
        return self._acquired.lease.session_id

    @property
    def lease(self) -> Lease:
        """The right to write."""
        return self._acquired.lease

    @property
    def last_seq(self) -> int:
        """Seq of the last event that the log is known to hold."""
        return self._ledger.acked

    @property
    def next_seq(self) -> int:
        """Seq that the next event takes; beyond `last_seq + 1` while some are on their way."""
        return self._ledger.accepted + 1

    @property
    def cursor(self) -> Cursor:
        """Where a reader is that has seen `last_seq`."""
        return self._ledger.cursor

    @property
    def gap(self) -> Gap | None:
        """For how long, and for how many events, the log was behind the caller; `None` if it never was."""
        return self._ledger.gap

    @property
    def cancel_reason(self) -> str | None:
        """Why somebody asked the session to stop; `None` if nobody did."""
        return self._ledger.cancel_reason

    def begin_late(self, since: float, events: int) -> None:
        """Note that the caller has so many events *since* [s] then, all of which are about to be written."""
        with self._hears.guard:
            self._ledger.begin_late(since, events)

    @property
    def on_cancel(self) -> Callable[[], object] | None:
        """
        Called once, as soon as somebody asks the session to stop; so that a blocked read can be broken.

        In the keeper's thread or task; or at once where it is set, if that is known already.
        """
        return self._on_cancel

    @on_cancel.setter
    def on_cancel(self, call: Callable[[], object] | None) -> None:
        self._on_cancel = call
        self._call()

    @property
    def on_lost(self) -> Callable[[], object] | None:
        """Called once, likewise, as soon as nothing more can be written; the next `write` says why."""
        return self._on_lost

    @on_lost.setter
    def on_lost(self, call: Callable[[], object] | None) -> None:
        self._on_lost = call
        self._call()

    def _call(self) -> None:
        """Call what is to be called, once, and without holding anything."""
        calls: list[Callable[[], object]] = []
        with self._hears.guard:
            if self._ledger.cancel_reason is not None and self._on_cancel is not None:
                calls.append(self._on_cancel)
                self._on_cancel = None
            if self._ledger.error is not None and self._on_lost is not None:
                calls.append(self._on_lost)
                self._on_lost = None
        for call in calls:
            call()

    # What the flight asks and tells, holding its guard.

    @property
    def is_waiting(self) -> bool:
        """As `Sender.is_waiting`."""
        return self._ledger.is_waiting

    def settle(self, outcome: Appended | Exception, now: float) -> None:
        """As `Sender.settle`."""
        self._ledger.settle(outcome, now)
        if self._ledger.error is not None:
            self._told.lost(self.lease, self._ledger.error)
        elif self._ledger.is_done:
            self._told.drop(self.lease)
        elif self._ledger.cancel_reason is not None:
            self._told.asked(self.lease, self._ledger.cancel_reason)

    # What the keeper tells, holding nothing.

    def lost(self, error: Exception) -> None:
        """As `Listener.lost`."""
        with self._hears.guard:
            self._ledger.lose(error)
        self._hears.wake()
        self._call()

    def cancelled(self, reason: str) -> None:
        """As `Listener.cancelled`."""
        with self._hears.guard:
            self._ledger.cancel_reason = self._ledger.cancel_reason or reason
        self._call()

    def disown(self) -> None:
        """As `Listener.disown`: a forked child must not write what its parent writes."""
        self._ledger.fail(LocalProtocolError(input="write", state="forked from the writer"))


class Journal(_Holder):
    """
    The writer of one session, for threads; one at a time calls it.

    Made by `open`. Whoever makes it ends it, with `end` or `release`; dropped, its lease runs out.
    """

    def __init__(self, desk: Desk, acquired: Acquired, rules: Rules) -> None:
        super().__init__(acquired, rules, desk.flight, desk.keeper)
        self._desk = desk
        self._flight = desk.flight

    @classmethod
    def open(
        cls,
        desk: Desk,
        session_id: str,
        opening: Opening | None = None,
        *,
        lease: float = 15.0,
        ttl: float = 86_400.0,
        durability: str = "write-ahead",
        store_outage: str = "degrade",
    ) -> Self:
        """
        Take the lease of a session that nobody holds; create the session if *opening* is given.

        Args:
            desk: Of the store.
            session_id: `[A-Za-z0-9_.-]{1,128}`.
            opening: Creates the session if there is none, and must agree with it if there is one.
            lease: [s] How long the session is kept for a writer that has fallen silent.
            ttl: [s] The session is kept for this long after its last write.
            durability: `"write-ahead"`: `write` returns when the log holds the events. `"relaxed"`: when they are
                on their way, a bounded number of bytes ahead of the log.
            store_outage: `"degrade"`: after a bounded wait `write` goes on without the store, and the log catches up.
                `"fail"`: it raises.

        Raises:
            ConfigurationError: An argument is none that can work.
            SessionForbiddenError: It belongs to another principal than *opening* names.
            StoreError: As `Store.acquire`. Also `LeaseHeldError` for a lease that has run out while the store was
                away, or before it was started anew: its holder has a full lease to come back first.
        """
        rules = Rules.of(durability, store_outage)
        return cls(desk, cls._acquire(desk, session_id, opening, lease, ttl), rules)

    @staticmethod
    def _acquire(desk: Desk, session_id: str, opening: Opening | None, lease: float, ttl: float) -> Acquired:
        running = None
        try:
            [there] = desk.store.look([session_id])
            running = unfinished(there, opening)
            if running is not None:
                desk.vigil.told(desk.store.ping(), desk.now())
                its = lease_of(running.fields) or lease
                wait = min(desk.vigil.takeover_in(its, desk.now()), its)
                if wait > 0 and not was_left(desk.store.read(session_id, after=end_of(running), limit=1)):
                    refuse_takeover(running, opening, wait)
            acquired = desk.store.acquire(session_id, new_holder(), duration=lease, ttl=ttl, opening=opening)
        except StoreUnavailableError as away:
            desk.vigil.away(away, running)
            raise
        desk.vigil.back(desk.now())
        return acquired

    def write(self, events: Sequence[bytes] = (), fields: Fields | None = None, *, end: Status | None = None) -> None:
        """
        Write events, and fields of the checkpoint in one step with the last of them.

        Returns when the caller may have the events. Bounded in time: 3 s at most where it goes on without the
        store, 10 s where it fails.

        Args:
            events: In stream order.
            fields: Names of the store's own are refused.
            end: Ends the session behind these events, as `end` does.

        Raises:
            FencedError: Somebody took the session over, and the log holds all that was delivered: read on behind
                `cursor`.
            DivergedError: Somebody took it over, and the log does not.
            SessionEndedError: Somebody ended it.
            SessionNotFoundError: Somebody deleted it, or the store was started empty.
            LogLostError: The store lost half of it.
            LogRewoundError: The store lost more of what it had acknowledged than can be written again from memory.
            StoreUnavailableError: The store is away, under `"fail"`; or for so long that no more can be kept for it.
        """
        try:
            with self._flight.guard:
                number = self._ledger.add(events, fields or {}, end, now=self._desk.now())
            self._flight.carry(self, number)
            with self._flight.guard:
                self._ledger.finish(number, now=self._desk.now())
        except (FencedError, SessionEndedError):
            self._judge()
            raise

    def end(self, status: Status, events: Sequence[bytes] = (), fields: Fields | None = None) -> None:
        """
        End the session behind these events, and leave it.

        Returns when the log holds the end, also when durability is relaxed. With the store away, after 3 s under
        `"degrade"`; the end is then written when it comes back, if this process is still there.

        Args:
            status: `COMPLETE`, `FAILED` or `CANCELLED`.
            events: As for `write`.
            fields: As for `write`.

        Raises:
            StoreError: As `write`.
        """
        self.write(events, fields, end=status)

    def release(self) -> None:
        """
        Leave the session to the next holder, who need not wait; does nothing where there is nothing to leave.

        What is on its way is written first. With the store away the lease runs out by itself.
        """
        with self._flight.guard:
            number = self._ledger.leave(self._desk.now())
        self._flight.carry(self, number)
        if self._ledger.is_left:
            self._desk.keeper.drop(self.lease)
            with suppress(StoreError):
                self._desk.store.release(self.lease)

    def _judge(self) -> None:
        """Say that what was delivered is not in the log, if so."""
        following: Sequence[Entry] = ()
        if self._ledger.ahead:
            with suppress(StoreError):
                following = self._desk.store.read(self.session_id, after=self.cursor, limit=self._ledger.ahead + 1)
        with self._flight.guard:
            self._ledger.judge(following)


class AsyncJournal(_Holder):
    """`Journal`, method for method, for one event loop."""

    def __init__(self, desk: AsyncDesk, acquired: Acquired, rules: Rules) -> None:
        super().__init__(acquired, rules, desk.flight, desk.keeper)
        self._desk = desk
        self._flight = desk.flight

    @classmethod
    async def open(
        cls,
        desk: AsyncDesk,
        session_id: str,
        opening: Opening | None = None,
        *,
        lease: float = 15.0,
        ttl: float = 86_400.0,
        durability: str = "write-ahead",
        store_outage: str = "degrade",
    ) -> Self:
        """As `Journal.open`."""
        rules = Rules.of(durability, store_outage)
        return cls(desk, await cls._acquire(desk, session_id, opening, lease, ttl), rules)

    @staticmethod
    async def _acquire(desk: AsyncDesk, session_id: str, opening: Opening | None, lease: float, ttl: float) -> Acquired:
        running = None
        try:
            [there] = await desk.store.look([session_id])
            running = unfinished(there, opening)
            if running is not None:
                desk.vigil.told(await desk.store.ping(), desk.now())
                its = lease_of(running.fields) or lease
                wait = min(desk.vigil.takeover_in(its, desk.now()), its)
                if wait > 0 and not was_left(await desk.store.read(session_id, after=end_of(running), limit=1)):
                    refuse_takeover(running, opening, wait)
            acquired = await desk.store.acquire(session_id, new_holder(), duration=lease, ttl=ttl, opening=opening)
        except StoreUnavailableError as away:
            desk.vigil.away(away, running)
            raise
        desk.vigil.back(desk.now())
        return acquired

    async def write(
        self, events: Sequence[bytes] = (), fields: Fields | None = None, *, end: Status | None = None
    ) -> None:
        """As `Journal.write`."""
        try:
            with self._flight.guard:
                number = self._ledger.add(events, fields or {}, end, now=self._desk.now())
            await self._flight.carry(self, number)
            with self._flight.guard:
                self._ledger.finish(number, now=self._desk.now())
        except (FencedError, SessionEndedError):
            await self._judge()
            raise

    async def end(self, status: Status, events: Sequence[bytes] = (), fields: Fields | None = None) -> None:
        """As `Journal.end`."""
        await self.write(events, fields, end=status)

    async def release(self) -> None:
        """As `Journal.release`."""
        with self._flight.guard:
            number = self._ledger.leave(self._desk.now())
        await self._flight.carry(self, number)
        if self._ledger.is_left:
            self._desk.keeper.drop(self.lease)
            with suppress(StoreError):
                await self._desk.store.release(self.lease)

    async def _judge(self) -> None:
        """Say that what was delivered is not in the log, if so."""
        following: Sequence[Entry] = ()
        if self._ledger.ahead:
            with suppress(StoreError):
                following = await self._desk.store.read(
                    self.session_id, after=self.cursor, limit=self._ledger.ahead + 1
                )
        with self._flight.guard:
            self._ledger.judge(following)


def new_holder() -> str:
    """Name a writer, so that people find its process and no other writer has the name."""
    return f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
