"""
The upstream as the SDK reaches it: one attempt is one call down the middleware chain.

Opens, reads and closes; says what went wrong in the core's words, and keeps the SDK's own object
for a caller who must see it. The two wires differ by `await` alone.
"""

from __future__ import annotations

import copy
import math
import time
from contextlib import contextmanager, nullcontext, suppress
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anthropic
import anyio

from resumable._core.errors import ConnectError
from resumable._report import EXTENSION, headers_of
from resumable._sdk import httpx
from resumable._watchdog import WATCHDOG
from resumable.middleware import _failures
from resumable.middleware._bedrock import AsyncDecoded, Decoded, is_binary
from resumable.middleware._errors import as_sdk_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager

    from resumable._core.errors import AttemptError, RecoveryError
    from resumable._core.states import Open
    from resumable._drive import Deadline


class _Unguarded:
    """The guard of what nothing breaks: under a clock that is not the machine's, say."""

    def __init__(self) -> None:
        self.deadline: float = math.inf

    def arm(self, deadline: float) -> None:
        """Do nothing."""


UNGUARDED: Final = _Unguarded()


class AttemptRequest(anthropic.APIRequest):
    """The request of one attempt; a second `Resumable` further in knows it by its class, and lets it pass."""


class Plug:
    """
    What both wires remember.

    Attributes:
        answer: The last that came down the chain: an `APIResponse` or its async twin, of any status.
        cause: The last exception of the SDK's or the transport's.
        spliced: The response that the caller got, once there is one.
        response_class: What comes down a chain of this colour.
        read: Reads from the response that is open; at its end where none is.
        guard: Breaks a blocked `read`.
    """

    response_class: ClassVar[Any]
    _ended: Callable[[], Any]

    def __init__(self, request: anthropic.APIRequest, *, bytes_timeout: float, is_watched: bool) -> None:
        """
        Make a wire; nothing is sent.

        Args:
            request: The caller's.
            bytes_timeout: [s] The byte watchdog; the caller's own read timeout stays as it is beside it.
            is_watched: Whether real time passes, so that a blocked read can be broken.
        """
        self._request = request
        self._bytes_timeout = bytes_timeout
        self._is_watched = is_watched
        self.guard: Deadline = UNGUARDED
        self._response: httpx.Response | None = None
        self._read_timeout: float | None = None
        self.answer: Any = None
        self.cause: Exception | None = None
        self.spliced: httpx.Response | None = None

    def _way(self) -> AbstractContextManager[object]:
        """Be on the way to a response; what ends it for a caller who leaves meanwhile."""
        return nullcontext()  # A thread waits there until the transport gives up.

    def _turn_back(self) -> None:
        """End the way, if somebody is on it."""

    def translate(self, error: RecoveryError) -> Exception:
        """Make the exception that the caller gets; see `Wire`."""
        assert self.spliced is not None  # Invariant: before the first response, the middleware asks for no bytes.
        answer = self.spliced if self.answer is None else self.answer.http_response
        made = as_sdk_error(error, self.spliced, answer)
        made.__cause__ = self.cause
        return made

    def _describe(self) -> None:
        """Keep the headers of the caller's response true; like the report, they are live."""
        if self.spliced is not None:
            self.spliced.headers.update(headers_of(self.spliced.extensions[EXTENSION]))

    def _request_for(self, action: Open) -> anthropic.APIRequest:
        """Make the attempt's request, not with `APIRequest.copy`: that copies the whole conversation first."""
        self.cause = None
        request = self._request
        options = copy.copy(request.options)
        options.json_data, options.extra_json = action.plan.body, None  # The plan has both.
        self._read_timeout = None
        if action.limit is not None:
            whole = _whole(request.timeout)
            self._read_timeout = whole.read
            options.timeout = _within(whole, action.limit)
        return AttemptRequest(
            options=options,
            cast_to=request.cast_to,
            stream=request.stream,
            stream_cls=request.stream_cls,
            retries_taken=action.number - 1,
        )

    def _adopt(self, answer: Any) -> str | None:  # noqa: ANN401  # Reason: either colour's
        self._response = response = answer.http_response
        if self._read_timeout is not None:  # Only the way to the headers was to be shorter.
            response.request.extensions.get("timeout", {})["read"] = self._read_timeout
        self.guard = (WATCHDOG.watch(response) if self._is_watched else None) or UNGUARDED
        return _failures.request_id(response.headers)

    def _lose(self, response: httpx.Response, error: Exception) -> bytes:
        """Leave an error response without the body that broke: the status has arrived, and it decides."""
        self.cause = error
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if not name.lower().startswith(("content-", "transfer-"))
        ]
        self.answer.http_response = httpx.Response(response.status_code, headers=headers, request=response.request)
        return b""

    def interruption(self, error: Exception, received: int) -> AttemptError:
        """Say what an exception of `read` means; see `Wire`."""
        self.cause = error
        extensions = {} if self._response is None else self._response.request.extensions
        limit = (extensions.get("timeout") or {}).get("read") or self._bytes_timeout
        failure = _failures.of_body(error, received, limit)
        failure.__cause__ = error
        return failure

    def _break(self) -> bool:
        """End a read that is blocked in another thread or task; whether there was one to end."""
        # Invariant: told before it is asked who reads. A read that begins now sees it, one that began before is broken.
        self.read = self._ended
        guard = self.guard
        if guard is UNGUARDED or guard.deadline == math.inf:
            return False
        guard.arm(-math.inf)
        return True


