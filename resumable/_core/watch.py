"""Until when an attempt may be silent: the watchdogs and deadlines, as numbers."""

from __future__ import annotations

import math
from typing import Protocol

from resumable._core.errors import StreamStalledError

#: [s] How long a complete message may take to end its body, so that the connection can be reused;
#: and how long `message_stop` may take to follow a `stop_reason`.
LINGER = 10.0
#: [s] A caller who takes longer than this between two reads has paused.
PAUSE = 1.0


class Timeouts(Protocol):
    """What the watchdogs need of a policy."""

    @property
    def bytes_timeout(self) -> float:
        """[s] Without any byte."""
        ...

    @property
    def progress_timeout(self) -> float:
        """[s] Without an event other than a ping."""
        ...

    @property
    def thinking_timeout(self) -> float:
        """[s] The same while thinking or a server tool is open, or before the first event."""
        ...

    @property
    def first_event_timeout(self) -> float | None:
        """[s] From an attempt's start to its first event."""
        ...

    @property
    def total_timeout(self) -> float | None:
        """[s] For the whole session."""
        ...


class Watch:
    """
    The watchdogs of one session.

    Pings reset a read timeout, so silence has two meanings: no *bytes*, and no *progress*.
    While text flows it is told nothing: it catches up when something else comes.

    Attributes:
        bytes_at: [s] When the last bytes came.
        progress_at: [s] When the last event came that was no ping.
        total: [s] When the session's time is over; infinite without a limit.
    """

    def __init__(self, timeouts: Timeouts, started_at: float) -> None:
        self._timeouts = timeouts
        self.total = math.inf if timeouts.total_timeout is None else started_at + timeouts.total_timeout
        self._first_event = math.inf
        self.bytes_at = self.progress_at = started_at
        self._progress_limit = timeouts.thinking_timeout
        self._factor = 1.0
        self._bytes_limit = timeouts.bytes_timeout
        self._linger = math.inf
        self._fixed = self.total  # The earliest deadline that bytes do not move.

    @property
    def deadline(self) -> float:
        """[s] When the first of the watchdogs fires, on the driver's clock; asked before every read."""
        silent = self.bytes_at + self._bytes_limit
        idle = self.progress_at + self._progress_limit
        # Not min(): a call costs more than both sums.
        first = silent if silent < idle else idle  # noqa: FURB136  # Reason: as above
        return first if first < self._fixed else self._fixed  # noqa: FURB136  # Reason: as above

    @property
    def is_calm(self) -> bool:
        """Whether more text moves every deadline there is by as much as it comes later."""
        return self._fixed == math.inf and self.bytes_at == self.progress_at

    def catch_up(self, seen_at: float) -> None:
        """Note when text came last, of what flowed without being told here."""
        if self.is_calm:
            self.bytes_at = self.progress_at = seen_at

    def limit(self, now: float) -> float | None:
        """Say how long [s] to wait for a first event where the policy sets a deadline for it; `None` where not."""
        return None if self._fixed == math.inf else max(self._fixed - now, 0.0)

    def open(self, now: float) -> None:
        """Start the watchdogs of an attempt that is being sent."""
        first = self._timeouts.first_event_timeout
        self._first_event = math.inf if first is None else now + first
        self.bytes_at = self.progress_at = now
        self._progress_limit = self._timeouts.thinking_timeout * self._factor
        self._linger = math.inf
        self._fixed = min(self.total, self._first_event)

    def receive(self, now: float, *, progressed: bool, is_slow: bool) -> None:
        """
        Note that bytes arrived.

        Args:
            now: [s] The driver's clock.
            progressed: Whether an event other than a ping was among them.
            is_slow: Whether a block is open that may rightly be silent for long.
        """
        self.bytes_at = now
        if progressed:
            self.progress_at = now
            self._factor = 1.0
            self._first_event = math.inf
            self._fixed = min(self.total, self._linger)
            its = self._timeouts
            self._progress_limit = its.thinking_timeout if is_slow else its.progress_timeout

    def receive_more(self, now: float, *, progressed: bool) -> None:
        """Note that bytes arrived that change nothing but the time: more text, or only pings."""
        self.bytes_at = now
        if progressed:
            self.progress_at = now

    def resume(self, now: float) -> None:
        """Leave out the time in which nobody read, if it was long enough to matter."""
        pause = now - self.bytes_at
        if pause > PAUSE:
            self.bytes_at += pause
            self.progress_at += pause
            self._first_event += pause
            self._fixed = min(self.total, self._first_event, self._linger)

    def linger(self, now: float) -> None:
        """Note that the message is complete: only the end of the body is still to come."""
        self._linger = now + LINGER
        self._fixed = min(self.total, self._linger)

    def stall(self, now: float) -> StreamStalledError | None:
        """Say which watchdog has fired by *now*, if any."""
        its = self._timeouts
        if now >= self.total:
            return StreamStalledError("total", its.total_timeout or 0.0)
        if now >= self._first_event:
            return StreamStalledError("first_event", its.first_event_timeout or 0.0)
        if now >= self.progress_at + self._progress_limit:
            limit = self._progress_limit
            self._factor *= 2  # It may simply be slow: the next attempt gets longer.
            return StreamStalledError("progress", limit)
        if now >= self.bytes_at + self._bytes_limit:
            return StreamStalledError("bytes", its.bytes_timeout)
        return None
