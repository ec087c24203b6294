"""Sessions in a Cluster, in two colours: `RoutedStore`, which waits for many logs by asking."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from resumable.store.redis._stores import AsyncRedisStore, RedisStore

from ._delivery import deliver, survey
from ._poll import Poll
from ._routed import AsyncRoutedStore, RoutedStore
from ._urls import Fleet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resumable._core.store_errors import StoreError
    from resumable.store._records import Cursor, Entry, Vitals


class ClusterStore(RoutedStore):
    """
    Sessions in a Cluster of Redis or Valkey; a `Store`.

    Args:
        fleet: Some of its nodes, and how to be let in.
        prefix: First part of every key's name.
    """

    def __init__(self, fleet: Fleet, *, prefix: str = "resumable") -> None:
        super().__init__(fleet, prefix=prefix)
        self._bell = threading.Event()

    def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `Store.wait`."""
        poll = Poll(self._names, after, seconds, time.monotonic())
        pause: float | None = 0.0
        while pause is not None and not self._rings(pause):
            began = time.monotonic()
            delivery = deliver(self._places, poll.flight, patience=0.0)
            found = poll.read(self._deliver(delivery, is_blocking=False))
            if found:
                return found
            pause = poll.pause(began, time.monotonic())
        self._bell.clear()
        self._check_open()
        return {}

    def wake(self) -> None:
        """As `Store.wake`; nothing is sent."""
        self._check_open()
        self._bell.set()

    def ping(self) -> Vitals:
        """As `Store.ping`, of all primaries: the store is there when every one of them is."""
        return self._deliver(survey(self._places), is_blocking=False)

    def close(self) -> None:
        """As `Store.close`."""
        super().close()
        self._bell.set()

    def _rings(self, seconds: float) -> bool:
        return self._bell.wait(seconds)


class AsyncClusterStore(AsyncRoutedStore):
    """
    Sessions in a Cluster of Redis or Valkey; an `AsyncStore`.

    Args:
        fleet: Some of its nodes, and how to be let in.
        prefix: First part of every key's name.
    """

    def __init__(self, fleet: Fleet, *, prefix: str = "resumable") -> None:
        super().__init__(fleet, prefix=prefix)
        self._bell = asyncio.Event()

    async def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `AsyncStore.wait`."""
        poll = Poll(self._names, after, seconds, time.monotonic())
        pause: float | None = 0.0
        while pause is not None and not await self._rings(pause):
            began = time.monotonic()
            delivery = deliver(self._places, poll.flight, patience=0.0)
            found = poll.read(await self._deliver(delivery, is_blocking=False))
            if found:
                return found
            pause = poll.pause(began, time.monotonic())
        self._bell.clear()
        self._check_open()
        return {}

    async def wake(self) -> None:
        """As `AsyncStore.wake`; nothing is sent."""
        self._check_open()
        self._bell.set()

    async def ping(self) -> Vitals:
        """As `AsyncStore.ping`, of all primaries: the store is there when every one of them is."""
        return await self._deliver(survey(self._places), is_blocking=False)

    async def close(self) -> None:
        """As `AsyncStore.close`."""
        await super().close()
        self._bell.set()

    async def _rings(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        return self._bell.is_set()


def server_store(url: str, *, is_fleet: bool, prefix: str) -> RedisStore:
    """
    Make the store that a URL of one server or of several names; nothing is sent yet.

    Args:
        url: Where the servers are.
        is_fleet: Whether it names several.
        prefix: First part of every key's name.

    Raises:
        ConfigurationError: The URL or the prefix is none that can work.
    """
    if not is_fleet:
        return RedisStore.from_url(url, prefix=prefix)
    fleet = Fleet.from_url(url)
    return RoutedStore(fleet, prefix=prefix) if fleet.primary is not None else ClusterStore(fleet, prefix=prefix)


def aserver_store(url: str, *, is_fleet: bool, prefix: str) -> AsyncRedisStore:
    """As `server_store`, for asyncio."""
    if not is_fleet:
        return AsyncRedisStore.from_url(url, prefix=prefix)
    fleet = Fleet.from_url(url)
    kind = AsyncRoutedStore if fleet.primary is not None else AsyncClusterStore
    return kind(fleet, prefix=prefix)
