"""
Replies as values: the blocks of one assistant message and why it ended.

A reply says what the model would say; `_frames` says how that travels.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json: TypeAlias = dict[str, Any]

_PIECE = re.compile(r"\s?\w{1,8}|\s?[^\w\s]|\s")


class Block:
    """What a message is made of; see its subclasses."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Text(Block):
    """
    A text block.

    Attributes:
        text: What the model says.
        citations: Citations of this block, each in the API's own shape.
    """

    text: str
    citations: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Thinking(Block):
    """
    A thinking block; its signature is a function of everything before it.

    Attributes:
        text: What the model thinks.
        omitted: Whether the text is withheld (``display: "omitted"``): one empty delta, then the signature.
    """

    text: str
    omitted: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse(Block):
    """
    A call of one of the client's tools.

    Attributes:
        name: The tool's name.
        input: Its arguments.
    """

    name: str
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ServerToolUse(Block):
    """
    A call of a tool that runs at the upstream.

    Attributes:
        name: ``web_search``, ``web_fetch``, ``code_execution`` …
        input: Its arguments.
        type: ``server_tool_use`` or ``mcp_tool_use``.
    """

    name: str
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    type: str = "server_tool_use"


@dataclass(frozen=True, slots=True)
class ServerToolResult(Block):
    """
    The result of a server tool, which arrives whole in its block's start.

    Attributes:
        content: In the shape the result's type has at the API.
        call: Which call of the reply it answers, counted from 0; ``None`` takes the first unanswered one.
        type: ``None`` derives it from the call (``web_search`` gives ``web_search_tool_result``).
    """

    content: Any
    call: int | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Raw(Block):
    """
    Any other block, which arrives whole in its start (``redacted_thinking``, a type yet unknown).

    Attributes:
        block: The block as it travels.
        deltas: Deltas to send before its stop.
    """

    block: Mapping[str, Any]
    deltas: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What the model answers: blocks, and why it stopped.

    Attributes:
        blocks: In the order of the message.
        stop_reason: ``None`` derives it: ``tool_use`` when a client tool is called, else ``end_turn``.
        stop_sequence: The sequence that was met, with ``stop_reason="stop_sequence"``.
        stop_details: For a refusal, in the API's shape.
        vary: Whether a plain retry of the same request gets other words, as from a real model.
    """

    blocks: Sequence[Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None
    vary: bool = True

    @property
    def text(self) -> str:
        """The text of all text blocks, joined."""
        return "".join(block.text for block in self.blocks if isinstance(block, Text))

    @property
    def ending(self) -> str:
        """The stop reason that is sent when nothing cuts the reply short."""
        if self.stop_reason is not None:
            return self.stop_reason
        return "tool_use" if any(isinstance(block, ToolUse) for block in self.blocks) else "end_turn"

    def varied(self, variant: int) -> Reply:
        """
        Give this reply in other words, as a plain retry would get it.

        Text that is JSON is left alone, because another wording would not parse.

        Args:
            variant: Number of the retry; 0 is the reply itself.

        Returns:
            The same reply with an opening of its own in its first text block.
        """
        if variant == 0 or not self.vary:
            return self
        blocks = list(self.blocks)
        for number, block in enumerate(blocks):
            if isinstance(block, Text) and block.text[:1] not in {"{", "["}:
                blocks[number] = replace(block, text=f"{_opening(variant)} {block.text}")
                break
        return replace(self, blocks=tuple(blocks))


def _opening(variant: int) -> str:
    words = ("Again:", "Once more:", "Put otherwise:", "In short:", "To restate:")
    return words[(variant - 1) % len(words)] + (f" ({variant})" if variant > len(words) else "")


def pieces(text: str, seed: str) -> list[str]:
    """
    Cut text into deltas the way a model's tokens fall: short, with their leading space.

    Args:
        text: Any text.
        seed: What the sizes depend on besides the text.

    Returns:
        The deltas in order; joined they are the text.
    """
    parts = _PIECE.findall(text)
    chance = random.Random(f"{seed}:{len(text)}")  # Reason: reproducible, not secret
    deltas: list[str] = []
    at = 0
    while at < len(parts):
        size = chance.choice((1, 1, 1, 2, 2, 3))
        deltas.append("".join(parts[at : at + size]))
        at += size
    return deltas


def json_pieces(value: Mapping[str, Any], seed: str) -> list[str]:
    """
    Cut a tool's input into the fragments in which it arrives.

    Args:
        value: The input; an empty one is sent as no delta but an empty first one.
        seed: What the sizes depend on besides the input.

    Returns:
        The ``partial_json`` values in order, an empty one first as the API sends it.
    """
    if not value:
        return [""]
    text = msgspec.json.encode(value).decode()
    chance = random.Random(f"{seed}:{len(text)}")  # Reason: reproducible, not secret
    deltas = [""]
    at = 0
    while at < len(text):
        size = chance.randint(1, 9)
        deltas.append(text[at : at + size])
        at += size
    return deltas


def fingerprint(*values: object) -> str:
    """
    Hash JSON values, independent of the order of keys.

    Args:
        *values: Anything msgspec can encode.

    Returns:
        32 hexadecimal characters.
    """
    encoded = msgspec.json.encode(values, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:32]
