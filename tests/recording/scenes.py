"""Stores, hubs and followers of both colours behind one face, so that one test body is for both."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from anyio.from_thread import start_blocking_portal

from resumable._recording._follow import AsyncFollower, Follower, Lapse
from resumable._recording._hub import AsyncHub, Hub
from resumable.store import Append, AsyncMemoryStore, Cursor, Marker, MemoryStore, Opening, Recorded, Status, Store
from resumable.store.redis._stores import AsyncRedisStore, RedisStore
from resumable.testing import ManualClock
from resumable.testing._conformance_portal import _Across

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resumable._recording._follow import Followed
    from resumable._recording._taps import Feed
    from resumable.store import AsyncStore

LEASE, KEPT = 15.0, 3600.0  # [s]
OPENING = Opening(b"{}", "hash")
LIMIT = 30.0  # [s] On a machine that is busy; what is waited for takes some hundredths.


class Desk:
    """A store and its hub; what a follower needs of a desk."""

    def __init__(self, store: Any, hub: Any) -> None:
        self.store = store
        self.hub = hub


class Following(Protocol):
    """A follower of either colour, as an iterator of a thread."""

    @property
    def cursor(self) -> Cursor | None:
        """Of the last entry that was given out."""
        ...

    @property
    def feed(self) -> Feed[Any]:
        """What it gets from the hub."""
        ...

    def __iter__(self) -> Iterator[Followed]: ...

    def __next__(self) -> Followed: ...

    def close(self) -> None:
        """Follow no longer."""
        ...


class _Plain(Follower):
    """A sync follower that shows its feed."""

    @property
    def feed(self) -> Feed[Any]:
        return self._feed


class _AcrossFollower:
    """An async follower, asked from a thread."""

    def __init__(self, follower: AsyncFollower, portal: Any) -> None:
        self._follower = follower
        self._portal = portal

    @property
    def cursor(self) -> Cursor | None:
        return self._follower.cursor

    @property
    def feed(self) -> Feed[Any]:
        return self._follower._feed

    def __iter__(self) -> _AcrossFollower:
        return self

    def __next__(self) -> Followed:
        try:
            found: Followed = self._portal.call(self._follower.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None
        return found

    def close(self) -> None:
        self._portal.call(self._follower.aclose)


class Scene:
    """
    One store of one colour, its hub, and followers.

    Attributes:
        store: As a sync one.
        hub: Of either colour.
        clock: What leases in memory and the hub are reckoned by.
    """

    def __init__(self, store: Store, desk: Desk, clock: ManualClock, portal: Any) -> None:
        self.store = store
        self.hub = desk.hub
        self.clock = clock
        self._desk = desk
        self._portal = portal

    def follow(self, session_id: str = "s", after: Cursor | None = None, **options: float) -> Following:
        """Make a follower."""
        if self._portal is None:
            return _Plain(self._desk, session_id, after, **options)

        async def make() -> AsyncFollower:
            return AsyncFollower(self._desk, session_id, after, **options)

        return _AcrossFollower(self._portal.call(make), self._portal)

    def close_hub(self) -> None:
        """Close the hub."""
        self.hub.close() if self._portal is None else self._portal.call(self.hub.close)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and let the hub know."""
        self.clock.advance(seconds)
        self.store.wake()


@contextmanager
def scene_of(
    colour: str,
    kinds: tuple[Callable[..., Any], Callable[..., Any]] = (MemoryStore, AsyncMemoryStore),
    *,
    clock: ManualClock | None = None,
) -> Iterator[Scene]:
    """Open a scene in memory, or with stores that are made in another way."""
    clock = clock or ManualClock(1_000_000.0)
    with ExitStack() as stack:
        if colour == "sync":
            plain = kinds[0](clock=clock.now)
            hub = Hub(plain, clock=clock)
            stack.callback(plain.close)
            stack.callback(hub.close)
            yield Scene(plain, Desk(plain, hub), clock, None)
            return
        portal = stack.enter_context(start_blocking_portal())

        async def build() -> tuple[AsyncStore, AsyncHub]:
            found: AsyncStore = kinds[1](clock=clock.now)
            return found, AsyncHub(found, clock=clock)

        coloured, async_hub = portal.call(build)
        stack.callback(portal.call, coloured.close)
        stack.callback(portal.call, async_hub.close)
        across: Any = _Across(coloured, portal)
        yield Scene(across, Desk(coloured, async_hub), clock, portal)


