"""
Sessions in Redis or Valkey, in two colours: one line a method, and one loop that drives a plan.

The plans hold every decision; what differs between the colours is `await`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import NoScriptError

from resumable._core.store_errors import StoreUnavailableError
from resumable.store._keys import Keys
from resumable.store._records import MAX_EVENTS

from . import _commands, _queries, _upkeep
from ._clients import aconnect, connect
from ._commands import on_the_wire, unknown
from ._errors import error_of, map_errors
from ._notes import AsyncRedisNotes, RedisNotes
from ._wire import aexchange, exchange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis as Client
    from redis.asyncio import Redis as AsyncClient

    from resumable._core.store_errors import StoreError
    from resumable.store._packs import Stored
    from resumable.store._records import (
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

    from ._clients import AsyncClients, Clients
    from ._commands import Flight, Plan
    from ._replies import Replies
    from ._resp import Word

T = TypeVar("T")


class RedisStore(RedisNotes):
    """
    Sessions in Redis >= 6.2 or Valkey; a `Store`.

    Whoever makes it closes it; threads may share it.

    Args:
        clients: Made for this store alone; it closes them.
        prefix: First part of every key's name.
    """

    def __init__(self, clients: Clients, *, prefix: str = "resumable") -> None:
        self._clients = clients
        self._names = Keys.under(prefix)
        self._wake = self._names.wake(secrets.token_hex(8))
        self._woken = [b"0-0"]
        self._is_closed = False
        for client in clients:
            client.response_callbacks.clear()  # answers as on the wire, whatever the version makes of them

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "resumable") -> RedisStore:
        """
        Make a store from `redis://`, `rediss://` or `unix://`; nothing is sent yet.

        Args:
            url: Where the server is, and how to be let in.
            prefix: First part of every key's name.

        Raises:
            ConfigurationError: The URL or the prefix is none that can work.
        """
        return cls(connect(url), prefix=prefix)

    def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `Store.acquire`."""
        plan = _commands.acquire(self._names, session_id, holder, duration=duration, ttl=ttl, opening=opening)
        return self._drive(self._clients.quick, plan)

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `Store.append`."""
        return self._drive(self._clients.quick, _commands.append(self._names, appends))

    def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `Store.renew`."""
        return self._drive(self._clients.quick, _commands.renew(self._names, leases))

    def release(self, lease: Lease) -> None:
        """As `Store.release`."""
        return self._drive(self._clients.quick, _commands.release(self._names, lease))

    def orphan(self, session_id: str) -> bool:
        """As `Store.orphan`."""
        return self._drive(self._clients.quick, _commands.orphan(self._names, session_id))

    def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `Store.cancel`."""
        return self._drive(self._clients.quick, _commands.cancel(self._names, session_id, reason))

    def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `Store.wait_cancelled`."""
        return self._drive(self._clients.blocking, _queries.wait_cancelled(self._names, after, seconds))

    def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `Store.read`."""
        return self._drive(self._clients.quick, _queries.read(self._names, session_id, after, limit))

    def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `Store.wait`."""
        plan = _queries.wait(self._names, after, seconds, self._wake, self._woken)
        return self._drive(self._clients.blocking, plan)

    def wake(self) -> None:
        """As `Store.wake`."""
        return self._drive(self._clients.quick, _queries.wake(self._wake))

    def get(self, session_id: str) -> Checkpoint:
        """As `Store.get`."""
        return self._drive(self._clients.quick, _queries.get(self._names, session_id))

    def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `Store.look`."""
        return self._drive(self._clients.quick, _queries.look(self._names, session_ids))

    def request(self, session_id: str) -> bytes:
        """As `Store.request`."""
        return self._drive(self._clients.quick, _queries.request(self._names, session_id))

    def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `Store.list`."""
        plan = _queries.list_sessions(self._names, status, principal, (min_age, max_age), limit)
        return self._drive(self._clients.quick, plan)

    def due(self, limit: int = 100) -> Sequence[str]:
        """As `Store.due`."""
        return self._drive(self._clients.quick, _queries.due(self._names, limit))

    def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `Store.claim`."""
        plan = _upkeep.claim(self._names, upkeep, principal, (hold, min_age), limit)
        return self._drive(self._clients.quick, plan)

    def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `Store.compact`."""
        return self._drive(self._clients.quick, _upkeep.compact(self._names, session_id, log))

    def delete(self, session_id: str) -> bool:
        """As `Store.delete`."""
        return self._drive(self._clients.quick, _queries.delete(self._names, session_id))

    def ping(self) -> Vitals:
        """As `Store.ping`."""
        return self._drive(self._clients.quick, _queries.ping())

    def close(self) -> None:
        """As `Store.close`."""
        self._is_closed = True
        for client in self._clients:
            client.close()

    def _drive(self, client: Client, plan: Plan[T]) -> T:
        try:
            flight = next(plan)
            while True:
                flight = plan.send(self._send(client, flight))
        except StopIteration as done:
            value: T = done.value
            return value

    def _send(self, client: Client, flight: Flight) -> Replies:
        replies = self._exchange(client, on_the_wire(flight))
        if not [True for reply in replies if isinstance(reply, Exception)]:
            return replies
        again = unknown(flight, [isinstance(reply, NoScriptError) for reply in replies])
        if again:
            answers = self._exchange(client, on_the_wire([flight[i] for i in again], with_texts=True))
            for i, answer in zip(again, answers, strict=True):
                replies[i] = answer
        return [error_of(reply) if isinstance(reply, Exception) else reply for reply in replies]

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError(reason="closed", cause_name=type(self).__name__, retryable=False)

    def _exchange(self, client: Client, commands: Sequence[Sequence[Word]]) -> Replies:
        self._check_open()
        with map_errors():
            return exchange(client, commands)


