"""
Frames into typed events and back; what is unknown is carried through unchanged.

A frame is decoded once. It is encoded again only where its index, text or usage must change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from resumable._core.errors import RemoteProtocolError

if TYPE_CHECKING:
    from resumable._core.sse import Frame


class TextDelta(msgspec.Struct, tag_field="type", tag="text_delta", gc=False):
    """More text of a text block."""

    text: str


class InputJSONDelta(msgspec.Struct, tag_field="type", tag="input_json_delta", gc=False):
    """More JSON of a tool call's input."""

    partial_json: str


class ThinkingDelta(msgspec.Struct, tag_field="type", tag="thinking_delta", gc=False):
    """More text of a thinking block."""

    thinking: str


class SignatureDelta(msgspec.Struct, tag_field="type", tag="signature_delta", gc=False):
    """A thinking block's signature; it replaces and comes once, just before the block's stop."""

    signature: str


class CitationsDelta(msgspec.Struct, tag_field="type", tag="citations_delta"):
    """One citation of a text block."""

    citation: dict[str, Any]


Delta = TextDelta | InputJSONDelta | ThinkingDelta | SignatureDelta | CitationsDelta


class MessageStart(msgspec.Struct, tag_field="type", tag="message_start"):
    """The message opens: id, model, usage so far, no content."""

    message: dict[str, Any]


class ContentBlockStart(msgspec.Struct, tag_field="type", tag="content_block_start"):
    """A content block opens; some types arrive whole in it."""

    index: int
    content_block: dict[str, Any]

    @property
    def block_type(self) -> str:
        """The block's `type`; empty where upstream sent none."""
        return str(self.content_block.get("type", ""))


class ContentBlockDelta(msgspec.Struct, tag_field="type", tag="content_block_delta", gc=False):
    """A content block goes on."""

    index: int
    delta: Delta


class OpaqueDelta(msgspec.Struct):
    """A delta of a type this library does not know; it is only carried."""

    index: int
    delta: dict[str, Any]


class ContentBlockStop(msgspec.Struct, tag_field="type", tag="content_block_stop", gc=False):
    """A content block is complete."""

    index: int


class MessageDelta(msgspec.Struct, tag_field="type", tag="message_delta"):
    """The message's top level changes: `stop_reason`, cumulative usage."""

    delta: dict[str, Any] = {}  # Reason: msgspec copies mutable defaults
    usage: dict[str, Any] = {}  # Reason: msgspec copies mutable defaults

    @property
    def stop_reason(self) -> str | None:
        """Why the message ends; `None` while it does not."""
        reason = self.delta.get("stop_reason")
        return None if reason is None else str(reason)


class MessageStop(msgspec.Struct, tag_field="type", tag="message_stop", gc=False):
    """The message is complete."""


class Ping(msgspec.Struct, tag_field="type", tag="ping", gc=False):
    """The connection lives; says nothing about the message."""


class ErrorEvent(msgspec.Struct, tag_field="type", tag="error"):
    """Upstream gives up on this attempt."""

    error: dict[str, Any] = {}  # Reason: msgspec copies mutable defaults


class UnknownEvent(msgspec.Struct):
    """An event of a type this library does not know, or a comment; it is only carried."""

    type: str


Event = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | OpaqueDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
    | UnknownEvent
)

_KNOWN: Final = msgspec.json.Decoder(
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
)
_LOOSE: Final = msgspec.json.Decoder(dict[str, Any])
_NAMES: Final[dict[type, bytes]] = {
    MessageStart: b"message_start",
    ContentBlockStart: b"content_block_start",
    ContentBlockDelta: b"content_block_delta",
    OpaqueDelta: b"content_block_delta",
    ContentBlockStop: b"content_block_stop",
    MessageDelta: b"message_delta",
    MessageStop: b"message_stop",
    Ping: b"ping",
    ErrorEvent: b"error",
}
_TYPES: Final = frozenset(name.decode() for name in _NAMES.values())
_TEXT_FRAME: Final = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}\n\n'
)
_DELTA_TYPES: Final = frozenset(
    {"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"}
)


#: Decodes the data of a `content_block_delta` with a delta that is known; raises what msgspec raises.
#: A union, since a decoder of one type alone does not ask for the event's own type, and clients do.
decode_delta: Final = msgspec.json.Decoder(ContentBlockDelta | Ping).decode


