"""
What flows at once and what is held back until it can no longer be lost by halves.

Design: text and thinking flow live. Tool calls are held until their stop, server-side calls until
their result, structured output until its stop; a thinking block's signature, and the whitespace at
the edges of text and its stop, until something after them is delivered. What is held when an attempt
dies is dropped, so what was delivered is always something that can be continued exactly.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from resumable._core.budget import estimate_tokens
from resumable._core.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Event,
    InputJSONDelta,
    MessageDelta,
    MessageStop,
    OpaqueDelta,
    Ping,
    TextDelta,
    ThinkingDelta,
    UnknownEvent,
    input_frame,
    text_frame,
)
from resumable._core.transcript import SERVER_CALLS, THINKING, is_result, parse_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.transcript import Block, Transcript

#: Names for `hold=`. All but the last are held by default.
HOLDABLE: Final = ("tool_use", "server_tool_use", "structured_output", "signature", "text_edge", "text")
DEFAULT_HOLD: Final = frozenset(HOLDABLE) - {"text"}

# A superset of str.isspace: what any part of the API might trim. ZWJ is among them; it never ends a text for good.
_INVISIBLE: Final = "\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff"
#: Characters that count as whitespace.
BLANKS: Final = frozenset(
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000" + _INVISIBLE
)

_TEXT_HEAD: Final = b"""event: content_block_delta
data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":\""""
#: [bytes] What was held is released in frames of at most this size: few enough for clients that parse the
#: whole input again at every delta, small enough for line readers with a limit (asyncio's is 64 KiB).
_RELEASE_BYTES: Final = 32 * 1024
#: [characters] As much of it as mostly fits, escaped as JSON in JSON is.
_RELEASE_LENGTH: Final = 24 * 1024


def split_blank_end(text: str) -> tuple[str, str]:
    """Split *text* before the whitespace it ends in."""
    end = len(text)
    while end and text[end - 1] in BLANKS:
        end -= 1
    return text[:end], text[end:]


#: A request with this beta, or a tool with this field, asks to see tool input as it is written.
_EAGER_BETA: Final = "fine-grained-tool-streaming"
_EAGER_FIELD: Final = "eager_input_streaming"


def effective_hold(hold: frozenset[str] | None, body: dict[str, Any], betas: str) -> frozenset[str]:
    """
    Say what is held for one request.

    Args:
        hold: The caller's choice, or `None` for the default.
        body: The request.
        betas: Its `anthropic-beta` header.
    """
    chosen = DEFAULT_HOLD if hold is None else hold
    tools = body.get("tools") or ()
    is_eager = _EAGER_BETA in betas or any(isinstance(tool, dict) and tool.get(_EAGER_FIELD) for tool in tools)
    if hold is None and is_eager:
        chosen -= {"tool_use"}
    if "structured_output" in chosen and is_structured(body):
        chosen |= {"text"}
    return chosen


def is_structured(body: dict[str, Any]) -> bool:
    """Whether the request asks for structured output."""
    config = body.get("output_config")
    return bool(body.get("output_format")) or (isinstance(config, dict) and bool(config.get("format")))


class _Mode(Enum):
    LIVE = "live"  # every event at once
    THINKING = "thinking"  # at once, but signature and stop wait for what follows
    EDGE = "edge"  # text: at once, but whitespace at its edges and its stop wait for what follows
    WHOLE = "whole"  # a client tool call: until its stop
    BLOCK = "block"  # text: until its stop, which like any edge of text waits for what follows
    CALL = "call"  # a server-side call: until its result has stopped


class _Held(msgspec.Struct):
    """An event that waits; `parts` are the deltas of one kind that follow each other in one block."""

    event: Event
    frame: bytes
    parts: list[str] | None = None


