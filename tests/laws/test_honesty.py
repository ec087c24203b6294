"""Law L11: everything recovery did is visible, and what is estimated says so."""

from __future__ import annotations

import anthropic
import pytest
from hypothesis import strategies as st

import resumable
from resumable import RetryPolicy
from resumable.testing import CONTINUERS, Drop
from tests.laws.calls import Outcome, call
from tests.laws.grammar import content_of, ending_of, text_of
from tests.laws.schedules import COMPLIANT, Schedule, anything, law

_CONTINUES = {"prefill", "user_turn"}
#: Upstream tells what an answer cost at its end, and these did not get there.
_LOST = (resumable.StreamInterruptedError, resumable.StreamStalledError, resumable.UpstreamEventError)


def check_books(outcome: Outcome) -> None:
    """Hold the report against what upstream and the clock saw."""
    report, log = outcome.report, outcome.upstream.log.messages
    has_guessed = any(seam.quality == "unverified" for seam in report.seams)
    assert [one.number for one in report.attempts] == list(range(1, len(log) + 1))
    assert [one.delay for one in report.attempts if one.delay] == pytest.approx(outcome.clock.waits)
    assert report.waited == pytest.approx(sum(outcome.clock.waits))
    for attempt, request in zip(report.attempts, log, strict=True):
        strategy = attempt.strategy.value
        # A model does not know what it never said, and takes a complete answer's next turn for a new one.
        if request.strategy != "other" and not has_guessed and outcome.schedule.reply != "pause_turn":
            assert (strategy in _CONTINUES) == (request.strategy in _CONTINUES)
        if attempt.message_id is not None:
            assert attempt.message_id == request.message_id
        is_lost = isinstance(attempt.failure, _LOST)
        if attempt.message_id is None or attempt.failure is None:
            assert not attempt.is_estimated or report.synthesised is not None
        elif is_lost:
            assert attempt.is_estimated
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
    is_known = outcome.schedule.reply != "pause_turn"  # as above
    if is_known and all(seam.quality != "unverified" for seam in report.seams):
        said = [outcome.upstream.expected_message(outcome.schedule.body, one) for one in range(outcome.variant + 1)]
        texts = [text_of(message["content"]) for message in said]
        assert any(one.startswith(text) for one in texts) if outcome.error else text == texts[-1]


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
    has_estimates = any(one.is_estimated for one in report.attempts)
    assert headers.get("resumable-usage") == ("estimated" if has_estimates else None)
    assert report.has_estimates == has_estimates


@law(anything(), st.booleans(), st.sampled_from(["raise", "join"]), sample=80, campaign=6000)
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


_cuts = st.lists(st.integers(4, 60).map(lambda after: (Drop(after=after),)), min_size=1, max_size=3).map(tuple)


@law(
    st.builds(
        Schedule,
        st.sampled_from(["text", "markdown", "unicode"]),
        st.just("claude-sonnet-5"),
        st.sampled_from(sorted(set(CONTINUERS) - set(COMPLIANT))),
        _cuts,
    ),
    st.sampled_from(["raise", "join"]),
    sample=60,
    campaign=4000,
)
def test_l11_no_seam_is_called_better_than_it_is(schedule: Schedule, on_uncertain) -> None:
    """However a model goes on, a text that is not what it would have been has an unverified seam or an error."""
    outcome = call(schedule, policy=RetryPolicy(on_uncertain=on_uncertain))
    check_books(outcome)
    check_headers(outcome)
    check_seams(outcome)
    if on_uncertain == "raise":
        assert all(seam.quality != "unverified" for seam in outcome.report.seams)


def test_l11_a_repetition_after_a_block_is_visible() -> None:
    """A model that repeats itself after a tool's result, where it was quoted nothing, is not joined in silence."""
    outcome = call(Schedule("server_tools", "claude-sonnet-5", "line", ((Drop(after=39),),)))
    assert outcome.error is None
    assert [seam.quality for seam in outcome.report.seams] == ["unverified"]
    assert text_of(content_of(outcome.events)) != text_of(outcome.expected["content"])
