"""
Bytes into server-sent event frames: incremental, bounded, exact to the WHATWG specification.

Never decodes text and never parses JSON; the bytes of a frame travel with it.
"""

from __future__ import annotations

import msgspec

from resumable._core.errors import RemoteProtocolError

#: [bytes] One frame at most. The largest legitimate ones are result blocks that arrive whole
#: (a fetched page, a document); upstream itself refuses requests above 32 MiB.
MAX_FRAME_BYTES = 32 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Frame(msgspec.Struct, gc=False):
    """
    One record of the stream, before typing.

    Attributes:
        name: Value of the `event` field; empty where there is none.
        data: Value of the `data` field, lines joined by LF; empty where there is none.
        raw: The record's bytes with its blank line; lines end in LF whatever they came with.
    """

    name: bytes
    data: bytes
    raw: bytes


class FrameParser:
    """
    Incremental parser of one response body; make a new one for each attempt.

    Any split of the bytes gives the same frames (law L3), and each byte is looked at
    a constant number of times (law L9).
    """

    __slots__ = ("_buffer", "_limit", "_pending_cr", "_scanned", "_started")

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._pending_cr = False
        self._scanned = 0
        self._started = False

    def feed(self, data: bytes) -> list[Frame]:
        """
        Take bytes as they arrive and return the frames they complete.

        Args:
            data: [0.. bytes] In stream order.

        Returns:
            Frames in stream order; a run of comments is a frame without name and data.

        Raises:
            RemoteProtocolError: A frame is longer than the limit.
        """
        if self._started and not self._buffer and not self._pending_cr and data.endswith(b"\n\n") and b"\r" not in data:
            # What upstream sends nearly always: whole frames, LF only.
            return [frame for block in data[:-2].split(b"\n\n") if (frame := _frame(block)) is not None]
        return self._feed_buffered(data)

    def _feed_buffered(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        buffer += self._line_feeds_only(data)
        if not self._started and not self._skip_bom():
            return []
        frames = []
        start = 0
        while (end := buffer.find(b"\n\n", max(start, self._scanned - 1))) >= 0:
            frame = _frame(bytes(buffer[start:end]))
            start = self._scanned = end + 2
            if frame is not None:
                frames.append(frame)
        del buffer[:start]
        self._scanned = len(buffer)
        if len(buffer) > self._limit:
            raise RemoteProtocolError(f"a frame is longer than {self._limit} bytes")
        return frames

    def finish(self) -> Frame | None:
        """
        Return the frame that the end of the body cut short of its blank line, if there is one.

        The specification drops it. Upstream test streams and some proxies end right after
        the last line, so it is for the caller to say whether it counts.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return _frame(rest.rstrip(b"\n"))

    def _line_feeds_only(self, data: bytes) -> bytes:
        if self._pending_cr and data:
            self._pending_cr = False
            if data.startswith(b"\n"):  # The second half of a CRLF.
                data = data[1:]
        if b"\r" in data:
            self._pending_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _skip_bom(self) -> bool:
        """Drop one leading byte order mark; false while it is too early to tell."""
        buffer = self._buffer
        if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
            return False
        self._started = True
        if buffer.startswith(_BOM):
            del buffer[: len(_BOM)]
        return True


def _frame(block: bytes) -> Frame | None:
    """Parse one record, without its blank line; nothing but line ends is no record."""
    if block.startswith(b"event: "):
        name, separator, rest = block[7:].partition(b"\n")
        if separator and rest.startswith(b"data: ") and b"\n" not in rest:
            return Frame(name, rest[6:], block + b"\n\n")
    block = block.lstrip(b"\n")
    return _frame_of_lines(block) if block else None


def _frame_of_lines(block: bytes) -> Frame:
    # Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
    name = b""
    data = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value
        elif field == b"data":
            data.append(value)
    return Frame(name, b"\n".join(data), block + b"\n\n")
