"""The stores that URLs open: shared memory, a server, and the embedded one that comes back when it dies."""

from __future__ import annotations

import asyncio
import secrets
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from resumable import ConfigurationError
from resumable._core.store_errors import SessionNotFoundError, StoreError, StoreUnavailableError
from resumable.store import Append, Opening, Status
from resumable.store._url import aopen_store, open_store
from tests.store.embedded import kill_server, pid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import Acquired, Entry, Store
    from tests.store.servers import Server

OPENING = Opening(request=b"{}", request_hash="same")


@pytest.fixture
def name() -> str:
    """An ID nobody has used in this process."""
    return secrets.token_hex(8)


def begin(store: Store, name: str) -> Acquired:
    """Create a session."""
    return store.acquire(name, "me", duration=15, ttl=60, opening=OPENING)


def seqs(found: Sequence[Entry] | StoreError) -> list[int]:
    """The seqs of entries; a marker's is 0."""
    assert not isinstance(found, StoreError)
    return [entry.cursor.seq for entry in found]


def test_memory_is_one(name):
    """What one opening of memory:// wrote, the next one reads, also when the first is closed."""
    first, second = open_store("memory://"), open_store("memory://")
    begin(first, name)
    assert first.ping().run_id == second.ping().run_id
    first.close()
    with pytest.raises(StoreUnavailableError):
        first.get(name)
    assert second.get(name).status is Status.RUNNING
    assert open_store("memory://").get(name).status is Status.RUNNING


async def test_memory_is_one_in_both_colours(name):
    """A reader that waits in a loop is woken by a writer in a thread, and the other way round."""
    sync, colour = open_store("memory://"), await aopen_store("memory://")
    lease = begin(sync, name).lease
    start = (await colour.read(name))[-1].cursor
    waiting = asyncio.create_task(colour.wait({name: start}, 60))
    await asyncio.sleep(0)
    await asyncio.to_thread(sync.append, [Append(lease, 1, [b"one"])])
    assert seqs((await waiting)[name]) == [1]
    heard = asyncio.create_task(asyncio.to_thread(sync.wait, {name: start._replace(seq=1)}, 60))
    await colour.append([Append(lease, 2, [b"two"])])
    assert seqs((await heard)[name]) == [2]
    assert (await colour.ping()).run_id == sync.ping().run_id


async def test_memory_wait_ends(name):
    """A wait in shared memory ends with its time, with `wake`, and with `close` of its own opening alone."""
    colour, other = await aopen_store("memory://"), await aopen_store("memory://")
    await colour.acquire(name, "me", duration=15, ttl=60, opening=OPENING)
    start = (await colour.read(name))[-1].cursor
    assert not await colour.wait({name: start}, 0.001)
    waiting = asyncio.create_task(colour.wait({name: start}, 60))
    await asyncio.sleep(0)
    await other.wake()
    await colour.wake()
    assert not await waiting
    waiting = asyncio.create_task(colour.wait({name: start}, 60))
    await asyncio.sleep(0)
    await other.close()
    await colour.close()
    with pytest.raises(StoreUnavailableError):
        await waiting


def test_memory_survives_a_loop_that_ended(name):
    """A loop that was closed with a wait under way does not stand in a writer's way."""
    store = open_store("memory://")
    lease = begin(store, name).lease
    loop = asyncio.new_event_loop()
    colour = loop.run_until_complete(aopen_store("memory://"))
    start = store.read(name)[-1].cursor
    waiting = loop.create_task(colour.wait({name: start}, 60))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert store.append([Append(lease, 1, [b"one"])])
    waiting.get_coro().close()


@pytest.mark.parametrize("kind", ["url", "tcp_url"])
async def test_server_by_url(server: Server, name, kind, monkeypatch):
    """A URL opens the server it names, in both colours, also from the environment; the prefix begins its keys."""
    monkeypatch.setenv("RESUMABLE_URL", getattr(server, kind))
    store, colour = open_store(prefix="mine"), await aopen_store(prefix="mine")
    try:
        begin(store, name)
        assert (await colour.get(name)).status is Status.RUNNING
        with server.client as client:
            assert all(key.startswith(b"mine:") for key in client.scan_iter())
            assert client.dbsize() > 0
    finally:
        store.close()
        await colour.close()


