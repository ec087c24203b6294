"""
Conversations: what a request asks, and what of it the upstream has already said.

A request that carries the beginning of one of our own replies is recognised by its content alone, so that it does not
matter which template asked for the rest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ._frames import Sealed, with_text
from ._replies import Json, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Messages: TypeAlias = list[Json]

_THINKING = frozenset({"thinking", "redacted_thinking"})
# A shorter end of the text may stand in any question by chance. More is asked of an answer that is complete, because
# what follows it is most often the next question.
_LEAST_ANCHOR = 6
_LEAST_ANCHOR_COMPLETE = 12


def blocks_of(content: object) -> list[Json]:  # Reason: whatever a client sent
    """
    Give a message's content in its long form.

    Args:
        content: A text or a list of blocks.

    Returns:
        Blocks; anything that is no block is left out.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict)]


def normalised(messages: object) -> Messages:  # Reason: whatever a client sent
    """
    Give messages in one form: long content, no ``cache_control``, consecutive turns of one role merged.

    Args:
        messages: As a client sent them.

    Returns:
        New messages; the given ones are left alone.
    """
    merged: Messages = []
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content = [_plain(block) for block in blocks_of(message.get("content"))]
        if merged and merged[-1]["role"] == message.get("role"):
            merged[-1]["content"].extend(content)
        else:
            merged.append({"role": message.get("role"), "content": content})
    return merged


def _plain(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "cache_control" and value is not None}


