"""A ledger at a store in memory, in virtual time, and what becomes of each of its flights."""

from __future__ import annotations

import copy

from resumable._core.store_errors import StoreUnavailableError
from resumable._recording._ledger import Ledger
from resumable._recording._rules import Backlog, Rules
from resumable.store import Append, Lease, MemoryStore, Opening, Recorded
from resumable.testing import ManualClock

AWAY = StoreUnavailableError("connection", "ConnectionError")
LEASE = Lease("s", "me", 7, 0, 15.0, 60.0)


class Scene:
    """A ledger, the store it is for, and what becomes of each flight."""

    def __init__(self, rules: Rules = Rules()) -> None:  # noqa: B008  # Reason: a value
        self.clock = ManualClock(1_000.0)
        self.store = MemoryStore(clock=self.clock.now)
        self.lease = self.store.acquire("s", "me", duration=1000, ttl=1e6, opening=Opening(b"{}", "h")).lease
        self.backlog = Backlog()
        self.ledger = Ledger(self.lease, 0, rules, self.backlog)
        self.saved = copy.deepcopy(self.store._sessions)
        self.sent: list[Append] = []

    def fly(self, fate: str = "ok") -> None:
        """Send what is to be sent, and lose what is to be lost."""
        self.clock.advance(0.5)
        append = self.ledger.load(self.clock.now())
        if append is None:
            return
        again = self.ledger.load(self.clock.now() + 1)
        assert again is not None
        assert (append.first_seq, append.events, append.end) == (again.first_seq, again.events, again.end)
        self.sent.append(append)
        [outcome] = [AWAY] if fate == "cut" else self.store.append([append])
        self.ledger.settle(AWAY if fate == "lost" else outcome, self.clock.now())

    def drain(self) -> None:
        """Send until there is nothing to send."""
        while self.ledger.is_waiting:
            self.fly()

    def wait(self, number: int) -> None:
        """Wait as long as the ledger says, with nothing coming, and go on."""
        now = self.clock.now()
        self.clock.advance(max(0.0, self.ledger.until(number, now) - now))
        self.ledger.finish(number, now=self.clock.now())

    def write(self, *events: bytes, **fields: str | int | bytes) -> None:
        """Write as a caller does, while nothing comes from the store."""
        self.wait(self.ledger.add(events, fields, now=self.clock.now()))

    def log(self) -> list[bytes]:
        """Give the events of the log, which must be dense."""
        entries = [entry for entry in self.store.read("s", limit=100_000) if isinstance(entry, Recorded)]
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        return [entry.event for entry in entries]

    def save(self) -> None:
        """Remember what the store holds."""
        self.saved = copy.deepcopy(self.store._sessions)

    def rewind(self) -> None:
        """Have the store lose what came since."""
        self.store._sessions = copy.deepcopy(self.saved)

    def field(self, name: str) -> str:
        """Read a field of the checkpoint."""
        return self.store.get("s").text(name)
