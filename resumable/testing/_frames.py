"""
Turn the content of one message into the frames that carry it, and into the whole message.

Limits of the request (``max_tokens``, ``stop_sequences``) are applied here, because both count what is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ._replies import (
    Json,
    Raw,
    Reply,
    ServerToolResult,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
    fingerprint,
    json_pieces,
    pieces,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_TOOL_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_RESULTS = {"mcp_tool_use": "mcp_tool_result", "tool_search_tool_regex": "tool_search_tool_result"}
_REFUSED = {"type": "refusal", "category": None, "explanation": None}
PHASES = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_json",
}


class Frame(NamedTuple):
    """
    One SSE record as it travels.

    Attributes:
        payload: The bytes, with the closing blank line.
        phase: Where in the message it stands; see `Drop`.
    """

    payload: bytes
    phase: str = ""


def frame(kind: str, body: Json, phase: str = "") -> Frame:
    """
    Encode one event.

    Args:
        kind: The event's name.
        body: Its fields besides ``type``.
        phase: Where in the message it stands.

    Returns:
        The event as a frame.
    """
    data = msgspec.json.encode({"type": kind, **body})
    return Frame(b"event: %b\ndata: %b\n\n" % (kind.encode(), data), phase)


@dataclass(frozen=True, slots=True)
class Sealed:
    """
    A block with its identity, in the shape in which it comes back in a history.

    Attributes:
        content: The block; thinking is signed only when it is sent.
        omitted: Whether thinking text is withheld.
        deltas: Extra deltas of a `Raw` block.
    """

    content: Json
    omitted: bool = False
    deltas: tuple[Json, ...] = ()

    @property
    def text(self) -> str | None:
        """The text of a text block, ``None`` for any other."""
        return self.content["text"] if self.content["type"] == "text" else None


def seal(reply: Reply, seed: str) -> list[Sealed]:
    """
    Give every block of a reply its identity.

    Args:
        reply: What the model says.
        seed: What the ids depend on: the conversation and the variant.

    Returns:
        The blocks with their ids; each result names the call it answers.
    """
    sealed: list[Sealed] = []
    calls: list[Json] = []
    unanswered: list[Json] = []
    for index, block in enumerate(reply.blocks):
        match block:
            case Text():
                cited = {"citations": list(block.citations)} if block.citations else {}
                sealed.append(Sealed({"type": "text", "text": block.text, **cited}))
            case Thinking():
                sealed.append(Sealed({"type": "thinking", "thinking": block.text}, omitted=block.omitted))
            case ToolUse():
                call = _call("tool_use", "toolu_", block.name, block.input, fingerprint(seed, index))
                sealed.append(Sealed(call))
            case ServerToolUse():
                call = _call(block.type, "srvtoolu_", block.name, block.input, fingerprint(seed, index))
                calls.append(call)
                unanswered.append(call)
                sealed.append(Sealed(call))
            case ServerToolResult():
                call = unanswered[0] if block.call is None else calls[block.call]
                unanswered.remove(call)
                sealed.append(Sealed(_result(block, call)))
            case Raw():
                sealed.append(Sealed(dict(block.block), deltas=block.deltas))
            case _:
                raise TypeError(block)
    return sealed


def _call(kind: str, prefix: str, name: str, arguments: Mapping[str, Any], mark: str) -> Json:  # Reason: any JSON
    call = {"type": kind, "id": prefix + mark[:24], "name": name, "input": dict(arguments)}
    return call | ({"server_name": "example"} if kind == "mcp_tool_use" else {})


def _result(block: ServerToolResult, call: Json) -> Json:
    name = str(call["name"])
    kind = block.type or _RESULTS.get(str(call["type"])) or _RESULTS.get(name) or f"{name}_tool_result"
    return {"type": kind, "tool_use_id": call["id"], "content": block.content}


@dataclass(slots=True)
class Outline:
    """
    What one request is answered with, before it is cut into frames.

    Attributes:
        blocks: The blocks to send.
        stop_reason: Why the model stops when nothing else stops it.
        model: The model that answers.
        message_id: Id of this answer.
        seed: What delta sizes depend on.
        sign: Gives the signature of a thinking text and its number in the message.
        usage: Input side of the usage.
        max_tokens: [deltas] A token is a delta here.
        stop_sequences: Texts that end the answer.
        stop_sequence: The sequence a scripted ``stop_sequence`` names.
        stop_details: Details of a refusal.
        extra: Further fields of the message.
        ping_every: [deltas] Distance between pings; 0 sends none.
    """

    blocks: Sequence[Sealed]
    stop_reason: str
    model: str
    message_id: str
    seed: str
    sign: Callable[[str, int], str]
    usage: Json
    max_tokens: int
    stop_sequences: Sequence[str] = ()
    stop_sequence: str | None = None
    stop_details: Json | None = None
    extra: Json = field(default_factory=dict[str, Any])
    ping_every: int = 0


class Rendered(NamedTuple):
    """
    An answer in both of its forms.

    Attributes:
        frames: The stream.
        message: The message a request without streaming gets.
    """

    frames: tuple[Frame, ...]
    message: Json


def render(outline: Outline) -> Rendered:
    """
    Cut an answer into frames, and assemble the same answer whole.

    Args:
        outline: What to answer.

    Returns:
        Frames from ``message_start`` to ``message_stop``, and the message.
    """
    return _Rendering(outline).run()


class _Rendering:
    """One pass over the blocks; counts tokens and stops where a limit is met."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.frames: list[Frame] = []
        self.content: list[Json] = []
        self.spent = 0
        self.thought = 0
        self.sent = 0
        self.stop_reason = outline.stop_reason
        self.stop_sequence = outline.stop_sequence
        self.stopped = False

    def run(self) -> Rendered:
        """Send everything the limits allow."""
        outline = self.outline
        head: Json = {
            "id": outline.message_id,
            "type": "message",
            "role": "assistant",
            "model": outline.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            **outline.extra,
        }
        # The first usage carries a placeholder: the API sends 1 to 4 there.
        usage = {**outline.usage, "output_tokens": 1 + len(outline.message_id) % 4}
        self.frames.append(frame("message_start", {"message": {**head, "usage": usage}}, "message_start"))
        for block in outline.blocks:
            if self.stopped:
                break
            if self.spent >= outline.max_tokens:
                self._stop("max_tokens")
                break
            self._block(block)
        return Rendered((), self._finish(head))._replace(frames=tuple(self.frames))

    def _finish(self, head: Json) -> Json:
        ending = {
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence if self.stop_reason == "stop_sequence" else None,
            "stop_details": (self.outline.stop_details or _REFUSED) if self.stop_reason == "refusal" else None,
        }
        usage = {**self.outline.usage, "output_tokens": max(1, self.spent)}
        if self.thought:
            usage["output_tokens_details"] = {"thinking_tokens": self.thought}
        searches = sum(block.get("name") == "web_search" for block in self.content)
        if searches:
            usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
        known = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        late = ("output_tokens", "output_tokens_details", "server_tool_use")
        delta_usage = {name: usage[name] for name in (*known, *late) if name in usage}
        self.frames.append(frame("message_delta", {"delta": ending, "usage": delta_usage}, "message_delta"))
        self.frames.append(frame("message_stop", {}, "message_stop"))
        return {**head, **ending, "content": self.content, "usage": usage}

    def _stop(self, reason: str, sequence: str | None = None) -> None:
        self.stopped = True
        self.stop_reason = reason
        self.stop_sequence = sequence

    def _block(self, block: Sealed) -> None:
        index = len(self.content)
        kind = block.content["type"]
        if kind == "text":
            start, deltas, final = self._text(block)
        elif kind == "thinking":
            start, deltas, final = self._thinking(block, index)
        elif kind in _TOOL_CALLS:
            start, deltas, final = self._call(block)
        else:
            start, deltas, final = block.content, list(block.deltas), dict(block.content)
        self._send("content_block_start", {"index": index, "content_block": start}, "block_start")
        for delta in deltas:
            phase = PHASES.get(str(delta["type"]), "block")
            self._send("content_block_delta", {"index": index, "delta": delta}, phase)
        self._send("content_block_stop", {"index": index}, "between_blocks")
        self.content.append(final)

    def _send(self, kind: str, body: Json, phase: str) -> None:
        self.frames.append(frame(kind, body, phase))
        self.sent += 1
        every = self.outline.ping_every
        # The API's first ping follows the first block's start.
        if every and (self.sent - 1) % every == 0:
            self.frames.append(Frame(PING, "ping"))

    def _take(self, deltas: Iterable[str]) -> list[str]:
        """Take deltas until the budget is spent; an empty one is free."""
        taken: list[str] = []
        for delta in deltas:
            if delta and self.spent >= self.outline.max_tokens:
                self._stop("max_tokens")
                break
            self.spent += bool(delta)
            taken.append(delta)
        return taken

    def _text(self, block: Sealed) -> tuple[Json, list[Json], Json]:
        text = str(block.content["text"])
        found = [(text.find(stop), stop) for stop in self.outline.stop_sequences if stop in text]
        limit, sequence = min(found) if found else (len(text), None)
        taken = self._take(pieces(text[:limit], self.outline.seed))
        if sequence is not None and not self.stopped:
            self._stop("stop_sequence", sequence)
        citations = list(block.content.get("citations", ()))
        deltas: list[Json] = [{"type": "text_delta", "text": piece} for piece in taken]
        deltas.extend({"type": "citations_delta", "citation": citation} for citation in citations)
        cited = {"citations": citations} if citations else {}
        start: Json = {"type": "text", "text": "", **({"citations": []} if citations else {})}
        return start, deltas, {"type": "text", "text": "".join(taken), **cited}

    def _thinking(self, block: Sealed, index: int) -> tuple[Json, list[Json], Json]:
        taken = self._take(pieces(str(block.content["thinking"]), self.outline.seed))
        self.thought += len(taken)
        shown = [""] if block.omitted else taken
        number = sum(earlier["type"] == "thinking" for earlier in self.content[:index])
        signature = self.outline.sign("".join(shown), number)
        deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in shown]
        deltas.append({"type": "signature_delta", "signature": signature})
        final: Json = {"type": "thinking", "thinking": "".join(shown), "signature": signature}
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas, final

    def _call(self, block: Sealed) -> tuple[Json, list[Json], Json]:
        arguments = block.content["input"]
        taken = self._take(json_pieces(arguments, self.outline.seed))
        deltas: list[Json] = [{"type": "input_json_delta", "partial_json": piece} for piece in taken]
        return {**block.content, "input": {}}, deltas, {**block.content, "input": {} if self.stopped else arguments}


def with_text(block: Sealed, text: str) -> Sealed:
    """
    Give a text block another text.

    Args:
        block: A text block.
        text: What it shall say.

    Returns:
        The block with that text and its own citations.
    """
    return replace(block, content={**block.content, "text": text})
