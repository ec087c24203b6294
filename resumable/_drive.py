"""
Performs what a session asks for: opens, reads, sleeps, closes. Decides nothing.

The two drivers differ by `await` alone, and a test holds them to it.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Final, Protocol, Self

import anyio

from resumable._core.errors import AttemptError
from resumable._core.states import Open, Sleep, Stop
from resumable._core.watch import PAUSE
from resumable._watchdog import WATCHDOG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable._core.errors import RecoveryError
    from resumable._core.report import Notice
    from resumable._core.session import Session
    from resumable._core.states import Action

_log = logging.getLogger("resumable")

_NEVER: Final = math.inf


class Deadline(Protocol):
    """
    What breaks a read that is too late.

    Attributes:
        deadline: [s] When it is, on the machine's monotonic clock; infinite while nobody reads. May be set to a
            later time at will.
    """

    deadline: float

    def arm(self, deadline: float) -> None:
        """Set it, also to an earlier time."""
        ...


class Clock(Protocol):
    """Where time comes from; inject another one so that a test never waits."""

    def now(self) -> float:
        """[s] Monotonic time."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass, in a thread."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Let time pass, in a task."""
        ...


#: [s] Longest sleep at a stretch: so soon a wait ends whose stream was closed from elsewhere.
_STRETCH = 0.2


class SystemClock:
    """
    The machine's clock; sleeps under asyncio and trio.

    A sleep may end early: the machine then asks for the rest, unless the caller has left meanwhile.
    """

    now = staticmethod(time.monotonic)

    def sleep(self, seconds: float) -> None:
        """Let time pass, in a thread."""
        time.sleep(min(seconds, _STRETCH))

    async def asleep(self, seconds: float) -> None:
        """Let time pass, in a task."""
        await anyio.sleep(min(seconds, _STRETCH))


class Wire(Protocol):
    """
    One upstream, spoken to in a thread: at most one response is open at a time.

    Attributes:
        guard: Breaks a `read` that is blocked in the middle of the body.
    """

    guard: Deadline

    def open(self, action: Open) -> str | None:
        """
        Send a request and return its `request-id`.

        Raises:
            AttemptError: There is no stream.
        """
        ...

    def read(self) -> bytes:
        """
        Read from the response.

        Raises:
            StopIteration: At its end.
            Exception: The stream broke; whatever transports, TLS and decoders raise.
        """
        ...

    def interruption(self, error: Exception, received: int) -> AttemptError:
        """Say what an exception of `read` means that came after so many bytes."""
        ...

    def close(self) -> None:
        """Close the response, if one is open; a blocked `read` ends."""
        ...

    def translate(self, error: RecoveryError) -> Exception:
        """Make the exception that the caller gets."""
        ...


class AsyncWire(Protocol):
    """One upstream, spoken to in a task; see `Wire`."""

    guard: Deadline

    async def open(self, action: Open) -> str | None:
        """Send a request and return its `request-id`."""
        ...

    def read(self) -> Awaitable[bytes]:
        """Read from the response; see `Wire`."""
        ...

    def interruption(self, error: Exception, received: int) -> AttemptError:
        """Say what an exception of `read` means that came after so many bytes."""
        ...

    async def close(self) -> None:
        """Close the response, if one is open; a blocked `read` ends."""
        ...

    def translate(self, error: RecoveryError) -> Exception:
        """Make the exception that the caller gets."""
        ...


class Teller:
    """Tells people what recovery decides: the log, and one callback. No content, no keys."""

    def __init__(self, session: Session, on_recovery: Callable[[Notice], None] | None) -> None:
        self._session = session
        self._on_recovery = on_recovery

    def tell(self) -> None:
        """Pass on the session's notices, each once."""
        notices = self._session.notices
        while notices:
            notice = notices.pop(0)
            _log.log(
                logging.WARNING if notice.verdict == "give_up" else logging.INFO,
                "resumable.attempt_failed session=%s attempt=%d verdict=%s delay=%.3fs failure=%s",
                notice.session_id,
                notice.attempt,
                notice.verdict,
                notice.delay,
                notice.failure,
            )
            self._call(notice)

    def _call(self, notice: Notice) -> None:
        """Call back; who only looks on must not break the stream, so what he raises is logged."""
        if self._on_recovery is not None:
            try:
                self._on_recovery(notice)
            except Exception:  # noqa: BLE001  # Reason: whatever it is, it is the callback's
                _log.exception("resumable.on_recovery_failed session=%s", notice.session_id)


