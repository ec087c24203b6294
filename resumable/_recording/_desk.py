"""What everything in a process shares that works with the same store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from ._hub import AsyncHub, Hub

if TYPE_CHECKING:
    from resumable.store import AsyncStore, Store


class Desk:
    """
    What the threads of a process share for one store.

    Attributes:
        store: The store; whoever opened it closes it.
        hub: Its one reader for all followers.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.hub = Hub(store)

    @classmethod
    def of(cls, store: Store) -> Self:
        """Give the desk of a store: the same to everybody in this process."""
        return cls(store)

    def now(self) -> float:
        """[s] Monotonic time."""
        return time.monotonic()

    def close(self) -> None:
        """Leave; when the last one does, what is under way is finished, in bounded time."""


class AsyncDesk:
    """`Desk`, for one event loop."""

    def __init__(self, store: AsyncStore) -> None:
        self.store = store
        self.hub = AsyncHub(store)

    @classmethod
    def of(cls, store: AsyncStore) -> Self:
        """Give the desk of a store: the same to everybody in this loop."""
        return cls(store)

    def now(self) -> float:
        """[s] Monotonic time."""
        return time.monotonic()

    async def close(self) -> None:
        """As `Desk.close`."""
