"""
Sessions in memory, as a function of time: the executable specification of what a store promises.

Pure: `now` is an argument, and nothing waits. The scripts in `lua/` must answer the same to any sequence of calls;
tests/store/test_agreement.py holds them to it. Here nothing is lost, so no `LogLostError` and no rewinding.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from resumable._core.store_errors import (
    CursorError,
    FencedError,
    LeaseHeldError,
    LogRewoundError,
    SeqExpiredError,
    SessionConflictError,
    SessionEndedError,
    SessionNotFoundError,
    StoreError,
)
from resumable.store._chain import check_chain
from resumable.store._checks import (
    check_append,
    check_fields,
    check_holder,
    check_reason,
    check_session_id,
    milliseconds,
)
from resumable.store._keys import OPAQUE_FIELDS
from resumable.store._packs import Stored, spread
from resumable.store._records import (
    MAX_EVENTS,
    SCHEMA,
    Acquired,
    Append,
    Appended,
    Cancelled,
    Cancels,
    Checkpoint,
    Cursor,
    Entry,
    Grant,
    Lease,
    Marker,
    Opening,
    Recorded,
    Status,
    Upkeep,
)

from ._notes import NoteBoard
from ._session import MemorySession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
R = TypeVar("R")

_CONTROL_KEPT = 1000  # entries
_SECOND = 1000.0  # [ms]
_cursor = attrgetter("cursor")


def _raw(value: str | int | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class MemorySessions:
    """All sessions of one store; times are whole milliseconds, as a server's are."""

    def __init__(self) -> None:
        self._sessions: dict[str, MemorySession] = {}
        self._control: deque[tuple[Cursor, str]] = deque(maxlen=_CONTROL_KEPT)
        self._purge_at = 8
        self.board = NoteBoard()

    def acquire(
        self, session_id: str, holder: str, duration: float, ttl: float, opening: Opening | None, *, now: int
    ) -> Acquired:
        """As `Store.acquire`."""
        check_session_id(session_id)
        check_holder(holder)
        lease_until, ttl_ms = now + milliseconds("duration", duration), milliseconds("ttl", ttl)
        session = self._sessions.get(session_id)
        if session is None or session.gone <= now:
            if opening is None:
                raise SessionNotFoundError(session_id)
            check_fields(opening.fields)
            self._purge(now)
            fields = {name: _raw(value) for name, value in opening.fields.items()}
            session = MemorySession(
                Status.RUNNING, now, holder, now, lease_until, ttl_ms, now + ttl_ms, now, now, opening, fields=fields
            )
            session.log.append(Marker(now, Status.RUNNING, holder, 0, None))
            self._sessions[session_id] = session
            return Acquired(Lease(session_id, holder, now, 0, duration, ttl), Grant.CREATED, 0, None)
        grant = self._grant(session_id, session, holder, opening, now, ttl_ms)
        before = self._checkpoint(session_id, session, now)
        if grant is Grant.TAKEN:
            session.mark(now, Status.RUNNING, holder)
            session.token, session.holder, session.base = session.marker, holder, session.last_seq
            session.takeovers += 1
        session.lease_until, session.ttl, session.gone, session.claimed = lease_until, ttl_ms, now + ttl_ms, 0
        lease = Lease(session_id, holder, session.token, session.base, duration, ttl)
        return Acquired(lease, grant, session.last_seq, before)

    def _grant(
        self, session_id: str, session: MemorySession, holder: str, opening: Opening | None, now: int, ttl: int
    ) -> Grant:
        if opening is not None and opening.request_hash != session.opening.request_hash:
            raise SessionConflictError(session_id)
        if session.status.is_over:
            raise SessionEndedError(session_id, session.status.value, session.last_seq)
        if session.status is Status.RUNNING and session.holder == holder and session.lease_until:
            return Grant.KEPT
        if session.status is Status.RUNNING and session.lease_until > now:
            raise LeaseHeldError(session_id, session.holder, (session.lease_until - now) / _SECOND)
        if session.cancel is not None:
            session.end(now, Status.CANCELLED, ttl)
            raise SessionEndedError(session_id, session.status.value, session.last_seq)
        return Grant.TAKEN

    def append(self, appends: Sequence[Append], now: int) -> Sequence[Appended | StoreError]:
        """As `Store.append`."""
        for one in appends:
            check_append(one)
        return [self._outcome(self._append, one, now) for one in appends]

    def _append(self, one: Append, now: int) -> Appended:
        session_id, n = one.lease.session_id, len(one.events)
        session = self._mine(one.lease, now)
        if one.first_seq > session.last_seq + 1 or one.first_seq <= session.base:
            raise LogRewoundError(session_id, one.first_seq - 1, session.last_seq)
        skip = session.last_seq - one.first_seq + 1
        if session.status is not Status.RUNNING:
            if skip >= n and one.end in {None, session.status}:
                return Appended(session.last_seq, 0, session.cancel)
            raise SessionEndedError(session_id, session.status.value, session.last_seq)
        if not session.lease_until:
            if skip >= n and one.end is None:
                return Appended(session.last_seq, 0, session.cancel)
            raise FencedError(session_id, one.lease.token, session.marker, "")
        new = one.events[skip:]
        session.lease_until = now + milliseconds("duration", one.lease.duration)
        if new or not n or one.end is not None:
            session.log += [Recorded(session.token, session.last_seq + i, event) for i, event in enumerate(new, 1)]
            session.last_seq += len(new)
            session.fields |= {name: _raw(value) for name, value in one.fields.items()}
            session.updated = now
        ttl = milliseconds("ttl", one.lease.ttl)
        session.keep(now, ttl)
        if one.end is not None:
            session.end(now, one.end, ttl)
        return Appended(session.last_seq, len(new), session.cancel)

    def renew(self, leases: Sequence[Lease], now: int) -> Sequence[Appended | StoreError]:
        """As `Store.renew`."""
        return [self._outcome(self._renew, lease, now) for lease in leases]

    def _renew(self, lease: Lease, now: int) -> Appended:
        session = self._mine(lease, now)
        self._check_writes(lease, session)
        session.lease_until = now + milliseconds("duration", lease.duration)
        session.keep(now, milliseconds("ttl", lease.ttl))
        return Appended(session.last_seq, 0, session.cancel)

    def release(self, lease: Lease, now: int) -> None:
        """As `Store.release`."""
        session = self._mine(lease, now)
        if session.status is Status.RUNNING and not session.lease_until:
            return
        self._check_writes(lease, session)
        session.mark(now, Status.RUNNING, "")
        session.lease_until = 0

    def orphan(self, session_id: str, now: int) -> bool:
        """As `Store.orphan`."""
        session = self._there(session_id, now)
        if session.status is not Status.RUNNING or session.lease_until > now:
            return session.status is Status.ORPHANED
        to = Status.ORPHANED if session.cancel is None else Status.CANCELLED
        session.mark(now, to, "")
        session.token, session.holder, session.base, session.lease_until = session.marker, "", session.last_seq, 0
        return to is Status.ORPHANED

    def cancel(self, session_id: str, reason: str, now: int) -> Cancelled:
        """As `Store.cancel`."""
        check_reason(reason)
        session = self._there(session_id, now)
        if session.status is Status.CANCELLED:
            return Cancelled("", session.last_seq)
        if session.status.is_over:
            raise SessionEndedError(session_id, session.status.value, session.last_seq)
        session.cancel = session.cancel or reason
        if session.status is Status.RUNNING and session.lease_until > now:
            last = self._control[-1][0] if self._control else Cursor(0, 0)
            self._control.append((Cursor(now, 0) if now > last.token else Cursor(last.token, last.seq + 1), session_id))
            return Cancelled(session.holder, session.last_seq)
        session.end(now, Status.CANCELLED, session.ttl)
        return Cancelled("", session.last_seq)

    def cancels(self, after: Cursor | None) -> Cancels:
        """Tell which sessions were asked to stop, as `Store.wait_cancelled` does."""
        last = self._control[-1][0] if self._control else Cursor(0, 0)
        if after is None:
            return Cancels(last, ())
        return Cancels(max(last, after), [session_id for cursor, session_id in self._control if cursor > after])

    def read(self, session_id: str, after: Cursor | None, limit: int, now: int) -> Sequence[Entry]:
        """As `Store.read`; what is named and not there was never given, since nothing is lost here."""
        session = self._there(session_id, now)
        if after is None or after == (0, 0):
            return spread(session_id, session.log[:limit], Cursor(0, 0), limit)
        at = bisect_left(session.log, after, key=_cursor)
        if at == len(session.log):
            raise CursorError(str(after), problem="it lies in the future")
        first, *following = spread(session_id, session.log[at : at + 1 + limit], after, limit + 1)
        if first.cursor != after:
            # Within a lease there is an event for every seq: what stands here is the marker of the next one.
            assert isinstance(first, Marker)
            raise LogRewoundError(session_id, after.seq or first.base, first.base)
        return following

    def arrived(self, after: Mapping[str, Cursor], now: int) -> Mapping[str, Sequence[Entry] | StoreError]:
        """Tell what has come behind cursors, as `Store.wait` does."""
        found: dict[str, Sequence[Entry] | StoreError] = {}
        for session_id, cursor in after.items():
            check_session_id(session_id)
            session = self._sessions.get(session_id)
            if session is None or session.gone <= now:
                continue
            at, next_one = bisect_right(session.log, cursor, key=_cursor), Cursor(cursor.token, cursor.seq + 1)
            following = spread(session_id, session.log[at : at + MAX_EVENTS], next_one, MAX_EVENTS)
            try:
                check_chain(session_id, cursor if cursor != (0, 0) else None, following)
            except (LogRewoundError, SeqExpiredError) as exc:
                found[session_id] = exc
            else:
                if following:
                    found[session_id] = following
        return found

    def get(self, session_id: str, now: int) -> Checkpoint:
        """As `Store.get`."""
        return self._checkpoint(session_id, self._there(session_id, now), now)

    def look(self, session_ids: Sequence[str], now: int) -> Sequence[Checkpoint | StoreError]:
        """As `Store.look`."""
        return [self._outcome(self._plain, session_id, now) for session_id in session_ids]

    def _plain(self, session_id: str, now: int) -> Checkpoint:
        return self._checkpoint(session_id, self._there(session_id, now), now, leave=OPAQUE_FIELDS)

    def request(self, session_id: str, now: int) -> bytes:
        """As `Store.request`."""
        return self._there(session_id, now).opening.request

    def list_sessions(
        self, status: Status | None, principal: str | None, ages: tuple[float, float | None], limit: int, now: int
    ) -> Sequence[Checkpoint]:
        """As `Store.list`."""
        least, most = round(ages[0] * _SECOND), None if ages[1] is None else round(ages[1] * _SECOND)
        found = [
            (session.created, session_id)
            for session_id, session in self._sessions.items()
            if session.gone > now
            and status in {None, session.status}
            and principal in {None, session.opening.principal}
            and session.created <= now - least
            and (most is None or session.created >= now - most)
        ]
        return [self._plain(session_id, now) for _, session_id in sorted(found, reverse=True)[:limit]]

    def due(self, limit: int, now: int) -> Sequence[str]:
        """As `Store.due`."""
        found = [
            (session.lease_until, session_id)
            for session_id, session in self._sessions.items()
            if session.gone > now and session.status is Status.RUNNING and session.lease_until <= now
        ]
        return [session_id for _, session_id in sorted(found)[:limit]]

    def claim(self, upkeep: Upkeep, principal: str, spans: tuple[float, float], limit: int, now: int) -> Sequence[str]:
        """As `Store.claim`; *spans* are for how long, and the least age."""
        hold, age = (round(span * _SECOND) for span in spans)
        due = [
            (session.updated, name)
            for name, session in self._sessions.items()
            if session.is_due(upkeep, principal, now, age)
        ]
        names = [name for _, name in sorted(due)[:limit]]
        for name in names:
            self._sessions[name].claimed = now + hold
        return names

    def compact(self, session_id: str, log: Sequence[Stored], now: int) -> bool:
        """As `Store.compact`."""
        return self._there(session_id, now).compact(log)

    def delete(self, session_id: str, now: int) -> bool:
        """As `Store.delete`."""
        session = self._sessions.pop(check_session_id(session_id), None)
        return session is not None and session.gone > now

    def _there(self, session_id: str, now: int) -> MemorySession:
        session = self._sessions.get(check_session_id(session_id))
        if session is None or session.gone <= now:
            raise SessionNotFoundError(session_id)
        return session

    def _mine(self, lease: Lease, now: int) -> MemorySession:
        session = self._there(lease.session_id, now)
        if (session.token, session.holder) != (lease.token, lease.holder):
            raise FencedError(lease.session_id, lease.token, session.marker, session.holder)
        return session

    @staticmethod
    def _check_writes(lease: Lease, session: MemorySession) -> None:
        if session.status is not Status.RUNNING:
            raise SessionEndedError(lease.session_id, session.status.value, session.last_seq)
        if not session.lease_until:
            raise FencedError(lease.session_id, lease.token, session.marker, "")

    @staticmethod
    def _checkpoint(session_id: str, session: MemorySession, now: int, leave: Sequence[str] = ()) -> Checkpoint:
        return Checkpoint(
            session_id=session_id,
            status=session.status,
            last_seq=session.last_seq,
            base=session.base,
            token=session.token,
            holder=session.holder,
            lease_left=max(session.lease_until - now, 0) / _SECOND,
            takeovers=session.takeovers,
            cancel=session.cancel,
            principal=session.opening.principal,
            request_hash=session.opening.request_hash,
            created=session.created / _SECOND,
            updated=session.updated / _SECOND,
            schema=str(SCHEMA),
            fields={name: value for name, value in session.fields.items() if name not in leave},
            is_compact=session.is_compact,
            marker=session.marker,
        )

    @staticmethod
    def _outcome(do: Callable[[T, int], R], what: T, now: int) -> R | StoreError:
        try:
            return do(what, now)
        except StoreError as exc:
            return exc

    def _purge(self, now: int) -> None:
        # Whenever the number has doubled, so that the cost of a session stays constant.
        if len(self._sessions) >= self._purge_at:
            self._sessions = {name: one for name, one in self._sessions.items() if one.gone > now}
            self._purge_at = max(8, 2 * len(self._sessions))
