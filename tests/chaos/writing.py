"""A process that writes: takes whatever session nobody holds, adds to it, and leaves it in one way or another."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from resumable._core.store_errors import (
    LeaseHeldError,
    LogRewoundError,
    SessionEndedError,
    StoreError,
    StoreUnavailableError,
)
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._journal import AsyncJournal, Journal
from resumable.store import Append, Appended, Checkpoint, Lease, Opening, Status
from tests.chaos.clocks import step_for_ever
from tests.chaos.diary import Diary
from tests.chaos.plan import LANES, Task, Way, event_of, length_of
from tests.chaos.stores import aopen, open_
from tests.chaos.teeth import mutate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import AsyncStore, Store

PATIENCE = 30.0  # [s] How long a writer of our own bears a store that is away.
TTL = 3600.0  # [s]


class Batch(NamedTuple):
    """What to write next."""

    first_seq: int
    events: Sequence[bytes]
    end: Status | None

    @property
    def last_seq(self) -> int:
        """Seq of the last of them."""
        return self.first_seq + len(self.events) - 1


class Shelf:
    """The sessions of a storm, as one process knows them."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._over: set[str] = set()

    @property
    def is_calm(self) -> bool:
        """Whether the storm is over."""
        return (Path(self.task.folder) / "calm").exists()

    def pick(self, chance: random.Random) -> str | None:
        """Pick a session to work at; `None` when all seem to be over."""
        left = [one for one in self.task.sessions if one not in self._over]
        return chance.choice(left) if left else None

    def put(self, session_id: str) -> None:
        """Note that a session is over."""
        self._over.add(session_id)

    def review(self, found: Sequence[Checkpoint | StoreError]) -> bool:
        """Look again, for a server may have lost an end; tell whether all is over for good."""
        is_over = [isinstance(one, Checkpoint) and one.status.is_over for one in found]
        self._over = {name for name, so in zip(self.task.sessions, is_over, strict=True) if so}
        return all(is_over) and self.is_calm


class Holding:
    """What one holder does with its session."""

    def __init__(self, shelf: Shelf, chance: random.Random, lease: Lease, last_seq: int) -> None:
        self.lease = lease
        self.seq = last_seq
        self._chance = chance
        self._target = length_of(lease.session_id)
        # Most leave before the end while the storm lasts, so that sessions change hands.
        is_short = not shelf.is_calm and chance.random() < 0.7
        self._turns = chance.randint(1, 12) if is_short else 10_000
        self._shelf = shelf

    def batch(self, cancel: str | None) -> Batch:
        """Make what comes next."""
        if cancel is not None:
            return Batch(self.seq + 1, (), Status.CANCELLED)
        count = min(self._chance.choice((1, 1, 1, 2, 3, 8)), max(self._target - self.seq, 0))
        events = [
            event_of(self.lease.session_id, self.seq + 1 + i, self.lease.token, self.lease.holder) for i in range(count)
        ]
        is_last = self.seq + count >= self._target
        return Batch(self.seq + 1, events, Status.COMPLETE if is_last else None)

    def wrote(self, batch: Batch) -> bool:
        """Take note; tell whether to go on."""
        self.seq = batch.last_seq
        self._turns -= 1
        return self._turns > 0

    def pause(self) -> float:
        """[s] Say how long to rest; at times for longer than a lease that nobody renews."""
        if self._chance.random() < 0.3 or self._shelf.is_calm:
            return 0.0
        return self.lease.duration * self._chance.choice((0.01, 0.03, 0.1, 0.3, 1.2))

    def leaves_cleanly(self) -> bool:
        """Tell whether to give the lease up, and not just to walk away."""
        return self._chance.random() < 0.6


def fields_of(batch: Batch) -> dict[str, str | int | bytes]:
    """Make fields that must always agree with the log."""
    return {"upto": batch.last_seq, "words": f"up to {batch.last_seq}"}


def opening() -> Opening:
    """Make the request that all sessions share."""
    return Opening(b'{"model": "m"}', "hash", "alice", {"upto": 0, "words": "up to 0"})


def said(holding: Holding, acked: int) -> dict[str, object]:
    """Say where a holder is."""
    lease = holding.lease
    return {"token": lease.token, "holder": lease.holder, "acked": acked, "delivered": holding.seq}


