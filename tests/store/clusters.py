"""
Clusters and Sentinels, private to a test run: three primaries and three replicas, or a pair under three Sentinels.

A start takes seconds, so one of each is shared by a worker; what a test breaks it mends.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis

from resumable.store.cluster._places import slot_of
from tests.store.servers import START_LIMIT, Server, free_port, program, short_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NODE_TIMEOUT: Final = 2000  # [ms] of silence until a node counts as failed; a server's own default is 15 000
SLOTS: Final = 16384
SETTLED: Final = 60.0  # [s] for what takes some seconds
GIVEN_UP: Final = 15.0  # [s] until Sentinels have certainly given a failover up; theirs is 5 s

if TYPE_CHECKING:
    Front = Callable[[Server], int]
    """Puts something before a server that is to be started, and gives its port."""


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait until servers have agreed on something; they say so only when asked."""
    limit = time.monotonic() + SETTLED
    while True:
        with suppress(redis.RedisError, OSError):
            if is_so():
                return
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def known_port(server: Server, front: Front | None) -> int:
    """Say under which port a server is known to the others and to clients: its own, or that of what is before it."""
    assert server.port is not None
    return server.port if front is None else front(server)


def caught_up(primary: Server) -> bool:
    """Say whether a replica has all there is; one that has just come gets nothing until it has said so itself."""
    with primary.client as client:
        for i in range(1000):
            with suppress(redis.exceptions.MovedError):
                client.set(f"probe:{i}", 1, px=1000)  # WAIT is about what this connection has written.
                return bool(client.wait(1, 2000))
    raise AssertionError(primary)


@contextmanager
def cut_off(primary: Server, replica: Server) -> Iterator[None]:
    """Keep a replica from getting what its primary gets, as a link that stalls; it can still be promoted."""
    with primary.client as source, replica.client as copy:
        copy.config_set("masteruser", "nobody")  # What it logs in with the next time.
        copy.config_set("masterauth", "nothing")
        source.client_kill_filter(_type="replica")
        until(lambda: copy.info("replication")["master_link_status"] == "down", "the link is not cut")
        try:
            yield
        finally:
            copy.config_set("masterauth", "")
            copy.config_set("masteruser", "")


