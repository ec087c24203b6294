"""Writers and a reader that go on through whatever is done to their servers, and what came of it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from resumable._core.store_errors import LogRewoundError, StoreError, StoreUnavailableError
from resumable.store import Append, Appended, Cursor, Opening, Recorded
from tests.store.stores import KEPT, LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resumable.store import Entry, Store

NAMES: Final = [f"s{i}" for i in range(6)]  # over all three primaries of a Cluster
LOG: Final = "resumable:{s0}:log"  # of the first


class Load:
    """
    One writer with a session of each of `NAMES`, and one reader of all.

    Attributes:
        acked: Events of each session that the store acknowledged.
        seen: Seqs that the reader got of each, in order.
        rewound: What the writer was told: session, seq it knew of, seq that there was.
        refused: What its calls failed with, word for word.
        stalls: [s] The longest time between two acknowledgements, of each.
        slowest: [s] The longest call.
        ended: Sessions whose reader was told that the log was rewound.
    """

    def __init__(self, writer: Store, reader: Store) -> None:
        self._writer, self._reader = writer, reader
        opening = Opening(b"{}", "hash")
        self.leases = {
            name: writer.acquire(name, "writer", duration=LONG, ttl=KEPT, opening=opening).lease for name in NAMES
        }
        self.acked = dict.fromkeys(NAMES, 0)
        self.seen: dict[str, list[int]] = {name: [] for name in NAMES}
        self.rewound: list[tuple[str, int, int]] = []
        self.refused: list[str] = []
        self.stalls = dict.fromkeys(NAMES, 0.0)
        self.slowest = 0.0
        self.ended: set[str] = set()
        self._cursors = {name: Cursor(lease.token, 0) for name, lease in self.leases.items()}
        self._is_over = threading.Event()
        self._last = dict.fromkeys(NAMES, time.monotonic())
        self._failures: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write and read while something is done, and until every session has got on after it."""
        threads = [threading.Thread(target=self._run, args=[turn]) for turn in (self._write, self._read)]
        for thread in threads:
            thread.start()
        try:
            self.advance()
            yield
            self.advance()
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join(60)
        assert not self._failures

    def advance(self, by: int = 5) -> None:
        """Wait until every session has so many events more, acknowledged and seen."""
        goal = {name: count + by for name, count in self.acked.items()}
        limit = time.monotonic() + 60
        while not all(
            self.acked[name] >= goal[name] and (name in self.ended or len(self.seen[name]) >= goal[name])
            for name in NAMES
        ):
            assert time.monotonic() < limit, (goal, self.acked, self.refused[-5:])
            assert not self._failures
            time.sleep(0.01)

    def check(self) -> None:
        """Hold the logs to what was acknowledged, and the reader to the logs: no hole, no repeat."""
        for name in NAMES:
            log = events(self._reader, name)
            assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
            assert len(log) >= self.acked[name]
            assert [entry.event for entry in log] == [event_of(name, entry.seq) for entry in log]
            assert self.seen[name] == list(range(1, len(self.seen[name]) + 1))

    def _run(self, turn: Callable[[], None]) -> None:
        try:
            while not self._is_over.is_set():
                turn()
        except BaseException as exc:
            self._failures.append(exc)
            raise

    def _write(self) -> None:
        flight = [Append(self.leases[name], seq + 1, [event_of(name, seq + 1)]) for name, seq in self.acked.items()]
        began = time.monotonic()
        try:
            outcomes = self._writer.append(flight)
        except StoreUnavailableError as away:
            outcomes = [away] * len(flight)
        now = time.monotonic()
        self.slowest = max(self.slowest, now - began)
        for name, outcome in zip(NAMES, outcomes, strict=True):
            self._settle(name, outcome, now)
        self._is_over.wait(0.01)

    def _settle(self, name: str, outcome: Appended | StoreError, now: float) -> None:
        if isinstance(outcome, Appended):
            self.acked[name] += 1
            self.stalls[name] = max(self.stalls[name], now - self._last[name])
            self._last[name] = now
        elif isinstance(outcome, LogRewoundError):
            self.rewound.append((name, self.acked[name], outcome.last_seq))
            self.acked[name] = outcome.last_seq
        else:
            assert isinstance(outcome, StoreUnavailableError)
            self.refused.append(f"{outcome.reason} ({outcome.cause_name})")

    def _read(self) -> None:
        try:
            found = self._reader.wait({k: v for k, v in self._cursors.items() if k not in self.ended}, 0.5)
        except StoreUnavailableError:
            self._is_over.wait(0.05)
            return
        for name, following in found.items():
            if isinstance(following, StoreError):
                assert isinstance(following, LogRewoundError)
                self.ended.add(name)
                continue
            self._cursors[name] = following[-1].cursor
            self.seen[name] += [entry.seq for entry in following if isinstance(entry, Recorded)]


def event_of(name: str, seq: int) -> bytes:
    """Make the event that belongs there."""
    return f'{{"of": "{name}", "seq": {seq}}}'.encode()


def events(store: Store, name: str) -> list[Recorded]:
    """Read the whole log."""
    found: list[Entry] = []
    while page := store.read(name, after=found[-1].cursor if found else None):
        found += page
    return [entry for entry in found if isinstance(entry, Recorded)]
