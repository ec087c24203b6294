"""
Several servers that a storm breaks over: a Cluster, and a primary with two replicas under Sentinels.

Every server is known to the others and to clients by the port of a proxy before it. A start takes seconds, so the
servers outlive a storm: whole and empty when the next begins.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from resumable.store.cluster._places import slot_of
from tests.chaos.places import Place
from tests.chaos.plan import Deed, Ground
from tests.store.clusters import GIVEN_UP, NODE_TIMEOUT, Cluster, Trio, cut_off, until
from tests.store.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.plan import Event, Plan
    from tests.store.servers import Server

PATIENT = (
    15_000  # [ms] of silence until a node of a Cluster counts as failed in which none is to fail; servers' default
)
INDICES = ("resumable:active", "resumable:index", "resumable:control")
MOVED = 6  # slots moved at once


class Fleets:
    """The Clusters and Sentinels of a campaign, by kind, each with its proxies."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._known: dict[tuple[str, str], tuple[Cluster | Trio, list[Proxy]]] = {}

    def take(self, plan: Plan, program: str) -> FleetPlace:
        """Give the place of a storm."""
        name = plan.ground.value.partition("-")[0]
        if (name, program) not in self._known:
            self._known[name, program] = self._start(name, program)
        servers, proxies = self._known[name, program]
        for proxy in proxies:
            proxy.heal()
        servers.settle()
        if isinstance(servers, Cluster):
            servers.wipe()
            return ClusterPlace(plan, proxies, servers)
        servers.primary.wipe()
        return SentinelPlace(plan, proxies, servers)

    def _start(self, name: str, program: str) -> tuple[Cluster | Trio, list[Proxy]]:
        proxies: list[Proxy] = []

        def front(server: Server) -> int:
            proxies.append(self._stack.enter_context(Proxy(server.socket)))
            return proxies[-1].port

        if name == Ground.SENTINEL.value:
            return Trio(program, self._stack, replicas=2, front=front), proxies
        node_timeout = PATIENT if name == Ground.PLANNED.value else NODE_TIMEOUT
        return Cluster(program, self._stack, node_timeout=node_timeout, front=front), proxies

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class FleetPlace(Place):
    """What a Cluster and a set under Sentinels have in common."""

    def befall(self, event: Event) -> bool:
        """As `Place.befall`; tells that it could not where no replica follows the primary that it would be."""
        if event.deed is Deed.CUT:
            return super().befall(event)
        found = self._pick(event.whom)
        if found is None:
            return False
        deed: Callable[[Server, list[Server], Event], None] = {
            Deed.FALL: self._fall,
            Deed.SILENCE: self._silence,
            Deed.GAP: self._gap,
            Deed.HANDOVER: self._hand_over,
            Deed.FORCE: self._force,
            Deed.MOVE: self._move,
            Deed.LAG: self._lag,
        }[event.deed]
        deed(*found, event)
        return True

    def _pick(self, whom: int) -> tuple[Server, list[Server]] | None:
        """Find a primary, and the replicas that follow it."""
        raise NotImplementedError

    def _promoted(self, old: Server, replicas: list[Server]) -> None:
        """Wait until one of the replicas is the primary."""
        raise NotImplementedError

    def _bring_back(self, server: Server) -> None:
        raise NotImplementedError

    def _fall(self, primary: Server, replicas: list[Server], event: Event) -> None:
        primary.kill()
        self._promoted(primary, replicas)
        time.sleep(event.lasting)
        self._bring_back(primary)

    def _silence(self, primary: Server, replicas: list[Server], event: Event) -> None:
        primary.pause()
        try:
            self._promoted(primary, replicas)
            time.sleep(event.lasting)
        finally:
            primary.resume()

    def _gap(self, primary: Server, replicas: list[Server], event: Event) -> None:
        with ExitStack() as gap:
            for replica in replicas:
                gap.enter_context(cut_off(primary, replica))
            time.sleep(event.lasting)
            primary.kill()
        self._promoted(primary, replicas)
        self._bring_back(primary)

    def _lag(self, primary: Server, replicas: list[Server], event: Event) -> None:
        del primary
        replica = replicas[event.whom % len(replicas)]
        replica.pause()
        time.sleep(event.lasting)
        replica.resume()

    def _hand_over(self, primary: Server, replicas: list[Server], event: Event) -> None:
        raise NotImplementedError

    def _force(self, primary: Server, replicas: list[Server], event: Event) -> None:
        raise NotImplementedError

    def _move(self, primary: Server, replicas: list[Server], event: Event) -> None:
        raise NotImplementedError


