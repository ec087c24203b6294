"""
Claude streams that do not break.

`wrap` an Anthropic client and its streaming calls survive drops, overloads, rate limits, stalls and truncation::

    client = resumable.wrap(anthropic.Anthropic())

Importing this package loads the standard library only: a name is fetched from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resumable._core.errors import (
        AttemptError,
        ConfigurationError,
        ConnectError,
        Exhausted,
        LocalProtocolError,
        NotContinuableError,
        Obstacle,
        RecoveryError,
        RemoteProtocolError,
        ResumableError,
        RetriesExhaustedError,
        SeamError,
        SeamMissedError,
        StreamInterruptedError,
        StreamStalledError,
        UpstreamEventError,
        UpstreamStatusError,
    )
    from resumable._core.report import Attempt, Notice, Report
    from resumable._core.seam import Seam
    from resumable._core.store_errors import (
        CursorError,
        DivergedError,
        FencedError,
        LeaseHeldError,
        LogLostError,
        LogRewoundError,
        SealedError,
        SeqExpiredError,
        SessionConflictError,
        SessionEndedError,
        SessionForbiddenError,
        SessionNotFoundError,
        SessionSchemaError,
        StoreError,
        StoreUnavailableError,
    )
    from resumable._policy import RetryPolicy
    from resumable._recording import session
    from resumable._report import report
    from resumable.middleware import Resumable, wrap
    from resumable.sessions import AsyncSessions, Sessions

    __version__: str

__all__ = (
    "AsyncSessions",
    "Attempt",
    "AttemptError",
    "ConfigurationError",
    "ConnectError",
    "CursorError",
    "DivergedError",
    "Exhausted",
    "FencedError",
    "LeaseHeldError",
    "LocalProtocolError",
    "LogLostError",
    "LogRewoundError",
    "NotContinuableError",
    "Notice",
    "Obstacle",
    "RecoveryError",
    "RemoteProtocolError",
    "Report",
    "Resumable",
    "ResumableError",
    "RetriesExhaustedError",
    "RetryPolicy",
    "SealedError",
    "Seam",
    "SeamError",
    "SeamMissedError",
    "SeqExpiredError",
    "SessionConflictError",
    "SessionEndedError",
    "SessionForbiddenError",
    "SessionNotFoundError",
    "SessionSchemaError",
    "Sessions",
    "StoreError",
    "StoreUnavailableError",
    "StreamInterruptedError",
    "StreamStalledError",
    "UpstreamEventError",
    "UpstreamStatusError",
    "report",
    "session",
    "wrap",
)

# Those of a store of sessions: everything at its end of the tree.
_STORE_ERRORS = (
    "CursorError",
    "DivergedError",
    "FencedError",
    "LeaseHeldError",
    "LogLostError",
    "LogRewoundError",
    "SealedError",
    "SeqExpiredError",
    "SessionConflictError",
    "SessionEndedError",
    "SessionForbiddenError",
    "SessionNotFoundError",
    "SessionSchemaError",
    "StoreError",
    "StoreUnavailableError",
)

# Where each public name lives.
_HOMES = {
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "resumable._core.errors"),
    **dict.fromkeys(_STORE_ERRORS, "resumable._core.store_errors"),
    "AsyncSessions": "resumable.sessions",
    "Attempt": "resumable._core.report",
    "Exhausted": "resumable._core.errors",
    "Notice": "resumable._core.report",
    "Obstacle": "resumable._core.errors",
    "Report": "resumable._core.report",
    "Resumable": "resumable.middleware",
    "RetryPolicy": "resumable._policy",
    "Seam": "resumable._core.seam",
    "Sessions": "resumable.sessions",
    "report": "resumable._report",
    "session": "resumable._recording",
    "wrap": "resumable.middleware",
}

if not TYPE_CHECKING:  # a checker that saw this would accept every misspelt name

    def __getattr__(name: str) -> object:
        """Fetch a public name from its module, once (PEP 562)."""
        if name == "__version__":
            value = import_module("importlib.metadata").version("resumable-anthropic")
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")  # noqa: EM102, TRY003  # Reason: Python's own sentence
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, fetched or not."""
        return sorted({*globals(), *__all__, "__version__"})
