"""
What waits to be written to a store, by whom, and when the next flight leaves; pure, times are arguments.

One flight is under way at a time. What arrives meanwhile, in any session, goes out in the next one: alone, a write
leaves at once; under load, flights grow, and wait a little so that they grow more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from resumable._core.store_errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import Append, Appended

APPENDS = 1000  # in one flight
BYTES = 1 << 22  # [bytes] in one flight, about
_ALONE = 16  # Appends in a flight that is none to wait for.
_WINDOW = 0.015  # [s] Longest: half of it is what a write waits for others, in the middle.
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
        self._due: dict[Sender, float] = {}
        self._leaves_at = -math.inf
        self._failures = 0

    def __len__(self) -> int:
        return len(self._due)

    @property
    def is_away(self) -> bool:
        """Whether the last flight found no store."""
        return self._failures > 0

    @property
    def leaves_at(self) -> float:
        """[s] No flight leaves before this: it waits for company."""
        return self._leaves_at

    def join(self, sender: Sender) -> None:
        """Have what a sender has to write sent; one that waits for the store to come back goes on waiting."""
        self._due.setdefault(sender, -math.inf)

    def ready_at(self) -> float:
        """[s] Say when the next flight leaves; never, when nobody has anything to send."""
        return max(self._leaves_at, min(self._due.values(), default=math.inf))

    def take(self, now: float) -> Batch:
        """Load the next flight; first come, first served."""
        batch: Batch = []
        size = 0
        for sender in [sender for sender, due in self._due.items() if due <= now]:
            if len(batch) == APPENDS or size > BYTES:
                break
            del self._due[sender]
            append = sender.load(now)
            if append is not None:
                batch.append((sender, append))
                size += sum(map(len, append.events))
        return batch

    def put_back(self, batch: Batch) -> None:
        """Have a flight sent again whose outcome nobody heard."""
        for sender, _ in batch:
            self.join(sender)

    def settle(self, batch: Batch, outcomes: Sequence[Appended | Exception], now: float) -> None:
        """Tell everybody what became of the flight; who has more to send stays."""
        away = [isinstance(outcome, StoreUnavailableError) for outcome in outcomes]
        self._failures = self._failures + 1 if all(away) else 0
        for (sender, _), outcome, is_away in zip(batch, outcomes, away, strict=True):
            sender.settle(outcome, now)
            if sender.is_waiting:
                self._due[sender] = now + backoff(max(1, self._failures)) if is_away else -math.inf
            else:
                self._due.pop(sender, None)
        self._leaves_at = now + window(len(batch))

    def clear(self) -> None:
        """Forget everybody."""
        self._due.clear()
        self._failures = 0


def window(appends: int) -> float:
    """[s] Say how long the next flight waits for company after one of this size."""
    return 0.0 if appends <= _ALONE else min(_WINDOW, appends * _PER_APPEND)


def backoff(failures: int) -> float:
    """[s] Say how long to leave a store alone that has failed this often in a row."""
    return min(_BACKOFF * 2.0 ** min(failures - 1, 16), _LONGEST_BACKOFF)