class SDKWire(Plug):
    """The wire of a synchronous client."""

    response_class = anthropic.APIResponse
    guard: Deadline

    @staticmethod
    def _ended() -> bytes:
        raise StopIteration

    def __init__(self, request: anthropic.APIRequest, call_next: anthropic.CallNext, **options: Any) -> None:  # noqa: ANN401  # Reason: they are `Plug`'s
        super().__init__(request, **options)
        self._call_next = call_next
        self._body: Iterator[bytes] | None = None
        self.read: Callable[[], bytes] = self._ended

    def open(self, action: Open) -> str | None:
        """Send a request and return its `request-id`; see `Wire`."""
        with self._way():
            try:
                self.answer = self._call_next(self._request_for(action))
            except anthropic.APIConnectionError as error:
                self.answer, self.cause = None, error
                raise _failures.of_connection(error) from error
            response = self.answer.http_response
            if not response.is_success:
                try:
                    body = response.read()
                except Exception as error:  # noqa: BLE001  # Reason: see `read`
                    response.close()
                    body = self._lose(response, error)
                raise _failures.of_status(response.status_code, response.headers, body)
        self._body = body = iter(_body(response))
        self.read = (Decoded(body) if is_binary(response) else body).__next__
        return self._adopt(self.answer)

    def close(self) -> None:
        """Close the response, if one is open; see `Wire`."""
        self._turn_back()
        self._describe()
        response = self._response
        if response is not None and not self._break():
            self._response, self.guard = None, UNGUARDED
            try:
                response.close()
            finally:
                self._finish()

    def _finish(self) -> None:
        """End the generator of a body that was not read to its end."""
        body, self._body = self._body, None
        if isinstance(body, GeneratorType):
            with suppress(RuntimeError, ValueError):  # Where a thread is in it, that thread ends it.
                body.close()


