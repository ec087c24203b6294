"""How the URL of several servers is read."""

from __future__ import annotations

import pytest

from resumable import ConfigurationError
from resumable.store.cluster._places import Node, Primary, Slots
from resumable.store.cluster._routed import AsyncRoutedStore, RoutedStore
from resumable.store.cluster._stores import AsyncClusterStore, ClusterStore, aserver_store, server_store
from resumable.store.cluster._urls import Fleet, fault_of

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "nodes", "first"),
    [
        ("redis+cluster://a", [Node("a", 6379)], "redis://a:6379/0?"),
        ("redis+cluster://a:1,b:2/", [Node("a", 1), Node("b", 2)], "redis://a:1/0?"),
        ("REDISS+CLUSTER://me:pw@a:1/0", [Node("a", 1)], "rediss://me:pw@a:1/0?"),
        ("redis+cluster://[::1]:7,10.0.0.1", [Node("::1", 7), Node("10.0.0.1", 6379)], "redis://[::1]:7/0?"),
        ("redis+cluster://:p%40w@a,b?ssl_ca_certs=/c&durability=replica", [Node("a", 6379), Node("b", 6379)], None),
        ("redis+sentinel://a,b:7/main", [Node("a", 26379), Node("b", 7)], "redis://a:26379/0?"),
        ("redis+sentinel://:pw@a/main/3", [Node("a", 26379)], "redis://:pw@a:26379/3?"),
    ],
)
def test_hosts(url, nodes, first):
    """Hosts, ports and the login are read, and every node's own URL has what all have in common."""
    assert fault_of(url) == ("", "")
    fleet = Fleet.from_url(url)
    assert list(fleet.nodes) == nodes
    if first is not None:
        assert fleet.url_of(nodes[0]) == first


def test_kinds():
    """A Cluster is known by its slots, a primary by its Sentinels; either waits for a replica only where asked to."""
    assert isinstance(Fleet.from_url("redis+cluster://a").places(), Slots)
    assert isinstance(Fleet.from_url("redis+sentinel://a/main").places(), Primary)
    assert Fleet.from_url("redis+cluster://a").replicas == 0
    assert Fleet.from_url("redis+cluster://a?durability=replica").replicas == 1
    assert Fleet.from_url("redis+sentinel://a/main?durability=replica:2").replicas == 2


def test_sentinels_have_a_login_of_their_own():
    """The login of the URL is for the servers; that of the Sentinels stands in the options, and so does TLS for all."""
    url = f"rediss+sentinel://me:{SECRET}@a/main/2?sentinel_username=you&sentinel_password=word&ssl_ca_certs=/c"
    fleet = Fleet.from_url(url)
    sentinel, server = Node("a", 26379, is_sentinel=True), Node("b", 6379)
    assert fleet.url_of(sentinel) == "rediss://a:26379/0?ssl_ca_certs=%2Fc"
    assert fleet.settings(sentinel, {"host": "a"}) == {"host": "a", "username": "you", "password": "word"}
    assert fleet.url_of(server) == f"rediss://me:{SECRET}@b:6379/2?ssl_ca_certs=%2Fc"
    assert fleet.settings(server, {"host": "b"}) == {"host": "b"}
    assert SECRET not in repr(fleet)
    assert "word" not in repr(fleet)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"redis+cluster://:{SECRET}#1@a", "its hosts cannot be read"),
        (f"redis+cluster://:{SECRET}@", "one of its hosts or ports cannot be read"),
        (f"redis+cluster://:{SECRET}@a,,b", "one of its hosts or ports cannot be read"),
        (f"redis+cluster://:{SECRET}@a:70000", "one of its hosts or ports cannot be read"),
        (f"redis+cluster://:{SECRET}@a b", "one of its hosts or ports cannot be read"),
        (f"redis+cluster://:{SECRET}@a/1", "a Cluster has no database but 0"),
        (f"redis+cluster://a?sentinel_password={SECRET}", "a Cluster has no Sentinels to log in to"),
        (f"redis+cluster://:{SECRET}@a?durability=relaxed", "its durability is not one there is"),
        (f"redis+cluster://:{SECRET}@a?durability=replica:0", "its durability is not one there is"),
        (f"redis+sentinel://:{SECRET}@a", "it does not say what the Sentinels call the primary"),
        (f"redis+sentinel://:{SECRET}@a/main/x", "its database is not a number"),
        (f"redis+sentinel://:{SECRET}@a/main/1/2", "its database is not a number"),
    ],
)
def test_what_cannot_work(url, problem):
    """The error says what is wrong and what to write, and quotes nothing."""
    assert fault_of(url)[0] == problem
    with pytest.raises(ConfigurationError) as caught:
        Fleet.from_url(url)
    assert caught.value.problem == problem
    assert caught.value.remedy
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_an_option_that_is_ours():
    """Timeouts are not set by the URL of a fleet either."""
    for make in (server_store, aserver_store):
        with pytest.raises(ConfigurationError, match="option socket_timeout cannot be set by URL"):
            make("redis+cluster://a?socket_timeout=60", is_fleet=True, prefix="p")


async def test_stores():
    """Each kind of URL has its store, in both colours; nothing is sent by making one."""
    for url, sync, colour in (
        ("redis+cluster://a", ClusterStore, AsyncClusterStore),
        ("redis+sentinel://a/main", RoutedStore, AsyncRoutedStore),
    ):
        store = server_store(url, is_fleet=True, prefix="p")
        assert type(store) is sync
        store.close()
        async_store = aserver_store(url, is_fleet=True, prefix="p")
        assert type(async_store) is colour
        await async_store.close()
