"""
What the sweep expects, written by hand from the rules of recovery; nothing here asks the code under test.

`state_of` reads off the recording what a caller must have received at a cut, by the rules of what is held. `TABLE`
says for each such state what has to come of it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.sweep.recordings import Recording

Json = dict[str, Any]

# Whitespace for the API and for any reader of its answers.
BLANK = "\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff"


class State(Enum):
    """What the caller has at a cut, or at least what of it decides."""

    NOTHING = "nothing, or only what is held"
    THINKING = "only thinking"
    TEXT = "text that goes on"
    TEXT_WHOLE = "all text of the message"
    TEXT_STOPPED = "all text of the message, and its stop"
    RESULT = "a server tool's result"
    CALL = "a complete tool call"
    OPEN_UNKNOWN = "an open block of an unknown type"
    UNKNOWN = "a complete block of an unknown type"
    ENDED = "a stop_reason"


class Outcome(Enum):
    """What the caller ends with."""

    IDENTICAL = "identical"
    TOOL_USE = "finished early with `tool_use`"
    ERROR = "`NotContinuableError`"


class Expected(NamedTuple):
    """
    What comes of a state.

    Attributes:
        outcome: What the caller ends with.
        prefill: What is asked of a model that takes prefill, after the original request.
        no_prefill: The same for a model, or a request, that does not.
        variant: Which of the upstream's wordings the caller ends with.
    """

    outcome: Outcome
    prefill: tuple[str, ...]
    no_prefill: tuple[str, ...]
    variant: int = 0


TABLE = {
    State.NOTHING: Expected(Outcome.IDENTICAL, ("retry",), ("retry",), 1),
    State.THINKING: Expected(Outcome.IDENTICAL, ("retry",), ("retry",), 1),
    State.TEXT: Expected(Outcome.IDENTICAL, ("prefill",), ("user_turn",)),
    # The model repeats the anchor and has nothing to add: asked once more before that is believed.
    State.TEXT_WHOLE: Expected(Outcome.IDENTICAL, ("prefill",), ("user_turn", "user_turn")),
    # The block's stop had come: believed at once.
    State.TEXT_STOPPED: Expected(Outcome.IDENTICAL, ("prefill",), ("user_turn",)),
    State.RESULT: Expected(Outcome.IDENTICAL, ("user_turn",), ("user_turn",)),
    State.CALL: Expected(Outcome.TOOL_USE, (), ()),
    State.OPEN_UNKNOWN: Expected(Outcome.ERROR, (), ()),
    State.UNKNOWN: Expected(Outcome.IDENTICAL, ("user_turn",), ("user_turn",)),
    State.ENDED: Expected(Outcome.IDENTICAL, (), ()),
}


class Recorded(NamedTuple):
    """
    A recording's events, and where each is complete.

    Attributes:
        events: Decoded.
        ends: [bytes] From here on an event counts: its data is whole, with or without its blank line.
        size: [bytes] Of the recording.
    """

    events: list[Json]
    ends: list[int]
    size: int

    @classmethod
    def from_bytes(cls, stream: bytes) -> Recorded:
        """Split a recording, which has line feeds only and no comments."""
        events, ends, at = [], [], 0
        for frame in stream.removesuffix(b"\n\n").split(b"\n\n"):
            events.append(msgspec.json.decode(frame.partition(b"data: ")[2]))
            ends.append(at + len(frame))
            at += len(frame) + 2
        return cls(events, ends, at)

    def until(self, cut: int) -> list[Json]:
        """Give the events that count when the stream is cut after so many bytes."""
        return [event for event, end in zip(self.events, self.ends, strict=True) if end <= cut]


class Seen:
    """One block as far as it arrived."""

    def __init__(self, block: Json) -> None:
        self.start = block
        self.type = str(block["type"])
        self.text = ""
        self.is_cited = False
        self.is_stopped = False

    @property
    def has_words(self) -> bool:
        """Whether it holds anything but whitespace."""
        return bool(without_blank_end(self.text))


def without_blank_end(text: str) -> str:
    """Cut whitespace off the end."""
    while text and (text[-1].isspace() or text[-1] in BLANK):
        text = text[:-1]
    return text


def blocks_of(events: Sequence[Json]) -> list[Seen]:
    """Fold events into the blocks that arrived."""
    blocks: list[Seen] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(Seen(event["content_block"]))
        elif event["type"] == "content_block_stop":
            blocks[event["index"]].is_stopped = True
        elif event["type"] == "content_block_delta":
            blocks[event["index"]].text += event["delta"].get("text", "")
            blocks[event["index"]].is_cited |= event["delta"]["type"] == "citations_delta"
    return blocks


def delivered(events: Sequence[Json], recording: Recording) -> list[Seen]:
    """Keep the blocks of which the caller must have received something."""
    blocks = blocks_of(events)
    for number, block in enumerate(blocks):
        if not block.is_stopped and (block.type == "tool_use" or block.type.endswith("_tool_result")):
            # What is held holds back all that comes after it.
            blocks = blocks[:number]
            break
    while (unpaired := _unpaired(blocks)) is not None:
        blocks = blocks[:unpaired]
    # Structured output is held until something follows its stop, and here nothing but the ending does.
    return [block for block in blocks if block.type != "text" or (block.has_words and not recording.is_structured)]


def _unpaired(blocks: Sequence[Seen]) -> int | None:
    """Find the first server-side call whose result is not there."""
    answered = {block.start.get("tool_use_id") for block in blocks}
    calls = [number for number, block in enumerate(blocks) if block.type == "server_tool_use"]
    return next((number for number in calls if blocks[number].start["id"] not in answered), None)


def state_of(recorded: Recorded, cut: int, recording: Recording) -> State:
    """Say what the caller has when the stream is cut after so many bytes."""
    events = recorded.until(cut)
    if any(event["type"] == "message_delta" for event in events):
        return State.ENDED
    blocks = delivered(events, recording)
    if any(block.type == "tool_use" for block in blocks):
        return State.CALL
    spoken = [block for block in blocks if block.type != "thinking"]
    if not spoken:
        return State.THINKING if blocks else State.NOTHING
    last = spoken[-1]
    if last.type == "sketch":
        return State.UNKNOWN if last.is_stopped else State.OPEN_UNKNOWN
    if last.type != "text":
        return State.RESULT
    return _state_of_text(last, blocks_of(events), blocks_of(recorded.events))


def _state_of_text(last: Seen, arrived: list[Seen], whole: list[Seen]) -> State:
    missing = whole[-1].text[len(without_blank_end(last.text)) :]
    if len(arrived) < len(whole) or arrived[-1].start is not last.start or missing.strip():
        return State.TEXT
    return State.TEXT_STOPPED if last.is_stopped else State.TEXT_WHOLE


def asked(state: State, recording: Recording, *, takes_prefill: bool) -> tuple[str, ...]:
    """List what must be asked of upstream, in order."""
    row = TABLE[state]
    return ("original", *(row.prefill if takes_prefill and not recording.is_exclusive else row.no_prefill))
