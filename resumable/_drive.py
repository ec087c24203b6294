"""
Performs what a session asks for: opens, reads, sleeps, closes. Decides nothing.

The two drivers differ by `await` alone, and a test holds them to it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol, Self

import anyio

from resumable._core.errors import AttemptError
from resumable._core.states import Open, Sleep, Stop
from resumable._core.watch import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.errors import RecoveryError
    from resumable._core.report import Notice
    from resumable._core.session import Session
    from resumable._core.states import Action

_log = logging.getLogger("resumable")


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
    """One upstream, spoken to in a thread: at most one response is open at a time."""

    def open(self, action: Open) -> str | None:
        """
        Send a request and return its `request-id`.

        Raises:
            AttemptError: There is no stream.
        """
        ...

    def read(self, session: Session) -> bytes:
        """
        Read from the response, at most until the session's deadline; empty at its end.

        Raises:
            AttemptError: The stream broke.
        """
        ...

    def close(self) -> None:
        """Close the response, if one is open; a blocked `read` ends."""
        ...

    def translate(self, error: RecoveryError) -> Exception:
        """Make the exception that the caller gets."""
        ...


class AsyncWire(Protocol):
    """One upstream, spoken to in a task; see `Wire`."""

    async def open(self, action: Open) -> str | None:
        """Send a request and return its `request-id`."""
        ...

    async def read(self, session: Session) -> bytes:
        """Read from the response, at most until the session's deadline; empty at its end."""
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

    def __init__(self, session: Session, wire: Wire, clock: Clock, teller: Teller) -> None:
        self.session = session
        self._wire = wire
        self._clock = clock
        self._teller = teller

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

    def __next__(self) -> bytes:
        session, wire, now = self.session, self._wire, self._clock.now
        while True:
            if session.is_reading:
                if (began := now()) - session.seen_at > PAUSE:
                    session.resume(began)
                try:
                    data = wire.read(session)
                    out = session.receive_data(data, now()) if data else session.receive_eof(now())
                except AttemptError as failure:
                    out = session.receive_failure(failure, now())
                if session.notices:
                    self._teller.tell()
            else:
                action = session.next_action(now())
                if isinstance(action, Stop):
                    self._stop(action)
                    raise StopIteration
                out = self._perform(action)
            if out:
                return out

    def _perform(self, action: Action) -> bytes:
        session, wire, clock = self.session, self._wire, self._clock
        wire.close()
        try:
            if isinstance(action, Open):
                request_id = wire.open(action)
                session.receive_response(clock.now(), request_id)
            elif isinstance(action, Sleep):
                clock.sleep(action.delay)
        except AttemptError as failure:
            return session.receive_failure(failure, clock.now())
        finally:
            self._teller.tell()
        return b""

    def _stop(self, action: Stop) -> None:
        self._wire.close()
        if action.error is not None:
            raise self._wire.translate(action.error)

    def close(self) -> None:
        """Leave: nothing is read or sent any more."""
        self.session.close(self._clock.now())
        self._wire.close()


class AsyncDriver:
    """Drives one session in a task; iterate over it for the caller's bytes."""

    def __init__(self, session: Session, wire: AsyncWire, clock: Clock, teller: Teller) -> None:
        self.session = session
        self._wire = wire
        self._clock = clock
        self._teller = teller

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

    async def __anext__(self) -> bytes:
        session, wire, now = self.session, self._wire, self._clock.now
        while True:
            if session.is_reading:
                if (began := now()) - session.seen_at > PAUSE:
                    session.resume(began)
                try:
                    data = await wire.read(session)
                    out = session.receive_data(data, now()) if data else session.receive_eof(now())
                except AttemptError as failure:
                    out = session.receive_failure(failure, now())
                if session.notices:
                    self._teller.tell()
            else:
                action = session.next_action(now())
                if isinstance(action, Stop):
                    await self._stop(action)
                    raise StopAsyncIteration
                out = await self._perform(action)
            if out:
                return out

    async def _perform(self, action: Action) -> bytes:
        session, wire, clock = self.session, self._wire, self._clock
        await wire.close()
        try:
            if isinstance(action, Open):
                request_id = await wire.open(action)
                session.receive_response(clock.now(), request_id)
            elif isinstance(action, Sleep):
                await clock.asleep(action.delay)
        except AttemptError as failure:
            return session.receive_failure(failure, clock.now())
        finally:
            self._teller.tell()
        return b""

    async def _stop(self, action: Stop) -> None:
        await self._wire.close()
        if action.error is not None:
            raise self._wire.translate(action.error)

    async def aclose(self) -> None:
        """Leave: nothing is read or sent any more."""
        self.session.close(self._clock.now())
        await self._wire.close()
