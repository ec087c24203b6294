"""
Responses that are not what they should be.

Each kind is a function from the answer the upstream means to send to the one that arrives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._answer import Answer, Ending, Fault, cut
from ._frames import Frame, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _insert(answer: Answer, bad: Frame) -> Answer:
    """Put a frame in place of everything from the middle of the first text on."""
    kept = cut(answer, None, None, "text") or answer.frames[:1]
    rest = answer.frames[len(kept) :]
    return replace(answer, frames=(*kept, bad, *rest), whole=False)


def _page(media: str, body: bytes) -> Callable[[Answer], Answer]:
    def instead(answer: Answer) -> Answer:
        parts = (Frame(body),) if body else ()
        page = replace(answer, status=200, frames=parts, length=len(body), whole=False)
        return page.with_header("content-type", media)

    return instead


def _nameless(answer: Answer) -> Answer:
    def strip(part: Frame) -> Frame:
        return part._replace(payload=part.payload[part.payload.index(b"data:") :])

    return replace(answer, frames=tuple(strip(part) for part in answer.frames), whole=False)


def _out_of_grammar(answer: Answer) -> Answer:
    delta = {"index": 7, "delta": {"type": "text_delta", "text": "stray"}}
    return _insert(answer, frame("content_block_delta", delta))


def _second_start(answer: Answer) -> Answer:
    return _insert(answer, answer.frames[0])


def _short_length(answer: Answer) -> Answer:
    kept = cut(answer, None, None, "text") or answer.frames
    return replace(answer, frames=kept, length=len(answer.body), ending=Ending("fin"), whole=False)


def _bad_tool_json(answer: Answer) -> Answer:
    frames = list(answer.frames)
    for number, part in enumerate(frames):
        if part.phase == "tool_json":
            frames[number] = part._replace(payload=part.payload.replace(b'"partial_json":"', b'"partial_json":"}]'))
    return replace(answer, frames=tuple(frames), whole=False)


_GARBAGE: Mapping[str, Callable[[Answer], Answer]] = {
    "html200": _page("text/html", b"<html><body>Please log in</body></html>"),
    "empty200": _page("text/event-stream", b""),
    "json200": _page("application/json", b'{"ok": true}'),
    "bad_json": lambda answer: _insert(answer, Frame(b'event: content_block_delta\ndata: {"type": "content_\n\n')),
    "bad_utf8": lambda answer: _insert(answer, Frame(b'event: content_block_delta\ndata: {"type": "\xff\xfe"}\n\n')),
    "not_an_object": lambda answer: _insert(answer, Frame(b"event: content_block_delta\ndata: [1, 2]\n\n")),
    "no_event_names": _nameless,
    "out_of_grammar": _out_of_grammar,
    "second_message_start": _second_start,
    "unknown_event": lambda answer: _insert(answer, frame("message_note", {"note": "new"})),
    "short_length": _short_length,
    "bad_tool_json": _bad_tool_json,
}

GARBAGE_KINDS = tuple(_GARBAGE)
# These come from something before the model.
PAGES = frozenset({"html200", "empty200", "json200"})


@dataclass(frozen=True, slots=True)
class Garbage(Fault):
    """
    A response that is not what it should be.

    Attributes:
        kind: One of `GARBAGE_KINDS`. Pages instead of a stream: ``html200``, ``empty200``, ``json200``. A bad record in
            the middle of the first text: ``bad_json``, ``bad_utf8``, ``not_an_object``, ``out_of_grammar`` (a delta of
            a block never started), ``second_message_start``, ``unknown_event`` (harmless). Of the whole stream:
            ``no_event_names``, ``short_length`` (fewer bytes than announced), ``bad_tool_json``.
    """

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in _GARBAGE:
            known = ", ".join(GARBAGE_KINDS)
            message = f"{self.kind!r} is not a kind of garbage: {known}"
            raise ValueError(message)  # Reason: once

    @property
    def reaches_model(self) -> bool:
        """Whether it is not a page of something before the model."""
        return self.kind not in PAGES

    def apply(self, answer: Answer) -> Answer:
        """Spoil the answer."""
        # What is no stream has no records to spoil.
        return _GARBAGE[self.kind](answer) if answer.is_stream or self.kind in PAGES else answer
