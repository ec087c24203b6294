"""Which exit code says what went wrong with a session; docs/reference/cli.md has the table."""

from __future__ import annotations

from typing import Final

import resumable
from resumable.cli._exits import FAILED, WRONG

NO_SESSION: Final = 4
NO_STORE: Final = 5

CODES: Final[dict[type[Exception], int]] = {
    resumable.ConfigurationError: WRONG,
    resumable.CursorError: WRONG,
    resumable.SessionNotFoundError: NO_SESSION,
    resumable.StoreUnavailableError: NO_STORE,
}
"""Every other error is 1."""


_HINTS: Final[dict[type[Exception], str]] = {
    resumable.SessionForbiddenError: "name yours with --principal",
    resumable.StoreUnavailableError: "`resumable doctor` says what to change",
}


def sentence(error: resumable.ResumableError) -> str:
    """Say what went wrong, and what to do where that is known."""
    hint = _HINTS.get(type(error))
    return f"{error}; {hint}" if hint else str(error)


def code_of(error: resumable.ResumableError) -> int:
    """Choose the exit code for an error."""
    return CODES.get(type(error), FAILED)
