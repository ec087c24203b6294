"""
Events folded into the content blocks so far, and the grammar they must keep.

`Grammar` watches what one attempt sends; `Transcript` remembers what the caller received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from resumable._core.errors import RemoteProtocolError
from resumable._core.events import (
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJSONDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    OpaqueDelta,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)

if TYPE_CHECKING:
    from resumable._core.events import Event

THINKING: Final = frozenset({"thinking", "redacted_thinking"})
SERVER_CALLS: Final = frozenset({"server_tool_use", "mcp_tool_use"})
_DELTAS_OF: Final[dict[str, tuple[type, ...]]] = {
    "text": (TextDelta, CitationsDelta),
    "thinking": (ThinkingDelta, SignatureDelta),
    "tool_use": (InputJSONDelta,),
    "server_tool_use": (InputJSONDelta,),
    "mcp_tool_use": (InputJSONDelta,),
}


def is_result(block_type: str) -> bool:
    """Whether blocks of this type answer a server-side call; the API names them all alike."""
    return block_type.endswith("_tool_result")


class Grammar:
    """
    What one attempt may send next.

    Only what the grammar needs is remembered: the types of the blocks that are open.
    """

    __slots__ = ("_has_ended", "_next", "_open", "is_started")

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self._next = 0
        self._has_ended = False
        self.is_started = False

    @property
    def open_types(self) -> frozenset[str]:
        """Types of the blocks that are open."""
        return frozenset(self._open.values())

    @property
    def open_indices(self) -> list[int]:
        """Indices of the blocks that are open, in order."""
        return sorted(self._open)

    def check(self, event: Event) -> None:
        """
        Take note of an event, or say why it may not come here.

        Raises:
            RemoteProtocolError: The event is out of grammar.
        """
        if type(event) is ContentBlockDelta:
            self._check_delta(event)
        elif isinstance(event, MessageStart):
            _require(not self.is_started, "a second message_start")
            self.is_started = True
        elif isinstance(event, ContentBlockStart):
            self._check_start(event)
        elif isinstance(event, ContentBlockStop):
            _require(self._open.pop(event.index, None) is not None, "a block stops that is not open")
        elif isinstance(event, OpaqueDelta):
            _require(event.index in self._open, "a delta for a block that is not open")
        elif isinstance(event, MessageStop):
            _require(self.is_started, "message_stop before message_start")
        elif isinstance(event, MessageDelta):
            _require(self.is_started, "message_delta before message_start")
            self._has_ended |= event.stop_reason is not None

    def _check_start(self, event: ContentBlockStart) -> None:
        _require(self.is_started, "a block before message_start")
        _require(not self._has_ended, "a block after the stop_reason")
        _require(event.index == self._next, "block indices with a gap")
        kind = event.content_block.get("type")
        _require(isinstance(kind, str) and bool(kind), "a block without a type")
        self._next += 1
        self._open[event.index] = event.block_type

    def _check_delta(self, event: ContentBlockDelta) -> None:
        block_type = self._open.get(event.index)
        _require(block_type is not None, "a delta for a block that is not open")
        allowed = _DELTAS_OF.get(str(block_type))
        _require(allowed is None or isinstance(event.delta, allowed), "a delta of another block's type")


def _require(condition: bool, problem: str) -> None:  # noqa: FBT001  # Reason: reads as the sentence it is
    if not condition:
        raise RemoteProtocolError(problem)


class Block(msgspec.Struct):
    """
    One content block as far as it was delivered.

    Attributes:
        start: `content_block` of its start event.
        written: Text, thinking or input JSON of its deltas in UTF-8; the hot path adds to it without decoding.
        citations: Citations of its deltas, in order.
        signature: Of a thinking block; empty until it came.
        closed: Whether its stop was delivered.
    """

    start: dict[str, Any]
    citations: list[dict[str, Any]]
    written: bytearray
    signature: str = ""
    closed: bool = False

    @property
    def type(self) -> str:
        """The block's type."""
        return str(self.start.get("type", ""))

    @property
    def text(self) -> str:
        """What its deltas add up to, after what its start carried."""
        carried = self.start.get(self.type, "")
        return (carried if isinstance(carried, str) else "") + self.written.decode()

    def write(self, text: str) -> None:
        """Add what a delta carried."""
        self.written += text.encode()

    @property
    def tool_input(self) -> dict[str, Any] | None:
        """Input of a tool call if it is a JSON object, else `None`; no deltas is `{}`."""
        return parse_input(self.text, self.start.get("input"))

    def content(self) -> dict[str, Any]:
        """Give the block in the API's shape, as it would stand in a message."""
        block = dict(self.start)
        if self.type == "text":
            block["text"] = self.text
            if self.citations:
                carried = self.start.get("citations")
                block["citations"] = [*(carried if isinstance(carried, list) else ()), *self.citations]
        elif self.type == "thinking":
            block["thinking"] = self.text
            block["signature"] = self.signature or self.start.get("signature", "")
        elif self.written:
            parsed = self.tool_input
            block["input"] = self.text if parsed is None else parsed
        return block


