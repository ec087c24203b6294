"""
Bytes into server-sent event frames: incremental, bounded, exact to the WHATWG specification.

Never decodes text and never parses JSON; the bytes of a frame travel with it.
"""

from __future__ import annotations

from itertools import takewhile

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

    Attributes:
        is_aligned: Whether the last `records` are, with their blank lines, just the bytes that were fed.
        is_idle: Whether the next byte begins a record.
    """

    __slots__ = ("_buffer", "_is_refusing", "_limit", "_pending_cr", "_started", "is_aligned", "is_idle")

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._is_refusing = False
        self._limit = limit
        self._pending_cr = False
        self._started = False
        self.is_aligned = False
        self.is_idle = False

    def feed(self, data: bytes) -> list[Frame]:
        """
        Take bytes as they arrive and return the frames they complete.

        Args:
            data: [0.. bytes] In stream order.

        Returns:
            Frames in stream order; a run of comments is a frame without name and data.

        Raises:
            RemoteProtocolError: A frame is longer than the limit; those before it were returned.
        """
        return [frame for record in self.records(data) if (frame := parse_frame(record)) is not None]

    def records(self, data: bytes) -> list[bytes]:
        """
        Take bytes as they arrive and return the records they complete, not yet parsed.

        Args:
            data: [0.. bytes] In stream order.

        Returns:
            Records in stream order, without their blank lines; `parse_frame` parses one.

        Raises:
            RemoteProtocolError: A record is longer than the limit; those before it were returned.
        """
        self.is_aligned = self.is_idle and data.endswith(b"\n\n") and b"\r" not in data and len(data) <= self._limit
        if self.is_aligned:
            # What upstream sends nearly always: whole records, LF only.
            return data[:-2].split(b"\n\n")
        found = self._buffered(self._line_feeds_only(data))
        self.is_idle = self._started and not self._buffer and not self._pending_cr and not self._is_refusing
        return found

    def _buffered(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        waiting = len(buffer)
        buffer += data
        if not self._started:
            if not self._skip_bom():
                return []
            waiting = 0
        # The blank line may begin with the last byte that waited; what lies before it was looked at already.
        end = buffer.rfind(b"\n\n", max(0, waiting - 1))
        whole = bytes(buffer[: max(end, 0)])
        del buffer[: end + 2 if end >= 0 else 0]
        found = whole.split(b"\n\n") if end >= 0 else []
        # One byte more: it may be the first of the blank line.
        if self._is_refusing or len(buffer) > self._limit + 1 or max(map(len, found), default=0) > self._limit:
            return self._refuse(found)
        return found

    def _refuse(self, found: list[bytes]) -> list[bytes]:
        """Return the records before the one that is too long; refuse that one when there are none, now or next."""
        fitting = [] if self._is_refusing else list(takewhile(lambda record: len(record) <= self._limit, found))
        self._is_refusing = True
        self._buffer.clear()
        if not fitting:
            problem = f"a frame is longer than {self._limit} bytes"
            raise RemoteProtocolError(problem)
        return fitting

    def finish(self) -> Frame | None:
        """
        Return the frame that the end of the body cut short of its blank line, if there is one.

        The specification drops it. Upstream test streams and some proxies end right after
        the last line, so it is for the caller to say whether it counts.

        Raises:
            RemoteProtocolError: It is longer than the limit.
        """
        if self._is_refusing or len(self._buffer.strip(b"\n")) > self._limit:
            self._refuse([])
        rest = bytes(self._buffer)
        self._buffer.clear()
        return parse_frame(rest.rstrip(b"\n"))

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


def parse_frame(block: bytes) -> Frame | None:
    """
    Parse one record, given without its blank line.

    Returns:
        `None` for what no client dispatches: nothing but line ends, or lines without data, such as
        a torn record that somebody closed. Comments go on, since they say that the connection lives.
    """
    if block.startswith(b"event: "):
        name, separator, rest = block[7:].partition(b"\n")
        if separator and rest.startswith(b"data: ") and b"\n" not in rest:
            return Frame(name, rest[6:], block + b"\n\n")
    block = block.strip(b"\n")  # An odd line end belongs to the record before or after it, as the split falls.
    return _frame_of_lines(block) if block else None


def _frame_of_lines(block: bytes) -> Frame | None:
    # Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
    name = b""
    data = []
    lines = block.split(b"\n")
    for line in lines:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value
        elif field == b"data":
            data.append(value)
    if not data and not all(line.startswith(b":") for line in lines):
        return None
    return Frame(name, b"\n".join(data), block + b"\n\n")
