"""
Amazon's binary event stream into server-sent events, and back: incremental, bounded, exact to its format.

Bedrock wraps each event of the Messages API into one binary message. What the rest of the core reads is the
same events as text, so that nothing but this file knows of the framing.
"""

from __future__ import annotations

from binascii import crc32
from typing import Final

import msgspec

from resumable._core.errors import RemoteProtocolError
from resumable._core.sse import Frame, FrameParser

# Source: smithy.io, "Amazon Event Stream Specification": total length, length of the headers, checksum of the two;
# headers; payload; checksum of everything before it. All numbers are big-endian.
_PRELUDE_BYTES: Final = 12
_FRAMING_BYTES: Final = 16
#: [bytes] Limits of the format.
MAX_HEADERS_BYTES: Final = 128 * 1024
MAX_PAYLOAD_BYTES: Final = 24 * 1024 * 1024

_STRING: Final = 7
#: [bytes] What the values of each type of header take; those of 6 (bytes) and 7 (a string) say it themselves.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_COUNTED: Final = frozenset({6, _STRING})

_FAILURES: Final = frozenset({"exception", "error"})
#: Bytes came, and no event with them: the connection lives.
_ALIVE: Final = b":\n\n"


class _Chunk(msgspec.Struct):
    """The payload of an event: the API's JSON in base64."""

    data: bytes = msgspec.field(name="bytes", default=b"")


class _Typed(msgspec.Struct):
    type: str = ""


class _Error(msgspec.Struct):
    type: str = ""
    message: str = ""


class _ErrorEvent(msgspec.Struct):
    error: _Error


class _Refusal(msgspec.Struct):
    message: str | None = None
    spelled: str | None = msgspec.field(name="Message", default=None)


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_type = msgspec.json.Decoder(_Typed).decode
_decode_error = msgspec.json.Decoder(_ErrorEvent).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode
_Broken = (msgspec.MsgspecError, UnicodeDecodeError)


class EventStreamDecoder:
    """
    Incremental decoder of one response body; make a new one for each attempt.

    Any split of the bytes gives the same events (law L3), and each byte is looked at
    a constant number of times (law L9).

    Attributes:
        is_broken: Whether what waits is no message; the next `feed` says so, whatever it is given.
    """

    __slots__ = ("_buffer", "_headers", "_raw_headers", "is_broken")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._raw_headers = b""
        self._headers: dict[str, str] = {}
        self.is_broken = False

    def feed(self, data: bytes) -> bytes:
        """
        Take bytes as they arrive and return the events they complete.

        Args:
            data: [0.. bytes] In stream order.

        Returns:
            [1.. bytes] Server-sent events, each with its blank line; a comment where there is none.

        Raises:
            RemoteProtocolError: A message is too long, damaged, or none; those before it were returned.
        """
        buffer = self._buffer
        buffer += data
        out: list[bytes] = []
        start = 0
        try:
            while (end := start + _length(buffer, start)) <= len(buffer):
                out.append(self._event(bytes(buffer[start:end])))
                start = end
        except RemoteProtocolError:
            self.is_broken = True
            if not out:
                raise
        finally:
            del buffer[:start]
        return b"".join(out) or _ALIVE

    def _event(self, message: bytes) -> bytes:
        if crc32(message[:-4]) != _number(message, len(message) - 4):
            problem = "the checksum of a binary message is wrong"
            raise RemoteProtocolError(problem)
        end = _PRELUDE_BYTES + _number(message, 4)
        raw = message[_PRELUDE_BYTES:end]
        if raw != self._raw_headers:  # They are the same in nearly every message.
            self._headers, self._raw_headers = _parse_headers(raw), raw
        return _as_event(self._headers, message[end:-4])


class EventStreamEncoder:
    """Frames server-sent events in binary, as they come; what `EventStreamDecoder` takes apart."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser = FrameParser()

    def feed(self, data: bytes) -> bytes:
        """
        Take server-sent events as they come and return them framed in binary.

        Args:
            data: [0.. bytes] In stream order; an event ends with its blank line.

        Returns:
            [0.. bytes] One message for each event; none for a comment. What was an exception is one again.
        """
        return b"".join([_framed(frame) for frame in self._parser.feed(data) if frame.data])


def encode_event(data: bytes) -> bytes:
    """Frame one event, given as the API's JSON, the way Bedrock does."""
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, msgspec.json.encode(_Chunk(data)))


