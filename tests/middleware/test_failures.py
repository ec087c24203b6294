"""Every failure of the record: how many requests it costs, and that the SDK's own retries never multiply ours."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest
import trustme

from resumable import RecoveryError, RetryPolicy
from resumable.testing import (
    Drop,
    ErrorEvent,
    Garbage,
    Refuse,
    Reject,
    ScriptedUpstream,
    Stall,
    Truncate,
)
from tests.middleware.conftest import client_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.middleware.conftest import Caller

THREE = RetryPolicy(max_attempts=3)
SPENT = "enforced_spend_limit_reached"


@dataclasses.dataclass(frozen=True)
class Row:
    """
    One failure.

    Attributes:
        fault: What happens to every request.
        theirs: The SDK's class that the caller catches.
        requests: How many are sent when three attempts are allowed.
        is_bare: Whether a caller who received nothing gets the SDK's own error, as without us.
        status: `status_code` of that error.
        cause: Name of the transport's exception behind it.
    """

    fault: Any
    theirs: type[anthropic.APIError]
    requests: int = 3
    is_bare: bool = True
    status: int | None = None
    cause: str | None = None


def rejected(status: int, theirs: type[anthropic.APIError], requests: int = 3, **options: Any) -> Row:
    """Make the row of an error status."""
    return Row(Reject(status, **options), theirs, requests, status=status)


# What the SDK raises for each without us is its public record; what it has no class for is in the second half.
TABLE = {
    "refused": Row(Refuse(), anthropic.APIConnectionError, cause="ConnectError"),
    "reset before headers": Row(Refuse("rst"), anthropic.APIConnectionError, cause="ReadError"),
    "closed before headers": Row(Refuse("fin"), anthropic.APIConnectionError, cause="RemoteProtocolError"),
    "no headers in time": Row(Stall(phase="headers"), anthropic.APITimeoutError, cause="ReadTimeout"),
    "400": rejected(400, anthropic.BadRequestError, 1),
    "401": rejected(401, anthropic.AuthenticationError, 1),
    "402": rejected(402, anthropic.PaymentRequiredError, 1),
    "403": rejected(403, anthropic.PermissionDeniedError, 1),
    "404": rejected(404, anthropic.NotFoundError, 1),
    "408": rejected(408, anthropic.RequestTimeoutError),
    "409": rejected(409, anthropic.ConflictError),
    "413": rejected(413, anthropic.ContentTooLargeError, 1),
    "422": rejected(422, anthropic.UnprocessableEntityError, 1),
    "429": rejected(429, anthropic.RateLimitError),
    "429, spent": rejected(429, anthropic.RateLimitError, 1, error_code=SPENT),
    "429, come back in an hour": rejected(429, anthropic.RateLimitError, 1, headers={"retry-after": "3600"}),
    "429, do not retry": rejected(429, anthropic.RateLimitError, 1, headers={"x-should-retry": "false"}),
    "400, do retry": rejected(400, anthropic.BadRequestError, 3, headers={"x-should-retry": "true"}),
    "500": rejected(500, anthropic.InternalServerError),
    "502, a page": rejected(502, anthropic.InternalServerError, html=True),
    "503": rejected(503, anthropic.ServiceUnavailableError),
    "504": rejected(504, anthropic.GatewayTimeoutError),
    "520": rejected(520, anthropic.InternalServerError),
    "529": rejected(529, anthropic.OverloadedError),
    "error event, overloaded": Row(ErrorEvent("overloaded_error", after=0), anthropic.APIStatusError, status=200),
    "error event, api": Row(ErrorEvent("api_error", after=0), anthropic.APIStatusError, status=200),
    "error event, rate limit": Row(ErrorEvent("rate_limit_error", after=0), anthropic.APIStatusError, status=200),
    "error event, invalid": Row(ErrorEvent("invalid_request_error", after=0), anthropic.APIStatusError, 1, status=200),
    "error event, no JSON": Row(ErrorEvent(after=0, data="oops"), anthropic.APIStatusError, status=200),
    "empty 200": Row(Garbage("empty200"), anthropic.APIConnectionError, is_bare=False),
    "HTML 200": Row(Garbage("html200"), anthropic.APIConnectionError, is_bare=False),
    "JSON 200": Row(Garbage("json200"), anthropic.APIConnectionError, is_bare=False),
    "reset at once": Row(Drop(at_byte=0), anthropic.APIConnectionError, is_bare=False),
    "closed at once": Row(Drop(at_byte=0, how="fin"), anthropic.APIConnectionError, is_bare=False),
    "silent at once": Row(Stall(at_byte=0), anthropic.APITimeoutError, is_bare=False),
}
# What can only happen to a stream from which something was delivered.
LATER = {
    "reset": Row(Drop(after=9), anthropic.APIConnectionError),
    "closed": Row(Drop(after=9, how="fin"), anthropic.APIConnectionError),
    "clean end": Row(Truncate(after=9), anthropic.APIConnectionError),
    "silent": Row(Stall(after=9), anthropic.APITimeoutError),
    "pings only": Row(Stall(after=9, pings=True), anthropic.APITimeoutError),
    "overloaded": Row(ErrorEvent("overloaded_error", after=9), anthropic.OverloadedError),
    "rate limit": Row(ErrorEvent("rate_limit_error", after=9), anthropic.RateLimitError),
    "api error": Row(ErrorEvent("api_error", after=9), anthropic.InternalServerError),
    "malformed JSON": Row(Garbage("bad_json"), anthropic.APIConnectionError),
    "invalid UTF-8": Row(Garbage("bad_utf8"), anthropic.APIConnectionError),
    "out of grammar": Row(Garbage("out_of_grammar"), anthropic.APIConnectionError),
    "second start": Row(Garbage("second_message_start"), anthropic.APIConnectionError),
}


@pytest.mark.parametrize("max_retries", [0, 2])
@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_lasting_failure_costs_our_requests_and_none_of_the_sdks(caller: Caller, body, row: Row, max_retries: int):
    """With nothing delivered the requests are the policy's, and the error is the SDK's own where it has one."""
    upstream = ScriptedUpstream("text", lambda *_: row.fault)
    error = caller.error(upstream, body, policy=THREE, max_retries=max_retries)
    assert len(upstream.log.messages) == row.requests
    assert issubclass(type(error), row.theirs)
    assert isinstance(error, RecoveryError) is not row.is_bare
    assert getattr(error, "status_code", None) == row.status
    if row.cause:
        assert error.__class__ is row.theirs
        assert type(error.__cause__).__name__ == row.cause


@pytest.mark.parametrize("max_retries", [0, 2])
@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_failure_of_the_continuation_costs_no_more(caller: Caller, body, row: Row, max_retries: int):
    """After something was delivered, the error is ours and the SDK's, and the requests are still the policy's."""
    upstream = ScriptedUpstream("text", lambda number, _: Drop(after=9) if number == 1 else row.fault)
    error: Any = caller.error(upstream, body, policy=THREE, max_retries=max_retries)
    assert issubclass(type(error), RecoveryError)
    assert issubclass(type(error), anthropic.APIError)
    # The first attempt is one of the three. What refuses a body that is ours is not obeyed: another form is tried.
    last = upstream.log.messages[-1].status
    assert len(upstream.log.messages) == (2 if last == 400 else min(row.requests + 1, 3)) == error.attempts
    partial: Any = error.partial
    assert partial["content"][0]["text"] == text_of(caller.seen).rstrip()


@pytest.mark.parametrize("max_retries", [0, 2])
@pytest.mark.parametrize("row", LATER.values(), ids=LATER)
def test_a_failure_in_the_middle_costs_our_requests(caller: Caller, body, row: Row, max_retries: int):
    """A stream that breaks in every attempt is asked for as often as the policy says, and no more."""
    upstream = ScriptedUpstream("text", lambda *_: row.fault)
    error: Any = caller.error(upstream, body, policy=THREE, max_retries=max_retries)
    assert len(upstream.log.messages) == 3 == error.attempts
    assert issubclass(type(error), row.theirs)
    assert issubclass(type(error), RecoveryError)
    assert text_of(caller.seen)


# Silence takes real time; the tests of stalls have it.
REAL = {name: TABLE[name] for name in ("reset before headers", "closed before headers", "529", "reset at once")}
REAL |= {name: row for name, row in LATER.items() if not isinstance(row.fault, Stall)}


@pytest.mark.parametrize("row", REAL.values(), ids=REAL)
def test_the_same_over_sockets(caller: Caller, body, row: Row):
    """Real connections that break cost the same requests and end in the same errors."""
    with ScriptedUpstream("text", lambda *_: row.fault) as upstream:
        error = caller.error(upstream, body, policy=THREE, max_retries=2)
        assert len(upstream.log.messages) == 3
        assert issubclass(type(error), row.theirs)
        upstream.log.wait_closed()


class Refusing(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """A transport that raises one thing, and counts."""

    def __init__(self, kind: type[httpx2.TransportError], text: str) -> None:
        self.kind = kind
        self.text = text
        self.requests = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raise it."""
        self.requests += 1
        raise self.kind(self.text, request=request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raise it."""
        return self.handle_request(request)


@pytest.mark.parametrize("kind", [httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.WriteTimeout])
def test_a_connection_that_cannot_be_had_in_time(caller: Caller, body, kind):
    """Timeouts before there is a response are the SDK's own timeout, after the policy's attempts."""
    transport = Refusing(kind, "timed out")
    make: Any = anthropic.DefaultHttpxClient if caller.colour == "sync" else anthropic.DefaultAsyncHttpxClient
    http_client = make(transport=transport)
    error = caller.error(ScriptedUpstream(), body, policy=THREE, max_retries=2, http_client=http_client)
    assert error.__class__ is anthropic.APITimeoutError
    assert isinstance(error.__cause__, kind)
    assert transport.requests == 3


@pytest.fixture
def untrusted() -> Iterator[tuple[str, list[int]]]:
    """Serve TLS with a certificate that nobody trusts; count who comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listener, came = socket.create_server(("127.0.0.1", 0)), []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                came.append(1)
                with suppress(OSError), connection:
                    context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}", came
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def test_a_refused_certificate_is_tried_once(caller: Caller, body, untrusted):
    """A certificate that is not trusted never heals: one connection, and the SDK's own error."""
    url, came = untrusted
    error = caller.error(ScriptedUpstream(), body, max_retries=2, base_url=url, http_client=None)
    assert error.__class__ is anthropic.APIConnectionError
    assert isinstance(error.__cause__, httpx2.ConnectError)
    assert len(came) == 1


@pytest.mark.parametrize("max_retries", [0, 2])
def test_without_us_the_sdk_multiplies(body, max_retries: int):
    """The counts above mean something: the SDK, left to itself, sends again what failed before the stream."""
    quick = Reject(529, headers={"retry-after-ms": "1"})
    upstream = ScriptedUpstream("text", lambda *_: quick)
    with client_of(upstream, middleware=[], max_retries=max_retries) as client, pytest.raises(anthropic.APIStatusError):
        client.messages.create(**body, stream=True)
    assert len(upstream.log.messages) == 1 + max_retries
