"""
How a flight reaches the servers that hold its keys, through redirections, migrations and failovers; pure.

Strategy: a delivery is a generator that yields rounds (parcels, each for one node) and pauses, is sent what came of
them, and returns one answer for each command. What a node redirects, or cannot do now, goes into the next round, for
as long as patience lasts; whatever failed after that is an answer too, since one node that is away must not hide
what the others did. Everything may be sent twice: every write of ours can be.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from resumable._core.store_errors import StoreUnavailableError
from resumable.store._records import Vitals
from resumable.store.redis import _scripts
from resumable.store.redis._commands import on_the_wire
from resumable.store.redis._queries import PING, vitals

from ._places import Node, key_of, slot_of, stages

if TYPE_CHECKING:
    from resumable.store.redis._commands import Flight
    from resumable.store.redis._replies import Replies, Reply
    from resumable.store.redis._resp import Word

    from ._places import Places

T = TypeVar("T")

PATIENCE = 0.5  # [s] Of one call, in pauses: for a slot that is moving. Whoever calls bears a failover.
ROUNDS = 40  # A bound for nodes that send us round in a circle.
REPLICA_WAIT = 1000  # [ms] For a replica to have what the primary has.
_PAUSE = 0.01  # [s] The first; doubled with each.
_REPLICA = StoreUnavailableError("readonly", "WAIT")  # As the server's own NOREPLICAS.

# Reasons that another round may cure. A timeout is not one: whoever calls knows how long it can wait.
_CURABLE = frozenset({"cluster", "connection", "loading", "readonly"})
# Scripts whose writes a reader may have seen, or a holder may build upon.
_LASTING = frozenset({_scripts.ACQUIRE, _scripts.APPEND, _scripts.CANCEL, _scripts.ORPHAN, _scripts.RELEASE})


class Redirect(NamedTuple):
    """
    An answer that names another node.

    Attributes:
        slot: Of the key.
        to: Who to ask; its host is empty when it is the one that answered.
        is_once: This time only: the slot is on its way there.
    """

    slot: int
    to: Node
    is_once: bool


class Unknown:
    """An answer that says that the node does not know the script."""


class Parcel(NamedTuple):
    """
    Commands for one node, over one connection, in order.

    Attributes:
        node: Which.
        commands: As on the wire.
    """

    node: Node
    commands: Sequence[Sequence[Word]]


class Barrier(NamedTuple):
    """
    What a write waits for.

    Attributes:
        key: Names the key of a session that is written before replicas are waited for.
        replicas: How many must have it.
    """

    key: Callable[[str], str]
    replicas: int


class Pause(NamedTuple):
    """
    Wait.

    Attributes:
        seconds: [s] How long.
    """

    seconds: float


Answer: TypeAlias = "Sequence[Reply] | StoreUnavailableError"
Round: TypeAlias = "Sequence[Parcel] | Pause"
Delivery: TypeAlias = Generator["Round", "Sequence[Answer]", T]


class _Route(NamedTuple):
    """Where a command goes in the next round: elsewhere than its slot is said to be, or with its script's text."""

    asking: Node | None = None
    with_text: bool = False


def deliver(
    places: Places, flight: Flight, *, patience: float = PATIENCE, barrier: Barrier | None = None
) -> Delivery[Replies]:
    """
    Deliver a flight.

    Args:
        places: Where the keys are; kept up to date.
        flight: What to send.
        patience: [s] For how long, in pauses, to send again what cannot be done now.
        barrier: What writes wait for; `None` for nothing.

    Returns:
        One answer a command; an error is one too.

    Raises:
        StoreUnavailableError: None of it could be done.
    """
    replies: Replies = [None] * len(flight)
    failed: StoreUnavailableError | None = None
    for stage in stages(flight, is_split=places.is_split):
        if failed is None:
            yield from _Stage(places, flight, stage, replies, barrier).run(patience)
        else:  # What comes later would be done before its time.
            for i in stage:
                replies[i] = failed
        failed = failed or next((reply for i in stage if _is_away(reply := replies[i])), None)
    if failed is not None and all(_is_away(reply) for reply in replies):
        raise failed
    return replies


def find(places: Places) -> Delivery[None]:
    """
    Ask where the keys are, if that is not known; who answers first is believed.

    Raises:
        StoreUnavailableError: Nobody answers, and nothing was known before.
    """
    lost: StoreUnavailableError | None = None
    for node in places.candidates() if places.is_stale else ():
        [answer] = yield [Parcel(node, [places.question()])]
        if isinstance(answer, StoreUnavailableError):
            lost = lost or answer
            if answer.reason == "timeout" and places.primaries():
                break  # One is enough to wait for; the next call asks the next one.
            continue
        if places.learn(node, answer[0]):
            return
        lost = answer[0] if isinstance(answer[0], StoreUnavailableError) else lost
    if not places.primaries():
        raise lost or StoreUnavailableError("cluster", "NoPrimary")


