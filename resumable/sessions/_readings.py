"""Reading one session's log as events, in two colours: what there is, or that and what comes (law L6)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from resumable._recording._follow import AsyncFollower, Follower
from resumable.store import MAX_EVENTS, Cursor

from ._events import SessionEvent, event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable._recording._desk import AsyncDesk, Desk
    from resumable.store import Entry

BEGINNING = Cursor(0, 0)


class _Reading:
    """
    How far a reading has come.

    Attributes:
        session_id: Whose log.
        cursor: Of the last entry that was given out, `0-0` before the first; pass it as `after` to go on from there.
    """

    def __init__(self, session_id: str, after: Cursor | str | None, *, changes: bool) -> None:
        self.session_id = session_id
        self.cursor: Cursor = (Cursor.parse(after) if isinstance(after, str) else after) or BEGINNING
        self._changes = changes

    def _is_wanted(self, event: SessionEvent) -> bool:
        return self._changes or not event.is_change


class Replay(_Reading):
    """
    Iterate over the events that the log holds now; `Sessions.replay` makes it.

    It waits for nothing: at the end of the log it ends, whether the session is over or not.
    """

    cursor: Cursor

    def __init__(self, desk: Callable[[], Desk], session_id: str, after: Cursor | str | None, *, changes: bool) -> None:
        super().__init__(session_id, after, changes=changes)
        self._desk = desk
        self._ready: deque[Entry] = deque()
        self._is_read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SessionEvent:
        """
        Give the next.

        Raises:
            StopIteration: The log ends here, for now.
            SessionNotFoundError: There is no such session, or no longer.
            CursorError: The log never gave the cursor.
            SeqExpiredError: The log no longer reaches back to it.
            LogRewoundError: The log lost what the cursor names.
            LogLostError: Half of the session is gone.
            StoreUnavailableError: The store did not answer.
        """
        while True:
            if not self._ready:
                self._fetch()
            if not self._ready:
                raise StopIteration
            entry = self._ready.popleft()
            self.cursor = entry.cursor
            event = event_of(self.session_id, entry, entry.cursor)
            if self._is_wanted(event):
                return event

    def close(self) -> None:
        """Read no longer."""
        self._is_read = True
        self._ready.clear()

    def _fetch(self) -> None:
        if not self._is_read:
            desk = self._desk()
            page = desk.store.read(self.session_id, after=self.cursor)
            self._is_read = len(page) < MAX_EVENTS
            self._ready.extend(page)


class AsyncReplay(_Reading):
    """`Replay` for asyncio; it differs by `await` alone."""

    cursor: Cursor

    def __init__(
        self, desk: Callable[[], Awaitable[AsyncDesk]], session_id: str, after: Cursor | str | None, *, changes: bool
    ) -> None:
        super().__init__(session_id, after, changes=changes)
        self._desk = desk
        self._ready: deque[Entry] = deque()
        self._is_read = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionEvent:
        """As `Replay.__next__`; ends with `StopAsyncIteration`."""
        while True:
            if not self._ready:
                await self._fetch()
            if not self._ready:
                raise StopAsyncIteration
            entry = self._ready.popleft()
            self.cursor = entry.cursor
            event = event_of(self.session_id, entry, entry.cursor)
            if self._is_wanted(event):
                return event

    async def aclose(self) -> None:
        """Read no longer."""
        self._is_read = True
        self._ready.clear()

    async def _fetch(self) -> None:
        if not self._is_read:
            desk = await self._desk()
            page = await desk.store.read(self.session_id, after=self.cursor)
            self._is_read = len(page) < MAX_EVENTS
            self._ready.extend(page)


class Tail(_Reading):
    """
    Iterate over the events that the log holds and those that come, to the session's end; `Sessions.tail` makes it.

    Use it as a context, or close it. After an error it can be asked again, and goes on where it was.
    """

    cursor: Cursor

    def __init__(
        self,
        desk: Callable[[], Desk],
        session_id: str,
        after: Cursor | str | None,
        *,
        changes: bool,
        patience: float,
    ) -> None:
        super().__init__(session_id, after, changes=changes)
        self._desk = desk
        self._patience = patience
        self._follower: Follower | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> SessionEvent:
        """
        Wait for the next.

        Raises:
            StopIteration: The session is over.
            SessionNotFoundError: There is no such session, or no longer.
            CursorError: The log never gave the cursor.
            SeqExpiredError: The log no longer reaches back to it.
            LogRewoundError: The log lost what was seen of it.
            LogLostError: Half of the session is gone.
            StoreUnavailableError: The store did not answer for as long as patience lasts.
        """
        while True:
            follower = self._following()
            entry = next(follower)
            self.cursor = follower.cursor or self.cursor
            event = event_of(self.session_id, entry, self.cursor)
            if self._is_wanted(event):
                return event

    def close(self) -> None:
        """Follow no longer; safe to call twice, and from elsewhere."""
        self._is_closed = True
        if self._follower is not None:
            self._follower.close()

    def _following(self) -> Follower:
        if self._follower is None:
            if self._is_closed:
                raise StopIteration
            desk = self._desk()
            self._follower = Follower(desk, self.session_id, self.cursor, patience=self._patience)
        return self._follower


class AsyncTail(_Reading):
    """`Tail` for asyncio; it differs by `await` alone."""

    cursor: Cursor

    def __init__(
        self,
        desk: Callable[[], Awaitable[AsyncDesk]],
        session_id: str,
        after: Cursor | str | None,
        *,
        changes: bool,
        patience: float,
    ) -> None:
        super().__init__(session_id, after, changes=changes)
        self._desk = desk
        self._patience = patience
        self._follower: AsyncFollower | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionEvent:
        """As `Tail.__next__`; ends with `StopAsyncIteration`."""
        while True:
            follower = await self._following()
            entry = await anext(follower)
            self.cursor = follower.cursor or self.cursor
            event = event_of(self.session_id, entry, self.cursor)
            if self._is_wanted(event):
                return event

    async def aclose(self) -> None:
        """Follow no longer; safe to call twice, and from elsewhere."""
        self._is_closed = True
        if self._follower is not None:
            await self._follower.aclose()

    async def _following(self) -> AsyncFollower:
        if self._follower is None:
            if self._is_closed:
                raise StopAsyncIteration
            desk = await self._desk()
            self._follower = AsyncFollower(desk, self.session_id, self.cursor, patience=self._patience)
        return self._follower
