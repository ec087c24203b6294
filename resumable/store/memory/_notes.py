"""Notes in memory, in both colours."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from resumable.store._checks import milliseconds
from resumable.store._notes import Note, check_note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from ._model import MemorySessions


class NoteBoard:
    """Notes in memory; times are whole milliseconds, as a server's are."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[bytes, int]] = {}

    def write(self, name: str, value: bytes, ttl: float, now: int) -> None:
        """As `Store.note`; what is gone makes room."""
        check_note(name, value)
        gone = now + milliseconds("ttl", ttl)
        self._notes = {one: kept for one, kept in self._notes.items() if kept[1] > now}
        self._notes[name] = value, gone

    def read(self, names: Sequence[str], now: int) -> Sequence[Note | None]:
        """As `Store.notes`."""
        found = [self._notes.get(check_note(name)) for name in names]
        return [None if one is None or one[1] <= now else Note(one[0], (one[1] - now) / 1000) for one in found]


class _Reading:
    """A store in memory, as far as its notes need it."""

    _sessions: MemorySessions

    @abstractmethod
    def _reading(self) -> AbstractContextManager[int]: ...


class MemoryNotes(_Reading):
    """The notes of a `MemoryStore`."""

    def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `Store.note`."""
        with self._reading() as now:
            self._sessions.board.write(name, value, ttl, now)

    def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `Store.notes`."""
        with self._reading() as now:
            return self._sessions.board.read(names, now)


class AsyncMemoryNotes(_Reading):
    """The notes of an `AsyncMemoryStore`."""

    async def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `AsyncStore.note`."""
        with self._reading() as now:
            self._sessions.board.write(name, value, ttl, now)

    async def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `AsyncStore.notes`."""
        with self._reading() as now:
            return self._sessions.board.read(names, now)
