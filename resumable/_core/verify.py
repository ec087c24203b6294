"""
A repeated answer, skipped as far as it is identical to what was delivered.

Only for structured output that the caller chose to have live: JSON is not joined by its
words, since a repetition in it is legal. The first difference ends the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resumable._core.errors import SeamMissedError
from resumable._core.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    OpaqueDelta,
    TextDelta,
    text_frame,
)
from resumable._core.seam import Join, MissedReason
from resumable._core.splice import Pair, shifted
from resumable._core.transcript import THINKING

if TYPE_CHECKING:
    from resumable._core.splice import Ended
    from resumable._core.sse import Frame
    from resumable._core.transcript import Transcript

_DIVERGED: Final = MissedReason.DIVERGED.value


class Verifier:
    """
    Maps the events of a repeated answer; has the surface of `Splice`.

    Attributes:
        join: Set once everything delivered was repeated.
        ended: Always `None`.
        delivered: Text that must be repeated.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._next = len(transcript.blocks)
        self._seam = max(index for index, block in enumerate(transcript.blocks) if block.type == "text")
        self._is_closed = transcript.blocks[self._seam].closed
        self._map: dict[int, int | None] = {}
        self.delivered = transcript.blocks[self._seam].text
        self._left = self.delivered
        self.join: Join | None = None
        self.ended: Ended | None = None

    def is_transparent(self, index: int) -> bool:
        """Whether text of the block at upstream *index* goes on as the bytes it came in."""
        return self.join is not None and self._map.get(index) == index

    def feed(self, event: Event, frame: Frame) -> list[Pair]:
        """
        Map one event, in grammar, with its upstream index.

        Raises:
            SeamMissedError: The answer is not the one that was delivered.
        """
        if isinstance(event, MessageStart):
            return []
        if isinstance(event, ContentBlockStart):
            return self._start(event, frame)
        is_end = isinstance(event, MessageStop) or (isinstance(event, MessageDelta) and event.stop_reason is not None)
        if is_end and self.join is None:
            raise SeamMissedError(_DIVERGED)
        if not isinstance(event, ContentBlockDelta | OpaqueDelta | ContentBlockStop):
            return [(event, frame.raw)]
        return self._go_on(event, frame)

    def _go_on(self, event: ContentBlockDelta | OpaqueDelta | ContentBlockStop, frame: Frame) -> list[Pair]:
        index = self._map[event.index]
        if index is None:
            return []
        if self.join is not None:
            return self._follow(event, frame, index)
        if isinstance(event, ContentBlockDelta) and isinstance(event.delta, TextDelta):
            return self._skip(event.delta.text)
        raise SeamMissedError(_DIVERGED)

    def _start(self, event: ContentBlockStart, frame: Frame) -> list[Pair]:
        if event.block_type in THINKING:
            self._map[event.index] = None
            return []
        if self.join is None and event.block_type == "text" and self._seam not in self._map.values():
            self._map[event.index] = self._seam
            return []
        if self.join is None:
            raise SeamMissedError(_DIVERGED)
        self._map[event.index], self._next = self._next, self._next + 1
        return [shifted(event, frame, self._next - 1)]

    def _follow(
        self, event: ContentBlockDelta | OpaqueDelta | ContentBlockStop, frame: Frame, index: int
    ) -> list[Pair]:
        if index != self._seam or not self._is_closed:
            return [shifted(event, frame, index)]
        if isinstance(event, ContentBlockStop):  # The caller has it.
            return []
        raise SeamMissedError(_DIVERGED)

    def _skip(self, text: str) -> list[Pair]:
        same = min(len(text), len(self._left))
        if text[:same] != self._left[:same]:
            raise SeamMissedError(_DIVERGED)
        self._left = self._left[same:]
        if self._left:
            return []
        rest = text[same:]
        if rest and self._is_closed:
            raise SeamMissedError(_DIVERGED)
        self.join = Join("exact", len(self.delivered))
        return [(ContentBlockDelta(self._seam, TextDelta(rest)), text_frame(self._seam, rest))] if rest else []
