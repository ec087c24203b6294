"""
Who in this process follows which log, and what each of them gets; pure, so that both colours share it.

Strategy: a log that is followed is tapped once, from the furthest back of its feeds. What arrives is given to every
feed that stands within it. A feed never believes more than that what it was given follows its cursor: whatever else
there is to know (that it fell behind, that nobody writes any more, that the session is gone) is a hint, upon which it
leaves the tap, and its follower reads the log itself before it believes it.
"""

from __future__ import annotations

import math
import weakref
from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from resumable._core.store_errors import StoreError, StoreUnavailableError
from resumable.store import MAX_EVENTS, Checkpoint, Cursor, Marker, Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resumable.store import Entry

MAX_HELD = 2 * MAX_EVENTS  # entries of a feed; with less, one flight of a fast writer would make a reader fall behind
MAX_HELD_BYTES = 1 << 20  # of their events; a follower that takes what it is given needs a fraction of it
PATIENCE = 30.0  # [s] Longer than a failover takes with the servers' own defaults.
LOOK_LIMIT = 100  # sessions looked at in one flight: two milliseconds of a server's time
_LONGEST_LOOK = 5.0  # [s] So that a session that was deleted is noticed, whatever its lease.
_IDLE_LOOK = 2.0  # [s] Between looks at a session that nobody writes.
_MARGIN = 0.02  # [s] The lease has run out by then, however the server rounds.

_PAUSE = 0.01  # [s] At a thousand logs; nobody sees it in a text.
_BUSY = 64  # logs; with fewer, every wait is worth its flight
_FULL = 1000  # logs

Hint: TypeAlias = Checkpoint | Exception | None
_cursor = attrgetter("cursor")


class Bell(Protocol):
    """What a follower waits at: an event of threads, or of a loop."""

    def set(self) -> None:
        """Let who waits go on."""
        ...

    def clear(self) -> None:
        """Let the next one wait."""
        ...


B = TypeVar("B", bound=Bell)


class Delivery(NamedTuple):
    """
    What was taken from a feed.

    Attributes:
        entries: In order; perhaps none.
        hint: Why nothing more comes; `None` also for one that fell behind.
        is_joined: Whether more may come.
    """

    entries: Sequence[Entry]
    hint: Hint
    is_joined: bool


class Feed(Generic[B]):
    """
    What one follower gets from the tap of its log; made by the follower, known to the hub while it is joined.

    Attributes:
        session_id: Whose log.
        bell: Rings when there is something to take.
        patience: [s] For how long an outage is borne.
        cursor: Of the last entry that its follower has, or will find in it.
        is_joined: Whether entries arrive.
        is_told: Whether the follower knows that nobody writes: from a marker, or set by it.
    """

    __slots__ = (
        "__weakref__",
        "_entries",
        "_hint",
        "_size",
        "bell",
        "cursor",
        "is_joined",
        "is_told",
        "joined_at",
        "patience",
        "session_id",
    )

    def __init__(self, session_id: str, bell: B, patience: float) -> None:
        self.session_id = session_id
        self.bell = bell
        self.patience = patience
        self.cursor = Cursor(0, 0)
        self.is_joined = False
        self.is_told = False
        self.joined_at = 0.0
        self._entries: Sequence[Entry] = ()
        self._size = 0
        self._hint: Hint = None

    def put(self, following: Sequence[Entry]) -> bool:
        """
        Add what follows the cursor, unless there is no room for it.

        Returns:
            Whether there was.
        """
        size = self._size
        for entry in following:
            if isinstance(entry, Recorded):
                size += len(entry.event)
        if len(self._entries) + len(following) > MAX_HELD or size > MAX_HELD_BYTES:
            return False
        # What others were given too is never added to; as nearly always, there is nothing before it.
        self._entries = [*self._entries, *following] if self._entries else following
        self._size = size
        self.see(following[-1])
        self.bell.set()
        return True

    def see(self, last: Entry) -> None:
        """Take note of the last entry that its follower has, or is about to have."""
        self.cursor = last.cursor
        self.is_told = isinstance(last, Marker) and not last.holder

    def hint(self, hint: Hint) -> None:
        """Say that there is nothing more to come here, and why; `None` for one that has fallen behind."""
        self._hint = hint
        self.is_joined = False
        self.bell.set()

    def take(self) -> Delivery:
        """Take what there is."""
        entries, self._entries = self._entries, ()
        hint, self._hint = self._hint, None
        self._size = 0
        self.bell.clear()
        return Delivery(entries, hint, self.is_joined)


