"""
Bedrock's binary bodies: read as the text that every other platform sends, and framed in binary again for the caller.

The caller's own client decodes binary, and sees its content type; so binary is what it gets, also where
a continuation came in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from resumable._core.aws_stream import EventStreamDecoder, EventStreamEncoder
from resumable._sdk import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

_MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"


def is_binary(response: httpx.Response) -> bool:
    """Say whether a body is framed the way Bedrock does."""
    return response.headers.get("content-type", "").startswith(_MEDIA_TYPE)


class Decoded:
    """A binary body as text; the end of the body ends it, wherever that is."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = iter(body)
        self._decoder = EventStreamDecoder()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        decoder = self._decoder
        return decoder.feed(b"" if decoder.is_broken else next(self._body))


class AsyncDecoded:
    """A binary body as text; see `Decoded`."""

    def __init__(self, body: AsyncIterable[bytes]) -> None:
        self._body = aiter(body)
        self._decoder = EventStreamDecoder()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        decoder = self._decoder
        return decoder.feed(b"" if decoder.is_broken else await anext(self._body))


class Reframed(httpx.SyncByteStream):
    """The body of a spliced response, in binary."""

    def __init__(self, body: httpx.SyncByteStream) -> None:
        self._body = body
        self._events = iter(body)
        self._encoder = EventStreamEncoder()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while not (framed := self._encoder.feed(next(self._events))):
            pass
        return framed

    def close(self) -> None:
        """Leave the session; see `Body`."""
        self._body.close()


class AsyncReframed(httpx.AsyncByteStream):
    """The body of a spliced response, in binary; see `Reframed`."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body
        self._events = aiter(body)
        self._encoder = EventStreamEncoder()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not (framed := self._encoder.feed(await anext(self._events))):
            pass
        return framed

    async def aclose(self) -> None:
        """Leave the session; see `AsyncBody`."""
        await self._body.aclose()
