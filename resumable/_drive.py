"""
Performs what a session asks for: opens, reads, sleeps, closes. Decides nothing.

The two drivers differ by `await` alone, and a test holds them to it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol, Self

import anyio

from resumable._core.errors import AttemptError, RecoveryError
from resumable._core.states import Open, Read, Sleep, State, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.report import Notice
    from resumable._core.session import Session

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


class SystemClock:
    """The machine's clock; sleeps under asyncio and trio."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    asleep = staticmethod(anyio.sleep)


class Wire(Protocol):
    """One upstream, spoken to in a thread: at most one response is open at a time."""

    def open(self, action: Open) -> str | None:
        """
        Send a request and return its `request-id`.

        Raises:
            AttemptError: There is no stream.
        """
        ...

    def read(self, deadline: float) -> bytes:
        """
        Read from the response; empty at its end.

        Raises:
            AttemptError: The stream broke.
        """
        ...

    def close(self) -> None:
        """Close the response, if one is open; a blocked `read` ends."""
        ...


class AsyncWire(Protocol):
    """One upstream, spoken to in a task; see `Wire`."""

    async def open(self, action: Open) -> str | None:
        """Send a request and return its `request-id`."""
        ...

    async def read(self, deadline: float) -> bytes:
        """Read from the response; empty at its end."""
        ...

    async def close(self) -> None:
        """Close the response, if one is open; a blocked `read` ends."""
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
            level = logging.WARNING if notice.verdict == "give_up" else logging.INFO
            _log.log(
                level,
                "resumable.attempt_failed session=%s attempt=%d verdict=%s delay=%.3fs failure=%s",
                notice.session_id,
                notice.attempt,
                notice.verdict,
                notice.delay,
                notice.failure,
            )
            if self._on_recovery is not None:
                self._on_recovery(notice)


class Driver:
    """Drives one session in a thread; iterate over it for the caller's bytes."""

    def __init__(self, session: Session, wire: Wire, clock: Clock, teller: Teller) -> None:
        self.session = session
        self._wire = wire
        self._clock = clock
        self._teller = teller

    def start(self) -> RecoveryError | None:
        """Go on until there is a response to read from; return the error if there will be none."""
        while self.session.state is not State.STREAMING:
            action = self.session.next_action(self._clock.now())
            if isinstance(action, Stop):
                return action.error
            self._perform(action)
        return None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while True:
            action = self.session.next_action(self._clock.now())
            if isinstance(action, Stop):
                self._wire.close()
                if action.error is not None:
                    raise action.error
                raise StopIteration
            data = self._perform(action)
            if data:
                return data

    def _perform(self, action: Open | Read | Sleep) -> bytes:
        session, wire, clock = self.session, self._wire, self._clock
        try:
            if isinstance(action, Read):
                data = wire.read(session.deadline)
                return session.receive_data(data, clock.now()) if data else session.receive_eof(clock.now())
            wire.close()
            if isinstance(action, Open):
                request_id = wire.open(action)
                session.receive_response(clock.now(), request_id)
            else:
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

    def __init__(self, session: Session, wire: AsyncWire, clock: Clock, teller: Teller) -> None:
        self.session = session
        self._wire = wire
        self._clock = clock
        self._teller = teller

    async def start(self) -> RecoveryError | None:
        """Go on until there is a response to read from; return the error if there will be none."""
        while self.session.state is not State.STREAMING:
            action = self.session.next_action(self._clock.now())
            if isinstance(action, Stop):
                return action.error
            await self._perform(action)
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            action = self.session.next_action(self._clock.now())
            if isinstance(action, Stop):
                await self._wire.close()
                if action.error is not None:
                    raise action.error
                raise StopAsyncIteration
            data = await self._perform(action)
            if data:
                return data

    async def _perform(self, action: Open | Read | Sleep) -> bytes:
        session, wire, clock = self.session, self._wire, self._clock
        try:
            if isinstance(action, Read):
                data = await wire.read(session.deadline)
                return session.receive_data(data, clock.now()) if data else session.receive_eof(clock.now())
            await wire.close()
            if isinstance(action, Open):
                request_id = await wire.open(action)
                session.receive_response(clock.now(), request_id)
            else:
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
