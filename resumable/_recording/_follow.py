"""
Follow one session's log: what it holds, then what comes, without a hole and without a repetition (law L6).

A follower reads pages until it has caught up, then takes what the hub brings. It goes back to reading whenever the hub
says that there is something to know; only what the log itself says is believed.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias

from resumable._core.store_errors import CursorError, LogLostError, LogRewoundError, StoreError, StoreUnavailableError
from resumable.store import MAX_EVENTS, Checkpoint, Marker, Recorded, Status

from ._hub import backoff
from ._taps import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import AsyncStore, Cursor, Entry, Store

    from ._hub import AsyncHub, Hub
    from ._taps import Delivery, Feed, Hint


PAGE = MAX_EVENTS  # entries read at once


class Lapse(NamedTuple):
    """
    Nobody writes the session now, and the log does not say so: its holder fell silent, and its lease has run out.

    No entry of the log: it has no cursor, and is told once. Somebody may still take over, or the holder come back.

    Attributes:
        lease_left: [s] Until the lease expires; not above 0.
        holder: Who had it.
        status: `RUNNING`, or `ORPHANED` where a reader begins behind the marker that says so.
    """

    lease_left: float
    holder: str
    status: Status


Followed: TypeAlias = Recorded | Marker | Lapse


class Source(Protocol):
    """What a follower reads from, and what it waits at; a desk."""

    @property
    def store(self) -> Store:
        """Where the logs are."""
        ...

    @property
    def hub(self) -> Hub:
        """Who waits there."""
        ...


class AsyncSource(Protocol):
    """As `Source`."""

    @property
    def store(self) -> AsyncStore:
        """Where the logs are."""
        ...

    @property
    def hub(self) -> AsyncHub:
        """Who waits there."""
        ...


class _Course:
    """
    How far a follower has come; the same in both colours.

    Attributes:
        session_id: Whose log.
        patience: [s] For how long an outage is borne before it is an error.
    """

    def __init__(self, feed: Feed[Any], after: Cursor | None) -> None:
        self.session_id = feed.session_id
        self.patience = feed.patience
        self._feed = feed
        if after is not None:
            feed.cursor = after
        self._after = after
        self._given: Entry | None = None  # the last one that was given out
        self._last: Entry | None = None  # the last one that is here
        self._ready: deque[Followed] = deque()
        self._hint: Hint = None
        self._is_tailing = False
        self._is_over = False
        self._is_closed = False
        self._failures = 0
        self._failing_since = 0.0
        self._doubts = 0
        self._doubting_since = 0.0
        self._is_in_doubt = False  # whether the checkpoint says "over" behind a log that does not

    @property
    def cursor(self) -> Cursor | None:
        """Of the last entry that was given out; where to begin to follow again."""
        return self._after if self._given is None else self._given.cursor

    @property
    def _fetched(self) -> Cursor | None:
        """Of the last entry that is here; `cursor` is behind it while some wait to be given out."""
        return self._after if self._last is None else self._last.cursor

    @property
    def _seq(self) -> int:
        last = self._last
        return 0 if last is None else last.seq if isinstance(last, Recorded) else last.base

    def _receive(self, delivery: Delivery) -> None:
        """Take what the hub brought."""
        self._accept(delivery.entries)  # The feed has seen them; it may be ahead of them by now.
        self._hint = delivery.hint
        self._is_tailing = delivery.is_joined

    def _accept(self, entries: Sequence[Entry]) -> None:
        """Take what follows."""
        if not entries:
            return
        self._ready.extend(entries)
        self._doubts = 0
        last = self._last = entries[-1]
        self._is_over = isinstance(last, Marker) and last.status.is_over

    def _give(self) -> Followed:
        """Give out the next."""
        entry = self._ready.popleft()
        if not isinstance(entry, Lapse):
            self._given = entry
        return entry

    def _check(self) -> None:
        """
        Raise a hint that reading could not refute.

        Raises:
            StoreUnavailableError: The store was away for as long as patience lasts.
        """
        hint = self._hint
        if isinstance(hint, StoreUnavailableError) or (
            isinstance(hint, Exception) and not isinstance(hint, StoreError)
        ):
            self._hint = None
            raise copy(hint) from hint  # A copy: others were told the same.

    def _settle(self, page: Sequence[Entry]) -> bool:
        """
        Take a page, and believe the hub's hint where the log has nothing more to say.

        Returns:
            Whether to go and wait for what comes.

        Raises:
            StoreError: The hint was an error.
        """
        self._accept(page)
        if page:
            self._feed.see(page[-1])
        if len(page) >= PAGE:
            return False
        hint, self._hint = self._hint, None
        if page or hint is None:
            return not self._is_over
        if isinstance(hint, Exception):
            raise copy(hint) from hint
        if hint.status.is_over:
            self._is_over = self._may_be_at_end(hint)
            self._is_in_doubt = not self._is_over
            return False
        self._ready.append(Lapse(hint.lease_left, hint.holder, hint.status))
        self._feed.is_told = True
        return True

    def _may_be_at_end(self, there: Checkpoint) -> bool:
        """Whether the cursor may be that of the end: a marker, the last one, and not seen to be another by itself."""
        if self._last is not None or self._after is None or self._after.seq != 0:
            return False
        return there.marker in {0, self._after.token}

    def _doubt(self, now: float) -> float:
        """
        Bear that checkpoint and log disagree on the end: in a failover they may be of two servers.

        Returns:
            [s] How long to wait before both are asked again.

        Raises:
            LogLostError: They still do at the end of patience.
        """
        self._is_in_doubt = False
        self._doubts += 1
        if self._doubts == 1:
            self._doubting_since = now
        if now - self._doubting_since >= self.patience:
            self._doubts = 0
            raise LogLostError(self.session_id, "log")
        return backoff(self._doubts)

    def _bear(self, lost: StoreUnavailableError, now: float) -> float:
        """
        Bear that the store cannot be asked, for as long as patience lasts.

        Returns:
            [s] How long to leave it alone.

        Raises:
            StoreUnavailableError: Patience is at its end.
        """
        self._failures += 1
        if self._failures == 1:
            self._failing_since = now
        if not lost.retryable or now - self._failing_since >= self.patience:
            self._failures = 0
            raise lost
        return backoff(self._failures)

    def _rewound(self, checkpoint: Checkpoint) -> LogRewoundError:
        """Say that a log that gave a cursor does not have it any more, and nothing in its place."""
        return LogRewoundError(self.session_id, self._seq, min(checkpoint.last_seq, self._seq))


class Follower(_Course):
    """
    Iterate over a session's log to its end: events, markers, and a `Lapse` where its holder fell silent.

    It ends behind the marker of a status that is over. Close it, or use it as a context; one thread at a time.
    After an error it can be asked again, and goes on where it was.

    Args:
        desk: Where the logs are, and who waits there.
        session_id: Whose log.
        after: The last entry that is known; `None` for the beginning.
        patience: [s] For how long an outage is borne before it is an error.
    """

    def __init__(
        self, desk: Source, session_id: str, after: Cursor | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._store, self._hub = desk.store, desk.hub
        super().__init__(self._hub.feed(session_id, patience), after)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Followed:
        """
        Wait for the next.

        Raises:
            StopIteration: The session is over, or this follower is closed.
            SessionNotFoundError: There is no such session, or no longer.
            CursorError: The log never gave the cursor.
            SeqExpiredError: The log no longer reaches back to it.
            LogRewoundError: The log lost what was seen of it.
            LogLostError: Half of the session is gone.
            StoreUnavailableError: The store did not answer for as long as patience lasts, or is closed.
        """
        while self._is_closed or not self._ready:
            if self._is_over or self._is_closed:
                self.close()
                raise StopIteration
            if self._is_tailing:
                self._hub.wait(self._feed)
                self._receive(self._hub.take(self._feed))
            else:
                self._catch_up()
        return self._give()

    def close(self) -> None:
        """Follow no longer; safe to call twice, and from elsewhere."""
        self._is_closed = True
        self._hub.leave(self._feed)

    def _catch_up(self) -> None:
        """Read a page; where it is the last, go and wait for what comes."""
        self._check()
        if self._settle(self._read()):
            self._is_tailing = True
            self._hub.join(self._feed)
        elif self._is_in_doubt:
            self._hub.clock.sleep(self._doubt(self._hub.clock.now()))

    def _read(self) -> Sequence[Entry]:
        while True:
            try:
                page = self._store.read(self.session_id, after=self._fetched, limit=PAGE)
            except StoreUnavailableError as lost:
                pause = self._bear(lost, self._hub.clock.now())
            except CursorError:
                if self._last is None:  # Only its reader says that it came from this log.
                    raise
                raise self._rewound(self._store.get(self.session_id)) from None
            else:
                self._failures = 0
                return page
            self._hub.clock.sleep(pause)


class AsyncFollower(_Course):
    """
    `Follower` for asyncio; it differs by `await` alone.

    Args:
        desk: Where the logs are, and who waits there.
        session_id: Whose log.
        after: The last entry that is known; `None` for the beginning.
        patience: [s] For how long an outage is borne before it is an error.
    """

    def __init__(
        self, desk: AsyncSource, session_id: str, after: Cursor | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._store, self._hub = desk.store, desk.hub
        super().__init__(self._hub.feed(session_id, patience), after)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Followed:
        """As `Follower.__next__`; ends with `StopAsyncIteration`."""
        while self._is_closed or not self._ready:
            if self._is_over or self._is_closed:
                await self.aclose()
                raise StopAsyncIteration
            if self._is_tailing:
                await self._hub.wait(self._feed)
                self._receive(self._hub.take(self._feed))
            else:
                await self._catch_up()
        return self._give()

    async def aclose(self) -> None:
        """Follow no longer; safe to call twice, and from elsewhere."""
        self._is_closed = True
        self._hub.leave(self._feed)

    async def _catch_up(self) -> None:
        """Read a page; where it is the last, go and wait for what comes."""
        self._check()
        if self._settle(await self._read()):
            self._is_tailing = True
            await self._hub.join(self._feed)
        elif self._is_in_doubt:
            await self._hub.clock.asleep(self._doubt(self._hub.clock.now()))

    async def _read(self) -> Sequence[Entry]:
        while True:
            try:
                page = await self._store.read(self.session_id, after=self._fetched, limit=PAGE)
            except StoreUnavailableError as lost:
                pause = self._bear(lost, self._hub.clock.now())
            except CursorError:
                if self._last is None:  # Only its reader says that it came from this log.
                    raise
                raise self._rewound(await self._store.get(self.session_id)) from None
            else:
                self._failures = 0
                return page
            await self._hub.clock.asleep(pause)
