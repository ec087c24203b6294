"""
A store whose content is encrypted, around any other, in two colours.

What is encrypted, with what, and what is believed is decided in `_seals`; what differs between the colours is `await`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from resumable._core.store_errors import SealedError, SessionConflictError, StoreError
from resumable.store._records import MAX_EVENTS

from ._notes import AsyncSealedNotes, SealedNotes
from ._seals import Seals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resumable.store._interface import AsyncStore, Store
    from resumable.store._packs import Stored
    from resumable.store._records import (
        Acquired,
        Append,
        Appended,
        Cancelled,
        Cancels,
        Checkpoint,
        Cursor,
        Entry,
        Lease,
        Opening,
        Status,
        Upkeep,
        Vitals,
    )

    from ._keyring import Keyring
    from ._seals import Look

T = TypeVar("T")


class SealedStore(SealedNotes):
    """
    Sessions whose content is encrypted in another store; a `Store`.

    Closing it closes that one.

    Args:
        store: Holds what is encrypted.
        keyring: The first key is for new sessions; where there is none, nothing is encrypted, and what is stays closed.
    """

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._seals = Seals(keyring)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `Store.acquire`; raises `SealedError` where it cannot be opened, and leaves the lease."""
        sealed, key = self._seals.opening(session_id, opening)
        try:
            acquired = self._store.acquire(session_id, holder, duration=duration, ttl=ttl, opening=sealed)
        except SessionConflictError:
            same = self._look(self._seals.conflict(session_id, opening, sealed))
            if same is None:
                raise
            acquired = self._store.acquire(session_id, holder, duration=duration, ttl=ttl, opening=same)
        try:
            return self._seals.acquired(acquired, key)
        except SealedError:
            with suppress(StoreError):
                self._store.release(acquired.lease)
            raise

    def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `Store.append`; `SealedError` is an outcome too."""
        sealed = self._look(self._seals.appends(appends))
        outcomes = iter(self._store.append([one for one in sealed if not isinstance(one, StoreError)]))
        return [one if isinstance(one, StoreError) else next(outcomes) for one in sealed]

    def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `Store.renew`."""
        return self._store.renew(leases)

    def release(self, lease: Lease) -> None:
        """As `Store.release`."""
        return self._store.release(lease)

    def orphan(self, session_id: str) -> bool:
        """As `Store.orphan`."""
        return self._store.orphan(session_id)

    def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `Store.cancel`; the reason stays readable."""
        return self._store.cancel(session_id, reason)

    def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `Store.wait_cancelled`."""
        return self._store.wait_cancelled(after, seconds)

    def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `Store.read`; raises `SealedError` where its content cannot be opened."""
        return self._look(self._seals.entries(session_id, self._store.read(session_id, after=after, limit=limit)))

    def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `Store.wait`; gives `SealedError` for what cannot be opened."""
        return self._look(self._seals.arrived(self._store.wait(after, seconds)))

    def wake(self) -> None:
        """As `Store.wake`."""
        return self._store.wake()

    def get(self, session_id: str) -> Checkpoint:
        """As `Store.get`; where its content cannot be opened, the field `sealed` says why in place of it."""
        return self._seals.checkpoint(self._store.get(session_id))

    def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `Store.look`; likewise."""
        return self._seals.checkpoints(self._store.look(session_ids))

    def request(self, session_id: str) -> bytes:
        """As `Store.request`; raises `SealedError` where it cannot be opened."""
        return self._look(self._seals.request(session_id, self._store.request(session_id)))

    def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `Store.list`; as `get` of each."""
        listed = self._store.list(status=status, principal=principal, min_age=min_age, max_age=max_age, limit=limit)
        return [self._seals.checkpoint(one) for one in listed]

    def due(self, limit: int = 100) -> Sequence[str]:
        """As `Store.due`."""
        return self._store.due(limit)

    def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `Store.claim`."""
        return self._store.claim(upkeep, hold=hold, min_age=min_age, principal=principal, limit=limit)

    def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `Store.compact`."""
        return self._store.compact(session_id, self._look(self._seals.packs(session_id, log)))

    def delete(self, session_id: str) -> bool:
        """As `Store.delete`; its data key goes with it."""
        self._seals.forget(session_id)
        return self._store.delete(session_id)

    def ping(self) -> Vitals:
        """As `Store.ping`."""
        return self._store.ping()

    def close(self) -> None:
        """As `Store.close`."""
        return self._store.close()

    def _look(self, plan: Look[T]) -> T:
        try:
            session_ids = next(plan)
            while True:
                session_ids = plan.send(self._store.look(session_ids))
        except StopIteration as done:
            value: T = done.value
            return value