def encode_exception(name: str, message: str) -> bytes:
    """Frame an exception inside a stream, the way Bedrock does."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode_message(headers, msgspec.json.encode({"message": message}))


def encode_message(headers: dict[str, str], payload: bytes) -> bytes:
    """
    Write one message.

    Args:
        headers: Names and values, at most 255 and 65,535 bytes each.
        payload: [0.. bytes] At most `MAX_PAYLOAD_BYTES`.

    Returns:
        The message with both checksums.
    """
    written = b"".join([_encode_header(name.encode(), value.encode()) for name, value in headers.items()])
    prelude = _bytes(_FRAMING_BYTES + len(written) + len(payload)) + _bytes(len(written))
    message = prelude + _bytes(crc32(prelude)) + written + payload
    return message + _bytes(crc32(message))


def _framed(frame: Frame) -> bytes:
    if frame.name == b"error":
        try:
            error = _decode_error(frame.data).error
        except _Broken:
            error = _Error()
        if error.type.endswith("Exception"):
            return encode_exception(error.type, error.message)
    return encode_event(frame.data)


def _encode_header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([_STRING]) + len(value).to_bytes(2) + value


def _bytes(number: int) -> bytes:
    return number.to_bytes(4)


def _number(data: bytes | bytearray, start: int) -> int:
    return int.from_bytes(data[start : start + 4])


def _length(buffer: bytearray, start: int) -> int:
    """Say how long the message at *start* is [bytes]; as long as nobody can know, longer than what is there."""
    if len(buffer) - start < _PRELUDE_BYTES:
        return _PRELUDE_BYTES
    # Invariant: no length is believed before its checksum was looked at.
    if crc32(buffer[start : start + 8]) != _number(buffer, start + 8):
        problem = "the checksum of a binary message's lengths is wrong"
        raise RemoteProtocolError(problem)
    total, headers = _number(buffer, start), _number(buffer, start + 4)
    payload = total - headers - _FRAMING_BYTES
    if headers > MAX_HEADERS_BYTES or not 0 <= payload <= MAX_PAYLOAD_BYTES:
        problem = "the lengths of a binary message are impossible"
        raise RemoteProtocolError(problem)
    return total


def _parse_headers(raw: bytes) -> dict[str, str]:
    """Read the headers that are strings; the others are passed over."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(raw):
            name_end = at + 1 + raw[at]
            name, kind = raw[at + 1 : name_end].decode(), raw[name_end]
            at = name_end + 1
            size = _SIZES.get(kind)
            if kind in _COUNTED:
                size = raw[at] << 8 | raw[at + 1]
                at += 2
            if size is None or at + size > len(raw):
                raise IndexError  # noqa: TRY301  # Reason: one sentence for all of them, below
            if kind == _STRING:
                found[name] = raw[at : at + size].decode()
            at += size
    except (IndexError, UnicodeDecodeError):
        problem = "the headers of a binary message are malformed"
        raise RemoteProtocolError(problem) from None
    return found


def _as_event(headers: dict[str, str], payload: bytes) -> bytes:
    if headers.get(":message-type") in _FAILURES:
        return _as_error(headers, payload)
    if headers.get(":event-type") != "chunk":
        return _ALIVE
    try:
        data = _decode_chunk(payload).data
    except _Broken:
        problem = "a binary message holds no event"
        raise RemoteProtocolError(problem) from None
    if not data:
        return _ALIVE
    name = _name_of(data)
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data


def _name_of(data: bytes) -> bytes:
    """Give an event the name that the text stream gives it: its type."""
    try:
        name = _decode_type(data).type
    except _Broken:
        return b""  # What it is instead is judged where text is.
    return name.encode() if name.isascii() and name.isidentifier() else b""


def _as_error(headers: dict[str, str], payload: bytes) -> bytes:
    """Write an exception as the API's own `error` event, with Amazon's name as its type."""
    name = headers.get(":exception-type") or headers.get(":error-code", "")
    try:
        refusal = _decode_refusal(payload)
        message = refusal.message or refusal.spelled
    except _Broken:
        message = None
    error = {"type": name, "message": message or headers.get(":error-message", "")}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode({"type": "error", "error": error})
