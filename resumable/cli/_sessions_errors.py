"""Which exit code says what went wrong with a session; docs/reference/cli.md has the table."""

from __future__ import annotations

from typing import Final

import resumable
from resumable.cli._exits import FAILED, WRONG

NO_SESSION: Final = 4
NO_STORE: Final = 5

CODES: Final[dict[type[resumable.ResumableError], int]] = {
    resumable.ConfigurationError: WRONG,
    resumable.CursorError: WRONG,
    resumable.SessionNotFoundError: NO_SESSION,
    resumable.StoreUnavailableError: NO_STORE,
    resumable.DivergedError: FAILED,
    resumable.FencedError: FAILED,
    resumable.LeaseHeldError: FAILED,
    resumable.LogLostError: FAILED,
    resumable.LogRewoundError: FAILED,
    resumable.SeqExpiredError: FAILED,
    resumable.SessionConflictError: FAILED,
    resumable.SessionEndedError: FAILED,
    resumable.SessionSchemaError: FAILED,
}


def code_of(error: resumable.ResumableError) -> int:
    """Choose the exit code for an error."""
    return CODES.get(type(error), FAILED)
