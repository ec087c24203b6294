"""
The events of a later attempt into events of the one message that is under way.

Swallows its `message_start`, shifts its indices, drops what must not surface, and lets the seam's
block go on where the seam says. It decides nothing about attempts: it reports a missed seam.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from resumable._core.budget import StopMatcher, tokens_in
from resumable._core.continuation import Strategy
from resumable._core.errors import SeamMissedError
from resumable._core.events import (
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    OpaqueDelta,
    TextDelta,
    edit,
    encode,
    text_frame,
)
from resumable._core.seam import Join, Missed, MissedReason, SeamFinder
from resumable._core.transcript import THINKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable._core.sse import Frame
    from resumable._core.transcript import Transcript

_REFUSAL: Final = "refusal"
_MAX_TOKENS: Final = "max_tokens"
_STOP_SEQUENCE: Final = "stop_sequence"

#: An event with its downstream index, and the frame that carries it.
Pair = tuple[Event, bytes]


class Ended(msgspec.Struct, frozen=True):
    """
    Why a message ends.

    Attributes:
        stop_reason: The API's, or empty where upstream ended the message without one.
        stop_sequence: The sequence, where it is one.
    """

    stop_reason: str
    stop_sequence: str | None = None


class Joining(msgspec.Struct, frozen=True):
    """
    What a splice needs to know about the message it continues.

    Attributes:
        strategy: Of this attempt.
        delivered: Text the seam joins on to, without the whitespace it ends in; empty where there is no seam.
        blank: Whitespace that was delivered after it.
        anchor: Last words of it, as quoted.
        seam_index: Downstream index of the open text block that goes on, or `None`.
        window: [characters] Most that the seam holds back.
        limit: [tokens] Most that may surface, or `None`.
        stop_sequences: The caller's.
        is_citing: Whether text blocks may carry citations.
        accept: What to be content with where words are missing: `ended` takes the delivered text for whole,
            `spent` takes the caller's `max_tokens` for used up, `anything` joins unverified.
    """

    strategy: Strategy
    delivered: str = ""
    blank: str = ""
    anchor: str = ""
    seam_index: int | None = None
    window: int = 600
    limit: int | None = None
    stop_sequences: Sequence[str] = ()
    is_citing: bool = False
    accept: frozenset[str] = frozenset()


#: Behind a prefill nothing has to be found; it has joined once it says something.
_PREFILLED: Final = Join("exact", 0)
#: Behind a block that is no text nothing is quoted: who repeats themselves there is not found out.
_UNSOUGHT: Final = Join("unverified", 0)


class _Phase(Enum):
    SEEKING = "seeking"  # leading text is held until the seam is found
    JOINING = "joining"  # the seam is found; the next text goes on in the seam's block
    FOLLOWING = "following"  # blocks follow, shifted


class Splice:
    """
    Maps the events of one attempt after the first; make a new one for each.

    Attributes:
        join: Where the seam lies, once it is known.
        ended: Set when a limit of the caller's ends the message here, whatever upstream goes on to say.
    """

    def __init__(self, joining: Joining, transcript: Transcript) -> None:
        self._its = joining
        self._next = self._first = len(transcript.blocks)
        self._map: dict[int, int | None] = {}  # upstream index -> downstream index, None if dropped
        self._seam = joining.seam_index
        self._phase = _Phase.FOLLOWING
        self._finder: SeamFinder | None = None
        self._waiting: list[tuple[Event, Frame]] = []  # until the seam is found
        self._echo = 0  # [characters] still to be cut away
        self._insert = ""
        self._blank = joining.blank
        self._cited: list[ContentBlockDelta] = []
        self._has_surfaced = False
        self._stops = StopMatcher(joining.stop_sequences, joining.delivered)
        self._length = 0  # [bytes] of text that surfaced
        self.join: Join | None = None
        self.ended: Ended | None = None
        if joining.strategy is Strategy.PREFILL:
            self._phase = _Phase.JOINING
        elif joining.anchor:
            self._phase = _Phase.SEEKING
            self._finder = SeamFinder(joining.delivered, joining.anchor, window=joining.window)

    @property
    def delivered(self) -> str:
        """Text the seam joins on to."""
        return self._its.delivered

    def is_transparent(self, index: int) -> bool:
        """Whether text of the block at upstream *index* goes on as the bytes it came in."""
        return (
            self._map.get(index) == index
            and (self._phase is _Phase.FOLLOWING or (self._has_surfaced and not self._its.is_citing))
            and self._its.limit is None
            and self._stops.is_done
        )

    def feed(self, event: Event, frame: Frame) -> list[Pair]:
        """
        Map one event of the attempt, in grammar, with its upstream index.

        Returns:
            Events with downstream indices, and their frames.

        Raises:
            SeamMissedError: The seam cannot be found with certainty.
        """
        if self.ended is not None:
            return []
        if self._finder is not None and _belongs_to_text(event):
            return self._seek(event, frame)
        return self._place(event, frame)

    def _place(self, event: Event, frame: Frame) -> list[Pair]:
        if isinstance(event, ContentBlockStart):
            return self._start(event, frame)
        if isinstance(event, ContentBlockDelta | OpaqueDelta):
            return self._delta(event, frame)
        if isinstance(event, ContentBlockStop):
            return self._stop(event, frame)
        out: list[Pair] = []
        if isinstance(event, MessageDelta) and event.stop_reason is not None:
            out = self._end(Ended(event.stop_reason, event.delta.get("stop_sequence")))
        elif isinstance(event, MessageStop):  # Without a reason before it: some gateways drop that event.
            out = self._end(Ended(""))
        if isinstance(event, MessageStart) or self.ended is not None:
            return out
        return [*out, (event, frame.raw)]

    def _start(self, event: ContentBlockStart, frame: Frame) -> list[Pair]:
        if event.block_type in THINKING and self._its.strategy is not Strategy.RESTART:
            self._map[event.index] = None
            return []
        if event.block_type == "text" and self._phase is not _Phase.FOLLOWING:
            self._map[event.index] = self._seam
            return self._text(event.index, _text_of(event))
        out = self._leave_seam()
        self._note_unsought()
        if self.ended is None:
            index = self._map[event.index] = self._new_index()
            out.append(shifted(event, frame, index))
        return out

    def _note_unsought(self) -> None:
        if self._its.strategy is Strategy.USER_TURN and not self._its.anchor:
            self.join = _UNSOUGHT

    def _new_index(self) -> int:
        self._next += 1
        return self._next - 1

    def _text(self, index: int, text: str) -> list[Pair]:
        if self._phase is _Phase.JOINING:
            return self._text_at_seam(text, index)
        target = self._map[index]
        return [] if target is None else self._surface(target, text)

    def _seek(self, event: Event, frame: Frame) -> list[Pair]:
        """Hold an event while the seam is looked for in its text."""
        assert self._finder is not None  # Invariant: asked for only while the seam is sought.
        self._waiting.append((event, frame))
        found = self._finder.feed(_text_of(event))
        return [] if found is None else self._go_on(found)

    def _go_on(self, found: Join | Missed, ending: Ended | None = None) -> list[Pair]:
        """Go on behind the seam, with what was held and its blocks, or say that there is none."""
        waiting, self._waiting = self._waiting, []
        if isinstance(found, Missed):
            if self._is_spent(found, ending):
                self._phase, self._finder, self.ended = _Phase.FOLLOWING, None, Ended(_MAX_TOKENS)
                return []
            join = self._accepted(found, ending, sum(len(_text_of(event)) for event, _ in waiting))
            if join is None:
                raise SeamMissedError(found.reason.value)
            found = join
        self.join = found
        self._phase, self._finder = _Phase.JOINING, None
        self._echo, self._insert = found.cut, found.insert
        return [pair for event, frame in waiting for pair in self.feed(event, frame)]

    def _is_spent(self, missed: Missed, ending: Ended | None) -> bool:
        """Tell whether the caller's `max_tokens` left no room but for a part of the echo."""
        is_torn = missed.reason in {MissedReason.EMPTY, MissedReason.TORN}
        return is_torn and "spent" in self._its.accept and ending == Ended(_MAX_TOKENS)

    def _accepted(self, missed: Missed, ending: Ended | None, length: int) -> Join | None:
        """Say how an answer [characters: *length*] joins in which words are missing, if it does."""
        accept = self._its.accept
        if ending is not None and ending.stop_reason == _REFUSAL:
            return None  # Of our instruction: it is not the caller's, whatever the policy accepts.
        if missed.reason is MissedReason.EMPTY and ending is None and "ended" in accept:
            return Join("aligned", length)  # The text was whole, and a block of another kind comes next.
        if missed.reason is MissedReason.ANCHOR_ONLY and (ending is None or self._is_own(ending)):
            return missed.best
        return missed.best if "anything" in accept else None

    def _is_own(self, ending: Ended) -> bool:
        """Tell whether upstream's ending right behind the echo is the message's own."""
        if ending.stop_reason == _STOP_SEQUENCE:  # It stands where the text would go on, and is the caller's.
            return ending.stop_sequence in self._its.stop_sequences
        accept = self._its.accept
        return ("ended" in accept and ending.stop_reason == "end_turn") or (
            "spent" in accept and ending.stop_reason == _MAX_TOKENS
        )

    def _text_at_seam(self, text: str, index: int) -> list[Pair]:
        echo = min(self._echo, len(text))
        self._echo -= echo
        text = self._without_blank(text[echo:])
        if not text:
            return []
        text, self._insert = self._insert + text, ""
        self._has_surfaced = True
        self.join = self.join or _PREFILLED
        if self._its.is_citing:
            # Whether a citation belongs to the text is known only when its block has stopped.
            self._cited.append(ContentBlockDelta(-1, TextDelta(text)))
            return []
        return self._surface_at_seam(text, index)

    def _surface_at_seam(self, text: str, index: int | None) -> list[Pair]:
        out: list[Pair] = []
        if self._seam is None:
            self._seam = self._new_index()
            out.append(_text_start(self._seam))
        if index is not None:
            self._map[index] = self._seam
        return out + self._surface(self._seam, text)

    def _without_blank(self, text: str) -> str:
        """Drop whitespace that the caller has already, where the block before was closed with it."""
        same = 0
        while same < min(len(text), len(self._blank)) and text[same] == self._blank[same]:
            same += 1
        self._blank = self._blank[same:] if same == len(text) else ""
        return text[same:]

    def _surface(self, index: int, text: str) -> list[Pair]:
        """Let text out, up to where a limit of the caller's ends the message."""
        split = self._stops.feed(text)
        if split is not None:
            end, sequence = split
            text = text[: max(0, end - len(sequence))]
            self.ended = Ended(_STOP_SEQUENCE, sequence)
        self._length += len(text.encode("utf-8", "surrogatepass"))
        if self._its.limit is not None and tokens_in(self._length) > self._its.limit and self.ended is None:
            self.ended = Ended(_MAX_TOKENS)
        return [(ContentBlockDelta(index, TextDelta(text)), text_frame(index, text))] if text else []

    def _delta(self, event: ContentBlockDelta | OpaqueDelta, frame: Frame) -> list[Pair]:
        if isinstance(event, ContentBlockDelta) and isinstance(event.delta, TextDelta):
            return self._text(event.index, event.delta.text)
        if self._phase is _Phase.FOLLOWING:
            index = self._map[event.index]
            return [] if index is None else [shifted(event, frame, index)]
        if self._its.is_citing and isinstance(event, ContentBlockDelta) and isinstance(event.delta, CitationsDelta):
            self._cited.append(event)
        return []

    def _stop(self, event: ContentBlockStop, frame: Frame) -> list[Pair]:
        if self._phase is _Phase.FOLLOWING:
            index = self._map[event.index]
            return [] if index is None else [shifted(event, frame, index)]
        if self._has_surfaced:
            return self._leave_seam()
        # A block that was all echo says nothing; the next text may still belong to the seam's.
        self._cited.clear()
        return []

    def _end(self, ending: Ended) -> list[Pair]:
        """End the message with upstream, unless it said no to our instruction before it said anything else."""
        is_silent = self._finder is None and self._next == self._first and not self._has_surfaced
        if ending.stop_reason == _REFUSAL and is_silent and self._its.strategy is Strategy.USER_TURN:
            raise SeamMissedError(_REFUSAL)
        self._note_unsought()
        return self._leave_seam(ending)

    def _leave_seam(self, ending: Ended | None = None) -> list[Pair]:
        """Close the seam's block, if it is not closed yet: what comes now follows it."""
        out = [] if self._finder is None else self._go_on(self._finder.finish(), ending)
        return out if self._phase is _Phase.FOLLOWING else out + self._close_seam()

    def _close_seam(self) -> list[Pair]:
        out: list[Pair] = []
        self._phase = _Phase.FOLLOWING
        self.join = self.join or _PREFILLED
        self._map = dict.fromkeys(self._map)  # Whatever upstream still says in the seam's block comes too late.
        if not any(isinstance(held.delta, TextDelta) for held in self._cited):
            self._cited.clear()  # A citation whose text was wholly cut away goes with it.
        if any(isinstance(held.delta, CitationsDelta) for held in self._cited):
            # A citation covers its whole block, so what it does not cover ends here.
            out += [] if self._seam is None else [_block_stop(self._seam)]
            self._seam = self._new_index()
            out.append(_text_start(self._seam))
        for held in self._cited:
            out += self._release(held)
        return out if self._seam is None or self.ended is not None else [*out, _block_stop(self._seam)]

    def _release(self, held: ContentBlockDelta) -> list[Pair]:
        if self.ended is not None:
            return []
        if isinstance(held.delta, TextDelta):
            return self._surface_at_seam(held.delta.text, None)
        assert self._seam is not None  # Invariant: the block was started, or is the one that goes on.
        moved = ContentBlockDelta(self._seam, held.delta)
        fields = msgspec.to_builtins(moved)
        return [(moved, encode(fields.pop("type"), fields))]