class AsyncSDKWire(Plug):
    """The wire of an asynchronous client."""

    response_class = anthropic.AsyncAPIResponse
    guard: Deadline

    @staticmethod
    async def _ended() -> bytes:
        raise StopAsyncIteration

    def __init__(self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext, **options: Any) -> None:  # noqa: ANN401  # Reason: they are `Plug`'s
        super().__init__(request, **options)
        self._call_next = call_next
        self._scope: anyio.CancelScope | None = None
        self._body: AsyncIterator[bytes] | None = None
        self.read: Callable[[], Awaitable[bytes]] = self._ended

    @contextmanager
    def _way(self) -> Generator[None]:
        self._scope = scope = anyio.CancelScope()
        with scope:
            try:
                yield
            finally:
                self._scope = None
        if scope.cancelled_caught:
            raise ConnectError(cause_name="Closed")

    def _turn_back(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    async def open(self, action: Open) -> str | None:
        """Send a request and return its `request-id`; see `Wire`."""
        with self._way():
            try:
                self.answer = await self._call_next(self._request_for(action))
            except anthropic.APIConnectionError as error:
                self.answer, self.cause = None, error
                raise _failures.of_connection(error) from error
            response = self.answer.http_response
            if not response.is_success:
                try:
                    body = await response.aread()
                except Exception as error:  # noqa: BLE001  # Reason: see `read`
                    await response.aclose()
                    body = self._lose(response, error)
                raise _failures.of_status(response.status_code, response.headers, body)
        self._body = body = aiter(_async_body(response))
        self.read = (AsyncDecoded(body) if is_binary(response) else body).__anext__
        return self._adopt(self.answer)

    def _adopt(self, answer: Any) -> str | None:  # noqa: ANN401  # Reason: as above
        request_id = super()._adopt(answer)
        if self._is_watched and self.guard is UNGUARDED:
            self.guard = patience = _Patience(self.read)
            self.read = patience.read
        return request_id

    async def close(self) -> None:
        """Close the response, if one is open; see `Wire`."""
        self._turn_back()
        self._describe()
        response = self._response
        if response is not None and not self._break():
            self._response, self.guard = None, UNGUARDED
            try:
                await response.aclose()
            finally:
                await self._finish()

    async def _finish(self) -> None:
        """End the generator of a body that was not read to its end: trio lets no garbage collector do that quietly."""
        body, self._body = self._body, None
        if isinstance(body, AsyncGeneratorType):
            with suppress(RuntimeError, ValueError):  # Where a task is in it, that task ends it.
                await body.aclose()


class _Patience:
    """
    A guard where no socket is reachable (aiohttp, in-process transports): the read itself is cancelled.

    Made and used by one event loop. Slower than a `Guard`: it costs a cancel scope for every read.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self._read = read
        self.deadline: float = math.inf
        self._scope: anyio.CancelScope | None = None

    def arm(self, deadline: float) -> None:
        """Set when a read is too late; see `Guard.arm`."""
        self.deadline = deadline
        if self._scope is not None:
            self._scope.deadline = self._on_the_loops_clock()

    async def read(self) -> bytes:
        """Read until the deadline; `TimeoutError` from then on."""
        self._scope = scope = anyio.CancelScope(deadline=self._on_the_loops_clock())
        with scope:
            try:
                return await self._read()
            finally:
                self._scope = None
        raise TimeoutError

    def _on_the_loops_clock(self) -> float:
        return self.deadline - time.monotonic() + anyio.current_time()


def _whole(given: object) -> anthropic.Timeout:
    """Give a request's timeout as an object; the SDK's default where the request has none of its own."""
    if isinstance(given, anthropic.Timeout):
        return given
    return anthropic.Timeout(given) if given is None or isinstance(given, int | float) else anthropic.DEFAULT_TIMEOUT


def _within(whole: anthropic.Timeout, limit: float) -> anthropic.Timeout:
    """Make no part of a timeout longer than *limit* [s]."""
    parts = (whole.connect, whole.read, whole.write, whole.pool)
    connect, read, write, pool = (limit if part is None else min(part, limit) for part in parts)
    return anthropic.Timeout(connect=connect, read=read, write=write, pool=pool)


def _body(response: httpx.Response) -> Iterable[bytes]:
    """
    Give the decoded body.

    Where nothing is to be decoded the stream itself is read: httpx's own iterators cost
    as much for every event as all that we do with it.
    """
    stream = response.stream
    if isinstance(stream, httpx.SyncByteStream) and "content-encoding" not in response.headers:
        return stream
    return response.iter_bytes()


def _async_body(response: httpx.Response) -> AsyncIterable[bytes]:
    """Give the decoded body; see `_body`."""
    stream = response.stream
    if isinstance(stream, httpx.AsyncByteStream) and "content-encoding" not in response.headers:
        return stream
    return response.aiter_bytes()