def decode(frame: Frame) -> Event:
    """
    Decode a frame; types and fields that are not known are no error.

    Args:
        frame: One record; its `raw` is what goes on if nothing in it must change.

    Returns:
        The event; a comment is an `UnknownEvent` without a type.

    Raises:
        RemoteProtocolError: It is not UTF-8, the data is no JSON object, or a known event has not its shape.
    """
    if not is_utf8(frame.raw):
        problem = "an event is not UTF-8"
        raise RemoteProtocolError(problem)
    if not frame.data:
        return UnknownEvent("")
    try:
        return _KNOWN.decode(frame.data)  # type: ignore[no-any-return]  # Reason: Decoder of a union infers Any
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_loosely(frame)


def is_utf8(data: bytes) -> bool:
    """Whether *data* is UTF-8: JSON parsers look only at what they decode, and clients at every line."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def name_of(event: Event) -> bytes:
    """Give the SSE name of an event: its type."""
    if isinstance(event, UnknownEvent):
        return event.type.encode("utf-8", "replace")
    return _NAMES[type(event)]


def _decode_loosely(frame: Frame) -> Event:
    is_error = frame.name == b"error"
    try:
        fields = _LOOSE.decode(frame.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if is_error:  # Gateways send plain text or HTML here.
            return ErrorEvent()
        problem = "the data of an event is not a JSON object"
        raise RemoteProtocolError(problem) from None
    if is_error or fields.get("type") == "error":
        error = fields.get("error")
        return ErrorEvent(error if isinstance(error, dict) else {})
    kind = fields.get("type")
    if not isinstance(kind, str) or not kind:
        kind = frame.name.decode("utf-8", "replace")
    if kind not in _TYPES:
        return UnknownEvent(kind)
    if fields.get("type") == "content_block_delta":
        return _opaque_delta(fields)
    problem = f"a {kind} event has not its shape"
    raise RemoteProtocolError(problem)


def _opaque_delta(fields: dict[str, Any]) -> OpaqueDelta:
    index, delta = fields.get("index"), fields.get("delta")
    kind = delta.get("type", "") if isinstance(delta, dict) else None
    if type(index) is not int or not isinstance(delta, dict) or not isinstance(kind, str) or kind in _DELTA_TYPES:
        problem = "a content_block_delta event has not its shape"
        raise RemoteProtocolError(problem)
    return OpaqueDelta(index, delta)


def encode(kind: str, fields: dict[str, Any]) -> bytes:
    """
    Encode one event as a frame.

    U+2028, U+2029 and U+0085 are escaped: they are legal in JSON, and line ends to
    the line readers of several clients.

    Args:
        kind: The event's type, also its SSE name.
        fields: The event's fields, `type` among them or not.

    Returns:
        The frame with its blank line.
    """
    data = _escaped(msgspec.json.encode({"type": kind, **fields}))
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _escaped(data: bytes) -> bytes:
    if data.isascii():
        return data
    data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return data.replace(b"\xc2\x85", b"\\u0085")


def edit(frame: Frame, **changes: object) -> bytes:
    """
    Encode a frame again with some top-level fields changed and every other one kept.

    Args:
        frame: A frame whose data is a JSON object.
        changes: Fields to replace; a `dict` is merged into the `dict` that is there.

    Returns:
        The new frame's bytes.

    Raises:
        RemoteProtocolError: A field that was of no interest so far cannot be decoded.
    """
    try:
        fields = _LOOSE.decode(frame.data)
    except (msgspec.MsgspecError, RecursionError):
        problem = "an event holds what cannot be encoded again"
        raise RemoteProtocolError(problem) from None
    for name, value in changes.items():
        there = fields.get(name)
        fields[name] = {**there, **value} if isinstance(there, dict) and isinstance(value, dict) else value
    kind = fields.pop("type", None) or frame.name.decode("utf-8", "replace")
    return encode(str(kind), fields)


def text_frame(index: int, text: str) -> bytes:
    """Encode a delta of our own that carries *text* for the block at *index*; most of what is encoded at all."""
    return _TEXT_FRAME % (index, _escaped(msgspec.json.encode(text)))


def input_frame(index: int, json: str) -> bytes:
    """Encode a delta of our own that carries input *json* for the block at *index*."""
    return encode("content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": json}})
