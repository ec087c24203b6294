"""
The response that a caller gets: the first attempt's, with the session's bytes as its body.

Public names of the SDK and of httpx only. A final error is handed over as a response too, so that
the SDK's retry loop, which runs around the middleware, does not multiply ours.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, Never

import anthropic

from resumable._report import EXTENSION, headers_of
from resumable._sdk import httpx
from resumable.middleware._bedrock import AsyncReframed, Reframed, is_binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from resumable._core.errors import RecoveryError
    from resumable._core.report import Report
    from resumable._core.store_errors import StoreError
    from resumable._drive import AsyncDriver, Driver
    from resumable._recording._recorded import Recorded
    from resumable._recording._recorded_async import AsyncRecorded
    from resumable.middleware._wire import Plug

#: What no longer describes the body: it is spliced after decoding.
_STALE_HEADERS: Final = ("content-encoding", "content-length", "transfer-encoding")
#: Not a status of anybody's: the SDK never sees more of the response than that it is no success.
_NO_RESPONSE: Final = 599
#: In the place of a host that was not asked.
_NOWHERE: Final = "http://resumable.invalid"


class Body(httpx.SyncByteStream):
    """The body of a spliced response; a class, since a generator that was never started can't be closed."""

    def __init__(self, driver: Driver | Recorded) -> None:
        self._driver = driver

    def __iter__(self) -> Iterator[bytes]:
        return self._driver

    def close(self) -> None:
        """Leave the session; closes the response that is open upstream."""
        self._driver.close()


class AsyncBody(httpx.AsyncByteStream):
    """The body of a spliced response; see `Body`."""

    def __init__(self, driver: AsyncDriver | AsyncRecorded) -> None:
        self._driver = driver

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._driver

    async def aclose(self) -> None:
        """Leave the session; closes the response that is open upstream."""
        await self._driver.aclose()


class SplicedResponse(httpx.Response):
    """
    A response whose body is handed over as it comes: it was decoded, and nobody asked for it in pieces of a size.

    httpx's own iterators cost more for every event than recovery does.
    """

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the body; see httpx."""
        body = self.stream
        if chunk_size is not None or not isinstance(body, Body) or self.is_stream_consumed or self.is_closed:
            return super().iter_bytes(chunk_size)
        self.is_stream_consumed = True
        return iter(body)  # At its end it closes what is open upstream.

    def aiter_bytes(self, chunk_size: int | None = None) -> Any:  # noqa: ANN401  # Reason: httpx2 promises a generator
        """Iterate over the body; see httpx."""
        body = self.stream
        if chunk_size is not None or not isinstance(body, AsyncBody) or self.is_stream_consumed or self.is_closed:
            return super().aiter_bytes(chunk_size)
        self.is_stream_consumed = True
        return aiter(body)


def spliced(wire: Plug, body: Body | AsyncBody, report: Report) -> Any:  # noqa: ANN401  # Reason: either colour's
    """Give the first attempt's answer with the session's bytes as its body."""
    answer, original = wire.answer, wire.answer.http_response
    stream: Body | AsyncBody | Reframed | AsyncReframed = body
    if is_binary(original):  # The caller's own client decodes it.
        stream = Reframed(body) if isinstance(body, Body) else AsyncReframed(body)
    headers = [(name, value) for name, value in original.headers.multi_items() if name.lower() not in _STALE_HEADERS]
    response = SplicedResponse(
        original.status_code,
        headers=[*headers, *headers_of(report).items()],
        stream=stream,
        request=original.request,
        extensions={**original.extensions, EXTENSION: report},
    )
    wire.spliced = answer.http_response = response
    return answer


def attached(wire: Plug, body: Body | AsyncBody, request: anthropic.APIRequest, report: Report) -> Any:  # noqa: ANN401  # Reason: either colour's
    """Give a response with what the log holds of a session as its body; upstream was not asked."""
    wire.spliced = response = SplicedResponse(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8", **headers_of(report)},
        stream=body,
        request=httpx.Request(request.method, httpx.URL(_NOWHERE).join(request.url)),
        extensions={EXTENSION: report},
    )
    return _wrapped(wire, response, request, reader_of(wire.response_class))


@functools.cache
def reader_of(response_class: type) -> anthropic.Anthropic | anthropic.AsyncAnthropic:
    """Make the client that parses what the log holds: an answer needs one, and no middleware is told its own."""
    if response_class is anthropic.APIResponse:
        return anthropic.Anthropic(api_key="none", base_url=_NOWHERE)
    return anthropic.AsyncAnthropic(api_key="none", base_url=_NOWHERE)


def unopened(wire: Plug, error: StoreError, request: anthropic.APIRequest, report: Report) -> Any:  # noqa: ANN401  # Reason: either colour's
    """Give what raises a store's refusal to the caller, past the SDK's retries: upstream was not asked."""
    error.__dict__["report"] = report
    return _wrapped(wire, _raising(error, report), request, None)


class _Raise(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that cannot be read: the SDK reads the body of an error response outside its retry loop."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        self._raise()

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._raise()

    def _raise(self) -> Never:
        # From nothing: the cause that it already has stays with it.
        raise self._error


def refused(wire: Plug, error: RecoveryError, request: anthropic.APIRequest, report: Report) -> Any:  # noqa: ANN401  # Reason: either colour's
    """
    Give the SDK's own last failure to a caller who received nothing, marked as final.

    A status comes back as the response it was. For a connection failure there is none, and an
    exception would be retried by the SDK; so it is raised by the body of a response of ours.
    """
    if wire.answer is not None:
        response = wire.answer.http_response
        response.headers.update({"x-should-retry": "false", **headers_of(report)})
        response.extensions[EXTENSION] = report
        return wire.answer
    cause = wire.cause if isinstance(wire.cause, anthropic.APIConnectionError) else error
    cause.add_note(f"resumable: {error}")
    cause.__dict__["report"] = report
    return _wrapped(wire, _raising(cause, report), request, None)


def _raising(error: Exception, report: Report) -> httpx.Response:
    return httpx.Response(
        _NO_RESPONSE,
        headers={"x-should-retry": "false", **headers_of(report)},
        stream=_Raise(error),
        request=getattr(error, "request", None),
        extensions={EXTENSION: report},
    )


def _wrapped(wire: Plug, raw: httpx.Response, request: anthropic.APIRequest, client: object) -> Any:  # noqa: ANN401  # Reason: either colour's
    return wire.response_class(
        raw=raw,
        cast_to=request.cast_to,
        client=client,
        stream=request.stream,
        stream_cls=request.stream_cls,
        options=request.options,
    )
