"""The sessions of a store, by ID, in two colours."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from random import random
from typing import TYPE_CHECKING, Self

from resumable._core.store_errors import StoreUnavailableError
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._taps import PATIENCE
from resumable.store import Cursor, Status
from resumable.store._url import aopen_store, open_store

from ._readings import AsyncReplay, AsyncTail, Replay, Tail
from ._upkeep import AsyncSweeper, Rules, Sweeper, acompact, compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anthropic
    from anthropic import AsyncStream, Stream
    from anthropic.types import RawMessageStreamEvent

    from resumable.store import AsyncStore, Cancelled, Checkpoint, Store

    from ._upkeep import Swept


class Sessions:
    """
    The sessions of a store: list and inspect them, replay and follow their events, cancel and delete them.

    The store is opened when it is first needed. Close it, or use it as a context; threads may share it.

    Args:
        store: A URL, or a `resumable.store.Store`, which stays open; without one `RESUMABLE_URL`, `REDIS_URL`, or
            the embedded server.
        patience: [s] For how long `tail` bears that the store is away.
    """

    def __init__(self, store: str | Store | None = None, *, patience: float = PATIENCE) -> None:
        self._given = store
        self._patience = patience
        self._opened: Desk | None = None
        self._is_closed = False
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, session_id: str) -> Checkpoint:
        """
        Read what is known about a session besides its events.

        Raises:
            SessionNotFoundError: There is none, or no longer.
            SessionSchemaError: A newer version wrote it.
            LogLostError: Half of it is gone.
        """
        desk = self._desk()
        return desk.store.get(session_id)

    def list(
        self,
        *,
        status: Status | str | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """
        List sessions, the newest first.

        Args:
            status: Only these: `"running"`, `"complete"`, `"failed"`, `"cancelled"` or `"orphaned"`.
            principal: Only of this one.
            min_age: [s] Created at least this long ago.
            max_age: [s] Created at most this long ago.
            limit: [sessions] At most this many.
        """
        desk = self._desk()
        wanted = None if status is None else Status(status)
        return desk.store.list(status=wanted, principal=principal, min_age=min_age, max_age=max_age, limit=limit)

    def replay(self, session_id: str, after: Cursor | str | None = None, *, changes: bool = True) -> Replay:
        """
        Read the events that the log holds now, in order; nothing is waited for.

        Args:
            session_id: Whose.
            after: The last event that is known; without it from the beginning.
            changes: Whether to give out what became of the session, too.

        Raises:
            CursorError: *after* is no cursor. What else may be wrong is raised when it is read.
        """
        return Replay(self._desk, session_id, after, changes=changes)

    def tail(self, session_id: str, after: Cursor | str | None = None, *, changes: bool = True) -> Tail:
        """
        Read the events that the log holds, then wait for those that come, until the session is over.

        Args:
            session_id: Whose.
            after: The last event that is known; without it from the beginning.
            changes: Whether to give out what became of the session, too: that it was taken over, that nobody writes
                it any more, how it ended.

        Raises:
            CursorError: *after* is no cursor. What else may be wrong is raised when it is read.
        """
        return Tail(self._desk, session_id, after, changes=changes, patience=self._patience)

    def request(self, session_id: str) -> bytes:
        """
        Read the request the session was opened with, without credentials: JSON.

        Raises:
            SessionNotFoundError: There is none, or no longer.
            LogLostError: The session is there, its request is not.
        """
        desk = self._desk()
        return desk.store.request(session_id)

    def resume(
        self, client: anthropic.Anthropic, session_id: str, *, principal: str | None = None
    ) -> Stream[RawMessageStreamEvent]:
        """
        Give the whole message from its `message_start`, as the SDK's own stream.

        What the log holds is replayed; while another process writes it, it is followed; when nobody does any
        more, *client* continues it.

        Args:
            client: Sends what is left to send; wrapped or not.
            session_id: Which session.
            principal: In whose name; without it in that of *client*, if it was wrapped with one. A session that was
                opened with a principal is nobody else's.

        Returns:
            What `messages.create(stream=True)` returns.

        Raises:
            SessionNotFoundError: There is none, or no longer.
            SessionForbiddenError: It belongs to another principal.
            SessionEndedError: While it is read: it failed or was cancelled, and this is all there is.
        """
        from ._resume import resume  # noqa: PLC0415  # Reason: imports the SDK, which nothing else here needs

        desk = self._desk()
        kept = desk.store.request(session_id)
        return resume(client, desk.store, session_id, kept, principal)

    def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """
        Ask whoever writes a session to stop; where nobody does, end it.

        Args:
            session_id: Which one.
            reason: A word for people.

        Raises:
            SessionNotFoundError: There is none, or no longer.
            SessionEndedError: It is over already, and not by a cancel.
        """
        desk = self._desk()
        return desk.store.cancel(session_id, reason)

    def sweep(
        self,
        client: anthropic.Anthropic | None = None,
        *,
        principal: str = "",
        limit: int = 100,
        at_once: int = 4,
        compact_after: float | None = 300.0,
    ) -> Swept:
        """
        Look after the sessions that nobody writes, once; any number of processes may.

        What was left is continued with *client* where it belongs to *principal*, and is read to its end here. What
        belongs to others is marked as orphaned, so that its readers know, and anybody with a credential can go on.
        What has been over for some time is compacted. After the store was away, or was started anew, nothing is
        touched until the holders had a full lease to come back.

        Args:
            client: Sends what is left to send; wrapped or not. Without one, nothing is continued.
            principal: Whose sessions *client* may continue.
            limit: [sessions] At most this many of each kind.
            at_once: [sessions] At most this many are continued at the same time.
            compact_after: [s] What has been over for so long is compacted; `None` for nothing.

        Returns:
            What was done, and when to come again.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        desk = self._desk()
        resume = None if client is None else partial(self.resume, client, principal=principal or None)
        return Sweeper(desk, resume, Rules(principal, limit, at_once, compact_after), random).sweep()

    def compact(self, session_id: str) -> bool:
        """
        Put the events of a session that is over into packs, of about a sixth of the size; readers see no difference.

        Returns:
            Whether it is compact now; not if it is not over.

        Raises:
            SessionNotFoundError: There is none, or no longer.
            LogLostError: Half of it is gone.
        """
        desk = self._desk()
        return compact(desk.store, session_id)

    def delete(self, session_id: str) -> bool:
        """
        Remove a session at once, also one that is being written.

        Returns:
            Whether there was one.
        """
        desk = self._desk()
        return desk.store.delete(session_id)

    def close(self) -> None:
        """Leave the store, and close it unless it was given; safe to call twice."""
        with self._guard:
            self._is_closed = True
            desk, self._opened = self._opened, None
        if desk is not None:
            desk.close()
            if not self._is_given:
                desk.store.close()

    @property
    def _is_given(self) -> bool:
        return not (self._given is None or isinstance(self._given, str))

    def _desk(self) -> Desk:
        with self._guard:
            if self._is_closed:
                raise StoreUnavailableError(reason="closed", cause_name=type(self).__name__, retryable=False)
            if self._opened is None:
                given = self._given
                store = open_store(given) if given is None or isinstance(given, str) else given
                self._opened = Desk.of(store)
            return self._opened


