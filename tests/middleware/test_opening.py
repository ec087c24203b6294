"""On the way to the headers: the policy's deadlines hold there too, and the caller's timeouts stay what they were."""

from __future__ import annotations

from typing import Any, get_type_hints

import anthropic
import httpx2
import pytest

import resumable
from resumable import Attempt, Notice, Report, RetriesExhaustedError, RetryPolicy, StreamInterruptedError
from resumable._core.errors import Exhausted
from resumable.middleware._wire import _whole, _within
from resumable.testing import Reject, ScriptedUpstream, Stall
from tests.middleware.conftest import Caller, client_of, real_client

LIMIT = 5.0  # [s] In virtual time.


def test_the_total_deadline_holds_before_the_headers(caller: Caller, body):
    """An upstream that never answers is left when the caller's time is over, not when the SDK's ten minutes are."""
    upstream = ScriptedUpstream("text", lambda *_: Stall(phase="headers"))
    error: Any = caller.error(upstream, body, policy=RetryPolicy(total_timeout=LIMIT))
    assert type(error) is anthropic.APITimeoutError
    assert upstream.clock.now() == pytest.approx(LIMIT)
    assert len(upstream.log.messages) == 1
    failure: Any = resumable.report(error).attempts[-1].failure
    assert failure.watchdog == "total"


def test_the_first_event_s_deadline_holds_before_the_headers(caller: Caller, body):
    """An attempt that is not answered in time is followed by another one."""
    upstream = ScriptedUpstream("text", [Stall(phase="headers")], vary=False)
    text = caller.text(upstream, body, policy=RetryPolicy(first_event_timeout=LIMIT))
    assert text == upstream.expected_text(body)
    assert upstream.clock.now() == pytest.approx(LIMIT)


def test_a_shorter_timeout_of_the_caller_s_wins(caller: Caller, body):
    """What the caller says of one attempt is not made longer by what the policy says of all."""
    upstream = ScriptedUpstream("text", [Stall(phase="headers")], vary=False)
    text = caller.text(upstream, {**body, "timeout": 2.0}, policy=RetryPolicy(first_event_timeout=LIMIT))
    assert text == upstream.expected_text(body)
    assert upstream.clock.now() == pytest.approx(2.0)


def test_the_body_is_read_with_the_timeout_that_it_had(body):
    """The deadline on the way to the headers is no read timeout for what follows them."""
    upstream = ScriptedUpstream("text")
    with client_of(upstream, policy=RetryPolicy(first_event_timeout=LIMIT)) as client:
        stream = client.messages.create(**body, stream=True)
        with stream:
            assert stream.response.request.extensions["timeout"]["read"] == anthropic.DEFAULT_TIMEOUT.read


def test_silence_in_the_body_is_not_held_to_the_first_event_s_deadline(body):
    """Over a real connection: what follows the first event may be slower than it."""
    policy = RetryPolicy(first_event_timeout=0.5)
    with (
        ScriptedUpstream("text", [Stall(after=9, seconds=1.5)], vary=False) as upstream,
        real_client(upstream, policy) as client,
        client.messages.stream(**body) as stream,
    ):
        assert stream.get_final_text() == upstream.expected_text(body)
        failures = [attempt.failure for attempt in resumable.report(stream).attempts]
    assert isinstance(failures[0], StreamInterruptedError)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        (7, 7.0),
        (httpx2.Timeout(3.0, read=9.0), 9.0),
        (anthropic.NOT_GIVEN, anthropic.DEFAULT_TIMEOUT.read),
    ],
)
def test_every_form_of_a_timeout_is_understood(given: Any, read: float | None):
    """None is no limit, a number is one for every part, and nothing is the SDK's default."""
    whole = _whole(given)
    assert whole.read == read
    parts = _within(whole, 1.0)
    assert (parts.connect, parts.read, parts.write, parts.pool) == (1.0, 1.0, 1.0, 1.0)


def test_refused_attempts_keep_their_request_id(caller: Caller, body):
    """The id that a ticket needs is that of the answer that failed."""
    upstream = ScriptedUpstream("text", [Reject(529), Reject(500)])
    caller.final(upstream, body)
    found = [attempt.request_id for attempt in resumable.report(caller.stream).attempts]
    assert all(found)
    assert len(set(found)) == 3


@pytest.mark.parametrize("public", [Attempt, Notice, Report])
def test_the_types_of_the_report_can_be_looked_up(public: type):
    """Tools that read annotations at run time find every name in them."""
    assert get_type_hints(public)


def test_strategies_are_words(caller: Caller, body):
    """What a report calls a strategy compares with its name in a policy."""
    upstream = ScriptedUpstream("text", [Reject(529)])
    caller.final(upstream, body)
    found = [attempt.strategy for attempt in resumable.report(caller.stream).attempts]
    assert found == ["original", "restart"]


def test_running_out_of_time_says_so(caller: Caller, body):
    """The note on the SDK's own error names the limit."""
    upstream = ScriptedUpstream("text", lambda *_: Stall(phase="headers"))
    error = caller.error(upstream, body, policy=RetryPolicy(total_timeout=LIMIT))
    assert any(Exhausted.TOTAL.value in note for note in error.__notes__)
    assert not isinstance(error, RetriesExhaustedError)
