"""Where the seam lies at the edge of a block: what follows the echo, and which text a citation covers."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Strategy
from resumable._core.errors import SeamMissedError
from resumable._core.events import CitationsDelta, ContentBlockDelta, ContentBlockStart, TextDelta, decode
from resumable._core.splice import Joining, Splice
from tests.core import streams

DELIVERED = "The river is long and it is cold"


def spliced(*written: bytes, is_citing: bool = False, delivered: str = DELIVERED) -> list[tuple[int, str]]:
    """Splice an answer to the request to repeat the last words, and list what surfaces, with its block."""
    transcript = streams.transcript_of(streams.start(), streams.block(0), streams.text(0, delivered))
    joining = Joining(Strategy.USER_TURN, delivered, anchor=delivered, seam_index=0, is_citing=is_citing)
    splice = Splice(joining, transcript)
    pairs = [pair for frame in streams.frames(*written) for pair in splice.feed(decode(frame), frame)]
    return [named for event in streams.read_back(pairs) if (named := name(event)) is not None]


def name(event):
    """Name an event by what it brings; a stop brings nothing."""
    if isinstance(event, ContentBlockStart):
        return event.index, f"<{event.block_type}>"
    if isinstance(event, ContentBlockDelta) and isinstance(event.delta, TextDelta):
        return event.index, event.delta.text
    if isinstance(event, ContentBlockDelta) and isinstance(event.delta, CitationsDelta):
        return event.index, f"[{event.delta.citation['cited_text']}]"
    return None


CALL = streams.block(1, "tool_use", id="toolu_1", name="f", input={})


def test_a_call_right_behind_the_echo_goes_on():
    """A model that repeats the last words and then calls a tool had nothing more to say before the call."""
    answer = streams.start() + streams.block(0) + streams.text(0, DELIVERED) + streams.stop(0) + CALL
    assert spliced(answer) == [(1, "<tool_use>")]


def test_whitespace_between_echo_and_call_surfaces():
    """Whitespace that was held when the stream was cut comes with the call behind it."""
    answer = streams.start() + streams.block(0) + streams.text(0, DELIVERED, "\n\n") + streams.stop(0) + CALL
    assert spliced(answer) == [(0, "\n\n"), (1, "<tool_use>")]


def test_a_call_without_any_echo_is_no_seam():
    """A model that calls at once may have left words out, so that is not believed."""
    call = streams.block(0, "tool_use", id="toolu_1", name="f", input={})
    with pytest.raises(SeamMissedError):
        spliced(streams.start(), call)


def test_an_ending_right_behind_the_echo_is_no_seam():
    """With nothing behind the echo but an ending the message may be complete, or not: asked again."""
    answer = streams.start() + streams.block(0) + streams.text(0, DELIVERED) + streams.stop(0) + streams.ending()
    with pytest.raises(SeamMissedError):
        spliced(answer)


def cited(before: str, within: str, *, first: bool = False) -> bytes:
    """Answer with the echo, more text in its block, and a cited block."""
    parts = [streams.text(1, within), streams.citation(1, "cold")]
    body = b"".join(reversed(parts) if first else parts)
    echo = streams.block(0) + streams.text(0, DELIVERED + before) + streams.stop(0)
    return streams.start() + echo + streams.block(1) + body + streams.stop(1)


def test_a_citation_covers_only_its_own_block():
    """Whitespace that ended the block before a cited one stays outside the citation."""
    assert spliced(cited(" ", "in winter"), is_citing=True) == [
        (0, " "),
        (1, "<text>"),
        (1, "in winter"),
        (1, "[cold]"),
    ]


def test_a_citation_that_comes_before_its_text_is_kept():
    """A citation may open its block; it belongs to the text that follows."""
    assert spliced(cited("", " in winter", first=True), is_citing=True) == [
        (1, "<text>"),
        (1, "[cold]"),
        (1, " in winter"),
    ]


def test_a_citation_of_the_echo_goes_with_it():
    """What was wholly cut away takes its citation along, wherever in the block that stands."""
    echo = streams.block(0) + streams.citation(0, "long") + streams.text(0, DELIVERED) + streams.citation(0, "cold")
    more = streams.stop(0) + streams.block(1) + streams.text(1, " in winter") + streams.stop(1)
    assert spliced(streams.start() + echo + more, is_citing=True) == [(0, " in winter")]


def test_blocks_that_came_before_the_seam_was_found_keep_their_citations():
    """Behind a tiny anchor the seam is found late; what had come by then is placed as if it had been known."""
    more = "It goes on and on, past the hills and the towns. " * 8
    blocks = [
        streams.block(0) + streams.text(0, "As the notes say: ") + streams.stop(0),
        streams.block(1) + streams.text(1, "it is long") + streams.citation(1, "long") + streams.stop(1),
        streams.block(2) + streams.text(2, more) + streams.stop(2),
    ]
    assert spliced(streams.start(), *blocks, is_citing=True, delivered="As the") == [
        (0, " notes say: "),
        (1, "<text>"),
        (1, "it is long"),
        (1, "[long]"),
        (2, "<text>"),
        (2, more),
    ]
