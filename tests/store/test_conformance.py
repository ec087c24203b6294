"""Every promise of a store, held by every store we have, in both colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fakeredis
import pytest

from resumable.store import AsyncMemoryStore, AsyncStore, MemoryStore, Store
from resumable.store.redis._clients import AsyncClients, Clients
from resumable.store.redis._stores import AsyncRedisStore, RedisStore
from resumable.testing import STORE_CHECKS, check_async_store, check_store
from resumable.testing._conformance_portal import in_portal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.store.servers import Server

EACH = pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)


def in_fake() -> Store:
    """Make a sync store over a fake server of its own."""
    server = fakeredis.FakeServer()
    return RedisStore(Clients(*(fakeredis.FakeRedis(server=server, protocol=2) for _ in range(2))))


async def in_fake_async() -> AsyncStore:
    """Make an async store over a fake server of its own."""
    server = fakeredis.FakeServer()
    return AsyncRedisStore(AsyncClients(*(fakeredis.FakeAsyncRedis(server=server, protocol=2) for _ in range(2))))


async def in_memory_async() -> AsyncStore:
    """Make an async store in memory."""
    return AsyncMemoryStore()


def at(server: Server) -> Callable[[], Awaitable[AsyncStore]]:
    """Say how an async store at a server is made."""

    async def make() -> AsyncStore:
        return AsyncRedisStore.from_url(server.url)

    return make


@EACH
def test_in_memory(check):
    """The reference keeps its own promises."""
    check(MemoryStore())


@EACH
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_memory_async(check, backend):
    """So does the reference in the other colour, under both event loops."""
    with in_portal(in_memory_async, backend=backend) as store:
        check(store)


@EACH
def test_in_fakeredis(check):
    """The scripts keep them in the fake that users test with."""
    store = in_fake()
    check(store)
    store.close()


@EACH
def test_in_fakeredis_async(check):
    """So they do in the other colour."""
    with in_portal(in_fake_async) as store:
        check(store)


@EACH
def test_at_a_server(check, server):
    """The scripts keep them in real servers."""
    store = RedisStore.from_url(server.url)
    check(store)
    store.close()


@EACH
def test_at_a_server_async(check, server):
    """So they do in the other colour."""
    with in_portal(at(server)) as store:
        check(store)


def test_the_whole_suite_is_one_call(monkeypatch):
    """A store of somebody else's is checked by one call a colour, each check on a store of its own."""
    monkeypatch.setattr("resumable.testing._conformance.STORE_CHECKS", STORE_CHECKS[:2])
    made: list[Store] = []

    def make() -> Store:
        made.append(MemoryStore())
        return made[-1]

    check_store(make)
    check_async_store(in_memory_async, backend="trio")
    assert len(made) == 2


def test_a_broken_promise_is_an_assertion():
    """A store that does not do what it should fails the suite."""

    class Forgetful(MemoryStore):
        def request(self, session_id: str) -> bytes:
            return super().request(session_id)[:-1]

    with pytest.raises(AssertionError):
        check_store(Forgetful)
