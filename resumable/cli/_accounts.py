"""The words of `resumable run`: what recovery did and what the answer took, in short lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from resumable.prices import PRICES_AS_OF, Tokens

if TYPE_CHECKING:
    from resumable._core.report import Notice, Report
    from resumable.cli._answer import Answer
    from resumable.prices import Books

_SECOND: Final = 1.0
_PLACES: Final = 9
"""[decimal places] A token costs at least 0.00000001 dollars; the rest is the noise of floats."""
_VERDICTS: Final = {"retry": "asking again", "continue": "going on", "finish": "ending it there"}
#: Endings that leave an answer shorter than the model meant it, or that are no answer.
_ENDINGS: Final = {
    "max_tokens": "the answer was cut at --max-tokens",
    "model_context_window_exceeded": "the answer filled the model's context window",
    "refusal": "the model refused to answer",
    "pause_turn": "the model paused",
}


def failure(notice: Notice) -> str:
    """Say what happened to an attempt, and what is done about it."""
    return f"attempt {notice.attempt}: {notice.failure}; {doing(notice)}"


def is_worth_a_line(notice: Notice) -> bool:
    """Say whether a failure is told by itself; the one that ended everything is told with the end."""
    return notice.verdict != "give_up"


def doing(notice: Notice) -> str:
    """Say what is done about a failure, and when."""
    what = verb(notice)
    return f"{what} in {span(notice.delay)}" if notice.delay else what


def verb(notice: Notice) -> str:
    """Say what is done about a failure."""
    return _VERDICTS.get(notice.verdict, "giving up")


def span(seconds: float) -> str:
    """Write a time with the unit that suits it."""
    return f"{seconds:.1f} s" if seconds >= _SECOND else f"{seconds * 1000:.0f} ms"


def closing(answer: Answer) -> list[str]:
    """Say what went wrong, how it ended and what it took: one line each, none for what needs no word."""
    ending = _ENDINGS.get(str((answer.message or {}).get("stop_reason")))
    lines = [line for line in (answer.problem, ending) if line is not None]
    return lines if answer.report is None else [*lines, *summary(answer, answer.report)]


def summary(answer: Answer, report: Report) -> list[str]:
    """Say how the answer came and what it took; nothing where it took nothing. `~` marks what is an estimate."""
    books = report.books()
    used = books.tokens
    if used == Tokens():
        return []
    about = "~" if books.is_estimated else ""
    way = [
        next((one.model for one in report.attempts if one.model), answer.question.model),
        _count(len(report.attempts), "attempt"),
        *([_count(len(report.seams), "seam") + f" ({_kinds(report)})"] if report.seams else []),
        span(answer.elapsed) + (f", {span(report.waited)} of it waiting" if report.waited else ""),
    ]
    taken = [
        f"{used.prompt:,} tokens in{_cached(books)}, {about}{used.output:,} out",
        "cost not known" if books.cost is None else f"{about}${books.cost:.4f}",
        *([f"~{books.saved_tokens:,} tokens not paid twice"] if books.saved_tokens else []),
    ]
    return [" · ".join(way), " · ".join(taken)]


def books_of(books: Books) -> dict[str, Any]:
    """Write the books for a program."""
    return {
        "input_tokens": books.measured.prompt,
        "cache_read_tokens": books.measured.cache_read,
        "cache_write_5m_tokens": books.measured.cache_write_5m,
        "cache_write_1h_tokens": books.measured.cache_write_1h,
        "measured_output_tokens": books.measured.output,
        "estimated_output_tokens": books.estimated.output,
        "is_estimated": books.is_estimated,
        "untold_attempts": list(books.untold),
        "excluded": list(books.excluded),
        "measured_cost_usd": dollars(books.measured_cost),
        "estimated_cost_usd": dollars(books.estimated_cost),
        "cost_usd": dollars(books.cost),
        "batch_cost_usd": dollars(books.batch_cost),
        "saved_tokens": books.saved_tokens,
        "saved_cost_usd": dollars(books.saved_cost),
        "prices_as_of": PRICES_AS_OF,
    }


def dollars(cost: float | None) -> float | None:
    """Round a cost to what a program should see of it."""
    return None if cost is None else round(cost, _PLACES)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _kinds(report: Report) -> str:
    return ", ".join(dict.fromkeys(seam.quality for seam in report.seams))


def _cached(books: Books) -> str:
    read = books.tokens.cache_read
    return f" ({read:,} cached)" if read else ""
