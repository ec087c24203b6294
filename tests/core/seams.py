"""One delivered text, the seams that can be made at its end, what a splice lets through, and what a finder decides."""

from __future__ import annotations

from typing import Any

import msgspec

from resumable._core.continuation import Strategy
from resumable._core.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    MessageDelta,
    OpaqueDelta,
    TextDelta,
    decode,
)
from resumable._core.seam import Join, Missed, SeamFinder, choose_anchor
from resumable._core.splice import Joining, Splice
from tests.core.streams import block, ending, frames, read_back, start, stop, text, transcript_of

DELIVERED = "The quick brown fox jumps over"
ANCHOR = "brown fox jumps over"
OPEN = start() + block(0) + text(0, DELIVERED)
CLOSED = OPEN + stop(0)


def user_turn(**fields):
    """Describe a seam at the open text block of `OPEN`."""
    its = Joining(Strategy.USER_TURN, DELIVERED, anchor=ANCHOR, seam_index=0)
    return msgspec.structs.replace(its, **fields)


def prefill(**fields):
    """Describe the seam of a prefill at the same place."""
    return msgspec.structs.replace(Joining(Strategy.PREFILL, DELIVERED, seam_index=0), **fields)


def spliced(joining, *written, delivered=OPEN):
    """Feed an attempt to a splice; return it and the events that surface."""
    splice = Splice(joining, transcript_of(delivered))
    pairs = []
    for frame in frames(*written):
        pairs += splice.feed(decode(frame), frame)
    return splice, read_back(pairs)


def shown(events) -> list[Any]:
    """Write events down briefly: what starts, goes on and stops, by index."""
    brief: list[Any] = []
    for event in events:
        match event:
            case ContentBlockStart():
                brief.append(("start", event.index, event.block_type))
            case ContentBlockDelta(delta=TextDelta(said)):
                brief.append((event.index, said))
            case ContentBlockDelta() | OpaqueDelta():
                brief.append((event.index, type(event).__name__))
            case ContentBlockStop():
                brief.append(("stop", event.index))
            case MessageDelta():
                brief.append(event.stop_reason)
            case _:
                brief.append(type(event).__name__)
    return brief


def answer(*pieces, reason="end_turn"):
    """Write an attempt of one text block."""
    return start() + block(0) + text(0, *pieces) + stop(0) + ending(reason)


def decide(delivered, answer):
    """Return the decision about an answer that is over."""
    finder = SeamFinder(delivered, choose_anchor(delivered))
    return finder.feed(answer) or finder.finish()


def own(delivered, answer):
    """Return the quality of a join, and what is kept."""
    decision = decide(delivered, answer)
    assert isinstance(decision, Join), decision
    assert decision.insert == ""
    return decision.quality, answer[decision.cut :]


def reason(delivered, answer):
    """Return why there is no join."""
    decision = decide(delivered, answer)
    assert isinstance(decision, Missed), decision
    return decision.reason
