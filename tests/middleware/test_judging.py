"""What the transport and the SDK raise or answer, in the core's words."""

from __future__ import annotations

import email.utils
import math
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from resumable import RetryPolicy
from resumable.middleware._failures import of_status, retry_after
from resumable.testing import Drop, Reject, ScriptedUpstream

if TYPE_CHECKING:
    from tests.middleware.conftest import Caller

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": email.utils.formatdate(NOW - 30, usegmt=True)}, -30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, math.inf),
    ],
    ids=str,
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None):
    """Milliseconds win over seconds, a date is on the wall clock, and nonsense is nothing."""
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"7",
        b'{"error": 7}',
        b'{"error": {"type": 7, "details": 7, "message": 7}}',
        b"[" * 100_000,
    ],
    ids=lambda body: body[:20].decode(),
)
def test_a_body_of_any_kind_is_judged(body: bytes):
    """What a proxy sends instead of the API's JSON is an error status without a type."""
    failure = of_status(502, {}, body)
    assert (failure.status, failure.error_type, failure.error_code) == (502, None, None)
    assert not failure.is_prefill_refusal


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_an_error_whose_body_breaks_keeps_its_status(caller: Caller, body, how: Any):
    """The status has arrived: it decides, and the caller gets the SDK's class for it, whatever became of the body."""
    upstream = ScriptedUpstream("text", lambda *_: [Reject(401), Drop(at_byte=10, how=how)])
    error: Any = caller.error(upstream, body, max_retries=2)
    assert [type(error), error.status_code] == [anthropic.AuthenticationError, 401]
    assert len(upstream.log.messages) == 1
    upstream = ScriptedUpstream("text", [Drop(after=9)] + [[Reject(529), Drop(at_byte=10, how=how)]] * 2)
    error = caller.error(upstream, body, policy=RetryPolicy(max_attempts=2))
    assert issubclass(type(error), anthropic.OverloadedError)
