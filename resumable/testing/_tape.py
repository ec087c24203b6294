"""Takes down one exchange, and leaves the secrets out."""

from __future__ import annotations

import json
import re
import time
import zlib
from typing import TYPE_CHECKING, Any, Literal

from ._replay import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._replies import Json

#: What is kept of headers: a list of what may stay, so that a secret nobody thought of does not.
_KEPT_OF_RESPONSE = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
#: Headers whose values are secrets, wherever they occur.
_SECRET = (
    "authorization",
    "x-api-key",
    "proxy-authorization",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "x-amz-security-token",
)
_KEY = re.compile(rb"sk-ant-[\w-]+")
_WINDOWS = {"gzip": 31, "deflate": 15}
#: [bytes] A shorter value would hit words of the answer.
_TELLING = 8


class Tape:
    """Takes down one exchange; ended once, whoever ends it first."""

    def __init__(self, request: Json, keep: Callable[[Recording], None]) -> None:
        self._keep = keep
        self._request = request
        self._secrets: set[bytes] = set()
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._encoding = ""
        self._pieces: list[tuple[float, bytes]] = []
        self._at = time.monotonic()
        self._is_over = False

    def answer(self, response: Any, sent: Mapping[str, str]) -> None:  # noqa: ANN401  # Reason: of either httpx
        """
        Take down the head of the response; its request tells the secrets that went out with it.

        Args:
            response: Of the SDK's own httpx.
            sent: Headers that the client added to the request.
        """
        self._request["headers"] |= sent
        self._status = response.status_code
        self._headers = tuple((name, response.headers[name]) for name in _KEPT_OF_RESPONSE if name in response.headers)
        self._encoding = response.headers.get("content-encoding", "").lower()
        for headers in (response.request.headers, response.headers):
            values = (headers.get(name, "").removeprefix("Bearer ").strip() for name in _SECRET)
            self._secrets |= {value.encode() for value in values if len(value) >= _TELLING}

    def piece(self, data: bytes) -> None:
        """Take down bytes of the body as they came."""
        now = time.monotonic()
        self._pieces.append((now - self._at, data))
        self._at = now

    def decoded(self, data: bytes) -> None:
        """Take down a body that was read and decoded already."""
        self._encoding = ""
        self.piece(data)

    def end(self, how: Literal["eof", "closed", "lost"], error: BaseException | None = None) -> None:
        """Hand over the recording."""
        if self._is_over:
            return
        self._is_over = True
        pieces, headers = _decoded(self._pieces, self._encoding), self._headers
        if pieces is None:  # It is kept as it travelled: who only records must not break what is read.
            pieces, headers = self._pieces, (*headers, ("content-encoding", self._encoding))
        body = scrubbed(pieces, self._secrets)
        request = json.loads(scrub(json.dumps(self._request).encode(), self._secrets))
        name = None if error is None else type(error.__cause__ or error).__name__
        self._keep(Recording(request, self._status, headers, tuple(body), how, name))


def _decoded(pieces: Iterable[tuple[float, bytes]], encoding: str) -> list[tuple[float, bytes]] | None:
    """Undo the content encoding piece by piece, so that each keeps its time; `None` where that cannot be done."""
    if encoding in {"", "identity"}:
        return list(pieces)
    if encoding not in _WINDOWS:
        return None
    decoder = zlib.decompressobj(_WINDOWS[encoding])
    try:
        return [(pause, decoder.decompress(piece)) for pause, piece in pieces]
    except zlib.error:
        return None


def scrubbed(pieces: list[tuple[float, bytes]], secrets: Iterable[bytes]) -> list[tuple[float, bytes]]:
    """Take secrets out of a body, also those that lie across two pieces; no piece changes its length."""
    clean = scrub(b"".join(piece for _, piece in pieces), secrets)
    at, kept = 0, list[tuple[float, bytes]]()
    for pause, piece in pieces:
        kept.append((pause, clean[at : at + len(piece)]))
        at += len(piece)
    return kept


def scrub(text: bytes, secrets: Iterable[bytes]) -> bytes:
    """Put as many x in the place of each secret, and of whatever looks like a key."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, b"x" * len(secret))
    return _KEY.sub(lambda found: b"x" * len(found[0]), text)