class ClusterPlace(FleetPlace):
    """Three primaries with a replica each."""

    def __init__(self, plan: Plan, proxies: list[Proxy], cluster: Cluster) -> None:
        super().__init__(plan, proxies)
        self._cluster = cluster
        self.url = cluster.url + durability(plan)

    def mend(self) -> None:
        """As `Place.mend`."""
        super().mend()
        self._cluster.settle()

    @contextmanager
    def bare(self) -> Iterator[Any]:
        """As `Place.bare`."""
        with ExitStack() as stack:
            yield Bare({slots: stack.enter_context(node.client) for slots, node in self._cluster.owners()})

    def _pick(self, whom: int) -> tuple[Server, list[Server]] | None:
        primaries = self._cluster.primaries()
        for i in range(len(primaries)):
            primary = primaries[(whom + i) % len(primaries)]
            replicas = [node for node in self._cluster.living() if self._follows(node, primary)]
            if replicas:
                return primary, replicas
        return None

    def _follows(self, node: Server, primary: Server) -> bool:
        role = self._cluster.ask(node, "ROLE")
        return [role[0], *role[2:4]] == [b"slave", self._cluster.known_as(primary), b"connected"]

    def _promoted(self, old: Server, replicas: list[Server]) -> None:
        del old
        until(lambda: self._cluster.ask(replicas[0], "ROLE")[0] == b"master", "no replica is promoted")

    def _bring_back(self, server: Server) -> None:
        server.restart()

    def _hand_over(self, primary: Server, replicas: list[Server], event: Event) -> None:
        del primary, event
        self._take_over(replicas[0], "FAILOVER")

    def _force(self, primary: Server, replicas: list[Server], event: Event) -> None:
        del primary, event
        self._take_over(replicas[0], "FAILOVER", "FORCE")

    def _take_over(self, replica: Server, *words: str) -> None:
        """Ask until it has: a failover is given up after 5 s, and nobody votes for two of a primary's in a row."""
        again = 0.0

        def is_done() -> bool:
            nonlocal again
            if self._cluster.ask(replica, "ROLE")[0] == b"master":
                return True
            if time.monotonic() > again:
                self._cluster.ask(replica, "CLUSTER", *words)
                again = time.monotonic() + GIVEN_UP
            return False

        until(is_done, "no replica is promoted")

    def _move(self, primary: Server, replicas: list[Server], event: Event) -> None:
        """Move the slots of some sessions, and at times those of an index, to whoever has been picked."""
        del replicas
        ids = self.plan.ids()
        keys = [f"resumable:{{{ids[(event.whom + i) % len(ids)]}}}:log" for i in range(MOVED)]
        for key in [*keys, *INDICES[: event.whom % 2 * len(INDICES)]]:
            if self._cluster.owner(key) is not primary:
                self._cluster.migrate(slot_of(key), primary, lambda: time.sleep(0.01))


class SentinelPlace(FleetPlace):
    """A primary and two replicas under three Sentinels."""

    def __init__(self, plan: Plan, proxies: list[Proxy], trio: Trio) -> None:
        super().__init__(plan, proxies)
        self._trio = trio
        self.url = trio.url + durability(plan)

    def mend(self) -> None:
        """As `Place.mend`."""
        super().mend()
        self._trio.settle()

    @contextmanager
    def bare(self) -> Iterator[Any]:
        """As `Place.bare`."""
        with self._trio.primary.client as client:
            yield client

    def _pick(self, whom: int) -> tuple[Server, list[Server]] | None:
        del whom
        primary = self._trio.primary
        others = [server for server in self._trio.servers if server is not primary and server.answers()]
        replicas = [server for server in others if self._trio.follows(server, primary)]
        return (primary, replicas) if replicas and primary.answers() else None

    def _promoted(self, old: Server, replicas: list[Server]) -> None:
        del replicas
        until(lambda: self._trio.primary is not old, "the Sentinels promote nobody")

    def _bring_back(self, server: Server) -> None:
        self._trio.bring_back(server)

    def _hand_over(self, primary: Server, replicas: list[Server], event: Event) -> None:
        del primary, replicas, event
        self._trio.fail_over()


def durability(plan: Plan) -> str:
    """Spell what writes wait for, as the end of a URL."""
    return f"?durability=replica:{plan.ground.waits_for}" if plan.ground.waits_for else ""


class Bare:
    """Finds the server of a key by what a Cluster says, and asks it."""

    def __init__(self, clients: dict[range, Any]) -> None:
        self._clients = clients

    def xrange(self, name: str) -> Any:
        """Give a log."""
        return self._of(name).xrange(name)

    def hgetall(self, name: str) -> Any:
        """Give a checkpoint."""
        return self._of(name).hgetall(name)

    def _of(self, name: str) -> Any:
        return next(client for slots, client in self._clients.items() if slot_of(name) in slots)
