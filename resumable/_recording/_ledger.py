"""
What one session's writer has accepted, sent and seen acknowledged; pure, times are arguments.

Rules:

* What was sent and not answered is sent again *as it was*, before anything else: the store takes events it has for
  written, together with their fields, so the same events with other fields would lose the fields.
* Everything else that waits goes out in one append, up to the store's bound.
* What the store acknowledged and lost (a failover, a killed server) is written again from memory, byte for byte, as
  far back as `RETAINED` reaches and never behind the lease; further back it is an error.
* A caller waits for the log (write-ahead), for room (relaxed), or, with the store away, for `PATIENCE` once: from
  then until the store answers, nobody waits, and what is delivered meanwhile is the gap.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from resumable._core.errors import LocalProtocolError
from resumable._core.store_errors import DivergedError, LogRewoundError, StoreUnavailableError
from resumable.store import MAX_EVENTS, Append, Appended, Cursor, Recorded, Status

from ._rules import ALL_BACKLOG, APPEND, BACKLOG, LAG, LINGER, LONG_PATIENCE, PATIENCE, RETAINED, Gap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resumable.store import Entry, Lease

    from ._rules import Backlog, Rules

_NOW = -math.inf


class _Write(msgspec.Struct, gc=False):  # A thousand are kept of each session: too many for a collector to walk.
    first_seq: int
    events: tuple[bytes, ...]
    fields: Mapping[str, str | int | bytes]
    end: Status | None
    size: int

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.events) - 1


class Ledger:
    """
    The books of one session's writer.

    Attributes:
        lease: The right to write.
        acked: Seq of the last event that the log is known to hold.
        accepted: Seq of the last event that was taken on.
        error: Why nothing more can be written.
        trouble: What the store said last, while it is away.
        cancel_reason: Why somebody asked the session to stop.
        is_over: Whether the log holds the session's end.
    """

    def __init__(self, lease: Lease, last_seq: int, rules: Rules, backlog: Backlog) -> None:
        self.lease = lease
        self.acked = self.accepted = last_seq
        self.error: Exception | None = None
        self.trouble: StoreUnavailableError | None = None
        self.cancel_reason: str | None = None
        self.is_over = False
        self._rules = rules
        self._backlog = backlog
        self._size = 0
        self._delivered = last_seq
        self._writes: deque[_Write] = deque()
        self._count = 0  # of writes accepted; those before the ones in `_writes` are done
        self._sent: Append | None = None
        self._sent_writes = 0
        self._kept: deque[_Write] = deque()
        self._kept_size = 0
        self._closed_at: float | None = None
        self._degraded_at: float | None = None
        self._gap = Gap()
        self._gap_said = self._gap

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(self._writes) and self.error is None

    @property
    def ahead(self) -> int:
        """[events] How many the caller has that the log is not known to hold."""
        return max(0, self._delivered - self.acked)

    @property
    def is_left(self) -> bool:
        """Whether the writer has left with everything written, and without an end."""
        return self._closed_at is not None and not self._writes and not self.is_over and self.error is None

    @property
    def is_done(self) -> bool:
        """Whether the lease need not be kept any more."""
        return self._closed_at is not None and not self._writes

    @property
    def cursor(self) -> Cursor:
        """Where a reader is that has seen what the log is known to hold."""
        return Cursor(self.lease.token, self.acked if self.acked > self.lease.base else 0)

    @property
    def gap(self) -> Gap | None:
        """How far write-ahead was suspended so far; `None` if it never was."""
        return self._gap if self._gap.outages else None

    def add(
        self,
        events: Sequence[bytes],
        fields: Mapping[str, str | int | bytes],
        end: Status | None = None,
        *,
        now: float,
    ) -> int:
        """
        Take on events, and fields that go with the last of them.

        Returns:
            The number of the write, for `until` and `finish`.

        Raises:
            LocalProtocolError: The writer has left.
            StoreError: Nothing more can be written, or kept.
        """
        if self.error is not None:
            raise self.error
        if self._closed_at is not None:
            raise LocalProtocolError(input="write", state="ended")
        if end is not None:
            self._closed_at = now
        while len(events) > MAX_EVENTS:
            self._add(events[:MAX_EVENTS], {}, None)
            events = events[MAX_EVENTS:]
        self._add(events, fields, end)
        return self._count

    def _add(self, events: Sequence[bytes], fields: Mapping[str, str | int | bytes], end: Status | None) -> None:
        size = sum(map(len, events)) + _weight(fields)
        self._writes.append(_Write(self.accepted + 1, tuple(events), fields, end, size))
        self.accepted += len(events)
        self._count += 1
        self._weigh(size)

    def begin_late(self, since: float, events: int) -> None:
        """Note that the caller has so many events *since* [s] then, and that the log holds none of them yet."""
        self._degraded_at, self._delivered = since, events
        self._gap = Gap(outages=1, events=events)

    def leave(self, now: float) -> int:
        """Take nothing more on; give the number of the last write."""
        if self._closed_at is None:
            self._closed_at = now
        return self._count

    def load(self, now: float) -> Append | None:
        """Say what to send: the same again, until it is settled."""
        if self._sent is None and self.is_waiting:
            self._sent = self._build(now)
        elif self._sent is not None and self._sent.end is not None and self._degraded_at is not None:
            # Behind the end nothing can be said any more; if it was written already, this is lost and nothing else.
            self._sent = msgspec.structs.replace(self._sent, fields={**self._sent.fields, **self._said(now)})
        return self._sent if self.error is None else None

    def _build(self, now: float) -> Append:
        said = self._said(now)
        if len(self._writes) == 1 and not said:  # As nearly always.
            [write] = self._writes
            self._sent_writes = 1
            return Append(self.lease, write.first_seq, write.events, write.fields, write.end)
        events: list[bytes] = []
        fields: dict[str, str | int | bytes] = {}
        size, end, first_seq = 0, None, self._writes[0].first_seq
        self._sent_writes = 0
        for write in self._writes:
            if self._sent_writes and (len(events) + len(write.events) > MAX_EVENTS or size + write.size > APPEND):
                break
            events += write.events
            fields |= write.fields
            size, end = size + write.size, write.end
            self._sent_writes += 1
        return Append(self.lease, first_seq, events, {**fields, **said}, end)

    def _said(self, now: float) -> Mapping[str, str]:
        gap = self._gap_at(now)
        if gap is self._gap_said or gap == self._gap_said:
            return {}
        self._gap_said = gap
        return {"gap": gap.field()}

    def settle(self, outcome: Appended | Exception, now: float) -> None:
        """Take note of what became of what was sent."""
        if self._sent is None or self.error is not None:
            return
        if isinstance(outcome, Appended):
            self._acknowledge(outcome, self._sent, now)
        elif isinstance(outcome, LogRewoundError):
            self._rewind(outcome, self._sent)
        elif isinstance(outcome, StoreUnavailableError) and self._is_worth_waiting(outcome, now):
            self.trouble = outcome
        else:
            self.fail(outcome)

    def _is_worth_waiting(self, away: StoreUnavailableError, now: float) -> bool:
        is_late = self._closed_at is not None and now - self._closed_at > LINGER
        return not is_late and away.reason != "closed"

    def _acknowledge(self, outcome: Appended, sent: Append, now: float) -> None:
        for _ in range(self._sent_writes):
            write = self._writes.popleft()
            self._weigh(-write.size)
            self._retain(write)
        self._sent, self.trouble = None, None
        self.acked = max(self.acked, sent.first_seq + len(sent.events) - 1)
        self.cancel_reason = self.cancel_reason or outcome.cancel
        self.is_over = sent.end is not None
        if self._degraded_at is not None and not self._writes:
            self._catch_up(now)

    def _retain(self, write: _Write) -> None:
        self._kept.append(write)
        self._kept_size += write.size
        while self._kept_size > RETAINED:
            self._kept_size -= self._kept.popleft().size

    def _catch_up(self, now: float) -> None:
        self._gap, self._degraded_at = self._gap_at(now), None
        said = self._gap_said.outages == self._gap.outages and self._gap_said.events == self._gap.events
        if not said and not self.is_over:
            self._add((), {}, None)  # carries the gap and nothing else

    def _rewind(self, lost: LogRewoundError, sent: Append) -> None:
        again = [write for write in self._kept if write.last_seq >= lost.last_seq]
        first_seq = again[0].first_seq if again else sent.first_seq
        if lost.last_seq < self.lease.base or first_seq > lost.last_seq + 1:
            self.fail(lost)
            return
        for _ in again:
            write = self._kept.pop()
            self._kept_size -= write.size
            self._writes.appendleft(write)
            self._weigh(write.size)
        self._sent, self.acked = None, lost.last_seq

    def fail(self, error: Exception) -> None:
        """Take nothing more on, because of this."""
        if self.error is None:
            self.error = error
            self._weigh(-self._size)

    def lose(self, error: Exception) -> None:
        """Note that the lease is lost; one who ends the session hears of it, or of his own end, from the append."""
        if self._closed_at is None:
            self.fail(error)

    def until(self, number: int, since: float) -> float:
        """
        [s] Say until when a caller waits who has waited *since* then; the past when he need not.

        Args:
            number: Of his write.
            since: [s] When he began.
        """
        if self.error is not None or self._count - len(self._writes) >= number:
            return _NOW
        if self._closed_at is None and self._may_lag():
            return _NOW
        if self.trouble is not None and not self.trouble.retryable:
            return _NOW
        return since + (PATIENCE if self._rules.degrades else LONG_PATIENCE)

    def _may_lag(self) -> bool:
        if self._degraded_at is not None and self.trouble is not None:
            return self._has_room()
        return self._rules.is_relaxed and self._size <= LAG

    def _has_room(self) -> bool:
        return self._size <= BACKLOG and self._backlog.size <= ALL_BACKLOG

    def finish(self, number: int, *, now: float) -> None:
        """
        End a caller's wait: from here on he has what he wrote.

        Raises:
            StoreError: He must not go on: nothing more can be written, or kept.
        """
        if self.error is not None:
            raise self.error
        is_written = self._count - len(self._writes) >= number
        if not is_written and (self._closed_at is not None or not self._may_lag()):
            trouble = self.trouble or StoreUnavailableError(reason="timeout", cause_name="Flight")
            if not self._rules.degrades or not self._has_room():
                raise trouble
            self.trouble = trouble
            if self._degraded_at is None:
                self._degraded_at = now
                self._gap = msgspec.structs.replace(self._gap, outages=self._gap.outages + 1)
        if self._degraded_at is not None:
            late = max(0, self.accepted - max(self._delivered, self.acked))
            self._gap = msgspec.structs.replace(self._gap, events=self._gap.events + late)
        self._delivered = self.accepted

    def judge(self, following: Sequence[Entry]) -> None:
        """
        Say what it means to be no longer the writer, once the log was read.

        Args:
            following: What the log holds behind `cursor`.

        Raises:
            DivergedError: The caller has what the log does not hold.
        """
        for entry in following:
            if not isinstance(entry, Recorded) or entry.token != self.lease.token:
                break
            self.acked = entry.seq
        if self.ahead:
            self.error = DivergedError(self.lease.session_id, self.acked)
            raise self.error

    def _gap_at(self, now: float) -> Gap:
        if self._degraded_at is None:
            return self._gap
        return msgspec.structs.replace(self._gap, seconds=self._gap.seconds + now - self._degraded_at)

    def _weigh(self, size: int) -> None:
        self._size += size
        self._backlog.size += size


def _weight(fields: Mapping[str, str | int | bytes]) -> int:
    size = 0
    for value in fields.values():
        size += 8 if isinstance(value, int) else len(value)
    return size
