"""
Where the keys are, for stores that are not one fixed server: a Cluster's slots, or the primary that Sentinels name.

Pure; it learns from answers that others fetch, and says whom to ask next. Threads may share it: what it knows is
replaced whole or one slot at a time, and what it got wrong the servers correct.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store.redis._commands import Command, Flight
    from resumable.store.redis._replies import Reply
    from resumable.store.redis._resp import Word

SLOTS = 16384


class Node(NamedTuple):
    """
    A server.

    Attributes:
        host: Its name or address.
        port: Its TCP port.
        is_sentinel: It holds no keys and says who does.
    """

    host: str
    port: int
    is_sentinel: bool = False


class Places(Protocol):
    """
    What is known about where keys are.

    Attributes:
        is_stale: Whether to ask before believing it.
        is_split: Whether the keys of one flight may be at several nodes.
    """

    is_stale: bool
    is_split: bool

    def node_of(self, key: str) -> Node | None:
        """Say who holds a key; `None` when nobody is known to."""
        ...

    def primaries(self) -> Sequence[Node]:
        """List who holds keys."""
        ...

    def candidates(self) -> Sequence[Node]:
        """List whom to ask, the most promising first."""
        ...

    def question(self) -> Sequence[Word]:
        """Spell what to ask them."""
        ...

    def learn(self, asked: Node, answer: Reply) -> bool:
        """Take an answer in, and say whether it was one."""
        ...

    def moved(self, slot: int, to: Node) -> None:
        """Take in what a server said about one slot."""
        ...

    def doubt(self, node: Node | None) -> None:
        """Take note that a node did not serve as it should."""
        ...


@lru_cache(maxsize=1 << 16)
def slot_of(key: str) -> int:
    """Say which slot of a Cluster a key is in: that of its tag, if it has one."""
    start = key.find("{")
    end = key.find("}", start + 1) if start >= 0 else -1
    tag = key[start + 1 : end] if end > start + 1 else key
    return crc_hqx(tag.encode(), 0) % SLOTS


def key_of(command: Command) -> str:
    """Say by which key a command finds its node; empty when any will do."""
    if command.near:
        return command.near
    if command.script is None and command.words[0] == "XREAD":
        return str(command.words[list(command.words).index("STREAMS") + 1])
    at = 0 if command.script is not None else 1
    return str(command.words[at]) if len(command.words) > at else ""


def stages(flight: Flight, *, is_split: bool) -> list[list[int]]:
    """
    Cut a flight into stages: what stands before another must be done before it.

    A session's commands are independent of another's, those on an index of those on another; but an index is written
    before a session or cleared after it, and the two may be at different nodes.

    Args:
        flight: What to send.
        is_split: Whether it may go to several nodes.

    Returns:
        Of each stage, which commands; in order.
    """
    if not is_split:
        return [list(range(len(flight)))]
    cut: list[list[int]] = []
    before: bool | None = None
    for i, command in enumerate(flight):
        is_tagged = "{" in key_of(command)
        if is_tagged is not before:
            cut.append([])
        cut[-1].append(i)
        before = is_tagged
    return cut


class Slots:
    """
    The slots of a Cluster.

    Args:
        seeds: Some of its nodes; one that answers is enough.
    """

    is_split = True

    def __init__(self, seeds: Sequence[Node]) -> None:
        self._seeds = list(seeds)
        self._owners: list[Node | None] = [None] * SLOTS
        self._doubted: set[Node] = set()
        self.is_stale = True

    def node_of(self, key: str) -> Node | None:
        """As `Places.node_of`."""
        return self._owners[slot_of(key)]

    def primaries(self) -> Sequence[Node]:
        """As `Places.primaries`."""
        return list(dict.fromkeys(owner for owner in self._owners if owner is not None))

    def candidates(self) -> Sequence[Node]:
        """As `Places.candidates`: who has just failed knows least."""
        known = list(dict.fromkeys([*self.primaries(), *self._seeds]))
        return sorted(known, key=self._doubted.__contains__)

    def question(self) -> Sequence[Word]:
        """As `Places.question`; every version of every server knows this one."""
        return ("CLUSTER", "SLOTS")

    def learn(self, asked: Node, answer: Reply) -> bool:
        """As `Places.learn`."""
        owners: list[Node | None] = [None] * SLOTS
        try:
            for first, last, primary, *_ in answer:
                owners[first : last + 1] = [_node(primary[0], primary[1], asked)] * (last + 1 - first)
        except (AttributeError, LookupError, TypeError, ValueError):
            return False
        if not any(owners):  # It has not met the others yet, or has forgotten them.
            return False
        self._owners, self._doubted, self.is_stale = owners, set(), False
        return True

    def moved(self, slot: int, to: Node) -> None:
        """As `Places.moved`."""
        self._owners[slot % SLOTS] = to

    def doubt(self, node: Node | None) -> None:
        """As `Places.doubt`."""
        self._doubted = self._doubted | {node} if node is not None else self._doubted
        self.is_stale = True


class Primary:
    """
    The one server that Sentinels name.

    Args:
        name: Of the primary, as they know it.
        sentinels: Some of them; one that answers is enough.
    """

    is_split = False

    def __init__(self, name: str, sentinels: Sequence[Node]) -> None:
        self._name = name
        self._sentinels = [node._replace(is_sentinel=True) for node in sentinels]
        self._node: Node | None = None
        self.is_stale = True

    def node_of(self, key: str) -> Node | None:
        """As `Places.node_of`."""
        del key
        return self._node

    def primaries(self) -> Sequence[Node]:
        """As `Places.primaries`."""
        return [self._node] if self._node is not None else []

    def candidates(self) -> Sequence[Node]:
        """As `Places.candidates`."""
        return list(self._sentinels)

    def question(self) -> Sequence[Word]:
        """As `Places.question`."""
        return ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)

    def learn(self, asked: Node, answer: Reply) -> bool:
        """As `Places.learn`; who answered is asked first the next time."""
        try:
            node = _node(answer[0], answer[1], asked)
        except (AttributeError, LookupError, TypeError, ValueError):
            return False
        self._sentinels.sort(key=lambda one: one != asked)
        self._node, self.is_stale = node, False
        return True

    def moved(self, slot: int, to: Node) -> None:
        """As `Places.moved`; a server behind Sentinels says no such thing."""
        del slot, to
        self.is_stale = True

    def doubt(self, node: Node | None) -> None:
        """As `Places.doubt`; the next Sentinel may know more than the one that named it."""
        if node is not None and not node.is_sentinel and node == self._node:
            self._sentinels = [*self._sentinels[1:], *self._sentinels[:1]]
        self.is_stale = True


def _node(host: Reply, port: Reply, asked: Node) -> Node:
    # No host, or a question mark: one that does not know its own address, and was reached all the same.
    name = host.decode() if host else ""
    return Node(asked.host if name in {"", "?"} else name, int(port))
