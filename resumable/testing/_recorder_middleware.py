"""The SDK's middleware that copies what passes on to a tape; the only file of the recorder that needs the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic

from resumable._sdk import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ._tape import Tape


class Recording(anthropic.Middleware):
    """Put last, next to the network; everything but requests for a message passes through unseen."""

    def __init__(self, begin: Callable[..., Tape]) -> None:
        self._begin = begin

    def handle(self, request: anthropic.APIRequest, call_next: anthropic.CallNext) -> anthropic.APIResponse[Any]:
        """Record one exchange."""
        tape = self._tape(request)
        if tape is None:
            return call_next(request)
        try:
            answer = call_next(request)
        except anthropic.APIConnectionError as error:
            tape.end("lost", error)
            raise
        _follow(tape, answer.http_response)
        return answer

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Record one exchange."""
        tape = self._tape(request)
        if tape is None:
            return await call_next(request)
        try:
            answer = await call_next(request)
        except anthropic.APIConnectionError as error:
            tape.end("lost", error)
            raise
        _follow(tape, answer.http_response)
        return answer

    def _tape(self, request: anthropic.APIRequest) -> Tape | None:
        path = request.url.partition("?")[0].rstrip("/")
        if request.method.upper() != "POST" or not path.endswith("/v1/messages"):
            return None
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        return self._begin(request.method.upper(), "/v1/messages", headers, request.json)


def _follow(tape: Tape, response: Any) -> None:  # noqa: ANN401  # Reason: a response of either colour
    """Copy a response's body while it is read; one that has been read is copied at once."""
    headers = response.request.headers
    tape.answer(response, {name: headers[name] for name in ("anthropic-version", "anthropic-beta") if name in headers})
    if response.is_stream_consumed or response.is_closed:
        tape.decoded(response.content)
        tape.end("eof")
    elif isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _AsyncTap(response.stream, tape)
    else:
        response.stream = _Tap(response.stream, tape)


class _Tap(httpx.SyncByteStream):
    def __init__(self, body: httpx.SyncByteStream, tape: Tape) -> None:
        self._body = body
        self._tape = tape

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._body:
                self._tape.piece(piece)
                yield piece
        except Exception as error:
            self._tape.end("lost", error)
            raise
        self._tape.end("eof")

    def close(self) -> None:
        self._tape.end("closed")
        self._body.close()


class _AsyncTap(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream, tape: Tape) -> None:
        self._body = body
        self._tape = tape

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._body:
                self._tape.piece(piece)
                yield piece
        except Exception as error:
            self._tape.end("lost", error)
            raise
        self._tape.end("eof")

    async def aclose(self) -> None:
        self._tape.end("closed")
        await self._body.aclose()
