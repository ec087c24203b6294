"""Sessions in the embedded server: `RedisStore`, which starts its server again when it has died."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError
from resumable._core.store_errors import StoreUnavailableError
from resumable.store.redis._clients import aconnect, connect
from resumable.store.redis._stores import AsyncRedisStore, RedisStore

if TYPE_CHECKING:
    from redis import Redis as Client
    from redis.asyncio import Redis as AsyncClient

    from resumable.store.redis._commands import Flight
    from resumable.store.redis._replies import Replies

    from ._server import EmbeddedServer


class EmbeddedStore(RedisStore):
    """
    Sessions in the user's embedded server; a `Store`.

    Args:
        server: Left when the store is closed.
        prefix: First part of every key's name.
    """

    def __init__(self, server: EmbeddedServer, *, prefix: str = "resumable") -> None:
        super().__init__(connect(server.url), prefix=prefix)
        self._server = server

    def close(self) -> None:
        """As `Store.close`; the last user's stops the server."""
        super().close()
        self._server.close()

    def _send(self, client: Client, flight: Flight) -> Replies:
        try:
            return super()._send(client, flight)
        except StoreUnavailableError as lost:
            _restart(self._server, lost)
        # What may have happened before may be sent again: the interface promises it.
        return super()._send(client, flight)


class AsyncEmbeddedStore(AsyncRedisStore):
    """
    Sessions in the user's embedded server; an `AsyncStore`.

    Args:
        server: Left when the store is closed.
        prefix: First part of every key's name.
    """

    def __init__(self, server: EmbeddedServer, *, prefix: str = "resumable") -> None:
        super().__init__(aconnect(server.url), prefix=prefix)
        self._server = server

    async def close(self) -> None:
        """As `AsyncStore.close`; the last user's stops the server."""
        await super().close()
        await asyncio.to_thread(self._server.close)

    async def _send(self, client: AsyncClient, flight: Flight) -> Replies:
        try:
            return await super()._send(client, flight)
        except StoreUnavailableError as lost:
            await asyncio.to_thread(_restart, self._server, lost)
        return await super()._send(client, flight)


def _restart(server: EmbeddedServer, lost: StoreUnavailableError) -> None:
    """Start the server again if that is what was wrong; else the failure stands."""
    if lost.reason != "connection":
        raise lost
    try:
        server.ensure()
    except ConfigurationError as refused:
        raise lost from refused