AnyFeed: TypeAlias = Feed[Any]


class _Tap:
    """A log that is followed: from where, by whom, and when somebody should look at its session."""

    __slots__ = ("_dropped", "cursor", "due", "feeds", "lease")

    def __init__(self, cursor: Cursor, dropped: Callable[[object], object]) -> None:
        self.cursor = cursor
        self.feeds: list[weakref.ref[AnyFeed]] = []  # weak: a follower that nobody holds any more is nobody's
        self._dropped = dropped
        self.lease = 0.0  # [s] the most that was seen of it under this holder: no more than its whole duration
        self.due = 0.0

    def living(self) -> list[AnyFeed]:
        """List the feeds that still arrive somewhere."""
        return [feed for ref in self.feeds if (feed := ref()) is not None and feed.is_joined]

    def keep(self, feeds: Sequence[AnyFeed]) -> None:
        """Keep these feeds, and wait from the furthest back of them."""
        self.feeds = [weakref.ref(feed, self._dropped) for feed in feeds]
        self.cursor = min((feed.cursor for feed in feeds), default=self.cursor)


class Taps:
    """All logs that are followed through one hub; times are those of its clock."""

    def __init__(self) -> None:
        self._taps: dict[str, _Tap] = {}
        self._dropped: list[object] = []  # Feeds that nobody holds any more, since the last wait.
        self._lost_since: float | None = None

    def __len__(self) -> int:
        return len(self._taps)

    @property
    def pause(self) -> float:
        """[s] What is worth waiting for more to arrive at once."""
        return 0.0 if len(self._taps) < _BUSY else _PAUSE * min(1.0, math.sqrt(len(self._taps) / _FULL))

    def join(self, feed: AnyFeed, now: float) -> None:
        """Let what follows a feed's cursor arrive at it, and have its session looked at."""
        tap = self._taps.get(feed.session_id)
        if tap is None:
            tap = self._taps[feed.session_id] = _Tap(feed.cursor, self._dropped.append)
        feed.is_joined, feed.joined_at = True, now
        tap.keep([*tap.living(), feed])
        tap.due = now

    def leave(self, feed: AnyFeed) -> None:
        """Forget a feed; who waits at it waits no longer."""
        feed.is_joined = False
        feed.bell.set()
        if (tap := self._taps.get(feed.session_id)) is not None:
            self._keep(feed.session_id, tap)

    def cursors(self) -> dict[str, Cursor]:
        """Say from where to wait, for every log; what nobody holds any more is forgotten."""
        if self._dropped:
            self._dropped.clear()
            for session_id in [name for name, tap in self._taps.items() if not any(ref() for ref in tap.feeds)]:
                del self._taps[session_id]
        return {session_id: tap.cursor for session_id, tap in self._taps.items()}

    def until_look(self, now: float) -> float:
        """[s] Say how long nobody need be looked at."""
        return max(0.0, min((tap.due for tap in self._taps.values()), default=now + _LONGEST_LOOK) - now)

    def arrived(
        self, start: Mapping[str, Cursor], found: Mapping[str, Sequence[Entry] | StoreError], now: float
    ) -> None:
        """
        Give out what a wait brought.

        Args:
            start: From where it waited.
            found: What it brought.
            now: [s] The time.
        """
        for session_id, following in found.items():
            tap = self._taps.get(session_id)
            if tap is None:
                continue
            if isinstance(following, StoreError):
                self._hint_all(session_id, following)
                continue
            self._schedule(tap, following, now)
            if not self._give_only(tap, start[session_id], following):
                for feed in tap.living():
                    self._give(feed, start[session_id], following)
                self._keep(session_id, tap)
        if self._lost_since is not None:
            self._lost_since = None
            for tap in self._taps.values():  # Nobody knows what became of them meanwhile.
                tap.due = now

    @classmethod
    def _give_only(cls, tap: _Tap, start: Cursor, following: Sequence[Entry]) -> bool:
        """Give to the only feed, as nearly always: nothing is counted or kept anew. Say whether it goes on."""
        feed = tap.feeds[0]() if len(tap.feeds) == 1 else None
        if feed is None or not feed.is_joined:
            return False
        cls._give(feed, start, following)
        tap.cursor = feed.cursor
        return feed.is_joined

    @staticmethod
    def _give(feed: AnyFeed, start: Cursor, following: Sequence[Entry]) -> None:
        if feed.cursor < start:  # It joined while the wait was under way; the next one begins where it stands.
            return
        if feed.cursor > start:
            at = bisect_right(following, feed.cursor, key=_cursor)
            if at == 0 or (at < len(following) and following[at - 1].cursor != feed.cursor):
                feed.hint(None)  # The log does not hold what it has seen; reading will say why.
                return
            following = following[at:]
        if following and not feed.put(following):
            feed.hint(None)

    @staticmethod
    def _schedule(tap: _Tap, following: Sequence[Entry], now: float) -> None:
        """Put the next look off: who writes keeps its lease, for no less than was seen of it."""
        for entry in following:
            if isinstance(entry, Marker):
                tap.lease, tap.due = 0.0, now
                return
        if tap.lease:
            tap.due = max(tap.due, now + min(tap.lease, _LONGEST_LOOK))

    def due(self, now: float) -> list[str]:
        """List the sessions to look at."""
        return [session_id for session_id, tap in self._taps.items() if tap.due <= now][:LOOK_LIMIT]

    def looked(self, session_ids: Sequence[str], told: Sequence[Checkpoint | StoreError], now: float) -> None:
        """
        Take note of what a look said.

        Args:
            session_ids: Whom it was at.
            told: What it said of each.
            now: [s] The time before it.
        """
        for session_id, one in zip(session_ids, told, strict=True):
            tap = self._taps.get(session_id)
            if tap is None:
                continue
            if isinstance(one, StoreUnavailableError):
                tap.due = now + _IDLE_LOOK
            elif isinstance(one, StoreError) or one.status.is_over:
                self._hint_all(session_id, one)
            elif one.is_held:
                tap.lease = max(tap.lease, one.lease_left)
                tap.due = now + min(one.lease_left + _MARGIN, _LONGEST_LOOK)
                for feed in tap.living():
                    feed.is_told = False
            else:
                tap.due = now + _IDLE_LOOK
                self._hint_all(session_id, one, unless_told=True)

    def lost(self, error: StoreUnavailableError, now: float) -> None:
        """
        Take note that the store cannot be asked; who has borne it long enough is told.

        Args:
            error: Why.
            now: [s] The time.
        """
        if self._lost_since is None:
            self._lost_since = now
        for session_id, tap in list(self._taps.items()):
            for feed in tap.living():
                if not error.retryable or now - max(self._lost_since, feed.joined_at) >= feed.patience:
                    feed.hint(error)
            self._keep(session_id, tap)

    def refused(self, error: Exception) -> None:
        """
        Tell those whom an error is about: one session's, or everybody's.

        Args:
            error: What made a wait or a look impossible.
        """
        named = getattr(error, "session_id", None)
        for session_id in [named] if named in self._taps else list(self._taps):
            self._hint_all(session_id, error)

    def _hint_all(self, session_id: str, hint: Hint, *, unless_told: bool = False) -> None:
        tap = self._taps[session_id]
        for feed in tap.living():
            if not (unless_told and feed.is_told):
                feed.hint(hint)
        self._keep(session_id, tap)

    def _keep(self, session_id: str, tap: _Tap) -> None:
        """Keep the feeds of a tap that are still joined, and the tap while there are any."""
        tap.keep(tap.living())
        if not tap.feeds:
            del self._taps[session_id]
