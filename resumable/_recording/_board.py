"""
What workers tell each other through a store, as one process knows it: looked at once a second at most.

Nothing here fails a call or holds it up: a look has a short time, what is written is written beside the call, and a
store that does not answer is left alone for a while. The two colours differ by what runs beside a call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Final

from resumable.store._notes import Note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resumable.store import AsyncStore, Store

_log = logging.getLogger("resumable")

#: [s] So old may be what is known.
FRESH: Final = 1.0
#: [s] So long a call waits for a look.
LOOK: Final = 0.25
#: [s] So long a store is not asked again that did not answer.
REST: Final = 10.0
#: Names that are kept in mind; beyond, the oldest go.
_MOST: Final = 1000


class _Known:
    """What was read, and when; one for each colour is driven by a `Board`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._notes: dict[str, tuple[bytes, float]] = {}  # value, and when it is gone [s]
        self._read_at: dict[str, float] = {}
        self._resting = -REST

    def seen(self, name: str) -> Note | None:
        """Give a note as far as it is known here; nothing is asked."""
        value, gone = self._notes.get(name, (b"", 0.0))
        left = gone - self._now()
        return Note(value, left) if left > 0 else None

    def _stale(self, names: Sequence[str]) -> list[str]:
        """Say what to read, and count it as read: nobody else need ask."""
        now = self._now()
        if now - self._resting < REST:
            return []
        stale = [name for name in names if now - self._read_at.get(name, -FRESH) >= FRESH]
        for name in stale:
            self._read_at.pop(name, None)
            self._read_at[name] = now
        while len(self._read_at) > _MOST:
            gone = next(iter(self._read_at))
            del self._read_at[gone]
            self._notes.pop(gone, None)
        return stale

    def _keep(self, name: str, value: bytes, left: float) -> None:
        self._notes[name] = value, self._now() + left

    def _tell(self, name: str, value: bytes, ttl: float) -> None:
        self._read_at[name] = self._now()  # A look on its way must not find it missing.
        self._keep(name, value, ttl)

    def _learn(self, names: Sequence[str], notes: Sequence[Note | None]) -> None:
        for name, note in zip(names, notes, strict=True):
            if note is None:
                self._notes.pop(name, None)
            else:
                self._keep(name, note.value, note.left)

    def _rest(self, error: BaseException) -> None:
        self._resting = self._now()
        _log.warning("resumable.fleet_away rest=%.0fs cause=%s", REST, type(error).__name__)


class Board(_Known):
    """The notes of a store, for the threads of a process."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._store = store
        self._on_their_way: list[threading.Event] = []  # For who must know that all is written.

    def look(self, names: Sequence[str]) -> None:
        """Read what is not fresh; comes back in a quarter of a second, whatever the store does."""
        done = self.refresh(names)
        if done is not None:
            done.wait(LOOK)

    def refresh(self, names: Sequence[str]) -> threading.Event | None:
        """Read what is not fresh, beside the call; `None` where there is nothing to read."""
        stale = self._stale(names)
        return self._beside(lambda: self._learn(stale, self._store.notes(stale))) if stale else None

    def post(self, name: str, value: bytes, ttl: float) -> None:
        """Leave a note, beside the call."""
        self._tell(name, value, ttl)
        self._beside(lambda: self._store.note(name, value, ttl))

    def _beside(self, do: Callable[[], object]) -> threading.Event:
        done = threading.Event()
        self._on_their_way = [one for one in self._on_their_way if not one.is_set()] + [done]

        def run() -> None:
            try:
                do()
            except Exception as error:  # noqa: BLE001  # Reason: whatever the store raises, no call fails by it
                self._rest(error)
            finally:
                done.set()

        threading.Thread(target=run, name="resumable-fleet", daemon=True).start()
        return done


class AsyncBoard(_Known):
    """The notes of a store, for the tasks of a loop."""

    def __init__(self, store: AsyncStore, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(self, names: Sequence[str]) -> None:
        """Read what is not fresh; comes back in a quarter of a second, whatever the store does."""
        done = self.refresh(names)
        if done is not None:
            await asyncio.wait([done], timeout=LOOK)

    def refresh(self, names: Sequence[str]) -> asyncio.Task[None] | None:
        """Read what is not fresh, beside the call; `None` where there is nothing to read."""
        stale = self._stale(names)
        return self._beside(lambda: self._read(stale)) if stale else None

    def post(self, name: str, value: bytes, ttl: float) -> None:
        """Leave a note, beside the call."""
        self._tell(name, value, ttl)
        _ = self._beside(lambda: self._store.note(name, value, ttl))

    async def _read(self, stale: Sequence[str]) -> None:
        self._learn(stale, await self._store.notes(stale))

    def _beside(self, do: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await do()  # Made here, so that a loop that ends before leaves nothing behind that nobody awaited.
            except Exception as error:  # noqa: BLE001  # Reason: whatever the store raises, no call fails by it
                self._rest(error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
