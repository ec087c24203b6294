"""A process that reads: follows every session from before its beginning to its end, and writes down what it saw."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from resumable._core.store_errors import LogRewoundError, SessionNotFoundError, StoreError, StoreUnavailableError
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._follow import AsyncFollower, Follower
from resumable.store import Marker, Recorded
from tests.chaos.clocks import step_for_ever
from tests.chaos.diary import Diary
from tests.chaos.plan import Task
from tests.chaos.stores import aopen, open_

if TYPE_CHECKING:
    from resumable._recording._follow import Followed
    from resumable.store import Cursor

THREADS = 10  # sessions that are followed by a thread each; tasks follow all


class Reader:
    """
    One reader of one session, over as many followers as it takes.

    A stretch is what was seen from a beginning, over any number of followers that went on where the last one was.
    """

    def __init__(self, diary: Diary, session_id: str, name: str) -> None:
        self.session_id = session_id
        self.chance = random.Random(name)
        self.cursor: Cursor | None = None
        self._diary = diary
        self._name = name
        self._stretch = 0
        self._left = 0

    def begin(self) -> Cursor | None:
        """Say from where to follow, for how long, and whether all is to be seen anew."""
        if self.cursor is not None and self.chance.random() < 0.1:
            self.anew()
        self._left = self.chance.choice((5, 50, 10_000, 10_000))
        return self.cursor

    def anew(self) -> None:
        """Begin from the beginning."""
        self.cursor = None
        self._stretch += 1

    def see(self, entry: Followed) -> bool:
        """Write an entry down; tell whether to follow on with the same follower."""
        if isinstance(entry, Recorded):
            self.cursor = entry.cursor
            self._say("saw", id=str(entry.cursor), event=entry.event.decode())
        elif isinstance(entry, Marker):
            self.cursor = entry.cursor
            self._say("saw", id=str(entry.cursor), event=None, status=entry.status.value)
        self._left -= 1
        return self._left > 0

    def meet(self, error: StoreError) -> float:
        """[s] Take note of an error; say how long to rest."""
        if isinstance(error, LogRewoundError):
            self._say("rewound", last_seq=error.last_seq)
            self.anew()
        elif isinstance(error, SessionNotFoundError) and self.cursor is None:
            return 0.05  # nobody has opened it yet
        elif not (isinstance(error, StoreUnavailableError) and error.retryable):
            self._say("error", error=type(error).__name__, text=str(error)[:200])
            self.anew()
        return 0.02

    def end(self) -> None:
        """Note that the session was said to be over."""
        self._say("end")

    def _say(self, what: str, **facts: Any) -> None:
        self._diary.say(what, self.session_id, reader=self._name, stretch=self._stretch, **facts)


async def follow_async(reader: Reader, desk: AsyncDesk) -> None:
    """Follow to the end."""
    while True:
        is_cut = False
        try:
            async with AsyncFollower(desk, reader.session_id, reader.begin()) as follower:
                async for entry in follower:
                    if not reader.see(entry):
                        is_cut = True
                        break
        except StoreError as error:
            await asyncio.sleep(reader.meet(error))
        else:
            if not is_cut:
                reader.end()
                return


def follow(reader: Reader, desk: Desk) -> None:
    """Follow to the end."""
    while True:
        is_cut = False
        try:
            with Follower(desk, reader.session_id, reader.begin()) as follower:
                for entry in follower:
                    if not reader.see(entry):
                        is_cut = True
                        break
        except StoreError as error:
            time.sleep(reader.meet(error))
        else:
            if not is_cut:
                reader.end()
                return


def main(text: str) -> None:
    """Follow until all sessions are over."""
    task = Task.load(text)
    if task.steps:
        step_for_ever(task.name)
    diary = Diary(task.folder, f"reader-{task.name}")
    if task.way == "sync":
        _run_threads(task, diary)
    else:
        asyncio.run(_run_tasks(task, diary))


def _run_threads(task: Task, diary: Diary) -> None:
    desk = Desk.of(open_(task.url))
    readers = [Reader(diary, one, f"{task.name} {one}") for one in task.sessions[:THREADS]]
    threads = [threading.Thread(target=follow, args=(reader, desk)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _run_tasks(task: Task, diary: Diary) -> None:
    desk = AsyncDesk.of(aopen(task.url))
    async with asyncio.TaskGroup() as group:
        for one in task.sessions:
            group.create_task(follow_async(Reader(diary, one, f"{task.name} {one}"), desk))
