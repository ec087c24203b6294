"""Law L8: sync and async give identical events, errors, waits and books."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.laws.calls import WAYS, Outcome, call
from tests.laws.schedules import Schedule, anything, law

#: Drawn anew for each session.
_OWN = "resumable-session"


def seen(outcome: Outcome) -> dict[str, Any]:
    """Give everything that a caller or an upstream could tell the colours apart by."""
    error, report, log = outcome.error, outcome.report, outcome.upstream.log
    books = [] if report is None else [_plain(one) for one in report.attempts]
    headers = {} if outcome.response is None else dict(outcome.response.headers)
    return {
        "items": outcome.items,
        "sent": outcome.sent,
        "error": (type(error).__mro__, str(error), getattr(error, "partial", None), getattr(error, "attempts", None)),
        "cause": type(getattr(error, "__cause__", None)),
        "waits": outcome.clock.waits,
        "now": outcome.clock.now(),
        "attempts": books,
        "seams": [] if report is None else report.seams,
        "ending": None if report is None else (report.synthesised, report.overdue, report.waited),
        "notices": [(one.attempt, str(one.failure), one.verdict, one.strategy, one.delay) for one in outcome.notices],
        "headers": {name: value for name, value in headers.items() if name != _OWN},
        "requests": [(one.strategy, one.variant, one.status, one.bytes_sent, one.body) for one in log],
        "closed": [(one.whole, one.client_closed, one.done) for one in log],
        "connections": (log.connections, log.open_connections),
    }


def _plain(attempt: Any) -> tuple[Any, ...]:
    return tuple(
        str(getattr(attempt, name)) if name == "failure" else getattr(attempt, name)
        for name in attempt.__struct_fields__
    )


@law(anything(), st.sampled_from(WAYS), sample=60, campaign=4000)
def test_l8_colour(schedule: Schedule, way: str) -> None:
    """Neither a caller nor an upstream can tell which colour a call had."""
    sync, asynchronous = (seen(call(schedule, way=way, is_async=is_async)) for is_async in (False, True))
    for name, value in sync.items():
        assert asynchronous[name] == value, name
