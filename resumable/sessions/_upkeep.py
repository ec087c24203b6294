"""
Look after the sessions that nobody writes, in two colours: continue or mark what was left, compact what is over.

Any number of processes may: what one has claimed, the others leave alone for a while, and what a claim came to is
decided by the session's own lease. Nothing is done while the holders of a store that was away may still come back.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from resumable._core.store_errors import SessionEndedError, StoreError, StoreUnavailableError
from resumable._recording._fields import lease_of
from resumable._recording._terms import Terms
from resumable.store import MAX_EVENTS, Checkpoint, Entry, Status, Upkeep
from resumable.store._packs import pack_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from resumable._recording._desk import AsyncDesk, Desk
    from resumable.store import AsyncStore, Store

#: [s] For how long what one has claimed is left alone by the others.
HOLD: Final = 60.0
#: [s] Continued sessions begin within so long of each other: several processes find work at the same time.
SPREAD: Final = 2.0
#: [s] Between two sweeps, about.
INTERVAL: Final = 15.0
_LEASE: Final = Terms().lease

Resume: TypeAlias = "Callable[[str], Any]"


class Rules(NamedTuple):
    """
    What a sweep does.

    Attributes:
        principal: Whose sessions are continued.
        limit: [sessions] At most this many of each kind.
        at_once: [sessions] At most this many are continued at the same time.
        compact_after: [s] What has been over for so long is compacted; `None` for nothing.
    """

    principal: str = ""
    limit: int = 100
    at_once: int = 4
    compact_after: float | None = 300.0


class Swept(msgspec.Struct, frozen=True):
    """
    What a sweep came to.

    Attributes:
        continued: IDs of the sessions that were continued to their end.
        orphaned: Of those that were marked: they wait for a credential of their principal.
        compacted: Of those that were compacted.
        failures: ID to the error, of those with which it did not work; they are tried again by a later sweep.
        again_in: [s] When to sweep again; by chance, so that processes that saw the same do not come at once.
    """

    continued: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    compacted: tuple[str, ...] = ()
    failures: Mapping[str, Exception] = {}
    again_in: float = INTERVAL


class _Round:
    """What a sweep has come to so far; the same in both colours."""

    def __init__(self, rules: Rules, chance: Callable[[], float], *, can_continue: bool) -> None:
        self._rules = rules
        self._chance = chance
        self._can_continue = can_continue
        self._continued: list[str] = []
        self._orphaned: list[str] = []
        self._compacted: list[str] = []
        self._failures: dict[str, Exception] = {}
        self._is_full = False

    def _claimed(self, names: Sequence[str]) -> Sequence[str]:
        """Take note whether there is more."""
        self._is_full |= len(names) >= self._rules.limit
        return names

    def _is_ours(self, there: Checkpoint) -> bool:
        """Whether there is a credential for it."""
        return self._can_continue and there.principal == self._rules.principal

    def _told(self, wait: float = 0.0) -> Swept:
        """Say what it came to."""
        if wait:
            again_in = min(wait, _LEASE) + self._chance() * _LEASE
        else:
            again_in = self._chance() if self._is_full else INTERVAL * (0.5 + self._chance())
        return Swept(tuple(self._continued), tuple(self._orphaned), tuple(self._compacted), self._failures, again_in)


def _is_left(there: Checkpoint | StoreError) -> bool:
    """Whether nobody writes what should be written."""
    return isinstance(there, Checkpoint) and not there.is_held and not there.status.is_over


class Sweeper(_Round):
    """
    Sweeps once.

    Args:
        desk: Of the store.
        resume: Gives a session's stream, in the name of the rules' principal; `None` without a credential.
        rules: What to do.
        chance: Between 0 and 1, at random.
    """

    def __init__(self, desk: Desk, resume: Resume | None, rules: Rules, chance: Callable[[], float]) -> None:
        super().__init__(rules, chance, can_continue=resume is not None)
        self._desk = desk
        self._resume: Any = resume

    def sweep(self) -> Swept:
        """
        Do what there is to do.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        desk = self._desk
        try:
            desk.vigil.told(desk.store.ping(), desk.now())
            wait = desk.vigil.takeover_in(_LEASE, desk.now())
            if wait:
                return self._told(wait)
            self._settle()
            self._compact()
        except StoreUnavailableError as away:
            desk.vigil.away(away)
            raise
        return self._told()

    def _settle(self) -> None:
        """Continue what was left where there is a credential, and mark the rest."""
        desk, rules = self._desk, self._rules
        ours: list[str] = []
        names = self._claimed(desk.store.claim(Upkeep.LAPSED, hold=HOLD, limit=rules.limit))
        for there in desk.store.look(names):
            if isinstance(there, StoreError) or not _is_left(there):
                continue
            if desk.vigil.takeover_in(lease_of(there.fields) or _LEASE, desk.now()):
                continue
            if self._is_ours(there):
                ours.append(there.session_id)
            elif there.status is Status.RUNNING:
                self._mark(there.session_id)
        if self._can_continue:
            claimed = desk.store.claim(Upkeep.ORPHANED, hold=HOLD, principal=rules.principal, limit=rules.limit)
            ours += self._claimed(claimed)
        self._each(self._continue, ours)

    def _mark(self, session_id: str) -> None:
        """Mark one as orphaned, unless somebody took it over meanwhile."""
        try:
            if self._desk.store.orphan(session_id):
                self._orphaned.append(session_id)
        except StoreUnavailableError:
            raise
        except StoreError as refused:
            self._failures[session_id] = refused

    def _continue(self, session_id: str) -> None:
        """Continue one to its end, unless somebody does meanwhile."""
        desk = self._desk
        try:
            desk.hub.clock.sleep(self._chance() * SPREAD)
            [there] = desk.store.look([session_id])
            if _is_left(there):
                with self._resume(session_id) as stream:
                    for _ in stream:
                        pass
                self._continued.append(session_id)
        except SessionEndedError:
            pass  # Somebody stopped it.
        except Exception as error:  # noqa: BLE001  # Reason: one's trouble must not cost the others
            self._failures[session_id] = error

    def _compact(self) -> None:
        """Compact what has been over for long enough."""
        age, limit = self._rules.compact_after, self._rules.limit
        if age is None:
            return
        store = self._desk.store
        for session_id in self._claimed(store.claim(Upkeep.FINISHED, hold=HOLD, min_age=age, limit=limit)):
            try:
                if compact(store, session_id):
                    self._compacted.append(session_id)
            except StoreUnavailableError:
                raise
            except StoreError as refused:
                self._failures[session_id] = refused

    def _each(self, work: Callable[[str], None], names: Iterable[str]) -> None:
        with ThreadPoolExecutor(self._rules.at_once, "resumable-sweep") as crew:
            list(crew.map(work, names))


