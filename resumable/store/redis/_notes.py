"""Notes in Redis: one line a method, and what each sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resumable.store._checks import milliseconds
from resumable.store._notes import Note, check_note

from ._commands import Command, Plan, sound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store._keys import Keys


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
