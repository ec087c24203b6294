"""
What one attempt sends, from bytes to what the caller gets because of it.

The hot path: frames are split, decoded once, checked, and go on as the bytes they came in
unless their index, text or usage must change. Raises `AttemptError`; the session catches it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import MsgspecError

from resumable._core.errors import AttemptError, RemoteProtocolError, UpstreamEventError
from resumable._core.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    TextDelta,
    UnknownEvent,
    decode,
    decode_delta,
    edit,
    encode,
    is_utf8,
    name_of,
)
from resumable._core.hold import BLANKS
from resumable._core.sse import Frame, FrameParser, parse_frame
from resumable._core.transcript import SERVER_CALLS, THINKING, Grammar, is_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.hold import Gate
    from resumable._core.seam import Join
    from resumable._core.splice import Ended

_SLOW_BLOCKS = THINKING | SERVER_CALLS
_DELTA_RECORD = b"event: content_block_delta\ndata: "
_DELTA_DATA = len(_DELTA_RECORD)
# What stands for itself in a JSON string: all but a quote, a backslash and control characters.
_PLAIN = bytes(code for code in range(0x20, 0x100) if code not in b'"\\\x7f')
_PLAIN_LINES = _PLAIN + b"\n"
_RECORD_END = b'"}}'
_READ_END = b'"}}\n\n'
_SPACE = ord(" ")


class Mapper(Protocol):
    """Makes a later attempt's events part of the message that is under way."""

    join: Join | None
    ended: Ended | None

    @property
    def delivered(self) -> str:
        """Text the seam joins on to."""
        ...

    def is_transparent(self, index: int) -> bool:
        """Whether text of the block at upstream *index* goes on as the bytes it came in."""
        ...

    def feed(self, event: Event, frame: Frame) -> list[tuple[Event, bytes]]:
        """Map one event, in grammar, with its upstream index."""
        ...