class AsyncSweeper(_Round):
    """`Sweeper` for asyncio; it differs by `await` alone."""

    def __init__(self, desk: AsyncDesk, resume: Resume | None, rules: Rules, chance: Callable[[], float]) -> None:
        super().__init__(rules, chance, can_continue=resume is not None)
        self._desk = desk
        self._resume: Any = resume

    async def sweep(self) -> Swept:
        """As `Sweeper.sweep`."""
        desk = self._desk
        try:
            desk.vigil.told(await desk.store.ping(), desk.now())
            wait = desk.vigil.takeover_in(_LEASE, desk.now())
            if wait:
                return self._told(wait)
            await self._settle()
            await self._compact()
        except StoreUnavailableError as away:
            desk.vigil.away(away)
            raise
        return self._told()

    async def _settle(self) -> None:
        """Continue what was left where there is a credential, and mark the rest."""
        desk, rules = self._desk, self._rules
        ours: list[str] = []
        names = self._claimed(await desk.store.claim(Upkeep.LAPSED, hold=HOLD, limit=rules.limit))
        for there in await desk.store.look(names):
            if isinstance(there, StoreError) or not _is_left(there):
                continue
            if desk.vigil.takeover_in(lease_of(there.fields) or _LEASE, desk.now()):
                continue
            if self._is_ours(there):
                ours.append(there.session_id)
            elif there.status is Status.RUNNING:
                await self._mark(there.session_id)
        if self._can_continue:
            claimed = await desk.store.claim(Upkeep.ORPHANED, hold=HOLD, principal=rules.principal, limit=rules.limit)
            ours += self._claimed(claimed)
        await self._each(self._continue, ours)

    async def _mark(self, session_id: str) -> None:
        """Mark one as orphaned, unless somebody took it over meanwhile."""
        try:
            if await self._desk.store.orphan(session_id):
                self._orphaned.append(session_id)
        except StoreUnavailableError:
            raise
        except StoreError as refused:
            self._failures[session_id] = refused

    async def _continue(self, session_id: str) -> None:
        """Continue one to its end, unless somebody does meanwhile."""
        desk = self._desk
        try:
            await desk.hub.clock.asleep(self._chance() * SPREAD)
            [there] = await desk.store.look([session_id])
            if _is_left(there):
                async with await self._resume(session_id) as stream:
                    async for _ in stream:
                        pass
                self._continued.append(session_id)
        except SessionEndedError:
            pass  # Somebody stopped it.
        except Exception as error:  # noqa: BLE001  # Reason: one's trouble must not cost the others
            self._failures[session_id] = error

    async def _compact(self) -> None:
        """Compact what has been over for long enough."""
        age, limit = self._rules.compact_after, self._rules.limit
        if age is None:
            return
        store = self._desk.store
        for session_id in self._claimed(await store.claim(Upkeep.FINISHED, hold=HOLD, min_age=age, limit=limit)):
            try:
                if await acompact(store, session_id):
                    self._compacted.append(session_id)
            except StoreUnavailableError:
                raise
            except StoreError as refused:
                self._failures[session_id] = refused

    async def _each(self, work: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
        gate = asyncio.Semaphore(self._rules.at_once)

        async def one(name: str) -> None:
            async with gate:
                await work(name)

        async with asyncio.TaskGroup() as crew:
            for name in names:
                crew.create_task(one(name))


def compact(store: Store, session_id: str) -> bool:
    """Put the events of a session that is over into packs; say whether it is compact now."""
    there = store.get(session_id)
    if there.is_compact or not there.status.is_over:
        return there.is_compact
    log: list[Entry] = []
    is_whole = False
    while not is_whole:
        page = store.read(session_id, after=log[-1].cursor if log else None)
        log += page
        is_whole = len(page) < MAX_EVENTS
    return store.compact(session_id, pack_log(log))


async def acompact(store: AsyncStore, session_id: str) -> bool:
    """As `compact`."""
    there = await store.get(session_id)
    if there.is_compact or not there.status.is_over:
        return there.is_compact
    log: list[Entry] = []
    is_whole = False
    while not is_whole:
        page = await store.read(session_id, after=log[-1].cursor if log else None)
        log += page
        is_whole = len(page) < MAX_EVENTS
    return await store.compact(session_id, pack_log(log))
