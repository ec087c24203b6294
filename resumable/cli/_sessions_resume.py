"""`resumable sessions resume`: the whole answer of a session, finished here if nobody else does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import anthropic

import resumable
from resumable.cli._exits import FAILED
from resumable.cli._sessions_tail import watcher_for

if TYPE_CHECKING:
    from anthropic.types import RawMessageStreamEvent

    from resumable._core.report import Report
    from resumable.sessions import Sessions

NO_KEY: Final = 3
_SET: Final = "set ANTHROPIC_API_KEY to a key of yours"
_REFUSED: Final = (401, 403)


def resume(sessions: Sessions, session_id: str, base_url: str | None, principal: str | None, *, as_json: bool) -> int:
    """
    Show a session's answer from its beginning, and continue it where nobody writes it any more.

    Args:
        sessions: Where it is.
        session_id: Which one.
        base_url: Where the API is; `None` as the SDK knows it.
        principal: In whose name; `None` for nobody's.
        as_json: Whether a program reads it.

    Returns:
        The exit code.

    Raises:
        ResumableError: There is no such session, or its answer is not whole.
    """
    with anthropic.Anthropic(base_url=base_url) as client:
        if not (client.api_key or client.auth_token or getattr(client, "credentials", None)):
            print(f"resumable: there is no key: {_SET}", file=sys.stderr)
            return NO_KEY
        try:
            with sessions.resume(client, session_id, principal=principal) as stream:
                _show(stream, as_json=as_json)
        except resumable.ResumableError:
            raise
        except anthropic.APIStatusError as error:
            is_key = error.status_code in _REFUSED
            problem = (
                f"the key was refused ({error.status_code}): {_SET}" if is_key else f"refused: {error.status_code}"
            )
            print(f"resumable: {problem}", file=sys.stderr)
            return NO_KEY if is_key else FAILED
        except anthropic.APIError as error:
            print(f"resumable: {type(error).__name__}: {error.message.partition(chr(10))[0]}", file=sys.stderr)
            return FAILED
    return 0


def _show(stream: anthropic.Stream[RawMessageStreamEvent], *, as_json: bool) -> None:
    with watcher_for(as_json=as_json) as watcher:
        for event in stream:
            watcher.see_event(event.model_dump(mode="json", warnings=False))
        watcher.finish(_books(resumable.report(stream)))


def _books(report: Report) -> str:
    """Say what it took, in a line."""
    attempts, seams = len(report.attempts), len(report.seams)
    if not attempts:
        return "whole · nothing was sent"
    return f"whole · {attempts} attempt{'s' * (attempts != 1)} · {seams} seam{'s' * (seams != 1)}"
