"""What a storm does, drawn from a seed: who writes how, what breaks when; the same seed is the same storm."""

from __future__ import annotations

import json
import random
from enum import Enum
from typing import NamedTuple

SLOTS = 6  # processes that write
READERS = 2  # processes that read


class Way(Enum):
    """How a process writes."""

    STORE = "store"
    """Through a store alone: one thread a lane, its own rule for sending again."""
    JOURNAL = "journal"
    """Through `Journal`, one thread a lane."""
    AJOURNAL = "ajournal"
    """Through `AsyncJournal`, one task a lane."""


LANES = {Way.STORE: 8, Way.JOURNAL: 16, Way.AJOURNAL: 24}  # threads or tasks of one process that writes
SESSIONS = {Way.STORE: 96, Way.JOURNAL: 160, Way.AJOURNAL: 240}  # enough to keep them busy while it storms


class Ground(Enum):
    """What a storm breaks over, and what breaks there."""

    SERVER = "server"
    """One server, killed and started again."""
    CLUSTER = "cluster"
    """Three primaries and three replicas: primaries fail, slots move, replicas stall."""
    CLUSTER_WAIT = "cluster-wait"
    """The same, where every write waits for a replica."""
    PLANNED = "planned"
    """The same Cluster, where replicas take over in good order and slots move, and no primary fails."""
    SENTINEL = "sentinel"
    """A primary and two replicas under three Sentinels."""
    SENTINEL_WAIT = "sentinel-wait"
    """The same, where every write waits for both replicas."""
    MEMORY = "memory"
    """One server whose memory is full at times, and which is killed besides."""
    DISK = "disk"
    """One server whose disk is full at times, and which is killed besides."""
    CLOCK = "clock"
    """One server whose clock steps, as do those of the processes, and which is killed besides."""

    @property
    def is_fleet(self) -> bool:
        """Whether there are several servers."""
        return self not in {Ground.SERVER, Ground.MEMORY, Ground.DISK, Ground.CLOCK}

    @property
    def waits_for(self) -> int:
        """For how many replicas every write waits: all that its primary has."""
        return {Ground.CLUSTER_WAIT: 1, Ground.SENTINEL_WAIT: 2}.get(self, 0)


class Deed(Enum):
    """What happens to whom."""

    KILL = "kill"
    """A process that writes is killed (-9); another takes its place."""
    STALL = "stall"
    """A process that writes is stopped (SIGSTOP), for longer than a lease as often as not, and wakes."""
    BLIND = "blind"
    """A process that reads is killed (-9); another takes its place."""
    CRASH = "crash"
    """The server is killed (-9) and started again on its data."""
    CUT = "cut"
    """Every connection is cut."""
    CANCEL = "cancel"
    """A session is asked to stop, by a stranger."""
    FALL = "fall"
    """A primary is killed (-9), its replica promoted; it comes back."""
    SILENCE = "silence"
    """A primary is stopped until a replica is promoted, and for longer, and wakes."""
    GAP = "gap"
    """The links of a primary's replicas are down for a while, then it is killed."""
    HANDOVER = "handover"
    """A replica takes over as an administrator would have it."""
    FORCE = "force"
    """A replica takes over without asking its primary."""
    MOVE = "move"
    """Slots are moved to another primary while they are written to."""
    LAG = "lag"
    """A replica is stopped, and wakes."""
    MEMORY = "memory"
    """The server's memory is full, and later it is not."""
    DISK = "disk"
    """The server's disk is full, and later it is not."""
    CLOCK = "clock"
    """The server's clock steps."""


class Event(NamedTuple):
    """
    One deed of a storm.

    Attributes:
        at: [s] Since the storm began.
        deed: What.
        whom: Number of the slot, the reader or the session.
        lasting: [s] For how long, where that means anything.
    """

    at: float
    deed: Deed
    whom: int = 0
    lasting: float = 0.0


class Plan(NamedTuple):
    """
    A storm, and what it breaks over.

    Attributes:
        seed: Where it was drawn from.
        way: How the processes write.
        appendfsync: Of the server.
        sessions: How many there are; each is one run.
        lease: [s] Of a writer.
        storm: [s] How long it lasts; after it nothing breaks any more, and everything must come to its end.
        lost_replies: Share of what clients send that is executed, and its answer lost.
        lost_requests: Share that is lost on its way.
        events: What happens, in order.
        mutation: Name of a rule to leave out of the scripts.
        forgets: [bytes] Cut off the end of the server's file at each crash: what it had acknowledged and not written.
        ground: What it breaks over.
    """

    seed: int
    way: Way
    appendfsync: str
    sessions: int
    lease: float
    storm: float
    lost_replies: float
    lost_requests: float
    events: tuple[Event, ...]
    mutation: str = ""
    forgets: int = 0
    ground: Ground = Ground.SERVER

    @property
    def may_lose(self) -> bool:
        """Whether what was acknowledged may be gone: only where that is said before a file or a replica has it."""
        if self.ground.is_fleet:
            return self.ground in {Ground.CLUSTER, Ground.SENTINEL}
        return self.appendfsync != "always" and self.crashes > 0

    @property
    def may_rewind(self) -> bool:
        """Whether what a reader saw may be gone: it sees what waits for a replica, and was not acknowledged."""
        return self.may_lose or self.ground.waits_for > 0

    @property
    def crashes(self) -> int:
        """How often the server is killed."""
        return sum(event.deed is Deed.CRASH for event in self.events)

    def ids(self) -> list[str]:
        """Name the sessions."""
        return [f"s{number}" for number in range(self.sessions)]


