"""
What the log holds of a stream: the API's JSON, one event an entry; and the stream again, from that.

Pings and comments say only that a connection lives; they are not events of the message.
"""

from __future__ import annotations

from typing import Any

import msgspec

from resumable._core.events import MessageStop, decode
from resumable._core.sse import FrameParser, parse_frame
from resumable._core.transcript import Transcript

_NAMED = msgspec.json.Decoder(dict[str, Any])
_SILENT = frozenset({b"", b"ping"})


def events_of(frames: bytes) -> list[bytes]:
    """
    Take the events out of what a caller gets.

    Args:
        frames: Whole frames as the session wrote them.

    Returns:
        JSON of each event, in order.
    """
    found = (parse_frame(record) for record in frames.split(b"\n\n"))
    return [frame.data for frame in found if frame is not None and frame.data and frame.name not in _SILENT]


def frame_of(event: bytes) -> bytes:
    """Make the frame of an event again."""
    name = str(_NAMED.decode(event).get("type", "")).encode()
    return b"event: %b\ndata: %b\n\n" % (name, event.replace(b"\n", b"\ndata: "))  # Between tokens, if anywhere.


def is_last(event: bytes) -> bool:
    """Whether an event ends the message."""
    return b"message_stop" in event and _NAMED.decode(event).get("type") == "message_stop"


class Past:
    """
    The message as far as the log holds it; kept by a reader who may have to write it on.

    Attributes:
        transcript: What was delivered.
        is_over: Whether `message_stop` was.
        seq: Of the last event that was read.
    """

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.is_over = False
        self.seq = 0

    def read(self, frame: bytes, seq: int) -> None:
        """Take note of the event of one frame of the log."""
        (parsed,) = FrameParser().feed(frame)
        event = decode(parsed)
        self.transcript.fold(event)
        self.is_over |= isinstance(event, MessageStop)
        self.seq = seq
