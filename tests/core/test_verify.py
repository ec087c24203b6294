"""A repeated answer is skipped as far as it was delivered, and goes on from there or not at all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.errors import SeamMissedError
from resumable._core.events import decode
from resumable._core.seam import Join
from resumable._core.verify import Verifier
from tests.core.seams import shown
from tests.core.streams import (
    OVER,
    PING,
    block,
    citation,
    delta,
    ending,
    frames,
    read_back,
    start,
    stop,
    text,
    thought,
    transcript_of,
)

SAID = '{"name": "Ada", "name": "Ada"'
OPEN = start() + block(0) + text(0, SAID)
CLOSED = OPEN + stop(0)


def verified(*written, delivered=OPEN):
    """Feed an attempt to a verifier; return it and what surfaces, briefly."""
    verifier = Verifier(transcript_of(delivered))
    pairs = []
    for frame in frames(start(), *written):
        pairs += verifier.feed(decode(frame), frame)
    return verifier, shown(read_back(pairs))


def repeated(*pieces):
    """Write the block of a repeated answer."""
    return block(0) + text(0, *pieces) + stop(0)


@given(st.lists(st.integers(1, len(SAID) + 5), max_size=6))
def test_what_was_delivered_is_skipped_however_it_is_split(cuts):
    """The caller gets what follows, byte for byte, in the block that is open."""
    whole = SAID + ', "age": 36}'
    edges = sorted({0, len(whole), *cuts})
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    verifier, events = verified(repeated(*pieces), ending())
    assert "".join(said for index, said in events[:-2]) == ', "age": 36}'
    assert events[-2:] == [("stop", 0), "end_turn"]
    assert verifier.join == Join("exact", len(SAID))
    assert verifier.ended is None


@pytest.mark.parametrize("pieces", [['{"name": "Bob"'], [SAID[:-1], "x"], ["{", "["], ["{"], []])
def test_first_difference_ends_it(pieces):
    """An answer in other words, or one that is over before it repeated everything, does not join."""
    with pytest.raises(SeamMissedError, match="diverged"):
        verified(repeated(*pieces))


@pytest.mark.parametrize(
    "written",
    [
        ending(),
        ending("refusal"),
        OVER,
        block(0, "tool_use", id="t", name="f"),
        block(0) + citation(0, "c"),
        block(0) + delta(0, "delta_of_tomorrow"),
        block(0) + text(0, SAID[:5]) + block(1),
    ],
)
def test_anything_else_before_everything_was_repeated_is_a_difference(written):
    """A stop_reason, another block or another kind of delta is not what was delivered."""
    with pytest.raises(SeamMissedError, match="diverged"):
        verified(written)


def test_thinking_does_not_surface():
    """The caller has thinking of the first attempt, or none."""
    hidden = block(0, "thinking") + thought(0, signature="s") + stop(0) + block(1, "redacted_thinking") + stop(1)
    _, events = verified(hidden, block(2), text(2, SAID + "}"), stop(2))
    assert events == [(0, "}"), ("stop", 0)]


def test_blocks_that_follow_are_shifted():
    """What comes behind the repeated block comes behind what was delivered."""
    before = start() + block(0, "thinking") + thought(0) + stop(0) + block(1) + text(1, SAID)
    rest = block(1, "hologram") + delta(1, "delta_of_tomorrow") + stop(1)
    _, events = verified(repeated(SAID, "}"), rest, delivered=before)
    assert events == [(1, "}"), ("stop", 1), ("start", 2, "hologram"), (2, "OpaqueDelta"), ("stop", 2)]


def test_closed_block_stays_closed():
    """Where the caller has the block's stop already, it is not stopped twice and nothing is added to it."""
    verifier, events = verified(repeated(SAID), ending(), delivered=CLOSED)
    assert events == ["end_turn"]
    assert verifier.join is not None
    for pieces in ([SAID + "}"], [SAID, "}"]):
        with pytest.raises(SeamMissedError, match="diverged"):
            verified(repeated(*pieces), delivered=CLOSED)


def test_text_is_found_before_trailing_thinking():
    """Thinking behind the text was delivered too; the text is still what must be repeated."""
    before = CLOSED + block(1, "thinking") + thought(1) + stop(1)
    _, events = verified(repeated(SAID), block(1), text(1, "more"), delivered=before)
    assert events == [("start", 2, "text"), (2, "more")]


def test_what_is_no_part_of_the_answer_passes():
    """Pings, and a message_delta that ends nothing."""
    _, events = verified(PING, ending(None))
    assert events == ["Ping", None]


def test_frames_go_on_as_they_came_behind_the_seam():
    """Text is transparent once everything was repeated, where its index stays."""
    assert not verified(block(0), text(0, SAID[:3]))[0].is_transparent(0)
    verifier, _ = verified(block(0), text(0, SAID))
    assert verifier.is_transparent(0)
    assert not verifier.is_transparent(1)