class Hand:
    """What a lane does; the sync ways share it."""

    def __init__(self, shelf: Shelf, diary: Diary, number: int) -> None:
        self.shelf = shelf
        self.diary = diary
        self.chance = random.Random(f"{shelf.task.name} {number}")
        self.name = f"{shelf.task.name}.{number}"
        self.count = 0

    def next_name(self) -> str:
        """Name the next holder."""
        self.count += 1
        return f"{self.name}.{self.count}"

    def refused(self, session_id: str, error: StoreError) -> float:
        """[s] Take note that a session could not be had; say how long to rest."""
        if isinstance(error, SessionEndedError):
            self.shelf.put(session_id)
            return 0.0
        if not isinstance(error, LeaseHeldError):
            self.diary.say("refused", session_id, **facts_of(error))
        return self.chance.uniform(0.02, 0.2) * self.shelf.task.lease

    def stopped(self, holding: Holding, acked: int, error: Exception) -> None:
        """Take note that a holder could not go on."""
        self.diary.say("stopped", holding.lease.session_id, **said(holding, acked), **facts_of(error))


def facts_of(error: Exception) -> dict[str, object]:
    """Say what an error was."""
    return {
        "error": type(error).__name__,
        "retryable": getattr(error, "retryable", None),
        "reason": getattr(error, "reason", None),
        "last_seq": getattr(error, "last_seq", None),
        "text": f"{error} / {error.__cause__!r}"[:300],
    }


class StoreLane(Hand):
    """Writes through a store alone."""

    def __init__(self, shelf: Shelf, diary: Diary, number: int, store: Store) -> None:
        super().__init__(shelf, diary, number)
        self.store = store

    def run(self) -> None:
        """Work until all is over."""
        while True:
            session_id = self.shelf.pick(self.chance)
            if session_id is None:
                with suppress(StoreUnavailableError):
                    if self.shelf.review(self.store.look(self.shelf.task.sessions)):
                        return
                time.sleep(0.05)
                continue
            try:
                self.work(session_id)
            except StoreError as error:
                time.sleep(self.refused(session_id, error))

    def work(self, session_id: str) -> None:
        """Take a session, add to it, leave it."""
        task = self.shelf.task
        got = self.store.acquire(session_id, self.next_name(), duration=task.lease, ttl=TTL, opening=opening())
        holding = Holding(self.shelf, self.chance, got.lease, got.last_seq)
        self.diary.say("took", session_id, **said(holding, got.last_seq))
        cancel: str | None = None
        while True:
            batch = holding.batch(cancel)
            outcome = self.append(holding, batch)
            if not isinstance(outcome, Appended):
                self.stopped(holding, holding.seq, outcome)
                return
            cancel = outcome.cancel
            is_staying = holding.wrote(batch)
            self.diary.say("wrote", session_id, **said(holding, holding.seq), end=batch.end and batch.end.value)
            if batch.end is not None:
                return
            if not is_staying:
                break
            time.sleep(holding.pause())
        if holding.leaves_cleanly():
            with suppress(StoreError):
                self.store.release(got.lease)

    def append(self, holding: Holding, batch: Batch) -> Appended | StoreError:
        """Send until there is an answer; the same again, and what the log lost with it."""
        limit = time.monotonic() + PATIENCE
        lease = holding.lease
        one = Append(lease, batch.first_seq, batch.events, fields_of(batch), batch.end)
        while True:
            try:
                [outcome] = self.store.append([one])
            except StoreUnavailableError as error:
                outcome = error
            if isinstance(outcome, LogRewoundError) and outcome.last_seq >= lease.base:
                lost = range(outcome.last_seq + 1, batch.last_seq + 1)
                events = [event_of(lease.session_id, seq, lease.token, lease.holder) for seq in lost]
                self.diary.say("rewound", lease.session_id, **said(holding, outcome.last_seq))
                one = Append(lease, outcome.last_seq + 1, events, fields_of(batch), batch.end)
                continue
            away = isinstance(outcome, StoreUnavailableError) and outcome.retryable
            if not away or time.monotonic() > limit:
                return outcome
            time.sleep(self.chance.uniform(0.001, 0.02))


