"""One call's stream with a store behind it, for asyncio; see `_recorded`."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeAlias

from resumable._core.errors import ResumableError
from resumable._core.report import Report
from resumable._core.retry import is_credential_refusal
from resumable._core.store_errors import (
    FencedError,
    LeaseHeldError,
    SessionEndedError,
    StoreError,
    StoreUnavailableError,
)
from resumable._drive import SystemClock
from resumable.store import Marker, Status
from resumable.store import Recorded as Event

from ._events import Past, events_of, frame_of, is_last
from ._fields import attempt_fields, attempts_of, block_fields, end_fields
from ._follow import AsyncFollower, Lapse
from ._journal import AsyncJournal
from ._late import AsyncLate, may_flow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable._core.errors import RecoveryError
    from resumable._core.report import Attempt
    from resumable._core.session import Session
    from resumable._drive import AsyncDriver
    from resumable.store import Opening

    from ._desk import AsyncDesk
    from ._terms import Terms

_log = logging.getLogger("resumable")
_CLOCK: Final = SystemClock()
#: [s] So often it is looked whether a holder came back.
_STRETCH: Final = 0.5
#: Called before each request.
AsyncNote: TypeAlias = "Callable[[], Awaitable[None]]"


class AsyncProduce(Protocol):
    """As `Produce`, for a task."""

    def __call__(
        self, report: Report, past: Past, attempts: list[Attempt], note: AsyncNote
    ) -> tuple[AsyncDriver, bytes]:
        """As `Produce.__call__`."""
        ...


class AsyncRecorded:
    """The stream of a call in a task; see `Recorded`."""

    def __init__(self, desk: AsyncDesk, session_id: str, opening: Opening, terms: Terms, produce: AsyncProduce) -> None:
        self._desk = desk
        self._opening = opening
        self._terms = terms
        self._make = produce
        self._journal: AsyncJournal | AsyncLate | None = None
        self._driver: AsyncDriver | None = None
        self._follower: AsyncFollower | None = None
        self._past = Past()
        self._delivered = 0  # Seq of the last event that the caller has; the log may hold more.
        self._is_over = self._is_closed = self._is_lost = False
        self._closing: asyncio.Future[None] | None = None
        self.report = Report(session_id)

    @property
    def is_following(self) -> bool:
        """Whether another holder writes the session, or has written it."""
        return self._driver is None

    @property
    def session(self) -> Session:
        """The session that this process writes."""
        assert self._driver is not None  # Invariant: asked only where nothing is followed.
        return self._driver.session

    async def start(self) -> RecoveryError | None:
        """
        Open the session: a new one is sent upstream, one that exists is read.

        Returns:
            The error if there will be no stream.

        Raises:
            StoreError: There is none either, and upstream was not asked.
        """
        try:
            await self._acquire()
        except StoreUnavailableError as away:
            if not may_flow(away, self._terms.store_outage):
                raise
            self._begin_late(away)
        if self._journal is None or (self._journal.acquired and self._journal.acquired.last_seq):
            self._follow_log()
            return None
        await self._go_on()
        assert self._driver is not None  # Invariant: `_go_on` makes it.
        try:
            error = await self._driver.start()
        except FencedError:
            await self._read_on()
            return None
        if error is not None:
            await self._end(error)
        elif not self._driver.session.is_reading:  # Closed on the way, by the keeper.
            await self._turn_back(self._driver)
        return error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            out = await (self._follow() if self._driver is None else self._produce(self._driver))
            if out:
                return out

    async def _acquire(self) -> float:
        """Take the session's lease, if nobody has it; give how long [s] somebody may, 0 when it was taken."""
        its, terms = self.report.session_id, self._terms
        try:
            self._journal = journal = await AsyncJournal.open(
                self._desk,
                its,
                self._opening,
                lease=terms.lease,
                ttl=terms.ttl,
                durability=terms.durability,
                store_outage=terms.store_outage,
            )
        except LeaseHeldError as held:
            return held.expires_in
        except SessionEndedError:
            return math.inf
        journal.on_cancel = self._stop
        journal.on_lost = self._lose
        return 0.0

    def _begin_late(self, away: StoreUnavailableError) -> None:
        """Let the stream flow, and have its session opened as soon as the store is back."""
        self.report.unkept = away.reason
        _log.warning("resumable.session_not_kept session=%s reason=%s", self.report.session_id, away.reason)
        self._journal = late = AsyncLate(self._desk, self._opening, self._terms, self.report)
        late.on_cancel, late.on_lost = self._stop, self._lose
        self._desk.reception.admit(late)

    async def _follow(self) -> bytes:
        """Read what the log holds next; where nobody writes it any more, become its writer."""
        if self._journal is not None and self._journal.acquired and self._past.seq >= self._journal.acquired.last_seq:
            return await self._go_on()
        assert self._follower is not None  # Invariant: without a driver, the log is read.
        entry = await anext(self._follower)
        if isinstance(entry, Event):
            frame = frame_of(entry.event)
            self._past.read(frame, entry.seq)
            if entry.seq <= self._delivered:
                return b""
            self._delivered = entry.seq
            return frame
        if isinstance(entry, Marker) and entry.status.is_over:
            self._is_over = True
            await self._follower.aclose()
            if entry.status is Status.COMPLETE:
                raise StopAsyncIteration
            raise SessionEndedError(self.report.session_id, entry.status.value, entry.base)
        if self._journal is None and (isinstance(entry, Lapse) or not entry.holder):
            await self._contend()
        return b""

    async def _contend(self) -> None:
        """Take over where nobody writes, as soon as that is allowed, unless somebody does meanwhile."""
        while (left := await self._acquire()) and not self._is_closed:
            await _CLOCK.asleep(min(left, _STRETCH))
            [there] = await self._desk.store.look([self.report.session_id])
            if (
                isinstance(there, StoreError)
                or there.last_seq > self._past.seq
                or there.is_held
                or there.status.is_over
            ):
                return  # The follower says what it is.

    def _follow_log(self) -> None:
        """Read the log from its beginning; what was delivered of it is not delivered again."""
        self._past = Past()
        self._follower = AsyncFollower(self._desk, self.report.session_id, None)

    async def _go_on(self) -> bytes:
        """Become the session's writer, behind what the log holds."""
        assert self._journal is not None  # Invariant: only who holds the lease writes.
        if self._follower is not None:
            await self._follower.aclose()
        before = self._journal.acquired.checkpoint if self._journal.acquired else None
        now = self._desk.now()
        attempts = [] if before is None else attempts_of(before.fields, now)
        driver, out = self._make(self.report, self._past, attempts, self._note)
        self._driver = driver
        return await self._write(out)

    async def _produce(self, driver: AsyncDriver) -> bytes:
        try:
            out = await anext(driver)
            return await self._write(out)
        except FencedError:
            await self._read_on()
            return b""
        except StopAsyncIteration:
            if self._is_lost:
                return await self._step_down()
            await self._end(None)
            self._raise_cancelled()
            raise
        except StoreError:
            await driver.aclose()
            raise
        except Exception as error:
            await self._end(error)
            raise

    async def _write(self, out: bytes) -> bytes:
        """Write ahead of the caller what he is about to get."""
        journal, events = self._journal, events_of(out)
        assert journal is not None  # Invariant: see `_go_on`.
        if not events:
            return out
        session = self.session
        if is_last(events[-1]):
            self._is_over = True
            await journal.end(Status.COMPLETE, events, end_fields(self.report, session.transcript, None))
        elif b"\nevent: content_block_stop\n" in b"\n" + out:
            seq = journal.next_seq + len(events) - 1
            await journal.write(events, block_fields(self.report, session.transcript, seq))
        else:
            await journal.write(events)
        self._delivered = journal.next_seq - 1
        return out

    async def _note(self) -> None:
        """Write down the attempt that is about to be sent."""
        assert self._journal is not None  # Invariant: see `_go_on`.
        if not self._is_over:
            await self._journal.write((), attempt_fields(self.report, self._terms.lease))

    async def _turn_back(self, driver: AsyncDriver) -> None:
        """Find out why there is no response: the session was cancelled, or is somebody else's by now."""
        await driver.aclose()
        if self._is_lost:
            await self._step_down()
        else:
            await self._end(None)
            self._raise_cancelled()

    async def _step_down(self) -> bytes:
        """Leave the writing to who has the lease now; the journal says whether the caller saw more than the log."""
        assert self._journal is not None  # Invariant: only who held it loses it.
        try:
            await self._journal.write(())
        except FencedError:
            await self._read_on()
        return b""

    async def _read_on(self) -> None:
        """Follow the session that another holder has taken over: nothing was delivered that the log does not hold."""
        assert self._journal is not None  # Invariant: only who held it is fenced.
        if self._driver is not None:
            await self._driver.aclose()
        self._driver = self._journal = None
        self._is_lost = False
        self._follow_log()

    async def _end(self, error: Exception | None) -> None:
        """End the session in the log, unless it has ended; what another credential may finish waits for that."""
        journal = self._journal
        if journal is None:
            return
        was_over, self._is_over = self._is_over, True  # At once: a cancelled one may be ended from two threads.
        if was_over:
            return
        failure = error if isinstance(error, ResumableError) else None
        status = Status.FAILED if journal.cancel_reason is None else Status.CANCELLED
        try:
            if status is Status.FAILED and journal.last_seq and is_credential_refusal(getattr(failure, "last", None)):
                await journal.release()
                await self._desk.store.orphan(self.report.session_id)
                return
            await journal.end(status, (), end_fields(self.report, self.session.transcript, failure))
        except StoreError:  # The caller hears what ended the stream; the lease runs out by itself.
            _log.warning("resumable.end_not_written session=%s", self.report.session_id, exc_info=True)

    def _raise_cancelled(self) -> None:
        journal = self._journal
        if journal is not None and journal.cancel_reason is not None:
            raise SessionEndedError(self.report.session_id, Status.CANCELLED.value, journal.last_seq)

    def _stop(self) -> None:
        """Stop upstream at once; called in this event loop."""
        if self._driver is not None:
            self._closing = asyncio.ensure_future(self._driver.aclose())

    def _lose(self) -> None:
        """Stop upstream at once; the session is somebody else's."""
        self._is_lost = True
        self._stop()

    async def aclose(self) -> None:
        """Leave: what this process writes is cancelled, what it reads goes on."""
        self._is_closed = True
        if self._follower is not None:
            await self._follower.aclose()
        journal, driver = self._journal, self._driver
        if driver is not None:
            await driver.aclose()
        if journal is not None and not self._is_over:
            self._is_over = True
            try:
                if driver is None:
                    await journal.release()
                else:
                    await journal.end(Status.CANCELLED, (), end_fields(self.report, driver.session.transcript, None))
            except StoreError:
                _log.warning("resumable.end_not_written session=%s", self.report.session_id, exc_info=True)
