"""What upstream refuses: the body, or who asks."""

from __future__ import annotations

import pytest

from resumable._core.errors import (
    AttemptError,
    ConnectError,
    StreamInterruptedError,
)
from resumable._core.errors import UpstreamEventError as Event
from resumable._core.errors import UpstreamStatusError as Status
from resumable._core.retry import is_body_refusal, is_credential_refusal

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 529)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        *((Status(status), status in {400, 413, 422}) for status in STATUSES),
        (Status(400, "api_error"), True),
        (Event("invalid_request_error"), True),
        (Event("request_too_large"), True),
        (Event("validationException"), True),
        (Event("overloaded_error"), False),
        (Event(None), False),
        (StreamInterruptedError("EOF"), False),
    ],
    ids=repr,
)
def test_a_refused_body_is_told_apart_from_every_other_failure(failure: AttemptError, *, expected: bool):
    """Only 400, 413, 422 and their events mean that another body may be accepted."""
    assert is_body_refusal(failure) is expected


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        *((Status(status), True) for status in (401, 402, 403)),
        *((Status(status), False) for status in (400, 404, 413, 422, 429, 500, 529)),
        (Status(400, "authentication_error"), True),
        (Status(400, "AccessDeniedException"), True),
        (Status(429, "rate_limit_error", "enforced_spend_limit_reached"), True),
        (Event("authentication_error"), True),
        (Event("permission_error"), True),
        (Event("billing_error"), True),
        (Event("overloaded_error"), False),
        (Event(None), False),
        (ConnectError("ReadError"), False),
        (None, False),
    ],
)
def test_a_refused_credential_is_told_apart_from_every_other_failure(failure: AttemptError | None, *, expected: bool):
    """Somebody else's may be accepted: 401, 402, 403, what they are called in a body, and limits of an account."""
    assert is_credential_refusal(failure) is expected