class AsyncSessions:
    """
    `Sessions` for asyncio; it differs by `await` alone, and belongs to one event loop.

    Args:
        store: A URL, or a `resumable.store.AsyncStore`, which stays open; without one `RESUMABLE_URL`, `REDIS_URL`,
            or the embedded server.
        patience: [s] For how long `tail` bears that the store is away.
    """

    def __init__(self, store: str | AsyncStore | None = None, *, patience: float = PATIENCE) -> None:
        self._given = store
        self._patience = patience
        self._opened: AsyncDesk | None = None
        self._is_closed = False
        self._guard = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, session_id: str) -> Checkpoint:
        """As `Sessions.get`."""
        desk = await self._desk()
        return await desk.store.get(session_id)

    async def list(
        self,
        *,
        status: Status | str | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `Sessions.list`."""
        desk = await self._desk()
        wanted = None if status is None else Status(status)
        return await desk.store.list(status=wanted, principal=principal, min_age=min_age, max_age=max_age, limit=limit)

    def replay(self, session_id: str, after: Cursor | str | None = None, *, changes: bool = True) -> AsyncReplay:
        """As `Sessions.replay`."""
        return AsyncReplay(self._desk, session_id, after, changes=changes)

    def tail(self, session_id: str, after: Cursor | str | None = None, *, changes: bool = True) -> AsyncTail:
        """As `Sessions.tail`."""
        return AsyncTail(self._desk, session_id, after, changes=changes, patience=self._patience)

    async def request(self, session_id: str) -> bytes:
        """As `Sessions.request`."""
        desk = await self._desk()
        return await desk.store.request(session_id)

    async def resume(
        self, client: anthropic.AsyncAnthropic, session_id: str, *, principal: str | None = None
    ) -> AsyncStream[RawMessageStreamEvent]:
        """As `Sessions.resume`."""
        from ._resume import aresume  # noqa: PLC0415  # Reason: imports the SDK, which nothing else here needs

        desk = await self._desk()
        kept = await desk.store.request(session_id)
        return await aresume(client, desk.store, session_id, kept, principal)

    async def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `Sessions.cancel`."""
        desk = await self._desk()
        return await desk.store.cancel(session_id, reason)

    async def sweep(
        self,
        client: anthropic.AsyncAnthropic | None = None,
        *,
        principal: str = "",
        limit: int = 100,
        at_once: int = 4,
        compact_after: float | None = 300.0,
    ) -> Swept:
        """As `Sessions.sweep`."""
        desk = await self._desk()
        resume = None if client is None else partial(self.resume, client, principal=principal or None)
        return await AsyncSweeper(desk, resume, Rules(principal, limit, at_once, compact_after), random).sweep()

    async def compact(self, session_id: str) -> bool:
        """As `Sessions.compact`."""
        desk = await self._desk()
        return await acompact(desk.store, session_id)

    async def delete(self, session_id: str) -> bool:
        """As `Sessions.delete`."""
        desk = await self._desk()
        return await desk.store.delete(session_id)

    async def close(self) -> None:
        """As `Sessions.close`."""
        async with self._guard:
            self._is_closed = True
            desk, self._opened = self._opened, None
        if desk is not None:
            await desk.close()
            if not self._is_given:
                await desk.store.close()

    @property
    def _is_given(self) -> bool:
        return not (self._given is None or isinstance(self._given, str))

    async def _desk(self) -> AsyncDesk:
        async with self._guard:
            if self._is_closed:
                raise StoreUnavailableError(reason="closed", cause_name=type(self).__name__, retryable=False)
            if self._opened is None:
                given = self._given
                store = await aopen_store(given) if given is None or isinstance(given, str) else given
                self._opened = AsyncDesk.of(store)
            return self._opened
