"""
A world of workers, an upstream that refuses, and a store between them, in virtual time.

Deterministic: what a worker decides is decided by the code that the middleware runs (`retry.decide`, `fleet`);
everything random is drawn from one seed.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from resumable import RetryPolicy
from resumable._core import retry
from resumable._core.errors import UpstreamStatusError
from resumable._core.fleet import Courtesy, Hint, held_back, hint_of, read_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

#: [s] From a worker to upstream; a refusal is as far away again.
ONE_WAY: Final = (0.02, 0.08)
#: [s] Until a note that was written can be read, and so old may be what a process knows.
STORE_DELAY, FRESH = 0.002, 1.0
#: [s] That an answer takes; the worker then thinks before the next request.
ANSWER, THINK = (2.0, 10.0), (0.5, 3.0)


class RateLimit:
    """So many requests a minute, in a bucket that fills steadily; says when the next one fits, in whole seconds."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self._rate = per_minute / 60
        self._burst = self._left = burst
        self._at = 0.0

    def refuse(self, now: float) -> UpstreamStatusError | None:
        """Take a request, or refuse it."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return None
        wait = float(max(1, -int(-(1 - self._left) / self._rate // 1)))
        return UpstreamStatusError(status=429, error_type="rate_limit_error", retry_after=wait)


class Outage:
    """Refuses everybody for a while; then takes so many a second, since what comes in step overloads it again."""

    def __init__(self, start: float, end: float, per_second: float) -> None:
        self.start, self.end = start, end
        self._crowd = RateLimit(per_second * 60, per_second)

    def refuse(self, now: float) -> UpstreamStatusError | None:
        """Take a request, or refuse it."""
        is_crowded = now >= self.end and self._crowd.refuse(now) is not None
        if self.start <= now < self.end or is_crowded:
            return UpstreamStatusError(status=529, error_type="overloaded_error")
        return None


@dataclass(slots=True)
class Outcome:
    """
    What became of all requests.

    Attributes:
        served: [s] When each was taken.
        refused: [s] When each refusal was told.
        gave_up: Messages that were given up.
        latencies: [s] Of each message that was served, from when it was wanted until it was taken.
        held: [s] Of those, time held back for others.
    """

    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    gave_up: int = 0
    latencies: list[float] = field(default_factory=list)
    held: float = 0.0


class Store:
    """Where notes are; each can be read a moment after it was written."""

    def __init__(self) -> None:
        self._notes: dict[str, list[tuple[float, Hint]]] = {}

    def post(self, kind: str, value: bytes, now: float) -> None:
        """Write a note."""
        hint = read_hint(value)
        assert hint is not None  # Invariant: what is written can be read.
        self._notes.setdefault(kind, []).append((now + STORE_DELAY, hint))

    def read(self, now: float) -> list[tuple[Hint, float]]:
        """Give each kind's last note that has arrived, and when it is gone [s]."""
        found = []
        for kind, notes in self._notes.items():
            arrived = [note for note in notes if note[0] <= now]
            self._notes[kind] = [*arrived[-1:], *(note for note in notes if note[0] > now)]
            if arrived:
                found.append((arrived[-1][1], arrived[-1][0] - STORE_DELAY + arrived[-1][1].life))
        return found


class Worker:
    """One process: its policy's waits, and what it knows of the store."""

    def __init__(self, store: Store | None, random: Random) -> None:
        self._store = store
        self._random = random
        self._known: list[tuple[Hint, float]] = []
        self._read_at = -FRESH

    def live(self, until: float, world: World) -> Generator[float, None, None]:
        """Want one message after another; each yield is a time to be woken."""
        yield self._random.uniform(0.0, 5.0)
        while world.now < until:
            yield from self._message(world)
            yield world.now + self._random.uniform(*THINK)

    def _message(self, world: World) -> Generator[float, None, None]:
        policy, wanted, outcome = RetryPolicy(), world.now, world.outcome
        history = retry.History(wanted)
        place = self._random.random()
        courtesy = Courtesy(lambda: self._held_back(world.now, place), policy.max_wait, policy.retry_after_cap)
        while True:
            while (wait := courtesy.wait(world.now, float("inf"))) > 0:
                yield world.now + min(wait, FRESH)
            held = courtesy.end(world.now)
            history.waited += held
            outcome.held += held
            yield world.now + self._random.uniform(*ONE_WAY)
            failure = world.upstream.refuse(world.now)
            if failure is None:
                outcome.served.append(world.now)
                outcome.latencies.append(world.now - wanted)
                history.progress()
                yield world.now + self._random.uniform(*ANSWER)
                return
            yield world.now + self._random.uniform(*ONE_WAY)
            outcome.refused.append(world.now)
            self._tell(failure, world.now)
            verdict = retry.decide(failure, history, policy, self._random.random, world.now)
            if isinstance(verdict, retry.GiveUp):
                outcome.gave_up += 1
                return
            yield world.now + verdict.delay

    def _tell(self, failure: UpstreamStatusError, now: float) -> None:
        found = hint_of(failure)
        if self._store is not None and found is not None:
            self._store.post(found[0], found[1].encode(), now)
            self._read_at = -FRESH

    def _held_back(self, now: float, place: float) -> float:
        if self._store is None:
            return 0.0
        if now - self._read_at >= FRESH:
            self._known, self._read_at = self._store.read(now), now
        return max((held_back(hint, gone - now, place) for hint, gone in self._known), default=0.0)


class World:
    """Runs workers in virtual time, in the order of their wakings."""

    def __init__(self, upstream: RateLimit | Outage) -> None:
        self.now = 0.0
        self.upstream = upstream
        self.outcome = Outcome()

    def run(self, workers: list[Worker], until: float) -> Outcome:
        """Let all live until nobody wants anything any more."""
        count = itertools.count()
        lives = [worker.live(until, self) for worker in workers]
        queue = [(next(life), next(count), life) for life in lives]
        heapq.heapify(queue)
        while queue:
            self.now, _, life = heapq.heappop(queue)
            wake = next(life, None)
            if wake is not None:
                heapq.heappush(queue, (max(wake, self.now), next(count), life))
        return self.outcome


def simulate(
    make: Callable[[], RateLimit | Outage], *, workers: int, until: float, has_fleet: bool, seed: int
) -> Outcome:
    """Run workers against an upstream; *has_fleet* says whether they share a store."""
    store = Store() if has_fleet else None
    random = Random(seed)
    crew = [Worker(store, Random(random.random())) for _ in range(workers)]
    return World(make()).run(crew, until)
