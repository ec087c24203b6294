"""Law L4: finite faults within the budget end in completion, anything else in a typed error; never in a hang."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import anthropic
from hypothesis import strategies as st

import resumable
from resumable import RetryPolicy
from resumable.testing import Drop, ErrorEvent, Refuse, Reject, Stall
from tests.laws.calls import Outcome, call
from tests.laws.grammar import content_of
from tests.laws.schedules import Schedule, anything, healed, law

POLICY = RetryPolicy()
#: [s] Without a retry-after, the least and the most the table allows for each kind of failure.
_WAITS = {429: (5.0, 20.0), 529: (30.0, 60.0), 500: (0.375, 10.0), 408: (0.0, 10.0)}
_KIND_OF_TYPE = {"overloaded_error": 529, "rate_limit_error": 429}
_KIND_OF_STATUS = {408: 408, 429: 429, 529: 529}


def _kind(failure: resumable.AttemptError) -> int:
    """Which row of the table a failure is on, by the status that stands for the row."""
    if isinstance(failure, resumable.UpstreamEventError):
        return _KIND_OF_TYPE.get(failure.error_type or "", 500)
    if isinstance(failure, resumable.UpstreamStatusError):
        known = _KIND_OF_TYPE.get(failure.error_type or "")
        return known or _KIND_OF_STATUS.get(failure.status, 500)
    return 408


def _is_refusal(failure: resumable.AttemptError) -> bool:
    """Whether upstream refused a body, or the answer to it did not join."""
    if isinstance(failure, resumable.UpstreamEventError):
        return failure.error_type == "invalid_request_error"
    if isinstance(failure, resumable.UpstreamStatusError):
        return failure.status in {400, 413, 422}
    return isinstance(failure, resumable.SeamMissedError)


def check_waits(outcome: Outcome) -> None:
    """Hold every wait to the table and all of them to the policy."""
    attempts = outcome.attempts
    assert sum(outcome.clock.waits) <= POLICY.max_wait
    assert len(outcome.upstream.log.messages) <= POLICY.max_attempts
    for attempt, following in pairwise(attempts):
        assert attempt.failure is not None
        assert math.isclose(following.opened_at - attempt.ended_at, attempt.delay, abs_tol=1e-6)
        least, most = _WAITS[_kind(attempt.failure)]
        asked = getattr(attempt.failure, "retry_after", None)
        if attempt.strategy.value in {"prefill", "user_turn"} and _is_refusal(attempt.failure):
            assert attempt.delay == 0  # of a body that is not the caller's: the next one is tried at once
        elif asked is not None and asked > 0:
            assert attempt.delay == asked <= POLICY.retry_after_cap
        else:
            assert least <= attempt.delay <= most


@law(healed(), st.booleans(), sample=60, campaign=4000)
def test_l4_finite_faults_end_in_completion(schedule: Schedule, is_async) -> None:
    """Up to four faults that heal never reach the caller, and cost no more attempts and waits than the table says."""
    outcome = call(schedule, is_async=is_async)
    assert outcome.error is None, repr(outcome.error)
    assert outcome.events[-1]["type"] == "message_stop"
    check_waits(outcome)


@law(anything(), st.booleans(), sample=80, campaign=5000)
def test_l4_every_call_ends_in_completion_or_a_typed_error(schedule: Schedule, is_async) -> None:
    """A call that fails says so with an error that carries the partial message, the session ID and the attempts."""
    outcome = call(schedule, is_async=is_async)
    check_waits(outcome)
    error = outcome.error
    if error is None:
        return
    if not outcome.events:
        assert isinstance(error, anthropic.APIError)
        return
    assert isinstance(error, resumable.RecoveryError)
    assert isinstance(error, anthropic.APIError)
    assert error.session_id == outcome.report.session_id == outcome.response.headers["resumable-session"]
    assert error.attempts == len(outcome.upstream.log.messages)
    assert error.partial is not None
    partial = [{**block, "input": None} for block in error.partial["content"]]
    seen = [{**block, "input": None} for block in content_of(outcome.events, strict=False)]
    assert partial == seen


_forever = st.one_of(
    st.sampled_from([Drop(after=0), Drop(after=1), Drop(phase="headers"), Reject(529), Reject(500), Reject(503)]),
    st.sampled_from([Stall(after=0), Stall(phase="headers"), Stall(after=1, pings=True), Refuse(), Refuse("rst")]),
    st.sampled_from([ErrorEvent(after=0), ErrorEvent(after=1), Reject(429), Drop(after=2, how="eof")]),
)


@law(st.lists(_forever, min_size=1, max_size=3), st.booleans(), sample=30, campaign=1000)
def test_l4_faults_without_end_exhaust_the_budget(faults: list[Any], is_async) -> None:
    """Where nothing ever heals, the budget ends the call, not the number of faults."""
    schedule = Schedule(faults=tuple((faults[number % len(faults)],) for number in range(50)))
    outcome = call(schedule, is_async=is_async)
    check_waits(outcome)
    assert outcome.error is not None
    assert len(outcome.upstream.log.messages) <= POLICY.max_attempts
    if outcome.events:
        assert isinstance(outcome.error, resumable.RetriesExhaustedError)


@law(
    st.integers(0, 120),
    st.sampled_from(["text", "thinking", "markdown", "unicode"]),
    st.booleans(),
    sample=30,
    campaign=600,
)
def test_l4_pings_are_no_progress(after: int, reply: str, is_async) -> None:
    """An upstream that only pings is left when its progress watchdog says so, wherever it began to."""
    schedule = Schedule(reply, faults=((Stall(after=after, pings=True, seconds=1e6),),))
    outcome = call(schedule, is_async=is_async)
    assert outcome.error is None
    first = outcome.attempts[0]
    if first.failure is not None:
        assert isinstance(first.failure, resumable.StreamStalledError)
        assert first.failure.watchdog == "progress"
        assert first.ended_at - first.opened_at <= POLICY.thinking_timeout + 15