class _Stage:
    """Commands that may be done in any order but for those of one slot."""

    def __init__(
        self,
        places: Places,
        flight: Flight,
        stage: Sequence[int],
        replies: Replies,
        barrier: Barrier | None,
    ) -> None:
        self._places = places
        self._flight = flight
        self._stage = stage
        self._replies = replies
        self._barrier = barrier
        self._keys = {i: key_of(flight[i]) for i in stage}
        self._routes = {i: _Route() for i in stage}

    def run(self, patience: float) -> Delivery[None]:
        """Send rounds until everything is answered, or patience is at its end."""
        pause, waited = _PAUSE, 0.0
        for number in range(ROUNDS):
            if not self._routes:
                return
            yield from find(self._places)
            curable = yield from self._round()
            if curable and (waited + pause > patience or number == ROUNDS - 1):
                self._give_up(curable)
            elif curable:
                yield Pause(pause)
                waited += pause
                pause *= 2
        for i in self._routes:  # Sent round in a circle.
            self._replies[i] = StoreUnavailableError("cluster", "Redirect")

    def _give_up(self, curable: set[int]) -> None:
        """Leave it at the errors there are, also for what was to follow."""
        errors = {slot_of(self._keys[i]): self._replies[i] for i in sorted(curable, reverse=True)}
        for i in [i for i in self._routes if slot_of(self._keys[i]) in errors]:
            self._replies[i] = errors[slot_of(self._keys[i])]
            del self._routes[i]

    def _round(self) -> Delivery[set[int]]:
        """Send what is to be sent, and say which of it failed in a way that may pass; the rest is routed anew."""
        parts: dict[Node, list[int]] = {}
        lost: set[int] = set()
        for i, route in self._routes.items():
            node = route.asking or self._places.node_of(self._keys[i])
            if node is None:
                self._replies[i] = StoreUnavailableError("cluster", "NoPrimary")
                self._places.doubt(None)
                lost.add(i)
            else:
                parts.setdefault(node, []).append(i)
        answers = (yield [self._parcel(node, part) for node, part in parts.items()]) if parts else []
        again = {i: _Route() for i in lost}
        for (node, part), answer in zip(parts.items(), answers, strict=True):
            told = self._told(part, answer)
            for i, reply in zip(part, told, strict=True):
                self._replies[i] = reply
                self._judge(i, node, reply, again, lost)
        self._routes = self._in_order(again)
        return lost & self._routes.keys()

    def _judge(self, i: int, node: Node, reply: Reply, again: dict[int, _Route], lost: set[int]) -> None:
        """Say what becomes of a command whose answer this is."""
        match reply:
            case Redirect(slot, to, is_once):
                to = to if to.host else Node(node.host, to.port)
                again[i] = _Route(asking=to if is_once else None, with_text=self._routes[i].with_text)
                if not is_once:
                    self._places.moved(slot, to)
            case Unknown():
                again[i] = self._routes[i]._replace(with_text=True)
            case StoreUnavailableError(reason=reason) if reason in _CURABLE and reply is not _REPLICA:
                self._places.doubt(node)
                again[i] = _Route(with_text=self._routes[i].with_text)
                lost.add(i)
            case StoreUnavailableError(reason="timeout"):
                self._places.doubt(node)
            case _:
                pass

    def _in_order(self, again: dict[int, _Route]) -> dict[int, _Route]:
        """Add what follows in the same slot, though it was answered: it was done, or refused, before its time."""
        routes: dict[int, _Route] = {}
        slots: set[int] = set()
        for i in self._stage:
            slot = slot_of(self._keys[i])
            if i in again:
                routes[i] = again[i]
                slots.add(slot)
            elif slot in slots and self._flight[i].script is not None:
                routes[i] = _Route()
        return routes

    def _parcel(self, node: Node, part: Sequence[int]) -> Parcel:
        with_texts = any(self._routes[i].with_text for i in part)
        spelt = on_the_wire([self._flight[i] for i in part], with_texts=with_texts)
        commands: list[Sequence[Word]] = []
        for i, words in zip(part, spelt, strict=True):
            if self._routes[i].asking is not None:
                commands.append(("ASKING",))
            commands.append(words)
        return Parcel(node, [*commands, *self._waiting(part)])

    def _waiting(self, part: Sequence[int]) -> Sequence[Sequence[Word]]:
        """
        Wait for replicas to have it; behind a write of our own.

        Without one, a connection that has written nothing is told at once that all replicas have all of it, which is
        what happens to a write that is sent again over a new connection and finds itself done.
        """
        lasting = [i for i in part if self._flight[i].script in _LASTING]
        if self._barrier is None or not lasting:
            return ()
        tag = self._keys[lasting[0]].partition("{")[2].partition("}")[0]
        return [
            ("SET", self._barrier.key(tag), "1", "PX", REPLICA_WAIT),
            ("WAIT", self._barrier.replicas, REPLICA_WAIT),
        ]

    def _told(self, part: Sequence[int], answer: Answer) -> Replies:
        """Give each command its own answer."""
        if isinstance(answer, StoreUnavailableError):
            return [answer] * len(part)
        rest = iter(answer)
        told: Replies = []
        for i in part:
            if self._routes[i].asking is not None:
                next(rest)
            told.append(next(rest))
        waited = list(rest)
        if self._barrier is not None and waited and not _is_enough(waited[-1], self._barrier.replicas):
            for at, i in enumerate(part):
                if self._flight[i].script in _LASTING and isinstance(told[at], list):
                    told[at] = _REPLICA
        return told


def _is_enough(count: Reply, replicas: int) -> bool:
    return isinstance(count, int) and count >= replicas


def _is_away(reply: Reply) -> bool:
    return isinstance(reply, StoreUnavailableError)


def survey(places: Places) -> Delivery[Vitals]:
    """
    Ask every primary whether it is there, and tell what they say as one.

    Raises:
        StoreUnavailableError: One of them is not.
    """
    yield from find(places)
    nodes = places.primaries()
    answers = yield [Parcel(node, [command.words for command in PING]) for node in nodes]
    each: list[Vitals] = []
    for node, answer in zip(nodes, answers, strict=True):
        if isinstance(answer, StoreUnavailableError):
            places.doubt(node)
            raise answer
        each.append(vitals(answer))
    uptimes = [one.uptime for one in each if one.uptime is not None]
    roles = {one.role for one in each}
    return Vitals(
        run_id=",".join(sorted(one.run_id or "" for one in each)) or None,
        uptime=min(uptimes, default=None),
        role=next(iter(roles - {"master"}), "master"),
    )