class JournalLane(StoreLane):
    """Writes through a journal."""

    def __init__(self, shelf: Shelf, diary: Diary, number: int, desk: Desk) -> None:
        super().__init__(shelf, diary, number, desk.store)
        self.desk = desk

    def work(self, session_id: str) -> None:
        """Take a session, add to it, leave it."""
        task = self.shelf.task
        durability = self.chance.choice(("write-ahead", "write-ahead", "relaxed"))
        journal = Journal.open(
            self.desk, session_id, opening(), lease=task.lease, ttl=TTL, durability=durability, store_outage="degrade"
        )
        holding = Holding(self.shelf, self.chance, journal.lease, journal.last_seq)
        self.diary.say("took", session_id, **said(holding, journal.last_seq))
        is_staying, is_over = True, False
        try:
            while is_staying:
                batch = holding.batch(journal.cancel_reason)
                is_over = batch.end is not None
                if batch.end is not None:
                    journal.end(batch.end, batch.events, fields_of(batch))
                else:
                    journal.write(batch.events, fields_of(batch))
                is_staying = holding.wrote(batch) and not is_over
                end = batch.end and batch.end.value
                self.diary.say("wrote", session_id, **said(holding, journal.last_seq), end=end)
                time.sleep(holding.pause() if is_staying else 0)
            if not is_over:
                journal.release()
                self.diary.say("left", session_id, **said(holding, journal.last_seq))
        except StoreError as error:
            self.stopped(holding, journal.last_seq, error)


class AsyncLane(Hand):
    """Writes through an async journal."""

    def __init__(self, shelf: Shelf, diary: Diary, number: int, store: AsyncStore, desk: AsyncDesk) -> None:
        super().__init__(shelf, diary, number)
        self.store = store
        self.desk = desk

    async def run(self) -> None:
        """Work until all is over."""
        while True:
            session_id = self.shelf.pick(self.chance)
            if session_id is None:
                with suppress(StoreUnavailableError):
                    if self.shelf.review(await self.store.look(self.shelf.task.sessions)):
                        return
                await asyncio.sleep(0.05)
                continue
            try:
                await self.work(session_id)
            except StoreError as error:
                await asyncio.sleep(self.refused(session_id, error))

    async def work(self, session_id: str) -> None:
        """Take a session, add to it, leave it."""
        task = self.shelf.task
        durability = self.chance.choice(("write-ahead", "write-ahead", "relaxed"))
        journal = await AsyncJournal.open(
            self.desk, session_id, opening(), lease=task.lease, ttl=TTL, durability=durability, store_outage="degrade"
        )
        holding = Holding(self.shelf, self.chance, journal.lease, journal.last_seq)
        self.diary.say("took", session_id, **said(holding, journal.last_seq))
        is_staying, is_over = True, False
        try:
            while is_staying:
                batch = holding.batch(journal.cancel_reason)
                is_over = batch.end is not None
                if batch.end is not None:
                    await journal.end(batch.end, batch.events, fields_of(batch))
                else:
                    await journal.write(batch.events, fields_of(batch))
                is_staying = holding.wrote(batch) and not is_over
                end = batch.end and batch.end.value
                self.diary.say("wrote", session_id, **said(holding, journal.last_seq), end=end)
                await asyncio.sleep(holding.pause() if is_staying else 0)
            if not is_over:
                await journal.release()
                self.diary.say("left", session_id, **said(holding, journal.last_seq))
        except StoreError as error:
            self.stopped(holding, journal.last_seq, error)


def main(text: str) -> None:
    """Write until all sessions are over."""
    task = Task.load(text)
    mutate(task.mutation)
    if task.steps:
        step_for_ever(task.name)
    diary, shelf = Diary(task.folder, f"writer-{task.name}"), Shelf(task)
    if task.way == Way.AJOURNAL.value:
        asyncio.run(_run_tasks(task, shelf, diary))
        return
    store = open_(task.url)
    lanes: list[StoreLane]
    if task.way == Way.JOURNAL.value:
        desk = Desk.of(store)
        lanes = [JournalLane(shelf, diary, number, desk) for number in range(LANES[Way(task.way)])]
    else:
        desk = None
        lanes = [StoreLane(shelf, diary, number, store) for number in range(LANES[Way(task.way)])]
    threads = [threading.Thread(target=lane.run) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if desk is not None:
        desk.close()
    store.close()


async def _run_tasks(task: Task, shelf: Shelf, diary: Diary) -> None:
    store = aopen(task.url)
    desk = AsyncDesk.of(store)
    async with asyncio.TaskGroup() as group:
        for number in range(LANES[Way(task.way)]):
            group.create_task(AsyncLane(shelf, diary, number, store, desk).run())
    await desk.close()
    await store.close()
