"""Who is told of the answer to `resumable run`: a pipe or a program."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Self

import resumable
from resumable.cli import _accounts as accounts

if TYPE_CHECKING:
    from resumable._core.report import Notice, Report
    from resumable.cli._answer import Answer


class Listener:
    """
    A listener that says nothing; a subclass says what it wants to.

    Used once, as a context while it happens; all calls come from the thread that reads.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Leave the terminal as it was found."""

    def see_text(self, delta: str) -> None:
        """Learn that text has arrived."""

    def see_block(self, kind: str) -> None:
        """Learn that a block of this type has begun."""

    def see_failure(self, notice: Notice) -> None:
        """Learn that an attempt has failed, and what is done about it."""

    def show(self, answer: Answer) -> None:
        """Show what came of it."""


class Lines(Listener):
    """For pipes, files and logs: the text on stdout as it came, everything else as lines on stderr."""

    def __init__(self) -> None:
        self._last = "\n"

    def see_text(self, delta: str) -> None:
        """Pass it on at once."""
        print(delta, end="", flush=True)
        self._last = delta[-1:] or self._last

    def see_failure(self, notice: Notice) -> None:
        """Say it in a line."""
        if accounts.is_worth_a_line(notice):
            _tell(accounts.failure(notice))

    def show(self, answer: Answer) -> None:
        """End the text's last line, and say what it took."""
        if self._last != "\n":
            print(flush=True)
        for line in accounts.closing(answer):
            _tell(line)


class Machine(Listener):
    """For a program: one JSON object at the end. Its fields are public; see docs/how-to/run.md."""

    def show(self, answer: Answer) -> None:
        """Print the object; in ASCII, which every pipe can carry."""
        print(json.dumps(as_json(answer), indent=2))
        if answer.problem is not None:
            _tell(answer.problem)


def as_json(answer: Answer) -> dict[str, Any]:
    """Write the answer for a program; durations are milliseconds."""
    message = answer.message or {}
    error = answer.error
    return {
        "version": resumable.__version__,
        "is_whole": error is None,
        "text": answer.text,
        "model": message.get("model"),
        "message_id": message.get("id"),
        "stop_reason": message.get("stop_reason"),
        "usage": message.get("usage"),
        "error": None if error is None else {"type": type(error).__name__, "message": answer.problem},
        "exit_code": answer.code,
        "elapsed_ms": _ms(answer.elapsed),
        "first_text_after_ms": None if answer.first_text_after is None else _ms(answer.first_text_after),
        **_recovery(answer.report),
    }


def _recovery(report: Report | None) -> dict[str, Any]:
    if report is None:
        return {"session_id": None, "attempts": [], "seams": [], "waited_ms": 0, "books": None}
    books = report.books()
    return {
        "session_id": report.session_id,
        "attempts": [
            {
                "attempt": one.number,
                "strategy": one.strategy.value,
                "failure": None if one.failure is None else str(one.failure),
                "delay_ms": _ms(one.delay),
                "request_id": one.request_id,
                "input_tokens": line.measured.prompt,
                "cache_read_tokens": line.measured.cache_read,
                "cache_write_tokens": line.measured.cache_write_5m + line.measured.cache_write_1h,
                "output_tokens": line.tokens.output,
                "is_estimated": one.is_estimated,
                "cost_usd": accounts.dollars(line.cost),
            }
            for one, line in zip(report.attempts, books.lines, strict=True)
        ],
        "seams": [
            {"attempt": one.attempt, "at": one.at, "quality": one.quality, "strategy": one.strategy}
            for one in report.seams
        ],
        "waited_ms": _ms(report.waited),
        "books": accounts.books_of(books),
    }


def _tell(line: str) -> None:
    print(f"resumable: {line}", file=sys.stderr, flush=True)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
