"""
Small notes that workers leave each other, kept for a while, in every store and both colours.

A note decides nothing: it may be lost, late or somebody else's invention, and who reads it bounds what it does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from resumable._core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


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
