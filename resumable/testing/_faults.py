"""
Faults as values: what the network or the upstream does to one answer.

A fault takes an answer and returns the answer as it will arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ._answer import ERROR_TYPES, Answer, Ending, Fault, How, Phase, cut, error_body
from ._frames import Frame


@dataclass(frozen=True, slots=True)
class Drop(Fault):
    """
    The connection ends in the middle of the answer.

    Where: give one of `at_byte`, `after` and `phase`; none of them means at the very end. If the answer never gets
    there, nothing happens.

    Attributes:
        at_byte: [bytes] So much of the body still arrives.
        after: [frames] So many frames still arrive, pings counted.
        phase: ``headers`` is before the response; ``message_start``, ``message_delta``, ``message_stop`` are right
            after that event; ``thinking``, ``text``, ``tool_json`` are in the middle of the first such block;
            ``between_blocks`` is after the first block's stop.
        how: ``rst`` resets, ``fin`` closes within the body, ``eof`` ends the body as if it were complete.
    """

    at_byte: int | None = None
    after: int | None = None
    phase: Phase | None = None
    how: How = "rst"

    def apply(self, answer: Answer) -> Answer:
        """Cut the answer."""
        if self.phase == "headers":
            return replace(answer, frames=(), ending=Ending("fin" if self.how == "eof" else self.how, early=True))
        kept = cut(answer, self.at_byte, self.after, self.phase)
        if kept is None:
            return answer
        return answer.cut_to(kept, Ending(self.how))


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """
    The body ends cleanly before the message does; nothing on the wire says so.

    Attributes:
        at_byte: [bytes] As in `Drop`.
        after: [frames] As in `Drop`.
        phase: As in `Drop`.
    """

    at_byte: int | None = None
    after: int | None = None
    phase: Phase | None = None

    def apply(self, answer: Answer) -> Answer:
        """Cut the answer."""
        return Drop(self.at_byte, self.after, self.phase, how="eof").apply(answer)


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """
    The upstream falls silent and keeps the connection open.

    Attributes:
        at_byte: [bytes] As in `Drop`.
        after: [frames] As in `Drop`.
        phase: As in `Drop`.
        pings: Whether pings go on.
        ping_every: [seconds] Distance between those pings.
        seconds: [seconds] Then the connection is closed after all.
    """

    at_byte: int | None = None
    after: int | None = None
    phase: Phase | None = None
    pings: bool = False
    ping_every: float = 15.0
    seconds: float = 3600.0

    def apply(self, answer: Answer) -> Answer:
        """Cut the answer and say nothing more."""
        ending = Ending("stall", self.phase == "headers", self.pings, self.ping_every, self.seconds)
        if self.phase == "headers":
            return replace(answer, frames=(), ending=ending)
        kept = cut(answer, self.at_byte, self.after, self.phase)
        if kept is None:
            return answer
        return answer.cut_to(kept, ending)


@dataclass(frozen=True, slots=True)
class ErrorEvent(Fault):
    """
    An ``event: error`` inside the stream, under HTTP 200.

    Attributes:
        type: ``overloaded_error``, ``api_error``, ``rate_limit_error`` …
        after: [frames] As in `Drop`; 0 makes it the first event.
        at_byte: [bytes] As in `Drop`; a frame cut in half is left as it is.
        phase: As in `Drop`.
        message: ``None`` takes the usual sentence.
        data: Sent instead of the API's JSON.
    """

    type: str = "overloaded_error"
    after: int | None = None
    at_byte: int | None = None
    phase: Phase | None = None
    message: str | None = None
    data: str | None = None

    def apply(self, answer: Answer) -> Answer:
        """Put the error in place of the rest."""
        kept = cut(answer, self.at_byte, self.after, self.phase) if answer.is_stream else None
        if kept is None:
            return answer
        data = error_body(self.type, self.message) if self.data is None else self.data.encode()
        # A frame cut in half would swallow the error's own lines.
        gap = b"\n\n" if kept and not kept[-1].payload.endswith(b"\n\n") else b""
        last = Frame(gap + b"event: error\ndata: " + data + b"\n\n", "error")
        return replace(answer, frames=(*kept, last), whole=False)


@dataclass(frozen=True, slots=True)
class Reject(Fault):
    """
    An error status instead of a stream.

    Attributes:
        status: HTTP status.
        type: ``None`` derives it from the status.
        message: ``None`` takes the usual sentence.
        headers: Added to the response (``retry-after``, ``x-should-retry`` …).
        error_code: Goes into ``error.details`` (``enforced_spend_limit_reached`` …).
        html: Whether a proxy answers with a page instead of JSON.
    """

    status: int = 529
    type: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    error_code: str | None = None
    html: bool = False

    @property
    def reaches_model(self) -> bool:
        """False: something before the model answers."""
        return False

    def apply(self, answer: Answer) -> Answer:
        """Put the error in place of the stream."""
        kind = self.type or ERROR_TYPES.get(self.status, "api_error")
        if self.html:
            page = f"<html><head><title>{self.status}</title></head><body>nginx</body></html>"
            media, body = "text/html", page.encode()
        else:
            request_id = dict(answer.headers).get("request-id")
            media = "application/json"
            body = error_body(kind, self.message, error_code=self.error_code, request_id=request_id)
        kept = Answer(self.status, answer.headers, (Frame(body),), length=len(body)).with_header("content-type", media)
        for name, value in self.headers.items():
            kept = kept.with_header(name.lower(), value)
        return replace(kept, whole=False)


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """
    No response at all.

    Attributes:
        how: ``refused`` refuses the connection (over HTTP, where the port is open, it is reset), ``rst`` resets it
            after the request was read, ``fin`` closes it then.
    """

    how: Literal["refused", "rst", "fin"] = "refused"

    @property
    def reaches_model(self) -> bool:
        """False: something before the model answers."""
        return False

    def apply(self, answer: Answer) -> Answer:
        """Leave nothing of the answer."""
        return replace(answer, frames=(), ending=Ending(self.how, early=True), whole=False)


@dataclass(frozen=True, slots=True)
class NoMessageStop(Fault):
    """
    The stream ends without its last event, as some proxies do it.

    Attributes:
        blank_line: Whether the event before it keeps its closing blank line.
    """

    blank_line: bool = True

    def apply(self, answer: Answer) -> Answer:
        """Leave out ``message_stop``."""
        kept = tuple(part for part in answer.frames if part.phase != "message_stop")
        if kept and not self.blank_line:
            kept = (*kept[:-1], Frame(kept[-1].payload[:-1], kept[-1].phase))
        return replace(answer, frames=kept)


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    """
    Every frame takes its time.

    Attributes:
        pause: [seconds] Wait before each frame; virtual in process.
    """

    pause: float

    def apply(self, answer: Answer) -> Answer:
        """Slow the answer down."""
        return replace(answer, pause=self.pause)


@dataclass(frozen=True, slots=True)
class Split(Fault):
    """
    The same bytes, cut elsewhere.

    Attributes:
        sizes: [bytes] Sizes of the writes, used in turn; one number is the size of all.
    """

    sizes: int | Sequence[int] = 1

    def apply(self, answer: Answer) -> Answer:
        """Cut the body anew."""
        sizes = (self.sizes,) if isinstance(self.sizes, int) else tuple(self.sizes)
        body = answer.body
        parts: list[Frame] = []
        at = 0
        while at < len(body):
            size = max(1, sizes[len(parts) % len(sizes)])
            parts.append(Frame(body[at : at + size]))
            at += size
        return replace(answer, frames=tuple(parts))


FaultPlan: TypeAlias = Sequence[Fault | Sequence[Fault] | None]


def suffer(answer: Answer, faults: Fault | Sequence[Fault] | None) -> Answer:
    """
    Let one answer suffer its faults.

    Args:
        answer: What the upstream means to send.
        faults: One fault, several to be suffered in turn, or ``None``.

    Returns:
        What arrives. Only an answer that is a stream suffers what happens inside a stream.
    """
    if faults is None:
        return answer
    for fault in faults if isinstance(faults, Sequence) else (faults,):
        answer = fault.apply(answer)
    return answer


def reaches_model(faults: Fault | Sequence[Fault] | None) -> bool:
    """
    Tell whether a request that suffers these faults reaches the model.

    Args:
        faults: As in `suffer`.

    Returns:
        False when something before the model answers, so that the model's next answer is still its first.
    """
    if faults is None:
        return True
    return all(fault.reaches_model for fault in (faults if isinstance(faults, Sequence) else (faults,)))
