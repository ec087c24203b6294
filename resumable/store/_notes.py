"""
Small notes that workers leave each other, kept for a while: one line a method, in every store and both colours.

A note decides nothing: it may be lost, late or somebody else's invention, and who reads it bounds what it does.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from resumable._core.errors import ConfigurationError

from ._checks import milliseconds
from ._commands import Command, Plan, sound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from ._interface import AsyncStore, Store
    from ._keys import Keys
    from ._memory import MemorySessions

LONGEST_NOTE = 1024  # bytes
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Note(NamedTuple):
    """
    A note as it is read.

    Attributes:
        value: What was written.
        left: [s] Until it is gone, by the store's clock.
    """

    value: bytes
    left: float


class Notes(Protocol):
    """The part of a `Store` that keeps notes."""

    def note(self, name: str, value: bytes, ttl: float) -> None:
        """
        Leave a note in place of the one of that name.

        Args:
            name: `[A-Za-z0-9_.:-]{1,128}`.
            value: At most `LONGEST_NOTE` bytes.
            ttl: [s] Then it is gone.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        ...

    def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """
        Read notes in one flight.

        Returns:
            One for each of *names*, in their order; `None` where there is none.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        ...


class AsyncNotes(Protocol):
    """The part of an `AsyncStore` that keeps notes."""

    async def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `Store.note`."""
        ...

    async def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `Store.notes`."""
        ...


def check_note(name: str, value: bytes = b"") -> str:
    """
    Check what a note is called and says.

    Raises:
        ConfigurationError: It cannot be kept.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(argument="name", problem=repr(name), remedy=f"pass what matches {_NAME.pattern}")
    if len(value) > LONGEST_NOTE:
        problem = f"{len(value)} bytes"
        raise ConfigurationError(argument="value", problem=problem, remedy=f"pass at most {LONGEST_NOTE} bytes")
    return name


def key_of(names: Keys, name: str) -> str:
    """Name the key of a note."""
    return f"{names.prefix}:fleet:{check_note(name)}"


def plan_note(names: Keys, name: str, value: bytes, ttl: float) -> Plan[None]:
    """Plan `Store.note`."""
    check_note(name, value)
    [reply] = yield [Command(("SET", key_of(names, name), value, "PX", milliseconds("ttl", ttl)))]
    sound(reply)


def plan_notes(names: Keys, wanted: Sequence[str]) -> Plan[Sequence[Note | None]]:
    """Plan `Store.notes`; what does not expire is none of ours."""
    keys = [key_of(names, name) for name in wanted]
    flight = [Command((word, key)) for key in keys for word in ("GET", "PTTL")]
    replies = (yield flight) if flight else []
    pairs = zip(replies[::2], replies[1::2], strict=True)
    return [Note(value, left / 1000) if sound(value) is not None and sound(left) > 0 else None for value, left in pairs]


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


class RedisNotes:
    """The notes of a `RedisStore`."""

    _drive: Any
    _clients: Any
    _names: Keys

    def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `Store.note`."""
        self._drive(self._clients.quick, plan_note(self._names, name, value, ttl))

    def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `Store.notes`."""
        found: Sequence[Note | None] = self._drive(self._clients.quick, plan_notes(self._names, names))
        return found


class AsyncRedisNotes:
    """The notes of an `AsyncRedisStore`."""

    _drive: Any
    _clients: Any
    _names: Keys

    async def note(self, name: str, value: bytes, ttl: float) -> None:
        """As `AsyncStore.note`."""
        await self._drive(self._clients.quick, plan_note(self._names, name, value, ttl))

    async def notes(self, names: Sequence[str]) -> Sequence[Note | None]:
        """As `AsyncStore.notes`."""
        found: Sequence[Note | None] = await self._drive(self._clients.quick, plan_notes(self._names, names))
        return found


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
