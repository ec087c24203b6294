"""
What everything in a process shares that works with the same store: one flight, one keeper, one reader.

A desk lives as long as somebody holds it. What was seen of the store's absences is remembered as long as the store.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from ._flight import AsyncFlight, Flight
from ._hub import AsyncHub, Hub
from ._keeper import AsyncKeeper, Keeper
from ._late import AsyncReception, Reception
from ._roster import Vigil
from ._rules import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable.store import AsyncStore, Store


class Desk:
    """
    What the threads of a process share for one store.

    Args:
        store: Whoever opened it closes it, after the desk.
        now: [s] Monotonic time.

    Attributes:
        store: The same.
        now: [s] The same.
        vigil: What was seen of the store's absences.
        flight: Writes for everybody.
        keeper: Keeps everybody's leases.
        hub: Reads for everybody.
        reception: Opens sessions that could not be opened while the store was away.
    """

    def __init__(self, store: Store, *, now: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.now = now
        self.vigil = _SHARED.vigils.setdefault(store, Vigil())
        self.flight = Flight(store, self.vigil, now)
        self.keeper = Keeper(store, self.vigil, now)
        self.hub = Hub(store)
        self.reception = Reception()
        self._users = 0
        _SHARED.all.add(self)

    @classmethod
    def of(cls, store: Store) -> Desk:
        """Give the desk of a store, the same to everybody in this process; who was given it closes it or drops it."""
        with _SHARED.lock:
            desk = _SHARED.desks.get(id(store))
            if desk is None:
                desk = _SHARED.desks[id(store)] = cls(store)
            desk._users += 1
            return desk

    def close(self) -> None:
        """
        Leave the desk; the last one to leave ends it.

        What is on its way is written, leases are kept no more, followers are told. Bounded by the longest wait.
        """
        with _SHARED.lock:
            self._users -= 1
            if self._users > 0:
                return
            _SHARED.desks.pop(id(self.store), None)
        self.reception.close()
        self.flight.flush(PATIENCE)
        self.keeper.close()
        self.hub.close()

    def disown(self) -> None:
        """Let go in a forked child, which owns nothing."""
        self.reception.disown()
        self.flight.disown()
        self.keeper.disown()


class AsyncDesk:
    """`Desk`, for one event loop."""

    def __init__(self, store: AsyncStore, *, now: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.now = now
        self.loop = asyncio.get_running_loop()  # held, so that no other loop gets its id
        self.vigil = _SHARED.vigils.setdefault(store, Vigil())
        self.flight = AsyncFlight(store, self.vigil, now)
        self.keeper = AsyncKeeper(store, self.vigil, now)
        self.hub = AsyncHub(store)
        self.reception = AsyncReception()
        self._users = 0
        _SHARED.all.add(self)

    @classmethod
    def of(cls, store: AsyncStore) -> AsyncDesk:
        """As `Desk.of`, to everybody in the running loop."""
        at = (id(store), id(asyncio.get_running_loop()))
        with _SHARED.lock:
            desk = _SHARED.adesks.get(at)
            if desk is None:
                desk = _SHARED.adesks[at] = cls(store)
            desk._users += 1
            return desk

    async def close(self) -> None:
        """As `Desk.close`."""
        with _SHARED.lock:
            self._users -= 1
            if self._users > 0:
                return
            _SHARED.adesks.pop((id(self.store), id(self.loop)), None)
        await self.reception.close()
        await self.flight.flush(PATIENCE)
        await self.keeper.close()
        await self.hub.close()

    def disown(self) -> None:
        """As `Desk.disown`."""
        self.reception.disown()
        self.flight.disown()
        self.keeper.disown()


class _Shared:
    """The desks of this process; weakly, so that nobody's store is kept open by having been used."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.desks: weakref.WeakValueDictionary[int, Desk] = weakref.WeakValueDictionary()
        self.adesks: weakref.WeakValueDictionary[tuple[int, int], AsyncDesk] = weakref.WeakValueDictionary()
        self.all: weakref.WeakSet[Desk | AsyncDesk] = weakref.WeakSet()
        self.vigils: weakref.WeakKeyDictionary[Any, Vigil] = weakref.WeakKeyDictionary()

    def disown(self) -> None:
        """Begin afresh in a forked child."""
        self.lock = threading.RLock()
        for desk in list(self.all):
            desk.disown()
        for shared in (self.desks, self.adesks, self.all):
            shared.clear()


_SHARED = _Shared()
if hasattr(os, "register_at_fork"):  # Not on Windows, which cannot fork.
    os.register_at_fork(after_in_child=_SHARED.disown)