def _belongs_to_text(event: Event) -> bool:
    """Whether the seam may lie behind an event: all but the start of another kind of block, and the ending."""
    if isinstance(event, ContentBlockStart):
        return event.block_type == "text" or event.block_type in THINKING
    return isinstance(event, ContentBlockDelta | OpaqueDelta | ContentBlockStop)


def _text_of(event: Event) -> str:
    if isinstance(event, ContentBlockStart):
        carried = event.content_block.get("text") if event.block_type == "text" else None
        return carried if isinstance(carried, str) else ""
    return event.delta.text if isinstance(event, ContentBlockDelta) and isinstance(event.delta, TextDelta) else ""


def shifted(
    event: ContentBlockStart | ContentBlockDelta | OpaqueDelta | ContentBlockStop, frame: Frame, index: int
) -> Pair:
    """Give an event and its frame another index; untouched where it is the same."""
    if event.index == index:
        return event, frame.raw
    return msgspec.structs.replace(event, index=index), edit(frame, index=index)


def _text_start(index: int) -> Pair:
    block = {"type": "text", "text": ""}
    return ContentBlockStart(index, block), encode("content_block_start", {"index": index, "content_block": block})


def _block_stop(index: int) -> Pair:
    return ContentBlockStop(index), encode("content_block_stop", {"index": index})
