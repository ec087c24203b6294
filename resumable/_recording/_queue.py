"""
What waits to be written to a store, by whom, and when the next flight leaves; pure, times are arguments.

What arrives while a flight is under way, in any session, goes out in the next one: alone, a write leaves at once; in
a crowd, flights grow. A flight that is full need not wait for the one before it to land: the store works at one while
the next is built and the one before is read; but where a crowd waits and stays, client and server have no core to
spare, and two flights at once would only be in each other's way. A session has one append in the air at most, which
keeps its order.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from resumable._core.store_errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import Append, Appended

FULL = 100  # Appends in one flight. With more, all land together, write again together, and wait for each other.
BYTES = 1 << 22  # [bytes] in one flight, about
AIR = 2  # Flights under way at once, each over its own connection.
CROWD = 600  # Appends that wait: more than a process that keeps up has for long.
CROWDED = 300  # Appends in one flight then.
PROBE = 0.5  # [s] How long a crowd is given to get shorter, ...
GATHER = 2.0  # [s] ... and how long work is saved where it does not.
_ALONE = 16  # Appends in a flight that is none to wait for.
_WINDOW = 0.002  # [s] Longest: half of it is what a write waits for others, in the middle.
_PER_APPEND = 1e-4  # [s]
_BACKOFF = 0.05  # [s] After the first flight that failed, doubled with each.
_LONGEST_BACKOFF = 1.0  # [s]


class Sender(Protocol):
    """Who has something to write, one append at a time."""

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send."""
        ...

    def load(self, now: float) -> Append | None:
        """Say what to send: the same again, until it is settled."""
        ...

    def settle(self, outcome: Appended | Exception, now: float) -> None:
        """Hear what became of what was sent; holds a lock, so it must not call out."""
        ...

    def until(self, number: int, since: float) -> float:
        """[s] Say until when to wait for a write, having waited *since* then; the past when there is no need."""
        ...


Batch = list[tuple["Sender", "Append"]]


class Queue:
    """Everybody who has something to write to one store."""

    def __init__(self) -> None:
        self._due: dict[Sender, None] = {}
        self._resting: dict[Sender, float] = {}  # [s] until then: the store was away
        self._flying: set[Sender] = set()
        self._flights = 0
        self._is_crowded = False  # whether work is saved
        self._crowded_since = math.inf
        self._leaves_at = -math.inf
        self._failures = 0

    def __len__(self) -> int:
        return len(self._due) + len(self._resting)

    @property
    def is_away(self) -> bool:
        """Whether the last flight found no store."""
        return self._failures > 0

    @property
    def is_flying(self) -> bool:
        """Whether a flight is under way."""
        return self._flights > 0

    def join(self, sender: Sender) -> None:
        """Have what a sender has to write sent; one in the air, or that waits for the store, goes on waiting."""
        if sender not in self._flying and sender not in self._resting:
            self._due[sender] = None

    def ready_at(self) -> float:
        """[s] Say when the next flight leaves; never, when nobody has anything to send, or one must land first."""
        is_full = self._flights >= (1 if self._is_crowded else AIR)
        if self._flights and (self._failures or is_full or len(self._due) < FULL):
            return math.inf
        if self._due:
            return self._leaves_at if len(self._due) < FULL else -math.inf
        return max(self._leaves_at, min(self._resting.values(), default=math.inf))

    def take(self, now: float) -> Batch:
        """Load the next flight; first come, first served."""
        for sender in [sender for sender, due in self._resting.items() if due <= now]:
            del self._resting[sender]
            self._due[sender] = None
        self._note_crowd(now)
        batch: Batch = []
        size = 0
        for sender in list(islice(self._due, CROWDED if self._is_crowded else FULL)):
            if size > BYTES:
                break
            del self._due[sender]
            append = sender.load(now)
            if append is not None:
                batch.append((sender, append))
                size += sum(map(len, append.events))
        self._flying.update([sender for sender, _ in batch])
        self._flights += bool(batch)
        return batch

    def _note_crowd(self, now: float) -> None:
        """
        Note whether there is a crowd that two flights at once do not cope with.

        One flight at a time keeps a crowd a crowd, so that now and then it is tried without.
        """
        if len(self._due) < CROWD:
            self._crowded_since = math.inf
        elif not 0 <= now - self._crowded_since < PROBE + GATHER:  # It is new, or has been helped for long enough.
            self._crowded_since = now
        self._is_crowded = now - self._crowded_since >= PROBE

    def put_back(self, batch: Batch) -> None:
        """Have a flight sent again whose outcome nobody heard."""
        self._land(batch)
        for sender, _ in batch:
            self.join(sender)

    def settle(self, batch: Batch, outcomes: Sequence[Appended | Exception], now: float) -> None:
        """Tell everybody what became of the flight; who has more to send stays."""
        self._land(batch)
        is_lost = all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)
        self._failures = self._failures + 1 if is_lost else 0
        for (sender, _), outcome in zip(batch, outcomes, strict=True):
            sender.settle(outcome, now)
            if not sender.is_waiting:
                continue
            if isinstance(outcome, StoreUnavailableError):
                self._resting[sender] = now + backoff(max(1, self._failures))
            else:
                self._due[sender] = None
        self._leaves_at = now + window(len(batch))

    def _land(self, batch: Batch) -> None:
        self._flying.difference_update([sender for sender, _ in batch])
        self._flights -= 1

    def clear(self) -> None:
        """Forget everybody."""
        self._due.clear()
        self._resting.clear()
        self._flying.clear()
        self._flights = self._failures = 0


def window(appends: int) -> float:
    """[s] Say how long the next flight waits for company after one of this size."""
    return 0.0 if appends <= _ALONE else min(_WINDOW, appends * _PER_APPEND)


def backoff(failures: int) -> float:
    """[s] Say how long to leave a store alone that has failed this often in a row."""
    return min(_BACKOFF * 2.0 ** min(failures - 1, 16), _LONGEST_BACKOFF)