class Driver:
    """Drives one session in a thread; iterate over it for the caller's bytes."""

    def __init__(
        self, session: Session, wire: Wire, clock: Clock, teller: Teller, note: Callable[[], None] | None = None
    ) -> None:
        """*note* is called before each request, when the session's report lists it already."""
        self.session = session
        self._wire = wire
        self._clock = clock
        self._teller = teller
        self._note = note

    def start(self) -> RecoveryError | None:
        """Go on until there is a response to read from; return the error if there will be none."""
        while not self.session.is_reading:
            action = self.session.next_action(self._clock.now())
            if isinstance(action, Stop):
                return action.error
            self._perform(action)
        return None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:  # noqa: C901  # Reason: the hot path; every call in it would cost more than it does
        session, wire, now = self.session, self._wire, self._clock.now
        while True:
            if not session.is_reading:
                out = self._act()
            else:
                if (began := now()) - session.seen_at > PAUSE:
                    session.resume(began)
                guard = wire.guard
                guard.deadline = due = session.seen_at + session.slack
                if due < WATCHDOG.next_look:  # `arm` would look, too; the call is saved for nearly every event.
                    guard.arm(due)
                try:
                    data = wire.read()
                except Exception as error:  # noqa: BLE001  # Reason: transports, TLS and decoders each raise their own
                    out = self._lose(error)
                else:
                    if session.flows(data):
                        session.seen_at = now()
                        return data
                    out = session.receive_data(data, now())
                finally:
                    guard.deadline = _NEVER
                if session.notices:
                    self._teller.tell()
            if out:
                return out

    def _act(self) -> bytes:
        action = self.session.next_action(self._clock.now())
        if isinstance(action, Stop):
            self._wire.close()
            if action.error is not None:
                raise self._wire.translate(action.error)
            raise StopIteration
        return self._perform(action)

    def _lose(self, error: Exception) -> bytes:
        """Tell the session how reading ended."""
        session, now = self.session, self._clock.now()
        if isinstance(error, StopIteration):
            return session.receive_eof(now)
        return session.receive_failure(self._wire.interruption(error, session.received), now)

    def _perform(self, action: Action) -> bytes:
        session, wire, clock = self.session, self._wire, self._clock
        wire.close()
        try:
            if isinstance(action, Open):
                if self._note is not None:
                    self._note()
                request_id = wire.open(action)
                session.receive_response(clock.now(), request_id)
            elif isinstance(action, Sleep):
                clock.sleep(action.delay)
        except AttemptError as failure:
            return session.receive_failure(failure, clock.now())
        finally:
            self._teller.tell()
        return b""

    def close(self) -> None:
        """Leave: nothing is read or sent any more."""
        self.session.close(self._clock.now())
        self._wire.close()


class AsyncDriver:
    """Drives one session in a task; iterate over it for the caller's bytes."""

    def __init__(
        self,
        session: Session,
        wire: AsyncWire,
        clock: Clock,
        teller: Teller,
        note: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """*note* is called before each request, when the session's report lists it already."""
        self.session = session
        self._wire = wire
        self._clock = clock
        self._teller = teller
        self._note = note

    async def start(self) -> RecoveryError | None:
        """Go on until there is a response to read from; return the error if there will be none."""
        while not self.session.is_reading:
            action = self.session.next_action(self._clock.now())
            if isinstance(action, Stop):
                return action.error
            await self._perform(action)
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:  # noqa: C901  # Reason: as above
        session, wire, now = self.session, self._wire, self._clock.now
        while True:
            if not session.is_reading:
                out = await self._act()
            else:
                if (began := now()) - session.seen_at > PAUSE:
                    session.resume(began)
                guard = wire.guard
                guard.deadline = due = session.seen_at + session.slack
                if due < WATCHDOG.next_look:  # `arm` would look, too; the call is saved for nearly every event.
                    guard.arm(due)
                try:
                    data = await wire.read()
                except Exception as error:  # noqa: BLE001  # Reason: transports, TLS and decoders each raise their own
                    out = self._lose(error)
                else:
                    if session.flows(data):
                        session.seen_at = now()
                        return data
                    out = session.receive_data(data, now())
                finally:
                    guard.deadline = _NEVER
                if session.notices:
                    self._teller.tell()
            if out:
                return out

    async def _act(self) -> bytes:
        action = self.session.next_action(self._clock.now())
        if isinstance(action, Stop):
            await self._wire.close()
            if action.error is not None:
                raise self._wire.translate(action.error)
            raise StopAsyncIteration
        return await self._perform(action)

    def _lose(self, error: Exception) -> bytes:
        """Tell the session how reading ended."""
        session, now = self.session, self._clock.now()
        if isinstance(error, StopAsyncIteration):
            return session.receive_eof(now)
        return session.receive_failure(self._wire.interruption(error, session.received), now)

    async def _perform(self, action: Action) -> bytes:
        session, wire, clock = self.session, self._wire, self._clock
        await wire.close()
        try:
            if isinstance(action, Open):
                if self._note is not None:
                    await self._note()
                request_id = await wire.open(action)
                session.receive_response(clock.now(), request_id)
            elif isinstance(action, Sleep):
                await clock.asleep(action.delay)
        except AttemptError as failure:
            return session.receive_failure(failure, clock.now())
        finally:
            self._teller.tell()
        return b""

    async def aclose(self) -> None:
        """Leave: nothing is read or sent any more."""
        self.session.close(self._clock.now())
        await self._wire.close()
