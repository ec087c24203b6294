"""Streams by hand: the events of the API as frames, and what a caller holds once it has read some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resumable._core.events import MessageDelta, MessageStart, MessageStop, decode, encode
from resumable._core.sse import Frame, FrameParser
from resumable._core.transcript import Grammar, Transcript

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resumable._core.events import Event

PING = encode("ping", {})
OVER = encode("message_stop", {})


def start(**message: Any) -> bytes:
    """Open a message."""
    fields = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
    return encode("message_start", {"message": fields | message})


def block(index: int, kind: str = "text", **fields: Any) -> bytes:
    """Open a block."""
    carried = {"text": ""} if kind == "text" else {"thinking": "", "signature": ""} if kind == "thinking" else {}
    return encode("content_block_start", {"index": index, "content_block": {"type": kind, **carried, **fields}})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    """Let a block go on."""
    return encode("content_block_delta", {"index": index, "delta": {"type": kind, **fields}})


def text(index: int, *pieces: str) -> bytes:
    """Let a text block go on, a delta for each piece."""
    return b"".join(delta(index, "text_delta", text=piece) for piece in pieces)


def thought(index: int, words: str = "hm", signature: str = "") -> bytes:
    """Let a thinking block go on, to its signature if there is one."""
    signed = delta(index, "signature_delta", signature=signature) if signature else b""
    return delta(index, "thinking_delta", thinking=words) + signed


def tool_input(index: int, json: str) -> bytes:
    """Let a tool call's input go on."""
    return delta(index, "input_json_delta", partial_json=json)


def citation(index: int, what: str) -> bytes:
    """Add a citation to a text block."""
    return delta(index, "citations_delta", citation={"type": "char_location", "cited_text": what})


def stop(index: int) -> bytes:
    """Close a block."""
    return encode("content_block_stop", {"index": index})


def ending(reason: str | None = "end_turn", output: int = 7, **fields: Any) -> bytes:
    """Say why the message ends."""
    changes = {"stop_reason": reason, "stop_sequence": None, **fields}
    return encode("message_delta", {"delta": changes, "usage": {"output_tokens": output}})


def error(kind: str = "overloaded_error", **fields: Any) -> bytes:
    """Let upstream give up."""
    return encode("error", {"error": {"type": kind, "message": "?", **fields}})


def whole(*pieces: str, reason: str = "end_turn", output: int = 7) -> bytes:
    """Make a message of one text block, from its start to its end."""
    return start() + block(0) + text(0, *pieces) + stop(0) + ending(reason, output) + OVER


def frames(*written: bytes) -> list[Frame]:
    """Split what was written into its frames."""
    return FrameParser().feed(b"\n" + b"".join(written))


def transcript_of(*written: bytes) -> Transcript:
    """Remember what was written as delivered."""
    transcript = Transcript()
    for frame in frames(*written):
        transcript.fold(decode(frame))
    return transcript


def read_back(pairs: Iterable[tuple[Event, bytes]]) -> list[Event]:
    """List the events of what a mapper returned; each frame must say what its event says."""
    events = []
    for event, raw in pairs:
        [frame] = frames(raw)
        assert decode(frame) == event
        events.append(event)
    return events


def received(written: bytes) -> Transcript:
    """
    Read a caller's stream as a strict client does (law L1).

    A prefix of exactly one message; if it has a stop, then every block has one too, and nothing follows.
    """
    grammar, transcript, is_over = Grammar(), Transcript(), False
    for frame in frames(written):
        event = decode(frame)
        assert not is_over, "events after message_stop"
        grammar.check(event)
        transcript.fold(event)
        if isinstance(event, MessageDelta) and event.stop_reason is not None:
            assert grammar.open_indices == [], "a block was never stopped"
        is_over = isinstance(event, MessageStop)
        assert grammar.is_started or not isinstance(event, MessageStart | MessageDelta | MessageStop)
    return transcript