def draw(
    seed: int,
    way: Way,
    appendfsync: str = "always",
    *,
    sessions: int | None = None,
    length: float = 12.0,
    mutation: str = "",
    forgets: int = 0,
    ground: Ground = Ground.SERVER,
) -> Plan:
    """
    Draw a storm.

    Args:
        seed: Decides everything that is not named here.
        way: How the processes write.
        appendfsync: Of the server.
        sessions: How many there are, if not as many as keep the writers busy.
        length: [leases] How long it lasts; where servers fail over, at least as many seconds.
        mutation: Name of a rule to leave out of the scripts.
        forgets: [bytes] Cut off the end of the server's file at each crash.
        ground: What it breaks over.
    """
    chance = random.Random(f"{seed}" if ground is Ground.SERVER else f"{seed} {ground.value}")
    lease = 0.4 if way is Way.STORE else chance.choice((0.8, 2.0))
    storm = length * lease
    sessions = sessions or SESSIONS[way]
    if ground.is_fleet:  # A failover takes some seconds.
        storm, sessions = max(length * 1.6, storm), sessions * 2
    deeds = [*_deeds(chance, storm, lease, sessions), *_deeds_of(ground, chance, storm, lease)]
    return Plan(
        seed=seed,
        way=way,
        appendfsync=appendfsync,
        sessions=sessions,
        lease=lease,
        storm=storm,
        lost_replies=0.03,
        lost_requests=0.02,
        events=tuple(
            sorted((one for one in deeds if not (ground.is_fleet and one.deed is Deed.CRASH)), key=lambda one: one.at)
        ),
        mutation=mutation,
        forgets=forgets,
        ground=ground,
    )


def _deeds(chance: random.Random, storm: float, lease: float, sessions: int) -> list[Event]:
    """List what happens in *storm* [s]."""
    return [
        *_often(chance, storm, lease * 0.7, lambda at: Event(at, Deed.KILL, chance.randrange(SLOTS))),
        *_often(
            chance,
            storm,
            lease * 0.4,
            lambda at: Event(at, Deed.STALL, chance.randrange(SLOTS), chance.uniform(0.3, 2.5) * lease),
        ),
        *_often(chance, storm, lease * 4, lambda at: Event(at, Deed.BLIND, chance.randrange(READERS))),
        *_often(
            chance, storm, lease * 5, lambda at: Event(at, Deed.CRASH, lasting=chance.choice((0.0, 0.0, 0.1, lease)))
        ),
        *_often(chance, storm, lease * 3, lambda at: Event(at, Deed.CUT)),
        *_often(chance, storm, lease * 2, lambda at: Event(at, Deed.CANCEL, chance.randrange(sessions))),
    ]


# What happens on a ground besides: each of these as often as the others, and [s] the mean between two of them.
_BESIDES = {
    Ground.SERVER: ((), 1.0),
    Ground.CLUSTER: ((Deed.FALL, Deed.SILENCE, Deed.GAP, Deed.HANDOVER, Deed.FORCE, Deed.MOVE, Deed.LAG), 1.2),
    Ground.PLANNED: ((Deed.HANDOVER, Deed.MOVE, Deed.LAG), 0.8),
    Ground.SENTINEL: ((Deed.FALL, Deed.SILENCE, Deed.GAP, Deed.HANDOVER, Deed.LAG), 2.0),
    Ground.MEMORY: ((Deed.MEMORY,), 1.0),
    Ground.DISK: ((Deed.DISK,), 1.0),
    Ground.CLOCK: ((Deed.CLOCK,), 0.5),
}
_BESIDES[Ground.CLUSTER_WAIT] = _BESIDES[Ground.CLUSTER]
_BESIDES[Ground.SENTINEL_WAIT] = _BESIDES[Ground.SENTINEL]


def _deeds_of(ground: Ground, chance: random.Random, storm: float, lease: float) -> list[Event]:
    """List what happens on a ground in *storm* [s]; some of it takes longer than until the next, which then waits."""
    deeds, mean = _BESIDES[ground]
    return _often(
        chance,
        storm if deeds else 0.0,
        mean,
        lambda at: Event(at, chance.choice(deeds), chance.randrange(1000), chance.choice((0.1, 0.5, 1.5 * lease))),
    )


def _often(chance, storm, mean, make) -> list[Event]:
    """List deeds at random instants, one every *mean* [s] or so."""
    found: list[Event] = []
    at = chance.expovariate(1 / mean)
    while at < storm:
        found.append(make(at))
        at += chance.expovariate(1 / mean)
    return found


class Task(NamedTuple):
    """
    What one process is told.

    Attributes:
        name: Of the process; unique in a storm.
        url: Of the store.
        sessions: Those there are.
        lease: [s] Of a writer.
        folder: Where it writes down what it did, and looks for `calm`.
        way: How it writes.
        mutation: Name of a rule to leave out of the scripts.
        steps: Whether its clock steps.
    """

    name: str
    url: str
    sessions: tuple[str, ...]
    lease: float
    folder: str
    way: str
    mutation: str = ""
    steps: bool = False

    def dump(self) -> dict[str, object]:
        """Spell it out for a pipe."""
        return self._asdict()

    @classmethod
    def load(cls, text: str) -> Task:
        """Read what `dump` gave, as JSON."""
        raw = json.loads(text)
        return cls(**(raw | {"sessions": tuple(raw["sessions"])}))


def length_of(session_id: str) -> int:
    """Say how many events a session has when it is complete."""
    return random.Random(session_id).randint(10, 120)


def event_of(session_id: str, seq: int, token: int, holder: str) -> bytes:
    """Make the event that a holder writes: whose it is can be told from it."""
    pad = "x" * (seq * 7 % 90)
    said = {"type": "chaos", "session": session_id, "seq": seq, "token": token, "holder": holder, "pad": pad}
    return json.dumps(said).encode()
