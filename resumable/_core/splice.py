"""
The events of a later attempt into events of the one message that is under way.

Swallows its `message_start`, shifts its indices, drops what must not surface, and lets the seam's
block go on where the seam says. It decides nothing about attempts: it reports a missed seam.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from resumable._core.budget import StopMatcher, estimate_tokens
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

#: An event with its downstream index, and the frame that carries it.
Pair = tuple[Event, bytes]


class Ended(msgspec.Struct, frozen=True):
    """
    The message ends here, whatever upstream goes on to say.

    Attributes:
        stop_reason: `max_tokens` or `stop_sequence`.
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
        accept: What to do without certainty: `certain` misses, `ended` takes a bare anchor for
            the end of the message, `anything` joins unverified.
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


class _Phase(Enum):
    SEEKING = "seeking"  # leading text is held until the seam is found
    JOINING = "joining"  # the seam is found; the next text goes on in the seam's block
    FOLLOWING = "following"  # blocks follow, shifted


class Splice:
    """
    Maps the events of one attempt after the first; make a new one for each.

    Attributes:
        join: Where the seam lies, once it is known.
        ended: Set when a limit of the caller's ends the message here.
    """

    def __init__(self, joining: Joining, transcript: Transcript) -> None:
        self._its = joining
        self._has_message = transcript.message is not None
        self._next = len(transcript.blocks)
        self._map: dict[int, int | None] = {}  # upstream index -> downstream index, None if dropped
        self._seam = joining.seam_index
        self._phase = _Phase.FOLLOWING
        self._finder: SeamFinder | None = None
        self._held = ""
        self._blank = joining.blank
        self._cited: list[ContentBlockDelta] = []
        self._has_surfaced = False
        self._stops = StopMatcher(joining.stop_sequences, joining.delivered)
        self._left = joining.limit
        self.join: Join | None = None
        self.ended: Ended | None = None
        if joining.strategy is Strategy.PREFILL:
            self._phase = _Phase.JOINING
            self.join = Join("exact", 0)
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
            and self._left is None
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
        if isinstance(event, MessageStart):
            return [] if self._has_message else [(event, frame.raw)]
        if isinstance(event, ContentBlockStart):
            return self._start(event, frame)
        if isinstance(event, ContentBlockDelta) and isinstance(event.delta, TextDelta):
            return self._text(event.index, event.delta.text)
        if isinstance(event, ContentBlockDelta | OpaqueDelta):
            return self._delta(event, frame)
        if isinstance(event, ContentBlockStop):
            return self._stop(event, frame)
        if isinstance(event, MessageDelta) and event.stop_reason is not None:
            return [*self._leave_seam(event.stop_reason), (event, frame.raw)]
        return [(event, frame.raw)]

    def _start(self, event: ContentBlockStart, frame: Frame) -> list[Pair]:
        if event.block_type in THINKING and self._its.strategy is not Strategy.RESTART:
            self._map[event.index] = None
            return []
        if event.block_type == "text" and self._phase is not _Phase.FOLLOWING:
            self._map[event.index] = self._seam
            carried = event.content_block.get("text")
            return self._text(event.index, carried) if isinstance(carried, str) else []
        out = self._leave_seam()
        index = self._new_index()
        self._map[event.index] = index
        return [*out, shifted(event, frame, index)]

    def _new_index(self) -> int:
        self._next += 1
        return self._next - 1

    def _text(self, index: int, text: str) -> list[Pair]:
        if self._finder is not None:
            self._held += text
            found = self._finder.feed(text)
            return [] if found is None else self._go_on(found, index)
        if self._phase is _Phase.JOINING:
            return self._text_at_seam(text, index)
        target = self._map[index]
        return [] if target is None else self._surface(target, text)

    def _go_on(self, found: Join | Missed, index: int | None, stop_reason: str | None = None) -> list[Pair]:
        """Go on behind the seam, or say that there is none."""
        if isinstance(found, Missed):
            if not self._accepts(found, stop_reason):
                raise SeamMissedError(found.reason.value)
            found = found.best
        self.join = found
        self._phase, self._finder = _Phase.JOINING, None
        rest, self._held = found.insert + self._held[found.cut :], ""
        return self._text_at_seam(rest, index)

    def _accepts(self, missed: Missed, stop_reason: str | None) -> bool:
        if "anything" in self._its.accept:
            return True
        is_end = missed.reason is MissedReason.ANCHOR_ONLY and stop_reason == "end_turn"
        return is_end and "ended" in self._its.accept

    def _text_at_seam(self, text: str, index: int | None) -> list[Pair]:
        text = self._without_blank(text)
        if not text:
            return []
        self._has_surfaced = True
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
            self.ended = Ended("stop_sequence", sequence)
        if self._left is not None:
            self._left -= estimate_tokens(text)
            if self._left < 0 and self.ended is None:
                self.ended = Ended("max_tokens")
        return [(ContentBlockDelta(index, TextDelta(text)), text_frame(index, text))] if text else []

    def _delta(self, event: ContentBlockDelta | OpaqueDelta, frame: Frame) -> list[Pair]:
        if self._phase is _Phase.FOLLOWING:
            index = self._map[event.index]
            return [] if index is None else [shifted(event, frame, index)]
        # A citation whose text was wholly cut away goes with it.
        if self._cited and isinstance(event, ContentBlockDelta):
            self._cited.append(event)
        return []

    def _stop(self, event: ContentBlockStop, frame: Frame) -> list[Pair]:
        if self._phase is _Phase.FOLLOWING:
            index = self._map[event.index]
            return [] if index is None else [shifted(event, frame, index)]
        # A block that was all echo says nothing; the next text may still belong to the seam's.
        return self._leave_seam() if self._has_surfaced else []

    def _leave_seam(self, stop_reason: str | None = None) -> list[Pair]:
        """The seam's block is over: what comes now follows it."""
        if self._phase is _Phase.FOLLOWING:
            return []
        out = [] if self._finder is None else self._go_on(self._finder.finish(), None, stop_reason)
        self._phase = _Phase.FOLLOWING
        if any(isinstance(delta.delta, CitationsDelta) for delta in self._cited):
            # A citation covers its whole block, so what it does not cover ends here.
            out += [] if self._seam is None else [_block_stop(self._seam)]
            self._seam = self._new_index()
            out.append(_text_start(self._seam))
        for delta in self._cited:
            out += self._release(delta)
        return out if self._seam is None else [*out, _block_stop(self._seam)]

    def _release(self, held: ContentBlockDelta) -> list[Pair]:
        if isinstance(held.delta, TextDelta):
            return self._surface_at_seam(held.delta.text, None)
        assert self._seam is not None  # Invariant: the block was started, or is the one that goes on.
        shifted = ContentBlockDelta(self._seam, held.delta)
        fields = msgspec.to_builtins(shifted)
        return [(shifted, encode(fields.pop("type"), fields))]


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