class AsyncSealedStore(AsyncSealedNotes):
    """
    Sessions whose content is encrypted in another store; an `AsyncStore`.

    Closing it closes that one.

    Args:
        store: Holds what is encrypted.
        keyring: The first key is for new sessions; where there is none, nothing is encrypted, and what is stays closed.
    """

    def __init__(self, store: AsyncStore, keyring: Keyring) -> None:
        self._store = store
        self._seals = Seals(keyring)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    async def acquire(
        self, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None = None
    ) -> Acquired:
        """As `AsyncStore.acquire`; raises `SealedError` where it cannot be opened, and leaves the lease."""
        sealed, key = self._seals.opening(session_id, opening)
        try:
            acquired = await self._store.acquire(session_id, holder, duration=duration, ttl=ttl, opening=sealed)
        except SessionConflictError:
            same = await self._look(self._seals.conflict(session_id, opening, sealed))
            if same is None:
                raise
            acquired = await self._store.acquire(session_id, holder, duration=duration, ttl=ttl, opening=same)
        try:
            return self._seals.acquired(acquired, key)
        except SealedError:
            with suppress(StoreError):
                await self._store.release(acquired.lease)
            raise

    async def append(self, appends: Sequence[Append]) -> Sequence[Appended | StoreError]:
        """As `AsyncStore.append`; `SealedError` is an outcome too."""
        sealed = await self._look(self._seals.appends(appends))
        outcomes = iter(await self._store.append([one for one in sealed if not isinstance(one, StoreError)]))
        return [one if isinstance(one, StoreError) else next(outcomes) for one in sealed]

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Appended | StoreError]:
        """As `AsyncStore.renew`."""
        return await self._store.renew(leases)

    async def release(self, lease: Lease) -> None:
        """As `AsyncStore.release`."""
        return await self._store.release(lease)

    async def orphan(self, session_id: str) -> bool:
        """As `AsyncStore.orphan`."""
        return await self._store.orphan(session_id)

    async def cancel(self, session_id: str, reason: str = "cancelled") -> Cancelled:
        """As `AsyncStore.cancel`; the reason stays readable."""
        return await self._store.cancel(session_id, reason)

    async def wait_cancelled(self, after: Cursor | None, seconds: float) -> Cancels:
        """As `AsyncStore.wait_cancelled`."""
        return await self._store.wait_cancelled(after, seconds)

    async def read(self, session_id: str, *, after: Cursor | None = None, limit: int = MAX_EVENTS) -> Sequence[Entry]:
        """As `AsyncStore.read`; raises `SealedError` where its content cannot be opened."""
        return await self._look(
            self._seals.entries(session_id, await self._store.read(session_id, after=after, limit=limit))
        )

    async def wait(self, after: Mapping[str, Cursor], seconds: float) -> Mapping[str, Sequence[Entry] | StoreError]:
        """As `AsyncStore.wait`; gives `SealedError` for what cannot be opened."""
        return await self._look(self._seals.arrived(await self._store.wait(after, seconds)))

    async def wake(self) -> None:
        """As `AsyncStore.wake`."""
        return await self._store.wake()

    async def get(self, session_id: str) -> Checkpoint:
        """As `AsyncStore.get`; where its content cannot be opened, the field `sealed` says why in place of it."""
        return self._seals.checkpoint(await self._store.get(session_id))

    async def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """As `AsyncStore.look`; likewise."""
        return self._seals.checkpoints(await self._store.look(session_ids))

    async def request(self, session_id: str) -> bytes:
        """As `AsyncStore.request`; raises `SealedError` where it cannot be opened."""
        return await self._look(self._seals.request(session_id, await self._store.request(session_id)))

    async def list(
        self,
        *,
        status: Status | None = None,
        principal: str | None = None,
        min_age: float = 0.0,
        max_age: float | None = None,
        limit: int = 50,
    ) -> Sequence[Checkpoint]:
        """As `AsyncStore.list`; as `get` of each."""
        listed = await self._store.list(
            status=status, principal=principal, min_age=min_age, max_age=max_age, limit=limit
        )
        return [self._seals.checkpoint(one) for one in listed]

    async def due(self, limit: int = 100) -> Sequence[str]:
        """As `AsyncStore.due`."""
        return await self._store.due(limit)

    async def claim(
        self, upkeep: Upkeep, *, hold: float, min_age: float = 0.0, principal: str = "", limit: int = 100
    ) -> Sequence[str]:
        """As `AsyncStore.claim`."""
        return await self._store.claim(upkeep, hold=hold, min_age=min_age, principal=principal, limit=limit)

    async def compact(self, session_id: str, log: Sequence[Stored]) -> bool:
        """As `AsyncStore.compact`."""
        return await self._store.compact(session_id, await self._look(self._seals.packs(session_id, log)))

    async def delete(self, session_id: str) -> bool:
        """As `AsyncStore.delete`; its data key goes with it."""
        self._seals.forget(session_id)
        return await self._store.delete(session_id)

    async def ping(self) -> Vitals:
        """As `AsyncStore.ping`."""
        return await self._store.ping()

    async def close(self) -> None:
        """As `AsyncStore.close`."""
        return await self._store.close()

    async def _look(self, plan: Look[T]) -> T:
        try:
            session_ids = next(plan)
            while True:
                session_ids = plan.send(await self._store.look(session_ids))
        except StopIteration as done:
            value: T = done.value
            return value
