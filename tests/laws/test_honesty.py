"""Law L11: everything recovery did is visible, and what is estimated says so."""

from __future__ import annotations

import anthropic
import pytest
from hypothesis import strategies as st

import resumable
from resumable import RetryPolicy
from tests.laws.calls import Outcome, call
from tests.laws.grammar import content_of, ending_of, text_of
from tests.laws.schedules import Schedule, anything, law

_CONTINUES = {"prefill": "prefill", "user_turn": "user_turn"}


def check_books(outcome: Outcome) -> None:
    """Hold the report against what upstream and the clock saw."""
    report, log = outcome.report, outcome.upstream.log.messages
    assert [one.number for one in report.attempts] == list(range(1, len(log) + 1))
    assert [one.delay for one in report.attempts if one.delay] == pytest.approx(outcome.clock.waits)
    assert report.waited == pytest.approx(sum(outcome.clock.waits))
    for attempt, request in zip(report.attempts, log, strict=True):
        strategy = attempt.strategy.value
        if request.strategy != "other":
            assert (strategy in _CONTINUES) == (request.strategy in _CONTINUES)
        if attempt.message_id is not None:
            assert attempt.message_id == request.message_id
        told = attempt.usage.get("output_tokens") is not None and attempt.failure is None
        assert attempt.is_estimated == (attempt.message_id is not None and not told) or attempt.failure is not None
    assert [one.attempt for one in outcome.notices] == [
        one.number for one in report.attempts if one.failure is not None
    ]


def check_seams(outcome: Outcome) -> None:
    """Hold the seams against the attempts that made them, and their labels against the text."""
    report = outcome.report
    by_number = {one.number: one for one in report.attempts}
    text = text_of(content_of(outcome.events, strict=False))
    assert len({seam.attempt for seam in report.seams}) == len(report.seams)
    for seam in report.seams:
        assert by_number[seam.attempt].strategy.value == seam.strategy
        assert 0 <= seam.at <= len(text)
    # What is joined by certain seams only is what upstream would have said.
    if all(seam.quality != "unverified" for seam in report.seams):
        expected = text_of(outcome.expected["content"])
        assert expected.startswith(text) if outcome.error else text == expected


def check_headers(outcome: Outcome) -> None:
    """Hold the response's headers against the report."""
    response = outcome.response or getattr(outcome.error, "response", None)
    if response is None:  # No response at all: there are no headers.
        assert isinstance(outcome.error, anthropic.APIConnectionError)
        return
    headers, report = response.headers, outcome.report
    assert headers["resumable-session"] == report.session_id
    assert headers["resumable-attempts"] == str(len(report.attempts))
    assert headers.get("resumable-seams", "") == ", ".join(seam.quality for seam in report.seams)
    assert headers.get("resumable-usage") == ("estimated" if report.has_estimates else None)


@law(anything(), st.booleans(), st.sampled_from(["raise", "join"]), sample=120, campaign=6000)
def test_l11_honesty(schedule: Schedule, is_async, on_uncertain) -> None:
    """Report, notices, headers and usage agree with the log of the upstream, the clock and the text."""
    outcome = call(schedule, is_async=is_async, policy=RetryPolicy(on_uncertain=on_uncertain))
    error = outcome.error
    assert outcome.report is not None
    check_books(outcome)
    check_headers(outcome)
    if outcome.events:
        check_seams(outcome)
    if error is None:
        report = outcome.report
        _, usage = ending_of(outcome.events)
        assert usage["output_tokens"] == report.output_tokens == sum(one.output_tokens for one in report.attempts)
    if isinstance(error, resumable.RecoveryError):
        assert error.attempts == len(outcome.upstream.log.messages)
        assert error.last is not None