class Gate:
    """
    The place where events wait; in front of it what upstream sent, behind it what the caller has.

    Events enter with downstream indices. An event is *strong* when nothing needs to wait for
    what comes after it: it releases itself and all that waits before it, unless a held block
    among that is not complete, or it belongs to an older block than the newest: what the newest
    ends in must not be released by another. What leaves is folded into the transcript.

    Attributes:
        overdue: How many times blocks flowed live because they had been held for too long.
        flow: What was written of the block at `flow_index`; takes more in UTF-8 that does not end in whitespace,
            which goes on as it is. `None` while something waits.
        flow_index: Index of that block.
        flow_head: How upstream begins the record of a delta of its text.
    """

    def __init__(self, transcript: Transcript, hold: frozenset[str], max_hold: float) -> None:
        """
        Make the gate of one session.

        Args:
            transcript: Receives what is delivered.
            hold: Names out of `HOLDABLE`.
            max_hold: [s] Age at which held blocks flow live after all.
        """
        self._transcript = transcript
        self._hold = hold
        self._max_hold = max_hold
        self._queue: list[_Held] = []
        self._modes: dict[int, _Mode] = {}
        self._incomplete: dict[int, str | None] = {}  # held block -> id of the server-side call, if it is one
        self._answers: dict[int, str] = {}  # open result block -> id of the call it answers
        self._inputs: dict[int, list[str]] = {}  # held tool call -> its input so far
        self._newest = -1
        self._held_since: float | None = None
        self._flowing: Block | None = None
        self.flow: bytearray | None = None
        self.flow_index = -1
        self.flow_head = b""
        self.overdue = 0

    def reopen(self, index: int) -> None:
        """Let the text block at *index*, open in the transcript, go on."""
        # Live before, live now: only its edges can still be held.
        self._modes[index] = _Mode.EDGE if "text_edge" in self._hold else _Mode.LIVE

    @property
    def held_tokens(self) -> int:
        """[tokens] Estimate of what waits."""
        return sum(estimate_tokens("".join(held.parts)) for held in self._queue if held.parts)

    def is_stopped(self, index: int) -> bool:
        """Whether the stop of the block at *index* is among what waits."""
        return any(isinstance(held.event, ContentBlockStop) and held.event.index == index for held in self._queue)

    def discard(self) -> list[str]:
        """Drop what waits, after an attempt has failed, and return the types of the blocks that go with it."""
        dropped = [held.event.block_type for held in self._queue if isinstance(held.event, ContentBlockStart)]
        for waiting in (self._queue, self._modes, self._incomplete, self._answers, self._inputs):
            waiting.clear()
        self._held_since = self._flowing = self.flow = None
        self._newest = -1
        return dropped

    def pass_text(self, index: int, text: str) -> bool:
        """Say whether text may go on as it is, overtaking nothing and not ending in whitespace, and take note of it."""
        if self.flow is None or index != self.flow_index or not text or text[-1] in BLANKS:
            return False
        self.flow += text.encode()
        return True

    def pass_head(self, index: int, text: str) -> bytes | None:
        """
        Deliver text of the block that flows up to the whitespace it ends in, with what waited before it.

        The short way for text that may not simply `flow`, as long as nothing but whitespace of its block waits.

        Returns:
            The frame to deliver; empty where there is none yet, `None` where more must be looked at.
        """
        held, block = self._queue, self._flowing
        if block is None or index != self.flow_index or len(held) > 1:
            return None
        waiting = held[0].parts if held else []
        head, tail = split_blank_end(text)
        if waiting is None or not head:
            return None
        whole = "".join(waiting) + head
        block.write(whole)
        held.clear()
        if tail:
            held.append(_Held(_text(index, tail), b"", [tail]))
        self.flow = None if tail else block.written
        return text_frame(index, whole)

    def push(self, event: Event, frame: bytes, now: float) -> list[bytes]:
        """
        Take an event that upstream sent and return the frames that are delivered because of it.

        Args:
            event: In grammar, with its downstream index.
            frame: Its bytes.
            now: [s] The driver's clock.
        """
        out = self._release_overdue(now)
        if isinstance(event, Ping | UnknownEvent):
            return [*out, frame]
        if isinstance(event, ContentBlockDelta | OpaqueDelta) and self._modes.get(event.index) is _Mode.EDGE:
            out += self._push_text(event, frame)
        else:
            strong = self._note(event, now)
            self._enqueue(event, frame)
            out += self._flush() if strong else []
        self.flow = None if self._queue or self._flowing is None else self._flowing.written
        return out

    def _note(self, event: Event, now: float) -> bool:
        """Take note of a block's progress; whether the event is strong."""
        if isinstance(event, ContentBlockStart):
            return self._note_start(event, now)
        if isinstance(event, ContentBlockDelta):
            return self._note_delta(event) and self._is_free(event.index)
        if isinstance(event, ContentBlockStop):
            return self._note_stop(event.index) and self._is_free(event.index)
        if isinstance(event, OpaqueDelta):
            return self._is_free(event.index)
        if isinstance(event, MessageDelta) and event.stop_reason is None:
            return not self._queue  # It says nothing about what waits.
        if isinstance(event, MessageDelta | MessageStop):
            self._incomplete.clear()
        return True

    def _is_free(self, index: int) -> bool:
        """Whether an event of the block at *index* may release what waits."""
        return not self._queue or index >= self._newest

    def _note_start(self, event: ContentBlockStart, now: float) -> bool:
        mode = self._mode_of(event.block_type)
        self._modes[event.index] = mode
        self._newest = event.index
        if mode in {_Mode.WHOLE, _Mode.BLOCK, _Mode.CALL}:
            is_call = mode is _Mode.CALL
            self._incomplete[event.index] = str(event.content_block.get("id", "")) if is_call else None
            if mode is _Mode.WHOLE:
                self._inputs[event.index] = []
            if self._held_since is None:
                self._held_since = now
        if is_result(event.block_type):
            self._answers[event.index] = str(event.content_block.get("tool_use_id", ""))
        # Redacted thinking arrives whole; like a signature it is worth nothing unless something follows it.
        return mode in {_Mode.LIVE, _Mode.THINKING} and event.block_type != "redacted_thinking"

    def _mode_of(self, block_type: str) -> _Mode:
        hold = self._hold
        if block_type == "text":
            return self._text_mode()
        if block_type == "tool_use" and "tool_use" in hold:
            return _Mode.WHOLE
        if block_type in SERVER_CALLS and "server_tool_use" in hold:
            return _Mode.CALL
        return _Mode.THINKING if block_type in THINKING and "signature" in hold else _Mode.LIVE

    def _text_mode(self) -> _Mode:
        if "text" in self._hold:
            return _Mode.BLOCK
        return _Mode.EDGE if "text_edge" in self._hold else _Mode.LIVE

    def _note_delta(self, event: ContentBlockDelta) -> bool:
        mode = self._modes.get(event.index, _Mode.LIVE)
        if mode is _Mode.WHOLE and isinstance(event.delta, InputJSONDelta):
            self._inputs[event.index].append(event.delta.partial_json)
        return mode is _Mode.LIVE or (mode is _Mode.THINKING and isinstance(event.delta, ThinkingDelta))

    def _note_stop(self, index: int) -> bool:
        mode = self._modes.pop(index, _Mode.LIVE)
        if index == self.flow_index:
            self._flowing = None
        tool_input = "".join(self._inputs.pop(index, ()))
        if mode is _Mode.BLOCK or (mode is _Mode.WHOLE and parse_input(tool_input) is not None):
            self._incomplete.pop(index, None)
        if index in self._answers:
            call = self._answers.pop(index)
            self._incomplete = {held: its for held, its in self._incomplete.items() if its != call}
        return mode in {_Mode.LIVE, _Mode.WHOLE}

    def _push_text(self, event: ContentBlockDelta | OpaqueDelta, frame: bytes) -> list[bytes]:
        """Deliver text up to its trailing whitespace, together with the whitespace that waited before it."""
        text = event.delta.text if isinstance(event.delta, TextDelta) else ""
        if not text:  # A citation, say: it follows the whitespace that waits, if any does.
            waits = bool(self._queue)
            self._enqueue(event, frame)
            return [] if waits else self._flush()
        head, tail = split_blank_end(text)
        out: list[bytes] = []
        if head:
            is_free = self._is_free(event.index)
            self._enqueue(_text(event.index, head), b"" if tail else frame)
            out = self._flush() if is_free else []
            self._follow(event.index)
        if tail:
            self._enqueue(_text(event.index, tail), b"" if head else frame)
        return out

    def _follow(self, index: int) -> None:
        """Let the hot path take the block over, if it was delivered so far."""
        if not self._queue:
            self._flowing, self.flow_index = self._transcript.blocks[index], index
            self.flow_head = _TEXT_HEAD % index

    def _release_overdue(self, now: float) -> list[bytes]:
        if self._held_since is None or now - self._held_since < self._max_hold:
            return []
        self.overdue += 1
        for index in self._incomplete:
            self._modes[index] = _Mode.LIVE
        self._incomplete.clear()
        self._inputs.clear()
        return self._flush()

    def _enqueue(self, event: Event, frame: bytes) -> None:
        part = _mergeable(event)
        last = self._queue[-1] if self._queue else None
        if part is not None and last is not None and last.parts is not None and _continues(last.event, event):
            last.parts.append(part)
            last.frame = b""
        else:
            self._queue.append(_Held(event, frame, None if part is None else [part]))

    def _flush(self) -> list[bytes]:
        if self._incomplete:
            return []
        out: list[bytes] = []
        for held in self._queue:
            if held.parts is None or held.frame:
                self._transcript.fold(held.event)
                out.append(held.frame)
            else:
                out += self._merged(held)
        self._queue.clear()
        self._held_since = None
        return out

    def _merged(self, held: _Held) -> list[bytes]:
        whole = "".join(held.parts or ())
        event: Any = held.event
        self._transcript.blocks[event.index].write(whole)
        make = text_frame if isinstance(event.delta, TextDelta) else input_frame
        pieces = [whole[at : at + _RELEASE_LENGTH] for at in range(0, len(whole), _RELEASE_LENGTH)]
        return [frame for piece in pieces for frame in _fitting(make, event.index, piece)]


def _fitting(make: Callable[[int, str], bytes], index: int, text: str) -> list[bytes]:
    """Make the frames that carry *text*, halved until each fits; a character can take six bytes."""
    frame = make(index, text)
    if len(frame) <= _RELEASE_BYTES:
        return [frame]
    middle = len(text) // 2
    return _fitting(make, index, text[:middle]) + _fitting(make, index, text[middle:])


def _text(index: int, text: str) -> ContentBlockDelta:
    return ContentBlockDelta(index, TextDelta(text))


def _mergeable(event: Event) -> str | None:
    """Text or input JSON of a delta that may be merged with its neighbours."""
    if isinstance(event, ContentBlockDelta):
        if isinstance(event.delta, TextDelta):
            return event.delta.text
        if isinstance(event.delta, InputJSONDelta):
            return event.delta.partial_json
    return None


def _continues(last: Event, event: Event) -> bool:
    """Whether two deltas are of one kind and of one block."""
    return (
        isinstance(last, ContentBlockDelta)
        and isinstance(event, ContentBlockDelta)
        and last.index == event.index
        and type(last.delta) is type(event.delta)
    )