@contextmanager
def scene_at(url: str, colour: str) -> Iterator[Scene]:
    """Open a scene at a server, with the machine's clock."""
    with ExitStack() as stack:
        if colour == "sync":
            plain = RedisStore.from_url(url)
            hub = Hub(plain)
            stack.callback(plain.close)
            stack.callback(hub.close)
            yield Scene(plain, Desk(plain, hub), ManualClock(), None)
            return
        portal = stack.enter_context(start_blocking_portal())

        async def build() -> tuple[AsyncRedisStore, AsyncHub]:
            found = AsyncRedisStore.from_url(url)
            return found, AsyncHub(found)

        coloured, async_hub = portal.call(build)
        stack.callback(portal.call, coloured.close)
        stack.callback(portal.call, async_hub.close)
        across: Any = _Across(coloured, portal)
        yield Scene(across, Desk(coloured, async_hub), ManualClock(), portal)


class Reader:
    """A follower that is read in a thread of its own; what it got is in `entries`, what ended it in `error`."""

    def __init__(self, follower: Following, *, stop: Callable[[Followed], bool] = lambda _: False) -> None:
        self.follower = follower
        self.entries: list[Followed] = []
        self.error: Exception | None = None
        self._stop = stop
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for entry in self.follower:
                with self._more:
                    self.entries.append(entry)
                    self._more.notify_all()
                if self._stop(entry):
                    return
        except Exception as exc:  # noqa: BLE001  # Reason: the test judges it
            self.error = exc
        finally:
            with self._more:
                self._more.notify_all()

    def wait_for(self, is_so: Callable[[list[Followed]], bool]) -> list[Followed]:
        """Wait until what was read is so."""
        with self._more:
            assert self._more.wait_for(lambda: is_so(self.entries) or not self._thread.is_alive(), LIMIT), self.entries
            assert is_so(self.entries), (self.entries, self.error)
            return list(self.entries)

    def wait_for_count(self, count: int) -> list[Followed]:
        """Wait until so many entries were read."""
        return self.wait_for(lambda entries: len(entries) >= count)

    def result(self) -> list[Followed]:
        """Wait for the end, which is none with an error."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), ("it hangs", self.entries)
        if self.error is not None:
            raise self.error
        return self.entries

    def failure(self) -> Exception:
        """Wait for the error it ends with."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), ("it hangs", self.entries)
        assert self.error is not None, self.entries
        return self.error


def of_the_log(entries: list[Followed]) -> list[Followed]:
    """Leave out what is told beside the log."""
    return [entry for entry in entries if not isinstance(entry, Lapse)]


class Author:
    """Writes one session, under one lease after the other, and knows what its log must hold."""

    def __init__(self, scene: Scene, session_id: str = "s", *, lease: float = LEASE) -> None:
        self.scene = scene
        self.session_id = session_id
        self.duration = lease
        self.seq = 0
        self.holders = 0
        self.is_over = False
        self.take(OPENING)

    def take(self, opening: Opening | None = None) -> None:
        """Take the lease as another holder."""
        self.holders += 1
        taken = self.scene.store.acquire(
            self.session_id, f"holder-{self.holders}", duration=self.duration, ttl=KEPT, opening=opening
        )
        self.lease = taken.lease

    def write(self, count: int, end: Status | None = None, *, size: int = 0) -> None:
        """Append so many events."""
        events = [b'{"type":"%d"}' % (self.seq + i) + b" " * size for i in range(1, count + 1)]
        [done] = self.scene.store.append([Append(self.lease, self.seq + 1, events, end=end)])
        assert not isinstance(done, Exception), done
        self.seq += count

    def do(self, step: int | str) -> None:
        """Do one step: write so many events, hand over, fall silent and be replaced, or end."""
        if isinstance(step, int):
            self.write(step)
        elif step == "release":
            self.scene.store.release(self.lease)
            self.take()
        elif step == "lapse":
            self.scene.pass_time(LEASE + 1)
            self.take()
        elif step == "end":
            self.write(1, Status.COMPLETE)
            self.is_over = True

    @property
    def log(self) -> list[Recorded | Marker]:
        """All entries, read in one go."""
        return list(self.scene.store.read(self.session_id, limit=10_000))
