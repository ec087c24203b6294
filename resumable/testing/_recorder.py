"""
Record what a real client is answered, without the secrets: one recording for each request that is sent for a message.

What the client gets is not changed: the bytes are copied while they pass.
"""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ._replay import Recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    import anthropic

    from ._replies import Json

ClientT = TypeVar("ClientT", bound="anthropic.Anthropic | anthropic.AsyncAnthropic")

#: What is kept of headers: a list of what may stay, so that a secret nobody thought of does not.
_KEPT_OF_REQUEST = ("anthropic-beta", "anthropic-version", "content-type")
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
#: What is kept of a request's body where its content is not: facts that change the shape of an answer.
_SHAPE = ("max_tokens", "model", "service_tier", "speed", "stream", "temperature", "thinking", "top_k", "top_p")
_WINDOWS = {"gzip": 31, "deflate": 15}
_FIRST = 1
#: [bytes] A shorter value would hit words of the answer.
_TELLING = 8


class Recorder:
    """
    Records the exchanges of the clients that it wraps; safe to share between threads and tasks.

    Attributes:
        recordings: What was recorded so far, in the order in which it ended.
    """

    def __init__(self, folder: str | PathLike[str] | None = None, *, content: bool = False) -> None:
        """
        Make a recorder.

        Args:
            folder: Each recording is written there as ``0001.json`` …; ``None`` keeps them in memory only.
            content: Whether requests are kept with their content: messages, system, tools. What was answered is
                always kept.
        """
        self._folder = None if folder is None else Path(folder)
        self._content = content
        self._guard = threading.Lock()
        self.recordings: list[Recording] = []

    def wrap(self, client: ClientT) -> ClientT:
        """
        Make a client whose exchanges are recorded, next to the network: of a recovered stream, every attempt.

        Args:
            client: Any client of the SDK's, wrapped by `resumable.wrap` or not; it is not changed.

        Returns:
            A client of the same type that shares *client*'s connections.
        """
        from ._recorder_middleware import Recording as Middleware  # noqa: PLC0415  # Reason: the kit must not need the SDK

        plain: Any = client
        wrapped: ClientT = plain.with_middleware(Middleware(self))
        return wrapped

    def begin(self, method: str, path: str, headers: Mapping[str, str], body: object) -> Tape:
        """Begin to record an exchange; the middleware calls it."""
        kept = {name: str(headers[name]) for name in _KEPT_OF_REQUEST if name in headers}
        whole: Json = body if isinstance(body, dict) else {}
        return Tape(self, {"method": method, "path": path, "headers": kept, "body": self._kept_of(whole)})

    def end(self, recording: Recording) -> None:
        """Keep what was recorded; the tape calls it."""
        with self._guard:
            self.recordings.append(recording)
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                recording.save(self._folder / f"{self._next_number():04}.json")

    def _next_number(self) -> int:
        assert self._folder is not None
        numbers = [int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdecimal()]
        return max(numbers, default=_FIRST - 1) + 1

    def _kept_of(self, body: Json) -> Json:
        if self._content:
            return body
        kept = {name: body[name] for name in _SHAPE if name in body}
        counts = {name: len(body[name]) for name in ("messages", "tools") if isinstance(body.get(name), list)}
        return kept | {f"number_of_{name}": count for name, count in counts.items()}


class Tape:
    """Takes down one exchange; ended once, whoever ends it first."""

    def __init__(self, recorder: Recorder, request: Json) -> None:
        self._recorder = recorder
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
        self._recorder.end(Recording(request, self._status, headers, tuple(body), how, name))


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
