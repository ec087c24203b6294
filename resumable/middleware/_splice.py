"""
The response that a caller gets: the first attempt's, with the session's bytes as its body.

Public names of the SDK and of httpx only. A final error is handed over as a response too, so that
the SDK's retry loop, which runs around the middleware, does not multiply ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Never

import anthropic

from resumable._core.errors import RecoveryError, UpstreamEventError
from resumable._report import EXTENSION
from resumable.middleware._errors import as_sdk_error
from resumable.middleware._flavour import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from resumable._core.report import Report
    from resumable._core.session import Session
    from resumable._drive import AsyncDriver, Driver
    from resumable.middleware._wire import AsyncSDKWire, Plug, SDKWire

#: What no longer describes the body: it is spliced after decoding.
_STALE_HEADERS: Final = ("content-encoding", "content-length", "transfer-encoding")
#: Not a status of anybody's: the SDK never sees more of the response than that it is no success.
_NO_RESPONSE: Final = 599


class _Body:
    """What both bodies share: what a caller is told at the end of a session that failed."""

    def __init__(self, session: Session, wire: Plug) -> None:
        self._session = session
        self._wire = wire
        self._is_over = False
        self.response: httpx.Response | None = None

    def _last_words(self, error: RecoveryError) -> bytes:
        """Give upstream's own error to a caller who received nothing, and an error with the partial to any other."""
        frame = error.last.frame if isinstance(error.last, UpstreamEventError) else b""
        if frame and not self._session.has_delivered and not self._is_over:
            self._is_over = True
            return frame
        assert self.response is not None
        raise as_sdk_error(error, self.response, self._session.report) from self._wire.cause

    def _tell(self) -> None:
        """Keep the headers true: they are live, as the report is."""
        if self.response is not None:
            self.response.headers.update(headers_of(self._session.report))


def headers_of(report: Report) -> dict[str, str]:
    """Say in response headers what recovery did so far."""
    headers = {"resumable-session": report.session_id, "resumable-attempts": str(len(report.attempts))}
    if report.seams:
        headers["resumable-seams"] = ", ".join(seam.quality for seam in report.seams)
    if report.has_estimates:
        headers["resumable-usage"] = "estimated"
    return headers


class Body(_Body, httpx.SyncByteStream):
    """The body of a spliced response; a class, since a generator that was never started can't be closed."""

    def __init__(self, driver: Driver, wire: SDKWire) -> None:
        super().__init__(driver.session, wire)
        self._driver = driver

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._is_over:
            raise StopIteration
        try:
            return next(self._driver)
        except RecoveryError as error:
            return self._last_words(error)
        finally:
            if len(self._session.report.attempts) > 1:
                self._tell()

    def close(self) -> None:
        """Leave the session; closes the response that is open upstream."""
        self._driver.close()
        self._tell()


class AsyncBody(_Body, httpx.AsyncByteStream):
    """The body of a spliced response; see `Body`."""

    def __init__(self, driver: AsyncDriver, wire: AsyncSDKWire) -> None:
        super().__init__(driver.session, wire)
        self._driver = driver

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        try:
            return await anext(self._driver)
        except RecoveryError as error:
            return self._last_words(error)
        finally:
            if len(self._session.report.attempts) > 1:
                self._tell()

    async def aclose(self) -> None:
        """Leave the session; closes the response that is open upstream."""
        await self._driver.aclose()
        self._tell()


def spliced(wire: Plug, body: Body | AsyncBody, report: Report) -> Any:  # noqa: ANN401  # Reason: either colour's
    """Give the first attempt's answer with the session's bytes as its body."""
    answer, original = wire.answer, wire.answer.http_response
    headers = [(name, value) for name, value in original.headers.multi_items() if name.lower() not in _STALE_HEADERS]
    response = httpx.Response(
        original.status_code,
        headers=[*headers, *headers_of(report).items()],
        stream=body,
        request=original.request,
        extensions={**original.extensions, EXTENSION: report},
    )
    body.response = response
    answer.http_response = response
    return answer


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
        wire.answer.http_response.headers.update({"x-should-retry": "false", **headers_of(report)})
        return wire.answer
    cause = wire.cause if isinstance(wire.cause, anthropic.APIConnectionError) else error
    cause.add_note(f"resumable: {error}")
    cause.__dict__["report"] = report
    raw = httpx.Response(
        _NO_RESPONSE,
        headers={"x-should-retry": "false", **headers_of(report)},
        stream=_Raise(cause),
        request=getattr(cause, "request", None),
    )
    is_async = request.stream_cls is not None and issubclass(request.stream_cls, anthropic.AsyncStream)
    response_class: Any = anthropic.AsyncAPIResponse if is_async else anthropic.APIResponse
    return response_class(
        raw=raw,
        cast_to=request.cast_to,
        client=None,
        stream=request.stream,
        stream_cls=request.stream_cls,
        options=request.options,
    )
