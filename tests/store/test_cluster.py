"""
The stores over a real Cluster and under real Sentinels, whole and while something is done to them.

A sample runs always; the whole suite, and what takes servers seconds, with `-m campaign`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable._core.store_errors import SessionEndedError, StoreUnavailableError
from resumable.store import Append, Appended, Cancelled, Cursor
from resumable.store._url import aopen_store, open_store
from resumable.store.cluster._places import slot_of
from resumable.testing import STORE_CHECKS
from resumable.testing._conformance_portal import in_portal
from resumable.testing._conformance_scene import opened, raises, write
from tests.pages import read, section
from tests.store.clusters import cluster, shared_cluster, shared_trio, trio, until
from tests.store.loads import LOG, NAMES, Load, events
from tests.store.stores import KEPT, LONG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from resumable.store import AsyncStore
    from tests.store.clusters import Cluster

__all__ = ["cluster", "shared_cluster", "shared_trio", "trio"]

SAMPLE = {"takeover_fences", "cancel_asks_the_holder", "an_append_ends_a_wait", "waking_ends_a_wait"}
EACH = pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=check.__name__, marks=() if check.__name__ in SAMPLE else pytest.mark.campaign)
        for check in STORE_CHECKS
    ],
)


def opener(url: str) -> Callable[[], Awaitable[AsyncStore]]:
    """Say how an async store is opened."""

    async def make() -> AsyncStore:
        return await aopen_store(url)

    return make


@pytest.fixture
def load(cluster: Cluster) -> Iterator[Load]:
    """Writers and a reader over a Cluster."""
    writer, reader = open_store(cluster.url), open_store(cluster.url)
    yield Load(writer, reader)
    writer.close()
    reader.close()


@EACH
@pytest.mark.parametrize("durability", ["", "?durability=replica"], ids=["primary", "replica"])
def test_in_a_cluster(check, cluster, durability):
    """The scripts keep every promise in a Cluster, also where a replica is waited for."""
    store = open_store(cluster.url + durability)
    check(store)
    store.close()


@EACH
def test_in_a_cluster_async(check, cluster):
    """So they do in the other colour."""
    with in_portal(opener(cluster.url)) as store:
        check(store)


@EACH
def test_under_sentinels(check, trio):
    """They keep them under Sentinels."""
    store = open_store(trio.url)
    check(store)
    store.close()


@EACH
def test_under_sentinels_async(check, trio):
    """So they do in the other colour, also where a replica is waited for."""
    with in_portal(opener(trio.url + "?durability=replica")) as store:
        check(store)


def test_sessions_are_spread(cluster):
    """One flight writes to all primaries, and one wait, listing and sweep reads from them."""
    store = open_store(cluster.url)
    leases = [opened(store, name, duration=0.05) for name in NAMES]
    owners = {cluster.owner(f"resumable:{{{name}}}:log").port for name in NAMES}
    assert len(owners) == 3
    outcomes = store.append([Append(lease, 1, [b"a"]) for lease in leases for _ in range(2)])
    assert [one.written for one in outcomes if isinstance(one, Appended)] == [1, 0] * len(NAMES)
    assert set(store.wait({lease.session_id: Cursor(lease.token, 0) for lease in leases}, 1.0)) == set(NAMES)
    assert {one.session_id for one in store.list()} == set(NAMES)
    until(lambda: set(store.due()) == set(NAMES), "a lease does not run out")
    vitals = store.ping()
    assert vitals.role == "master"
    assert vitals.run_id is not None
    assert len(vitals.run_id.split(",")) == 3
    store.close()


def test_a_slot_moves(cluster):
    """Every call is answered while the keys of a session are at two nodes or on their way, but for split ones."""
    store, reader = open_store(cluster.url), open_store(cluster.url)
    lease = opened(store, "s0")
    done = [0]
    refused: list[StoreUnavailableError] = []

    def call() -> None:
        try:
            [outcome] = store.append([Append(lease, done[0] + 1, [b"x"])])
        except StoreUnavailableError as split:
            refused.append(split)
            return
        assert isinstance(outcome, Appended)
        done[0] = outcome.last_seq

    source = cluster.owner(LOG)
    target = next(node for node in cluster.primaries() if node is not source)
    cluster.migrate(slot_of(LOG), target, call)
    call()
    assert done[0] >= 2
    assert {one.cause_name for one in refused} <= {"TryAgainError"}
    assert [entry.seq for entry in events(reader, "s0")] == list(range(1, done[0] + 1))
    assert store.cancel("s0") == Cancelled("first", done[0])
    cluster.migrate(slot_of(LOG), source)
    assert reader.get("s0").cancel == "cancelled"
    store.release(lease)
    with raises(SessionEndedError):
        reader.acquire("s0", "second", duration=LONG, ttl=KEPT)
    store.close()
    reader.close()


def test_a_planned_failover(cluster, load):
    """An administrator's failover loses nothing, and a writer and a reader go on through it."""
    with load.running():
        cluster.fail_over(cluster.owner(LOG))
    load.check()
    assert not load.rewound


@pytest.mark.parametrize("kind", ["cluster", "trio"])
def test_the_rights_are_enough(request, kind):
    """A user with the rights that the pages list keeps sessions, waits for a replica and lists, and nothing is open."""
    servers = request.getfixturevalue(kind)
    rights = section(read("docs/reference/redis-keys.md"), "## Rights").partition("```text\n")[2].partition("```")[0]
    extra = ["+cluster|slots", "+wait"]
    assert all(f"`{right}`" in read("docs/how-to/cluster.md") for right in extra)
    nodes = servers.nodes if kind == "cluster" else servers.servers
    for node in nodes:
        with node.client as client:
            client.execute_command(*rights.replace(">password", ">sesame").split(), *extra)
    url = servers.url.replace("://", "://resumable:sesame@") + "?durability=replica"
    store = open_store(url)
    try:
        lease = opened(store, "s0")
        write(store, lease, 1, b"a")
        assert store.wait({"s0": Cursor(lease.token, 0)}, 1.0)
        store.cancel("s0")
        store.release(lease)
        assert [one.session_id for one in store.list()] == ["s0"]
        assert store.ping().run_id
        assert store.delete("s0")
    finally:
        store.close()
        for node in nodes:
            with node.client as client:
                client.acl_deluser("resumable")