async def test_embedded(each, home, name):
    """The embedded store keeps sessions from one opening to the next; closing the last one stops its server."""
    del each
    store = open_store("embedded://")
    begin(store, name)
    colour = await aopen_store(f"embedded://{home}")
    assert (await colour.get(name)).status is Status.RUNNING
    store.close()
    assert pid_of(home) is not None
    await colour.close()
    assert pid_of(home) is None
    store = open_store("embedded://")
    assert store.get(name).status is Status.RUNNING
    store.close()


async def test_embedded_comes_back(each, home, name):
    """When its server is killed, the next call starts it again and finds what was acknowledged."""
    del each
    store, colour = open_store("embedded://"), await aopen_store("embedded://")
    try:
        lease = begin(store, name).lease
        kill_server(home)
        store.append([Append(lease, 1, [b"one"])])
        kill_server(home)
        await colour.append([Append(lease, 2, [b"two"])])
        assert seqs(store.read(name)) == [0, 1, 2]
    finally:
        store.close()
        await colour.close()


def test_embedded_wait_comes_back(each, home, name):
    """A wait during which the server dies goes on with the next server."""
    del each
    store, writer = open_store("embedded://"), open_store("embedded://")
    lease = begin(writer, name).lease
    start = store.read(name)[-1].cursor
    heard: list[object] = []
    thread = threading.Thread(target=lambda: heard.append(store.wait({name: start}, 30)))
    thread.start()
    kill_server(home)
    writer.append([Append(lease, 1, [b"one"])])
    thread.join(60)
    assert heard
    writer.close()
    store.close()


def test_embedded_that_cannot_come_back(only, home, name):
    """When the server cannot be started again, the store is unavailable, and says of what kind."""
    only("valkey")
    store = open_store("embedded://")
    begin(store, name)
    kill_server(home)
    only(None)
    with pytest.raises(StoreUnavailableError, match="connection") as caught:
        store.get(name)
    assert isinstance(caught.value.__cause__, ConfigurationError)
    store.close()


def test_other_failures_are_not_the_servers_death(each, name):
    """What is no lost connection is passed on as it is."""
    del each
    store = open_store("embedded://")
    with pytest.raises(SessionNotFoundError):
        store.get(name)
    store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.get(name)


@pytest.mark.parametrize(
    ("url", "prefix", "argument"),
    [
        (None, "mine", "REDIS_URL"),
        ("redis://localhost/0?socket_timeout=5", "mine", "store"),
        ("redis://h", "{", "prefix"),
    ],
)
async def test_fault_names_the_variable(monkeypatch, url, prefix, argument):
    """What only the store itself refuses is the fault of whoever named it, too."""
    monkeypatch.setenv("REDIS_URL", "redis://localhost/0?socket_timeout=5")
    monkeypatch.delenv("RESUMABLE_URL", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        open_store(url, prefix=prefix)
    assert caught.value.argument == argument
    with pytest.raises(ConfigurationError) as caught:
        await aopen_store(url, prefix=prefix)
    assert caught.value.argument == argument


async def test_without_the_client_library(monkeypatch):
    """Without redis-py, the error is one sentence with the command that installs it; memory needs none."""
    monkeypatch.setattr("resumable.store._url.find_spec", lambda name: None if name == "redis" else find_spec(name))
    for url in ("redis://localhost", "embedded://"):
        with pytest.raises(ConfigurationError, match=r"pip install 'resumable-anthropic\[redis\]'"):
            open_store(url)
        with pytest.raises(ConfigurationError, match=r"pip install 'resumable-anthropic\[redis\]'"):
            await aopen_store(url)
    open_store("memory://").close()