class AsyncRedisStore(AsyncRedisNotes):
    """
    Sessions in Redis >= 6.2 or Valkey; an `AsyncStore`.

    Whoever makes it closes it; it belongs to one event loop.

    Args:
        clients: Made for this store alone; it closes them.
        prefix: First part of every key's name.
    """

    def __init__(self, clients: AsyncClients, *, prefix: str = "resumable") -> None:
        self._clients = clients
        self._names = Keys.under(prefix)
        self._wake = self._names.wake(secrets.token_hex(8))
        self._woken = [b"0-0"]
        self._is_closed = False
        for client in clients:
            client.response_callbacks.clear()  # answers as on the wire, whatever the version makes of them

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "resumable") -> AsyncRedisStore:
        """
        Make a store from `redis://`, `rediss://` or `unix://`; nothing is sent yet.

        Args:
            url: Where the server is, and how to be let in.
            prefix: First part of every key's name.

        Raises:
            ConfigurationError: The URL or the prefix is none that can work.
        """
        return cls(aconnect(url), prefix=prefix)

    async def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `AsyncStore.acquire`."""
        plan = _commands.acquire(self._names, session_id, holder, duration=duration, ttl=ttl, opening=opening)
        return await self._drive(self._clients.quick, plan)

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `AsyncStore.append`."""
        return await self._drive(self._clients.quick, _commands.append(self._names, appends))

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `AsyncStore.renew`."""
        return await self._drive(self._clients.quick, _commands.renew(self._names, leases))

    async def release(self, lease: Lease) -> None:
        """As `AsyncStore.release`."""
        return await self._drive(self._clients.quick, _commands.release(self._names, lease))

    async def orphan(self, session_id: str) -> bool:
        """As `AsyncStore.orphan`."""
        return await self._drive(self._clients.quick, _commands.orphan(self._names, session_id))

    async def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `AsyncStore.cancel`."""
        return await self._drive(self._clients.quick, _commands.cancel(self._names, session_id, reason))

    async def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `AsyncStore.wait_cancelled`."""
        return await self._drive(self._clients.blocking, _queries.wait_cancelled(self._names, after, seconds))

    async def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `AsyncStore.read`."""
        return await self._drive(self._clients.quick, _queries.read(self._names, session_id, after, limit))

    async def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `AsyncStore.wait`."""
        plan = _queries.wait(self._names, after, seconds, self._wake, self._woken)
        return await self._drive(self._clients.blocking, plan)

    async def wake(self) -> None:
        """As `AsyncStore.wake`."""
        return await self._drive(self._clients.quick, _queries.wake(self._wake))

    async def get(self, session_id: str) -> Checkpoint:
        """As `AsyncStore.get`."""
        return await self._drive(self._clients.quick, _queries.get(self._names, session_id))

    async def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `AsyncStore.look`."""
        return await self._drive(self._clients.quick, _queries.look(self._names, session_ids))

    async def request(self, session_id: str) -> bytes:
        """As `AsyncStore.request`."""
        return await self._drive(self._clients.quick, _queries.request(self._names, session_id))

    async def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `AsyncStore.list`."""
        plan = _queries.list_sessions(self._names, status, principal, (min_age, max_age), limit)
        return await self._drive(self._clients.quick, plan)

    async def due(self, limit: int = 100) -> Sequence[str]:
        """As `AsyncStore.due`."""
        return await self._drive(self._clients.quick, _queries.due(self._names, limit))

    async def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `AsyncStore.claim`."""
        plan = _upkeep.claim(self._names, upkeep, principal, (hold, min_age), limit)
        return await self._drive(self._clients.quick, plan)

    async def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `AsyncStore.compact`."""
        return await self._drive(self._clients.quick, _upkeep.compact(self._names, session_id, log))

    async def delete(self, session_id: str) -> bool:
        """As `AsyncStore.delete`."""
        return await self._drive(self._clients.quick, _queries.delete(self._names, session_id))

    async def ping(self) -> Vitals:
        """As `AsyncStore.ping`."""
        return await self._drive(self._clients.quick, _queries.ping())

    async def close(self) -> None:
        """As `AsyncStore.close`."""
        self._is_closed = True
        for client in self._clients:
            await client.aclose()

    async def _drive(self, client: AsyncClient, plan: Plan[T]) -> T:
        try:
            flight = next(plan)
            while True:
                flight = plan.send(await self._send(client, flight))
        except StopIteration as done:
            value: T = done.value
            return value

    async def _send(self, client: AsyncClient, flight: Flight) -> Replies:
        replies = await self._exchange(client, on_the_wire(flight))
        if not [True for reply in replies if isinstance(reply, Exception)]:
            return replies
        again = unknown(flight, [isinstance(reply, NoScriptError) for reply in replies])
        if again:
            answers = await self._exchange(client, on_the_wire([flight[i] for i in again], with_texts=True))
            for i, answer in zip(again, answers, strict=True):
                replies[i] = answer
        return [error_of(reply) if isinstance(reply, Exception) else reply for reply in replies]

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError(reason="closed", cause_name=type(self).__name__, retryable=False)

    async def _exchange(self, client: AsyncClient, commands: Sequence[Sequence[Word]]) -> Replies:
        self._check_open()
        with map_errors():
            return await aexchange(client, commands)
