"""Notes of a store whose content is encrypted: they are none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store._interface import AsyncStore, Store
    from resumable.store._notes import Note


class SealedNotes:
    """The notes of a `SealedStore`: as they are, for they hold no content."""

    _store: Store

    def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `Store.note`."""
        return self._store.note(name, value, ttl)

    def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `Store.notes`."""
        return self._store.notes(names)


class AsyncSealedNotes:
    """The notes of an `AsyncSealedStore`: as they are, for they hold no content."""

    _store: AsyncStore

    async def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `AsyncStore.note`."""
        return await self._store.note(name, value, ttl)

    async def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `AsyncStore.notes`."""
        return await self._store.notes(names)