class Intake:
    """
    Reads one attempt's response; make a new one for each.

    Attributes:
        grammar: What it has sent so far.
        message: `message` of its `message_start`, or `None` before it.
        usage: The last usage it told.
        is_complete: Whether the message is: a `stop_reason` or `message_stop` was delivered.
        is_over: Whether `message_stop` was delivered.
        passed: Whether text was among what was fed last, and went on as it is.
        turned: Whether an event came, since the session last looked, that is more than text going on.
        is_slow: Whether silence is normal: in thinking, from a server-side call to its result, before the first event.
        output_tokens: [tokens] As upstream measured them; `None` until it says.
    """

    def __init__(
        self, gate: Gate, mapper: Mapper | None, merge: Callable[[dict[str, Any]], dict[str, Any]] | None
    ) -> None:
        """
        Make the intake of one attempt.

        Args:
            gate: Where events wait; the session's.
            mapper: Maps the events on to the message that is under way; `None` for the first.
            merge: Makes the final usage out of this attempt's; `None` leaves it as it is.
        """
        self._parser = FrameParser()
        self._gate = gate
        self._mapper = mapper
        self._merge = merge
        self.grammar = Grammar()
        self.message: dict[str, Any] | None = None
        self.usage: dict[str, Any] = {}
        self.is_complete = False
        self.is_over = False
        self.passed = False
        self.turned = False
        self.is_slow = True
        self.output_tokens: int | None = None
        self._running: set[str] = set()  # ids of server-side calls without a result

    @property
    def ended(self) -> Ended | None:
        """Set when a limit of the caller's ends the message here."""
        return None if self._mapper is None else self._mapper.ended

    @property
    def _is_finished(self) -> bool:
        return self.is_over or self.ended is not None

    @property
    def is_idle(self) -> bool:
        """Whether no part of a record waits for the rest of it."""
        return self._parser.is_idle

    def flows(self, data: bytes, end: bytes = _READ_END) -> bool:
        """
        Say whether one delta of text goes on as it is, and take note of it if so; only while `is_idle`.

        The hottest path: it knows the shape in which upstream writes text, and needs no JSON decoder. What
        it does not recognise is left to `feed`, which decides everything.

        Args:
            data: What was read, or one record of it.
            end: What it ends in, but for the spaces that upstream pads some events with.
        """
        gate, mapper = self._gate, self._mapper
        flow = gate.flow
        text = data.removeprefix(gate.flow_head)
        if flow is None or len(text) == len(data):
            return False
        if mapper is not None and not mapper.is_transparent(gate.flow_index):
            return False
        tail = text.lstrip(_PLAIN)
        if tail != end:
            if tail.startswith(b"\\n"):  # The one escape that is common.
                text = text.replace(b"\\n", b"\n")
                tail = text.lstrip(_PLAIN_LINES)
            if tail != end and not _is_padded(tail, end):
                return False
        text = text[: -len(tail)]
        if not text or text[-1] <= _SPACE or not (text.isascii() or _is_free(text)):
            return False
        flow += text
        return True

    def feed(self, data: bytes, now: float, out: list[bytes]) -> None:
        """
        Take bytes as they arrive.

        Args:
            data: In stream order, split anywhere.
            now: [s] The driver's clock.
            out: Receives the frames for the caller, also those before a failure.

        Raises:
            AttemptError: The attempt has failed.
        """
        if self.is_over:
            return
        self.passed = False
        flows = self.flows
        records = self._parser.records(data)
        unchanged = 0  # How many records up to here go on as they are and were not emitted yet.
        for at, record in enumerate(records):
            passed = b"" if flows(record, _RECORD_END) else self._pass(record)
            if passed == b"":
                unchanged += 1
                continue
            self._emit(records[at - unchanged : at], out)
            unchanged = 0
            if passed is not None:
                self.passed = True
                out.append(passed)
            elif (frame := parse_frame(record)) is not None:
                self._take(decode(frame), frame, now, out)
                if self._is_finished:
                    return
        if unchanged == len(records) and self._parser.is_aligned:
            self.passed = True
            out.append(data)
        else:
            self._emit(records[len(records) - unchanged :], out)

    def _emit(self, records: list[bytes], out: list[bytes]) -> None:
        """Let records go on as they are."""
        if records:
            self.passed = True
            out.append(b"\n\n".join(records) + b"\n\n")

    def _pass(self, record: bytes) -> bytes | None:
        """
        Take a record, if it is a delta of text of a block that flows.

        Returns:
            The frame in its place; empty where it goes on as it is, `None` where nothing was taken.
        """
        if not record.startswith(_DELTA_RECORD):
            return None
        data = record[_DELTA_DATA:]
        try:
            event = decode_delta(data)
        except (MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if type(event) is not ContentBlockDelta or type(event.delta) is not TextDelta:
            return None
        index, text, mapper = event.index, event.delta.text, self._mapper
        is_line = is_utf8(data) and b"\n" not in data and b"\r" not in data  # To a client, not only to JSON.
        if not is_line or not (mapper is None or mapper.is_transparent(index)):
            return None
        return b"" if self._gate.pass_text(index, text) else self._gate.pass_head(index, text)

    def finish(self, now: float, out: list[bytes]) -> None:
        """
        Take the last frame, if only its blank line is missing; a torn one is dropped.

        Raises:
            AttemptError: That frame made the attempt fail.
        """
        frame = self._parser.finish()
        if frame is None or self.is_over:
            return
        try:
            event = decode(frame)
        except RemoteProtocolError:
            return
        if frame.data:
            self._take(event, frame, now, out)

    def _take(self, event: Event, frame: Frame, now: float, out: list[bytes]) -> None:
        if isinstance(event, ErrorEvent):
            raise _upstream_error(event, self._named(event, frame))
        if not frame.data and (frame.name or not frame.raw.startswith(b":")):
            return  # Torn right before its data, and closed by somebody: no event, and no comment either.
        if isinstance(event, Ping | UnknownEvent):
            named = self._named(event, frame) if frame.data else frame
            if named.name.isascii() and b"\n" not in named.name:
                out += self._gate.push(event, named.raw, now)
            self.turned |= isinstance(event, UnknownEvent) and bool(event.type)
            return
        if self._is_ending(event):
            self._close_blocks(now, out)
        self.grammar.check(event)
        self._note(event)
        frame = self._named(event, frame)
        if self._mapper is None:
            self._deliver(event, frame.raw, now, out)
            return
        for mapped, raw in self._mapper.feed(event, frame):
            self._deliver(mapped, raw, now, out)

    def _is_ending(self, event: Event) -> bool:
        return isinstance(event, MessageStop) or (isinstance(event, MessageDelta) and event.stop_reason is not None)

    def _close_blocks(self, now: float, out: list[bytes]) -> None:
        """Stop what upstream left open when it ended the message (some proxies drop those events)."""
        for index in self.grammar.open_indices:
            stop = encode("content_block_stop", {"index": index})
            data = stop.partition(b"data: ")[2].rstrip(b"\n")
            self._take(ContentBlockStop(index), Frame(b"content_block_stop", data, stop), now, out)

    def _note(self, event: Event) -> None:
        self.turned = True
        if isinstance(event, ContentBlockStart):
            self._note_call(event)
        if isinstance(event, ContentBlockStart | ContentBlockStop):
            self.is_slow = bool(self._running) or not self.grammar.open_types.isdisjoint(_SLOW_BLOCKS)
        elif isinstance(event, MessageStart):
            self.is_slow = False
            self.message = event.message
            usage = event.message.get("usage")
            self.usage = dict(usage) if isinstance(usage, dict) else {}
        elif isinstance(event, MessageDelta):
            self.usage.update({name: value for name, value in event.usage.items() if value is not None})
            output = event.usage.get("output_tokens")
            self.output_tokens = output if isinstance(output, int) else self.output_tokens

    def _note_call(self, event: ContentBlockStart) -> None:
        """Note that a server-side tool runs, or has answered: between the two upstream has nothing to say."""
        if event.block_type in SERVER_CALLS:
            self._running.add(str(event.content_block.get("id", "")))
        elif is_result(event.block_type):
            self._running.discard(str(event.content_block.get("tool_use_id", "")))

    def _named(self, event: Event, frame: Frame) -> Frame:
        """Give a frame its type as its name, if a proxy took that or spoiled it: clients go by the name alone."""
        name = name_of(event)
        changes: dict[str, Any] = {"type": name.decode()}
        if self._merge is not None and isinstance(event, MessageDelta):
            changes["usage"] = self._merge(event.usage)
        elif frame.name == name:
            return frame
        raw = edit(frame, **changes)
        return Frame(name, raw.partition(b"\ndata: ")[2].rstrip(b"\n"), raw)

    def _deliver(self, event: Event, raw: bytes, now: float, out: list[bytes]) -> None:
        out += self._gate.push(event, raw, now)
        if self._is_ending(event):
            self.is_complete = True
            self.is_over = isinstance(event, MessageStop)


def _is_padded(tail: bytes, end: bytes) -> bool:
    """Whether *tail* is *end*, with spaces before its last brace."""
    return tail.startswith(b'"}') and tail[2:].lstrip(b" ") == end[2:]


def _is_free(text: bytes) -> bool:
    """Whether *text* is UTF-8 and does not end in whitespace."""
    try:
        return text.decode()[-1] not in BLANKS
    except UnicodeDecodeError:
        return False


def _upstream_error(event: ErrorEvent, frame: Frame) -> AttemptError:
    kind = event.error.get("type")
    details = event.error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return UpstreamEventError(
        kind if isinstance(kind, str) else None, code if isinstance(code, str) else None, frame.raw
    )
