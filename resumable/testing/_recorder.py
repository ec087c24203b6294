"""
Record what a real client is answered, without the secrets: one recording for each request that is sent for a message.

What the client gets is not changed: the bytes are copied while they pass.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ._tape import Tape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    import anthropic

    from ._replay import Recording
    from ._replies import Json

ClientT = TypeVar("ClientT", bound="anthropic.Anthropic | anthropic.AsyncAnthropic")

#: What is kept of headers: a list of what may stay, so that a secret nobody thought of does not.
_KEPT_OF_REQUEST = ("anthropic-beta", "anthropic-version", "content-type")
#: What is kept of a request's body where its content is not: facts that change the shape of an answer.
_SHAPE = ("max_tokens", "model", "service_tier", "speed", "stream", "temperature", "thinking", "top_k", "top_p")
_FIRST = 1


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
        wrapped: ClientT = plain.with_middleware(Middleware(self.begin))
        return wrapped

    def begin(self, method: str, path: str, headers: Mapping[str, str], body: object) -> Tape:
        """Begin to record an exchange; the middleware calls it."""
        kept = {name: str(headers[name]) for name in _KEPT_OF_REQUEST if name in headers}
        whole: Json = body if isinstance(body, dict) else {}
        request = {"method": method, "path": path, "headers": kept, "body": self._kept_of(whole)}
        return Tape(request, self.end)

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
