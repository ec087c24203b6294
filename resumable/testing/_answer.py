"""
An answer on its way to the wire, and where it can be cut.

It never touches a socket: the server and the in-process transport both perform what is written here.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from ._frames import PING, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

How: TypeAlias = Literal["rst", "fin", "eof"]
Phase: TypeAlias = Literal[
    "headers", "message_start", "thinking", "text", "tool_json", "between_blocks", "message_delta", "message_stop"
]
Headers: TypeAlias = tuple[tuple[str, str], ...]

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_MESSAGES: Mapping[str, str] = {
    "overloaded_error": "Overloaded",
    "rate_limit_error": "This request would exceed your organization's rate limit. Please try again later.",
    "api_error": "Internal server error",
    "timeout_error": "Request timed out",
    "authentication_error": "invalid x-api-key",
    "request_too_large": "Request exceeds the maximum size",
}


def error_body(
    kind: str, message: str | None = None, *, error_code: str | None = None, request_id: str | None = None
) -> bytes:
    """
    Write an error the way the API does.

    Args:
        kind: The error's type (``overloaded_error`` …).
        message: ``None`` takes the usual sentence of that type.
        error_code: Goes into ``error.details``.
        request_id: Repeated in the body, as the API does.

    Returns:
        JSON.
    """
    error: dict[str, object] = {"type": kind, "message": message or _MESSAGES.get(kind, kind.replace("_", " "))}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How the bytes of an answer stop.

    Attributes:
        how: ``eof`` ends the body properly, ``fin`` closes the connection within it, ``rst`` resets it, ``stall``
            says nothing more, ``refused`` never accepts the connection.
        early: Whether this happens before the headers.
        pings: Whether a stall goes on sending pings.
        ping_every: [seconds] Distance between those pings.
        seconds: [seconds] After this a stall ends with a ``fin``.
    """

    how: Literal["eof", "fin", "rst", "stall", "refused"] = "eof"
    early: bool = False
    pings: bool = False
    ping_every: float = 15.0
    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One answer on its way to the wire.

    Attributes:
        status: HTTP status.
        headers: In order, without the framing ones.
        frames: The body; each frame is written on its own.
        ending: How it stops.
        pause: [seconds] Wait before each frame.
        length: [bytes] ``None`` frames the body in chunked encoding; else the announced content-length.
        whole: Whether everything the upstream meant to send is in `frames`.
        ping: What a stall sends that goes on with pings.
    """

    status: int
    headers: Headers
    frames: tuple[Frame, ...]
    ending: Ending = field(default_factory=Ending)
    pause: float = 0.0
    length: int | None = None
    whole: bool = True
    ping: bytes = PING

    @property
    def body(self) -> bytes:
        """All bytes of the body."""
        return b"".join(part.payload for part in self.frames)

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events; anything else has its length announced."""
        return self.length is None

    def cut_to(self, frames: tuple[Frame, ...], ending: Ending) -> Answer:
        """
        Leave out the end of the body.

        Args:
            frames: What still arrives.
            ending: What happens then.

        Returns:
            The rest; a body that ends as if it were complete announces what it has.
        """
        kept = replace(self, frames=frames, ending=ending, whole=False)
        if self.length is None or ending.how != "eof":
            return kept
        return replace(kept, length=len(kept.body))

    def with_header(self, name: str, value: str) -> Answer:
        """
        Replace one header.

        Args:
            name: In lower case.
            value: The new value.

        Returns:
            The answer with that header last.
        """
        kept = tuple(pair for pair in self.headers if pair[0] != name)
        return replace(self, headers=(*kept, (name, value)))


class Fault(abc.ABC):
    """Something that happens to an answer on its way; a subclass is a value and touches nothing but the answer."""

    __slots__ = ()

    @property
    def reaches_model(self) -> bool:
        """Whether the request gets as far as the model, so that its first answer is used up."""
        return True

    @abc.abstractmethod
    def apply(self, answer: Answer) -> Answer:
        """
        Give the answer as it will arrive.

        Args:
            answer: What the upstream means to send, or what an earlier fault left of it.

        Returns:
            A new answer; the given one is left alone.
        """


def cut(answer: Answer, at_byte: int | None, after: int | None, phase: Phase | None) -> tuple[Frame, ...] | None:
    """Find what is sent before a place; ``None`` when the answer never gets there."""
    frames = answer.frames
    if at_byte is not None:
        return _cut_at(frames, at_byte)
    if after is not None:
        return frames[:after] if after <= len(frames) else None
    if phase is None:
        return frames
    first = next((number for number, part in enumerate(frames) if part.phase == phase), None)
    if first is None:
        return None
    last = first
    while last + 1 < len(frames) and frames[last + 1].phase in {phase, "ping"}:
        last += 1
    return frames[: (first + last) // 2 + 1]


def _cut_at(frames: tuple[Frame, ...], at_byte: int) -> tuple[Frame, ...] | None:
    left = at_byte
    for number, part in enumerate(frames):
        if left < len(part.payload):
            head = (Frame(part.payload[:left], part.phase),) if left else ()
            return (*frames[:number], *head)
        left -= len(part.payload)
    return frames if left == 0 else None
