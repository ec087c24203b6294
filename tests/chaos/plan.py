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
) -> Plan:
    """
    Draw a storm.

    Args:
        seed: Decides everything that is not named here.
        way: How the processes write.
        appendfsync: Of the server.
        sessions: How many there are, if not as many as keep the writers busy.
        length: [leases] How long it lasts.
        mutation: Name of a rule to leave out of the scripts.
        forgets: [bytes] Cut off the end of the server's file at each crash.
    """
    chance = random.Random(f"{seed}")
    lease = 0.4 if way is Way.STORE else chance.choice((0.8, 2.0))
    storm = length * lease
    sessions = sessions or SESSIONS[way]
    return Plan(
        seed=seed,
        way=way,
        appendfsync=appendfsync,
        sessions=sessions,
        lease=lease,
        storm=storm,
        lost_replies=0.03,
        lost_requests=0.02,
        events=tuple(sorted(_deeds(chance, storm, lease, sessions), key=lambda event: event.at)),
        mutation=mutation,
        forgets=forgets,
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
    """

    name: str
    url: str
    sessions: tuple[str, ...]
    lease: float
    folder: str
    way: str
    mutation: str = ""

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
