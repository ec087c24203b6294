"""The demo for a program: one JSON object. Its fields are public; see `docs/reference/cli.md`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import resumable
from resumable.cli._view import View

if TYPE_CHECKING:
    from resumable._core.errors import ResumableError
    from resumable.cli._outcome import FailedAttempt, Heard, Outcome
    from resumable.cli._storm import Storm
    from resumable.cli._takeover import Takeover


class Machine(View):
    """Says nothing until the end."""

    def __init__(self, storm: Storm) -> None:
        self._storm = storm
        self._written: dict[str, Any] = {}

    def show(self, outcome: Outcome) -> None:
        """Write the first act down."""
        self._written = as_json(self._storm, outcome)

    def show_takeover(self, takeover: Takeover | ResumableError) -> None:
        """Print the object; in ASCII, which every pipe can carry."""
        print(json.dumps({**self._written, "takeover": _takeover(takeover)}, indent=2))


def as_json(storm: Storm, outcome: Outcome) -> dict[str, Any]:
    """Write the outcome for a program; durations are milliseconds."""
    return {
        "version": resumable.__version__,
        "seed": storm.seed,
        "is_identical": outcome.is_identical,
        "expected_bytes": len(outcome.expected.encode()),
        **_heard(outcome.heard),
        "attempts": outcome.attempts,
        "requests": outcome.requests,
        "elapsed_ms": _ms(outcome.elapsed),
        "waited_ms": _ms(outcome.waited),
        "failed_attempts": [_failed(one) for one in outcome.failed],
        "seams": [
            {"attempt": one.attempt, "at": one.at, "quality": one.quality, "strategy": one.strategy}
            for one in outcome.seams
        ],
        "bare_sdk": _heard(outcome.bare),
    }


def _takeover(takeover: Takeover | ResumableError) -> dict[str, Any]:
    if isinstance(takeover, Exception):
        return {"skipped": str(takeover)}
    return {
        "is_identical": takeover.is_identical,
        "killed_after_bytes": len(takeover.killed.encode()),
        "resumed_bytes": len(takeover.resumed.encode()),
        "back_after_ms": _ms(takeover.back_after),
        "requests": takeover.requests,
    }


def _heard(heard: Heard) -> dict[str, Any]:
    error = heard.error
    return {
        "received_bytes": len(heard.text.encode()),
        "stop_reason": heard.stop_reason,
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
    }


def _failed(failed: FailedAttempt) -> dict[str, Any]:
    return {
        "attempt": failed.number,
        "fault": failed.fault,
        "failure": failed.failure,
        "verdict": failed.verdict,
        "at": failed.at,
        "delay_ms": _ms(failed.delay),
        "recovered_after_ms": None if failed.back_after is None else _ms(failed.back_after),
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
