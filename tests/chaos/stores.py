"""Opens the store of a storm, of one server or of several, without what else `open_store` puts around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable.store.cluster._stores import aserver_store, server_store
from resumable.store.cluster._urls import FLEETS

if TYPE_CHECKING:
    from resumable.store.redis._stores import AsyncRedisStore, RedisStore


def open_(url: str) -> RedisStore:
    """Open it; the caller closes it."""
    return server_store(url, is_fleet=url.partition("://")[0] in FLEETS, prefix="resumable")


def aopen(url: str) -> AsyncRedisStore:
    """As `open_`, for asyncio."""
    return aserver_store(url, is_fleet=url.partition("://")[0] in FLEETS, prefix="resumable")