def parse_input(json: str, carried: object = None) -> dict[str, Any] | None:
    """Parse a tool call's input; `None` unless it is a JSON object. No JSON at all is what the start carried."""
    if not json:
        return carried if isinstance(carried, dict) else {}
    try:
        return msgspec.json.decode(json, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None


class Transcript:
    """
    What the session has delivered so far: the message a caller would hold now.

    Attributes:
        message: `message` of the first `message_start`, or `None` before it.
        blocks: Content blocks in order; a block's place is its index downstream.
        stop_reason: Why the message ended, or `None`.
        ending: `delta` of the last `message_delta` that was delivered.
    """

    __slots__ = ("blocks", "ending", "message", "stop_reason")

    def __init__(self) -> None:
        self.message: dict[str, Any] | None = None
        self.blocks: list[Block] = []
        self.stop_reason: str | None = None
        self.ending: dict[str, Any] = {}

    def take(self, other: Transcript) -> None:
        """Hold what another transcript holds."""
        self.message, self.blocks = other.message, other.blocks
        self.stop_reason, self.ending = other.stop_reason, other.ending

    def fold(self, event: Event) -> None:
        """Take note of an event that is delivered; the grammar was checked before."""
        if isinstance(event, ContentBlockDelta):
            self._fold_delta(self.blocks[event.index], event)
        elif isinstance(event, ContentBlockStart):
            self.blocks.append(Block(event.content_block, [], bytearray()))
        elif isinstance(event, ContentBlockStop):
            self.blocks[event.index].closed = True
        elif isinstance(event, OpaqueDelta):
            # Source: compaction_delta, the one such delta that is documented, replaces fields of its block.
            changes = {name: value for name, value in event.delta.items() if name != "type"}
            self.blocks[event.index].start.update(changes)
        elif isinstance(event, MessageStart):
            self.message = event.message
        elif isinstance(event, MessageDelta):
            self.ending = {**self.ending, **event.delta}
            self.stop_reason = event.stop_reason or self.stop_reason

    @staticmethod
    def _fold_delta(block: Block, event: ContentBlockDelta) -> None:
        delta = event.delta
        if isinstance(delta, TextDelta):
            block.write(delta.text)
        elif isinstance(delta, InputJSONDelta):
            block.write(delta.partial_json)
        elif isinstance(delta, ThinkingDelta):
            block.write(delta.thinking)
        elif isinstance(delta, SignatureDelta):
            block.signature = delta.signature
        else:
            block.citations.append(delta.citation)

    @property
    def open_indices(self) -> list[int]:
        """Indices of the blocks that were started and not stopped."""
        return [index for index, block in enumerate(self.blocks) if not block.closed]

    def content(self) -> list[dict[str, Any]]:
        """Give the content delivered so far, in the API's shape."""
        return [block.content() for block in self.blocks]

    def partial(self) -> dict[str, Any] | None:
        """Give the message delivered so far, in the API's shape; `None` before `message_start`."""
        if self.message is None:
            return None
        return {**self.message, **self.ending, "content": self.content()}
