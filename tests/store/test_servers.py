"""The real parts of the other tests: servers that die and come back, and a proxy that loses replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.store.proxy import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.store.proxy import Proxy
    from tests.store.servers import Server


@pytest.fixture
def once(proxy):
    """A client through the proxy that sends every command once."""
    with redis.Redis.from_url(proxy.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def test_server_is_empty(server: Server):
    """The shared server has no keys and no scripts when a test begins."""
    with server.client as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
        sha = client.script_load("return 1")
        server.wipe()
        assert client.dbsize() == 0
        assert client.script_exists(sha) == [False]


@pytest.mark.parametrize("appendfsync", ["always", "everysec"])
def test_data_outlives_a_kill(start_server: Callable[..., Server], appendfsync):
    """What a server acknowledged is there after kill -9 and a start on the same files."""
    server = start_server(appendfsync=appendfsync)
    with server.client as client:
        client.set("kept", "yes")
        server.restart()
        assert client.get("kept") == b"yes"


def test_a_paused_server_is_silent(start_server: Callable[..., Server]):
    """A paused server answers nothing, and everything once it goes on."""
    server = start_server()
    server.pause()
    assert not server.answers(within=0.1)
    server.resume()
    assert server.answers()


def test_lost_reply_was_executed(server: Server, proxy: Proxy, once: redis.Redis):
    """With its reply lost, the command has run exactly once and the caller cannot know."""
    proxy.lose_reply(containing=b"INCR")
    with pytest.raises(redis.ConnectionError):
        once.incr("count")
    with server.client as direct:
        assert direct.get("count") == b"1"
    assert once.incr("count") == 2
    assert proxy.fates[Fate.LOSE_REPLY] == 1


@pytest.mark.parametrize("is_abrupt", [False, True])
def test_cut_was_not_executed(server: Server, proxy: Proxy, once: redis.Redis, is_abrupt):
    """Cut before, the command has not run."""
    once.ping()
    proxy.is_abrupt = is_abrupt
    proxy.cut(containing=b"INCR")
    with pytest.raises(redis.ConnectionError):
        once.incr("count")
    with server.client as direct:
        assert direct.get("count") is None


def test_blackhole_is_silence(proxy: Proxy, once: redis.Redis):
    """Swallowed, a command meets the caller's own timeout; healed, a new connection works."""
    proxy.blackhole()
    with pytest.raises(redis.TimeoutError):
        once.ping()
    proxy.heal()
    once.connection_pool.disconnect()
    assert once.ping()


def test_delay_is_felt(proxy: Proxy, once: redis.Redis):
    """A reply that is delayed beyond the caller's timeout does not arrive in time."""
    once.ping()
    proxy.delay = 5.0
    with pytest.raises(redis.TimeoutError):
        once.ping()
    proxy.heal()


@pytest.mark.parametrize("is_abrupt", [False, True])
def test_refused_and_back(proxy: Proxy, once: redis.Redis, is_abrupt):
    """Gone, the server refuses old and new connections; back, it listens on the same port."""
    once.ping()
    proxy.is_abrupt = is_abrupt
    proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        once.ping()
    proxy.accept()
    assert once.ping()