class Cluster:
    """
    Three primaries with a replica each, on loopback.

    Attributes:
        nodes: Primaries first, each replica in the order of its primary.
    """

    def __init__(
        self, name: str, stack: ExitStack, *, node_timeout: int = NODE_TIMEOUT, front: Front | None = None
    ) -> None:
        self.nodes: list[Server] = []
        self._ports: dict[Server, int] = {}
        for _ in range(6):
            directory = short_directory(stack)
            options = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
            options += ["--cluster-node-timeout", str(node_timeout), "--cluster-port", str(free_port())]
            options += ["--repl-diskless-sync-delay", "0", "--cluster-require-full-coverage", "no"]
            options += ["--cluster-replica-validity-factor", "0"]  # However long its link was cut, it is promoted.
            server = Server(name, directory, tcp=True)
            self._ports[server] = known_port(server, front)
            options += ["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", str(self._ports[server])]
            server.arguments = (*options, "--replica-announce-ip", "127.0.0.1")
            stack.callback(server.stop)
            server.start()
            self.nodes.append(server)
        self._join()

    @property
    def url(self) -> str:
        """What a store is opened with; two of the nodes are enough."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{self._ports[self.nodes[i]]}" for i in (0, 4))

    def ask(self, node: Server, *words: str | int) -> Any:
        """Send one node a command."""
        with node.client as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def known_as(self, node: Server) -> int:
        """Say by which port clients and the other nodes know one."""
        return self._ports[node]

    def name(self, node: Server) -> str:
        """Say what a node is called among the others."""
        named: bytes = self.ask(node, "CLUSTER", "MYID")
        return named.decode()

    def owner(self, key: str) -> Server:
        """Find the primary that holds a key."""
        return self._owner_of(slot_of(key))

    def owners(self, at: Server | None = None) -> Iterator[tuple[range, Server]]:
        """List which slots are whose, as one of the nodes knows it."""
        for first, last, (_, port, *_), *_ in self.ask(at or self.living()[0], "CLUSTER", "SLOTS"):
            yield range(first, last + 1), next(node for node in self.nodes if self._ports[node] == port)

    def _owner_of(self, slot: int) -> Server:
        return next(node for slots, node in self.owners() if slot in slots)

    def _has(self, owner: Server, slot: int, at: Server) -> bool:
        return any(node is owner for slots, node in self.owners(at) if slot in slots)

    def replica_of(self, primary: Server) -> Server:
        """Find a primary's replica."""
        for node in self.living():
            role = self.ask(node, "ROLE")
            if role[0] == b"slave" and role[2] == self._ports[primary]:
                return node
        raise AssertionError(primary)

    def primaries(self) -> list[Server]:
        """List the primaries there are."""
        return [node for node in self.living() if self.ask(node, "ROLE")[0] == b"master"]

    def living(self) -> list[Server]:
        """List the nodes that answer."""
        return [node for node in self.nodes if node.answers(0.2)]

    def wipe(self) -> None:
        """Forget every key and every script, at every primary."""
        for node in self.primaries():
            node.wipe()

    def settle(self) -> None:
        """Wait until all six are there, every primary has a replica that has caught up, and all agree."""
        for node in self.nodes:
            if not node.answers():
                node.restart()
        until(lambda: all(self._is_settled(node) for node in self.nodes), "the Cluster does not settle")
        until(lambda: all(map(caught_up, self.primaries())), "a replica does not follow")
        # While a node counts as failed to somebody, the votes for the next failover may not come together.
        until(lambda: not any(self._fails(node) for node in self.nodes), "a node still counts as failed")

    def fail_over(self, primary: Server) -> None:
        """Let a replica take over as an administrator would; nothing is lost."""
        replica = self.replica_of(primary)
        self.ask(replica, "CLUSTER", "FAILOVER")
        until(lambda: self.ask(replica, "ROLE")[0] == b"master", "no failover")

    def migrate(self, slot: int, target: Server, between: Callable[[], None] = lambda: None) -> None:
        """
        Move a slot to another primary, key by key.

        Args:
            slot: Which.
            target: Where to.
            between: Called before the first key goes, between keys, and behind the last.
        """
        source = self._owner_of(slot)
        self._set_slot(target, slot, "IMPORTING", source)
        self._set_slot(source, slot, "MIGRATING", target)
        between()
        while keys := self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1):
            self.ask(source, "MIGRATE", "127.0.0.1", str(target.port), keys[0], 0, 5000)
            between()
        for node in (target, source):
            self._set_slot(node, slot, "NODE", target)
        # Who has not heard of it, and is promoted before he does, does not take the slot over: then it is nobody's.
        until(lambda: all(self._has(target, slot, at) for at in self.living()), "not all know whose the slot is")

    def _set_slot(self, node: Server, slot: int, state: str, other: Server) -> None:
        # Valkey refuses while the node has no replica that it could tell (NOREPLICAS).
        until(lambda: self.ask(node, "CLUSTER", "SETSLOT", slot, state, self.name(other)), "the slot cannot be moved")

    def _join(self) -> None:
        for i, node in enumerate(self.nodes):
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i < 3:
                first, last = SLOTS * i // 3, SLOTS * (i + 1) // 3 - 1
                self.ask(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            port = node.arguments[node.arguments.index("--cluster-port") + 1]
            self.ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", str(node.port), port)
        until(lambda: all(self._count(node) == 6 for node in self.nodes), "the nodes do not meet")
        for i in range(3):
            self.ask(self.nodes[i + 3], "CLUSTER", "REPLICATE", self.name(self.nodes[i]))
        self.settle()

    def _count(self, node: Server) -> int:
        lines: list[bytes] = self.ask(node, "CLUSTER", "NODES").splitlines()
        return sum(b"handshake" not in line for line in lines)

    def _fails(self, node: Server) -> bool:
        lines: list[bytes] = self.ask(node, "CLUSTER", "NODES").splitlines()
        return any(b"fail" in line.split()[2] or line.split()[7] != b"connected" for line in lines)

    def _is_settled(self, node: Server) -> bool:
        state = self.ask(node, "CLUSTER", "INFO")
        role = self.ask(node, "ROLE")
        slots = self.ask(node, "CLUSTER", "SLOTS")
        caught_up = len(role[2]) == 1 if role[0] == b"master" else role[3] == b"connected"
        is_whole = b"cluster_state:ok" in state and b"cluster_slots_assigned:%d" % SLOTS in state
        return is_whole and caught_up and all(len(row) == 4 for row in slots)


class Trio:
    """
    A primary and its replica, or more, watched by three Sentinels, on loopback.

    Attributes:
        servers: The primary first.
    """

    NAME: Final = "sessions"

    def __init__(self, name: str, stack: ExitStack, *, replicas: int = 1, front: Front | None = None) -> None:
        self.servers = [Server(name, short_directory(stack), tcp=True) for _ in range(1 + replicas)]
        self._ports = {server: known_port(server, front) for server in self.servers}
        for server in self.servers:
            stack.callback(server.stop)
            server.arguments = self._announced(server)
            if server is not self.servers[0]:
                server.arguments += ("--replicaof", "127.0.0.1", str(self._ports[self.servers[0]]))
            server.start()
        self.ports = [free_port() for _ in range(3)]
        for port in self.ports:
            self._watch(name, port, stack)
        until(self._is_settled, "the Sentinels do not settle")

    @property
    def url(self) -> str:
        """What a store is opened with."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{self.NAME}/0"

    @property
    def primary(self) -> Server:
        """Who the Sentinels say it is."""
        named = self._ask(self.ports[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)
        return next(server for server in self.servers if self._ports[server] == int(named[1]))

    def settle(self) -> None:
        """Wait until both are there, and one has what the other has."""
        for server in self.servers:
            if not server.answers():
                self.bring_back(server)
        until(self._is_settled, "the Sentinels do not settle")
        until(lambda: caught_up(self.primary), "the replica does not follow")

    def bring_back(self, server: Server) -> None:
        """Start one that was killed, as what it takes itself for: a primary, until the Sentinels see it."""
        server.arguments = self._announced(server)
        server.restart()

    def fail_over(self) -> None:
        """
        Let a replica take over as an administrator would; what it has not got yet is lost.

        Sentinels give a failover up that takes longer than its time, as on a busy machine; so they are asked again.
        """
        primary, again = self.primary, 0.0

        def is_done() -> bool:
            nonlocal again
            if self.primary is not primary:
                return True
            if time.monotonic() > again:
                self._ask(self.ports[0], "SENTINEL", "FAILOVER", self.NAME)
                again = time.monotonic() + GIVEN_UP
            return False

        until(is_done, "no failover")

    def follows(self, replica: Server, primary: Server) -> bool:
        """Say whether one replicates another now."""
        with replica.client as client:
            found = client.info("replication")
        expected = {"role": "slave", "master_port": self._ports[primary], "master_link_status": "up"}
        return {name: found.get(name) for name in expected} == expected

    @property
    def replica(self) -> Server:
        """The other one, or the first of the others."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def _announced(self, server: Server) -> tuple[str, ...]:
        announced = ("--replica-announce-ip", "127.0.0.1", "--replica-announce-port", str(self._ports[server]))
        return (*announced, "--repl-diskless-sync-delay", "0")

    def _watch(self, name: str, port: int, stack: ExitStack) -> None:
        directory: Path = short_directory(stack)
        watched = f"sentinel monitor {self.NAME} 127.0.0.1 {self._ports[self.servers[0]]} 2"
        timing = [f"sentinel down-after-milliseconds {self.NAME} 1000", f"sentinel failover-timeout {self.NAME} 5000"]
        lines = [f"port {port}", "bind 127.0.0.1", f"dir {directory}", f"logfile {directory / 'log'}", watched, *timing]
        (directory / "conf").write_text("\n".join(lines) + "\n")
        argv = [str(program(name)), str(directory / "conf"), "--sentinel"]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        stack.callback(process.wait, START_LIMIT)
        stack.callback(process.terminate)

    def _ask(self, port: int, *words: str) -> Any:
        with redis.Redis(port=port, socket_timeout=2, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def _is_settled(self) -> bool:
        primary = self.primary
        with primary.client as client:
            replicas = client.info("replication")
        named = {tuple(self._ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)) for port in self.ports}
        seen = [self._ask(port, "SENTINEL", "MASTER", self.NAME) for port in self.ports]
        known = [dict(zip(one[::2], one[1::2], strict=True)) for one in seen]
        return (
            len(named) == 1
            and replicas["role"] == "master"
            and replicas["connected_slaves"] == len(self.servers) - 1
            and all(replicas[f"slave{i}"]["state"] == "online" for i in range(len(self.servers) - 1))
            and all(one[b"num-other-sentinels"] == b"2" and one[b"num-slaves"] >= b"1" for one in known)
            and all(one[b"flags"] == b"master" for one in known)
        )


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """One Cluster of Valkey for all tests of this worker."""
    with ExitStack() as stack:
        yield Cluster("valkey", stack)


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """A Cluster without keys or scripts, whole."""
    shared_cluster.settle()
    shared_cluster.wipe()
    return shared_cluster


@pytest.fixture(scope="session")
def shared_trio() -> Iterator[Trio]:
    """One trio of Sentinels over a pair of Valkeys for all tests of this worker."""
    with ExitStack() as stack:
        yield Trio("valkey", stack)


@pytest.fixture
def trio(shared_trio: Trio) -> Trio:
    """A pair under Sentinels without keys or scripts, whole."""
    shared_trio.settle()
    shared_trio.primary.wipe()
    return shared_trio
