"""
What comes of a primary that dies or falls silent, in a Cluster and under Sentinels, with figures.

The figures of docs/how-to/cluster.md are what these print, with `-m campaign -s`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from resumable._core.store_errors import FencedError, LogRewoundError, StoreUnavailableError
from resumable.store import Append, Appended, Cursor, Marker, Opening, Recorded
from resumable.store._url import aopen_store, open_store
from resumable.testing._conformance_portal import in_portal
from tests.store.clusters import Cluster, Trio, caught_up, cluster, cut_off, shared_cluster, shared_trio, trio, until
from tests.store.loads import LOG, Load, event_of, events
from tests.store.stores import KEPT, colour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable.store import AsyncStore, Lease, Store
    from tests.store.servers import Server

__all__ = ["cluster", "colour", "shared_cluster", "shared_trio", "trio"]

pytestmark = pytest.mark.campaign
BEFORE, AFTER = 10, 50  # events that the replica has, and that it has not


class Place:
    """
    Servers of either kind, as these tests break them.

    Attributes:
        kind: `"cluster"` or `"sentinels"`.
        url: What a store is opened with.
    """

    def __init__(self, servers: Cluster | Trio) -> None:
        self._servers = servers
        self.kind = "cluster" if isinstance(servers, Cluster) else "sentinels"
        self.url = servers.url

    def pair(self) -> tuple[Server, Server]:
        """Find the primary of the first session and its replica."""
        if isinstance(self._servers, Trio):
            return self._servers.primary, self._servers.replica
        primary = self._servers.owner(LOG)
        return primary, self._servers.replica_of(primary)

    def promoted(self, replica: Server, since: float) -> float:
        """[s] Wait until a replica is promoted and everybody has been told; say how long that took."""
        with replica.client as client:
            until(lambda: client.info("replication")["role"] == "master", "nobody is promoted")
        if isinstance(self._servers, Trio):
            until(lambda: self.pair()[0] is replica, "the Sentinels do not name it")
        return time.monotonic() - since


@pytest.fixture(params=["cluster", "trio"])
def place(request) -> Place:
    """A Cluster, and a pair under Sentinels."""
    return Place(request.getfixturevalue(request.param))


@pytest.fixture
def stores(place, colour) -> Iterator[tuple[Store, Store]]:
    """A writer's store and a reader's."""

    async def make() -> AsyncStore:
        return await aopen_store(place.url)

    if colour == "sync":
        writer, reader = open_store(place.url), open_store(place.url)
        yield writer, reader
        writer.close()
        reader.close()
        return
    with in_portal(make) as writer, in_portal(make) as reader:
        yield writer, reader


def tell(what: str, place: Place, colour: str, load: Load, promoted: float) -> None:
    """Print the figures."""
    stalls = sorted(load.stalls.values())
    print(  # noqa: T201  # Reason: what a campaign is run for
        f"\n{what}, {place.kind}, {colour}: promoted after {promoted:.1f} s, longest stall {stalls[-1]:.1f} s, "
        f"elsewhere {stalls[0]:.1f} s, slowest call {load.slowest:.1f} s, {sum(load.acked.values())} events, "
        f"rewound {load.rewound}, failed {sorted(set(load.refused))}"
    )


@pytest.mark.parametrize("is_silent", [False, True], ids=["killed", "silent"])
def test_a_primary_goes(place, stores, colour, is_silent):
    """A live writer and reader go on behind it: no hole, no repeat, and what was lost is sent again."""
    load = Load(*stores)
    primary, replica = place.pair()
    try:
        with load.running():
            began = time.monotonic()
            if is_silent:
                primary.pause()
            else:
                primary.kill()
            promoted = place.promoted(replica, began)
    finally:
        if is_silent:
            primary.resume()
    tell("silent" if is_silent else "killed", place, colour, load, promoted)
    load.check()
    assert set(load.refused) <= {
        "cluster (NoPrimary)",
        "cluster (ClusterDownError)",
        "connection (ConnectionError)",
        "readonly (ReadOnlyError)",
        "timeout (Rests)",
        "timeout (TimeoutError)",
    }


def lost(place: Place, store: Store, duration: float) -> tuple[Lease, list[int]]:
    """Lose what a replica did not have: `AFTER` acknowledged events."""
    lease = store.acquire("s0", "first", duration=duration, ttl=KEPT, opening=Opening(b"{}", "h")).lease
    primary, replica = place.pair()
    store.append([Append(lease, 1, [event_of("s0", seq) for seq in range(1, BEFORE + 1)])])
    until(lambda: caught_up(primary), "the replica does not follow")
    with cut_off(primary, replica):
        for seq in range(BEFORE + 1, BEFORE + AFTER + 1):
            [outcome] = store.append([Append(lease, seq, [event_of("s0", seq)])])
            assert isinstance(outcome, Appended)
        began = time.monotonic()
        primary.kill()
        place.promoted(replica, began)
    return lease, list(range(1, BEFORE + 1))


def test_what_a_failover_loses_its_holder_sends_again(place, stores):
    """The holder is told where the log ends; sent again, the log is what it was, and a reader sees no change."""
    store, reader = stores
    lease, kept = lost(place, store, 100.0)
    found = until_answered(store, Append(lease, BEFORE + AFTER + 1, [b"x"]))
    assert isinstance(found, LogRewoundError)
    assert (found.seen, found.last_seq) == (BEFORE + AFTER, BEFORE)
    assert [entry.seq for entry in events(reader, "s0")] == kept
    again = [event_of("s0", seq) for seq in range(BEFORE + 1, BEFORE + AFTER + 1)]
    assert isinstance(until_answered(store, Append(lease, BEFORE + 1, again)), Appended)
    behind = Cursor(lease.token, BEFORE + AFTER)
    assert list(reader.read("s0", after=behind)) == []
    assert [entry.event for entry in events(reader, "s0")] == [
        event_of("s0", seq) for seq in range(1, BEFORE + AFTER + 1)
    ]


def test_what_a_failover_loses_with_its_holder_is_told(place, stores):
    """Where another holder goes on, every reader that saw what is lost is told, by reading and by waiting alike."""
    store, reader = stores
    old, kept = lost(place, store, 1.0)
    seen = Cursor(old.token, BEFORE + AFTER)
    until(lambda: not reader.get("s0").is_held, "the lease does not run out")
    new = reader.acquire("s0", "second", duration=100.0, ttl=KEPT).lease
    reader.append([Append(new, BEFORE + 1, [b"other"])])
    for answer in (lambda: reader.wait({"s0": seen}, 2.0)["s0"], lambda: caught(reader, seen)):
        rewound = answer()
        assert isinstance(rewound, LogRewoundError)
        assert (rewound.seen, rewound.last_seq) == (BEFORE + AFTER, BEFORE)
    assert isinstance(until_answered(store, Append(old, BEFORE + AFTER + 1, [b"zombie"])), FencedError)
    assert [entry.seq for entry in events(reader, "s0")] == [*kept, BEFORE + 1]
    [marker] = [entry for entry in reader.read("s0") if isinstance(entry, Marker)][1:]
    assert marker.after == Cursor(old.token, BEFORE)


def test_waiting_for_a_replica_loses_nothing(place):
    """Nothing is acknowledged that the replica has not, so nothing acknowledged is lost."""
    store = open_store(place.url + "?durability=replica")
    lease = store.acquire("s0", "first", duration=100.0, ttl=KEPT, opening=Opening(b"{}", "h")).lease
    primary, replica = place.pair()
    assert isinstance(until_answered(store, Append(lease, 1, [b"a"])), Appended)
    with cut_off(primary, replica):
        for _ in range(2):  # Sent again it is done already, over a connection of its own, and still not there.
            [refused] = outcome_of(store, Append(lease, 2, [b"b"]))
            assert isinstance(refused, StoreUnavailableError)
            assert (refused.reason, refused.cause_name) == ("readonly", "WAIT")
        began = time.monotonic()
        primary.kill()
        place.promoted(replica, began)
    assert [entry.seq for entry in until_read(store)] == [1]
    store.close()


@pytest.mark.parametrize(("replicas", "is_lost"), [(1, True), (2, False)])
def test_two_replicas_confirm_what_a_failover_may_not_lose(replicas, is_lost):
    """While its primary lives, the replica that is not promoted goes on confirming: one of two is not enough."""
    with ExitStack() as stack:
        trio = Trio("valkey", stack, replicas=2)
        trio.settle()
        writer, reader = (open_store(f"{trio.url}?durability=replica:{replicas}") for _ in range(2))
        stack.callback(writer.close)
        stack.callback(reader.close)
        load = Load(writer, reader)
        with load.running():
            trio.fail_over()
        load.check()
        assert bool(load.rewound) is is_lost


def outcome_of(store: Store, one: Append) -> list[object]:
    """Append, and give whatever comes of it."""
    try:
        return list(store.append([one]))
    except StoreUnavailableError as away:
        return [away]


def until_answered(store: Store, one: Append) -> object:
    """Append until the store says anything but that it is away."""
    found: list[object] = [StoreUnavailableError("timeout", "")]

    def answers() -> bool:
        found[:] = outcome_of(store, one)
        return not isinstance(found[0], StoreUnavailableError)

    until(answers, "the store stays away")
    return found[0]


def until_read(store: Store) -> list[Recorded]:
    """Read the events of the first session, as soon as they can be read."""
    found: list[Recorded] = []

    def answers() -> bool:
        try:
            found[:] = events(store, "s0")
        except StoreUnavailableError:
            return False
        return True

    until(answers, "the store stays away")
    return found


def caught(store: Store, after: Cursor) -> LogRewoundError | None:
    """Read, and give back what it fails with."""
    try:
        store.read("s0", after=after)
    except LogRewoundError as rewound:
        return rewound
    return None