def prefix_mark(body: Json, messages: Messages) -> str:
    """
    Fingerprint what a thinking block is bound to: system, tools and the messages before it.

    Thinking itself does not count, because dropping it is allowed.

    Args:
        body: The request.
        messages: The messages before the one with the block, normalised.

    Returns:
        A fingerprint.
    """
    spoken = [
        {**message, "content": [block for block in message["content"] if block.get("type") not in _THINKING]}
        for message in messages
    ]
    tools = [_plain(tool) for tool in body.get("tools") or () if isinstance(tool, dict)]
    return fingerprint([_plain(block) for block in blocks_of(body.get("system"))], tools, spoken)


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    What a script answers: an original request, and how often it has been asked before.

    Attributes:
        body: The request, with `messages` normalised.
        key: Fingerprint of system, tools and messages.
        variant: Number of plain retries before this one.
    """

    body: Json
    key: str
    variant: int = 0

    @classmethod
    def from_body(cls, body: Json, messages: Messages, variant: int = 0) -> Conversation:
        """
        Make the conversation of a request.

        Args:
            body: The request.
            messages: Its messages, normalised.
            variant: Number of plain retries before this one.

        Returns:
            The conversation.
        """
        return cls({**body, "messages": messages}, prefix_mark(body, messages), variant)

    @property
    def messages(self) -> Messages:
        """The messages, normalised."""
        messages: Messages = self.body["messages"]
        return messages

    @property
    def seed(self) -> str:
        """What everything random in the reply depends on."""
        return f"{self.key}:{self.variant}"

    @property
    def last_user_text(self) -> str:
        """The text of the last user message."""
        return text_of(self.messages[-1]["content"]) if self.messages else ""

    @property
    def answers_tools(self) -> bool:
        """Whether the last message brings tool results."""
        return any(block.get("type") == "tool_result" for block in (self.messages or [{"content": ()}])[-1]["content"])

    def chance(self) -> random.Random:
        """Make a source of chance that is the same every time this conversation is answered."""
        return random.Random(self.seed)  # Reason: reproducible, not secret


def text_of(content: Sequence[Json]) -> str:
    """
    Join the text of all text blocks.

    Args:
        content: Blocks.

    Returns:
        The text.
    """
    return "".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


@dataclass(frozen=True, slots=True)
class Place:
    """
    How far a partial answer reaches into a reply.

    Attributes:
        rest: The blocks still to be said; the first may be the rest of a text.
        in_text: Whether the partial answer ends with text.
        complete: Whether it holds the whole reply.
    """

    rest: tuple[Sealed, ...]
    in_text: bool
    complete: bool


def find_place(reply: Sequence[Sealed], partial: Sequence[Json]) -> Place | None:
    """
    Find where in a reply a partial answer stops.

    Thinking and unpaired calls may be missing from the partial answer and texts may be merged; what remains has to
    be the reply's, word for word.

    Args:
        reply: The whole reply.
        partial: Content blocks that came back in a request.

    Returns:
        ``None`` when the partial answer is not the beginning of this reply, or holds nothing of it.
    """
    spoken = [block for block in partial if block.get("type") not in _THINKING]
    if not text_of(spoken).strip() and all(block.get("type") == "text" for block in spoken):
        return None
    at, used = 0, 0
    matched: set[int] = set()
    for block in spoken:
        if block.get("type") == "text":
            found = _follow_text(reply, at, used, str(block.get("text", "")))
        else:
            found = _follow_block(reply, at, used, block)
        if found is None:
            return None
        at, used = found
        matched.add(at - 1)
    # A call that was dropped because it had no result yet is made again.
    again = [own for number, own in enumerate(reply[:at]) if _is_call(own) and number not in matched]
    if at < len(reply) and used and used == len(reply[at].text or ""):
        at, used = at + 1, 0
    head = (with_text(reply[at], (reply[at].text or "")[used:]),) if used else tuple(reply[at : at + 1])
    rest = (*again, *head, *reply[at + 1 :])
    return Place(rest, spoken[-1].get("type") == "text", complete=not rest)


def _follow_text(reply: Sequence[Sealed], at: int, used: int, text: str) -> tuple[int, int] | None:
    while text:
        if at == len(reply):
            return None
        own = reply[at].text
        if own is None:
            if reply[at].content["type"] not in _THINKING and used == 0 and not _is_call(reply[at]):
                return None
            at += 1
            continue
        own = own[used:]
        if own.startswith(text):
            return at, used + len(text)
        if not text.startswith(own):
            return None
        at, used, text = at + 1, 0, text[len(own) :]
    return at, used


def _is_call(block: Sealed) -> bool:
    return block.content["type"] in {"server_tool_use", "mcp_tool_use", "tool_use"}


def _follow_block(reply: Sequence[Sealed], at: int, used: int, block: Json) -> tuple[int, int] | None:
    if used:
        # Whitespace at the end of a text may have been dropped from what came back.
        if (reply[at].text or "")[used:].strip():
            return None
        at += 1
    for number in range(at, len(reply)):
        own = reply[number]
        if _same_block(own.content, block):
            return number + 1, 0
        if not (own.content["type"] in _THINKING or _is_call(own) or (own.text is not None and not own.text.strip())):
            return None
    return None


def _same_block(own: Json, other: Json) -> bool:
    for name in ("id", "tool_use_id"):
        if name in own or name in other:
            return bool(own.get(name) == other.get(name) and own["type"] == other.get("type"))
    return bool(own["type"] == other.get("type"))


def candidates(messages: Messages) -> Iterator[tuple[Messages, list[Json], Json | None]]:
    """
    Give the ways in which messages can be an older conversation, part of its answer, and a request to go on.

    Args:
        messages: Normalised.

    Yields:
        The older messages, the answer so far, and the user's message after it (``None`` for a prefill).
    """
    ends = len(messages) - 1
    if ends >= 1 and messages[ends]["role"] == "assistant":
        yield from _splits(messages[:ends], messages[ends]["content"], None)
    elif ends > 1 and messages[ends - 1]["role"] == "assistant":
        yield from _splits(messages[: ends - 1], messages[ends - 1]["content"], messages[ends])


def without_own(content: list[Json], own: list[Json]) -> list[Json] | None:
    """
    Take the caller's own words off the front of a message in which ours were added to them.

    Args:
        content: The message that came back.
        own: What the caller had begun it with.

    Returns:
        Our part, or ``None`` when the message does not begin with the caller's words.
    """
    if not own or own[:-1] != content[: len(own) - 1] or own[-1].get("type") != "text":
        return None
    begun, *rest = content[len(own) - 1 :] or [{}]
    words = str(own[-1].get("text", ""))
    if begun.get("type") != "text" or not str(begun.get("text", "")).startswith(words):
        return None
    return [{**begun, "text": str(begun["text"])[len(words) :]}, *rest]


def _splits(older: Messages, content: list[Json], asked: Json | None) -> Iterator[tuple[Messages, list[Json], Any]]:
    yield older, content, asked
    # The caller's own prefill and our answer arrive in one message.
    for end in range(1, len(content)):
        yield [*older, {"role": "assistant", "content": content[:end]}], content[end:], asked


def anchor_of(partial: str, asked: str) -> str:
    """
    Find the words of a partial answer that a request to go on quotes.

    Args:
        partial: The text so far.
        asked: The text of the request to go on.

    Returns:
        The longest end of `partial` that occurs in `asked`.
    """
    low, high = 0, min(len(partial), len(asked))
    while low < high:
        middle = (low + high + 1) // 2
        if partial[-middle:] in asked:
            low = middle
        else:
            high = middle - 1
    return partial[len(partial) - low :]


def quotes(anchor: str, partial: str, *, complete: bool) -> bool:
    """
    Tell whether an anchor is a quotation rather than a coincidence.

    Args:
        anchor: What `anchor_of` found.
        partial: The text so far.
        complete: Whether the text is the whole reply.

    Returns:
        Whether it is long enough, or all there is.
    """
    least = _LEAST_ANCHOR_COMPLETE if complete else _LEAST_ANCHOR
    return bool(anchor.strip()) and len(anchor) >= min(least, len(partial.strip()))
