"""Reads commands as a server does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hiredis

from resumable.store.redis._resp import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store.redis._resp import Word


def plain(words: Sequence[Word]) -> list[str]:
    """Spell a command's words one by one, whichever of them were spelt together."""
    reader = hiredis.Reader(encoding="utf-8", errors="replace")
    reader.feed(pack([words]))
    said: list[str] = reader.gets()
    return said
