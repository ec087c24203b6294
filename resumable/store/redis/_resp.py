"""Commands as they are on the wire; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class Spelt(msgspec.Struct, frozen=True, gc=False):
    """
    Words that are spelt already, so that many commands may share them.

    Attributes:
        number: How many.
        raw: [bytes] Each behind its length.
    """

    number: int
    raw: bytes


Word: TypeAlias = str | int | bytes | Spelt


def spell(words: Iterable[Word]) -> Spelt:
    """Spell words out."""
    parts: list[bytes] = []
    number = _add(words, parts)
    return Spelt(number, b"".join(parts))


def pack(commands: Iterable[Iterable[Word]]) -> bytes:
    """Pack commands into one piece, in order."""
    parts: list[bytes] = []
    for words in commands:
        at = len(parts)
        parts.append(b"")
        parts[at] = b"*%d\r\n" % _add(words, parts)
    return b"".join(parts)


def bulk(raw: bytes) -> bytes:
    """Spell one word."""
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def _add(words: Iterable[Word], parts: list[bytes]) -> int:
    """Add words to what is spelt, and say how many they are."""
    number = 0
    for word in words:
        if isinstance(word, Spelt):
            parts.append(word.raw)
            number += word.number
        else:
            parts.append(bulk(word if isinstance(word, bytes) else str(word).encode()))
            number += 1
    return number
