"""What the SDK and its transport raise or answer into failures the core can judge: facts, no decisions."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

import anthropic

from resumable._core.errors import (
    AttemptError,
    ConnectError,
    StreamInterruptedError,
    StreamStalledError,
    UpstreamStatusError,
)
from resumable._sdk import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Source: the API's texts for a refused prefill; there is no error code for it.
_PREFILL_REFUSAL: Final = re.compile(r"prefill|must end with a user message", re.IGNORECASE)
#: Amazon's own, where the API's is missing.
_REQUEST_IDS: Final = ("request-id", "x-amzn-requestid")
# Where the transport keeps only the text, that alone tells a refused certificate from a refused connection.
_CERTIFICATE: Final = "CERTIFICATE_VERIFY_FAILED"


def of_connection(error: anthropic.APIConnectionError) -> ConnectError:
    """Judge what the SDK raises when no response arrived."""
    cause = error.__cause__ or error
    return ConnectError(
        type(cause).__name__,
        is_certificate=any(_CERTIFICATE in str(one) for one in _chain(error)),
        is_timeout=isinstance(error, anthropic.APITimeoutError),
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what it was raised from: under trio, TLS's own error stands two behind the transport's."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        yield current
        seen.add(id(current))
        current = current.__cause__ or current.__context__


def of_body(error: Exception, received: int, read_timeout: float) -> AttemptError:
    """
    Judge what reading a body raised.

    Args:
        error: Anything: transports, TLS and content decoders each have exceptions of their own.
        received: [bytes] Read before it.
        read_timeout: [s] What the transport was told.
    """
    if isinstance(error, AttemptError):  # Of the framing around the events: it says what is wrong.
        return error
    if isinstance(error, httpx.ReadTimeout):
        return StreamStalledError("bytes", read_timeout)
    return StreamInterruptedError(type(error).__name__, received)


def of_status(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamStatusError:
    """
    Judge an error response.

    Args:
        status: HTTP status.
        headers: Of the response; names in any case.
        body: Whole; JSON of the API's, Amazon's or Google's, or whatever a proxy sent.
    """
    error = _error_of(body)
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    kind, message = error.get("type") or _amazons_name(headers), error.get("message")
    failure = UpstreamStatusError(
        status,
        error_type=kind if isinstance(kind, str) else None,
        error_code=code if isinstance(code, str) else None,
        retry_after=retry_after(headers, time.time()),
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "")),
        is_prefill_refusal=isinstance(message, str) and _PREFILL_REFUSAL.search(message) is not None,
    )
    failure.request_id = request_id(headers)
    return failure


def request_id(headers: Mapping[str, str]) -> str | None:
    """Give the id by which upstream knows a request."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _amazons_name(headers: Mapping[str, str]) -> str | None:
    """Give the name of an exception of Amazon's: it stands in a header, before a colon and an address."""
    return headers.get("x-amzn-errortype", "").partition(":")[0] or None


def _error_of(body: bytes) -> dict[str, Any]:
    try:
        whole = json.loads(body)
        error = whole.get("error", whole)  # Amazon's has no such member: the sentence stands outermost.
    except (ValueError, AttributeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """
    Read when upstream said to come back.

    Args:
        headers: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.
        now: [s] Wall clock, since the date is on it.

    Returns:
        [s] From now, or `None`.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return float(headers.get(name, "")) / unit
        except ValueError:
            continue
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else email.utils.mktime_tz(date) - now
