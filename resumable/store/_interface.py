"""
What a store of sessions promises: one log, one checkpoint and one lease a session, in two colours.

Nothing here does anything; `memory/_model.py` is the executable specification of what is said here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ._notes import AsyncNotes, Notes
from ._records import MAX_EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resumable._core.store_errors import StoreError

    from ._packs import Stored
    from ._records import (
        Acquired,
        Append,
        Appended,
        Cancelled,
        Cancels,
        Checkpoint,
        Cursor,
        Entry,
        Lease,
        Opening,
        Status,
        Upkeep,
        Vitals,
    )


class Store(Notes, Protocol):
    """
    Sessions: their logs, checkpoints and leases.

    Safe to share between threads. Every call is bounded in time and raises nothing but `StoreError`
    (and `ConfigurationError`, `LocalProtocolError` for arguments that cannot work).
    Every write may be sent again as it is when its answer was lost: the outcome is the same.
    """

    def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """
        Take the lease of a session that nobody holds; create the session if *opening* is given.

        Args:
            session_id: `[A-Za-z0-9_.-]{1,128}`.
            holder: Unique per writer.
            duration: [s] Of the lease, by the store's clock.
            ttl: [s] The session is kept for this long after its last write.
            opening: Creates the session if there is none, and must agree with it if there is one.

        Raises:
            SessionNotFoundError: There is none, and *opening* is missing.
            SessionConflictError: It was opened with another request.
            LeaseHeldError: Its lease has not expired.
            SessionEndedError: It is over; also when a cancel was waiting, which ends it here.
            SessionSchemaError: A newer version wrote it.
            LogLostError: Half of it is gone.
            StoreUnavailableError: The store did not answer.
        """
        ...

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """
        Append to the logs of several sessions in one flight; each is all or nothing and has its own outcome.

        An event is there for readers, in order, when this returns. What is in the log already is not written
        twice, so sending the same again is safe.
        A session may come several times, in order.

        Returns:
            One outcome for each of *appends*, in their order: `Appended`, or `FencedError`, `SessionEndedError`,
            `SessionNotFoundError`, `LogLostError`, or `LogRewoundError` (the log holds less than it acknowledged:
            send again from `last_seq + 1`).

        Raises:
            StoreUnavailableError: The store did not answer; any of them may have happened.
        """
        ...

    def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """Keep leases for another duration each, in one flight; outcomes as of `append`."""
        ...

    def release(self, lease: Lease) -> None:
        """
        Give the lease up at once, so that the next holder need not wait; readers see a marker without a holder.

        Raises:
            FencedError: Somebody has taken it already.
            SessionEndedError: The session is over.
        """
        ...

    def orphan(self, session_id: str) -> bool:
        """
        Mark a running session that nobody holds as orphaned, for readers to see.

        Returns:
            Whether it is orphaned now; not if somebody holds it or it is over.

        Raises:
            SessionNotFoundError: There is none.
        """
        ...

    def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """
        Ask the holder to stop; where nobody writes, end the session in place.

        Raises:
            SessionNotFoundError: There is none.
            SessionEndedError: It is over already.
        """
        ...

    def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """
        Wait until somebody asks for a session to be cancelled, at most *seconds*.

        Args:
            after: What the last call said; `None` to begin with what comes next, at once and without waiting.
            seconds: [s] 5 at most, longer is cut.
        """
        ...

    def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """
        Read what follows *after*, in order, without waiting (law L6).

        Args:
            session_id: The session's ID.
            after: A cursor this log gave; `None` for the beginning.
            limit: [entries] At most this many; fewer means that the log ends there for now.

        Raises:
            CursorError: The log never gave this cursor, or it lies in the future.
            SeqExpiredError: The log no longer reaches back to it.
            LogRewoundError: The log lost what the cursor names, and has gone on without it.
            SessionNotFoundError: There is none.
            LogLostError: Half of it is gone.
        """
        ...

    def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """
        Wait for what follows in any of several logs, over one connection.

        Begin with `read`; here a cursor is believed. A session that vanishes is silent: `look` at what is silent long.

        Args:
            after: Session ID to the cursor of the last entry seen.
            seconds: [s] 5 at most, longer is cut; empty when nothing came, or after `wake`.

        Returns:
            Session ID to what follows, or to `LogRewoundError`, for those that have something.
        """
        ...

    def wake(self) -> None:
        """End the `wait` of this store that is under way, or else the next one, so that it can be given more logs."""
        ...

    def get(self, session_id: str) -> Checkpoint:
        """
        Read the whole checkpoint.

        Raises:
            SessionNotFoundError: There is none.
            SessionSchemaError: A newer version wrote it.
            LogLostError: Half of the session is gone.
        """
        ...

    def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """Read the checkpoints of several sessions in one flight, without snapshots and other opaque fields."""
        ...

    def request(self, session_id: str) -> bytes:
        """
        Read the request the session was opened with.

        Raises:
            SessionNotFoundError: There is none.
            LogLostError: The session is there, its request is not.
        """
        ...

    def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """
        List sessions, the newest first, without opaque fields.

        Args:
            status: Only these.
            principal: Only of this one.
            min_age: [s] Created at least this long ago.
            max_age: [s] Created at most this long ago.
            limit: [sessions] At most this many.
        """
        ...

    def due(self, limit: int = 100) -> Sequence[str]:
        """List sessions that are worth a look: running when last heard of, and their lease should have run out."""
        ...

    def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """
        Take charge of sessions that nobody writes: for a while nobody else is given them.

        A hint, which keeps those who look after sessions out of each other's way: what they then do decides.

        Args:
            upkeep: What is to be done for them.
            hold: [s] For how long they are this caller's; what is still to be done then is given out again.
            min_age: [s] Only those whose lease ran out, or that were orphaned or ended, at least this long ago.
            principal: Whose, of those that are orphaned.
            limit: [sessions] At most this many.
        """
        ...

    def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """
        Put packs in the place of the events of a session that is over; what is read of it stays the same.

        At once or not at all, for every reader. What is kept expires when it would have expired.

        Args:
            session_id: Which session.
            log: All of its log as it was read, put into packs.

        Returns:
            Whether it is compact now; not if it is not over, or if *log* is not its log.

        Raises:
            SessionNotFoundError: There is none.
            LogLostError: Half of it is gone.
        """
        ...

    def delete(self, session_id: str) -> bool:
        """
        Remove a session at once, whoever holds it; its holder then meets `SessionNotFoundError`.

        Returns:
            Whether there was one.
        """
        ...

    def ping(self) -> Vitals:
        """Ask the store whether it is there."""
        ...

    def close(self) -> None:
        """Close the connections; what is under way fails as unavailable. Safe to call twice."""
        ...


class AsyncStore(AsyncNotes, Protocol):
    """`Store`, method for method, for asyncio; it differs by `await` alone. Belongs to one event loop."""

    async def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `Store.acquire`."""
        ...

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `Store.append`."""
        ...

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `Store.renew`."""
        ...

    async def release(self, lease: Lease) -> None:
        """As `Store.release`."""
        ...

    async def orphan(self, session_id: str) -> bool:
        """As `Store.orphan`."""
        ...

    async def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `Store.cancel`."""
        ...

    async def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `Store.wait_cancelled`."""
        ...

    async def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `Store.read`."""
        ...

    async def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `Store.wait`."""
        ...

    async def wake(self) -> None:
        """As `Store.wake`."""
        ...

    async def get(self, session_id: str) -> Checkpoint:
        """As `Store.get`."""
        ...

    async def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `Store.look`."""
        ...

    async def request(self, session_id: str) -> bytes:
        """As `Store.request`."""
        ...

    async def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `Store.list`."""
        ...

    async def due(self, limit: int = 100) -> Sequence[str]:
        """As `Store.due`."""
        ...

    async def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `Store.claim`."""
        ...

    async def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `Store.compact`."""
        ...

    async def delete(self, session_id: str) -> bool:
        """As `Store.delete`."""
        ...

    async def ping(self) -> Vitals:
        """As `Store.ping`."""
        ...

    async def close(self) -> None:
        """As `Store.close`."""
        ...
