"""Text that is held whole, as structured output is, and what releases it."""

from __future__ import annotations

from resumable._core.events import decode
from resumable._core.hold import Gate
from resumable._core.transcript import Transcript
from tests.core import streams


def pushed(*written: bytes) -> tuple[list[bytes], Transcript]:
    """Push what upstream wrote through a gate that holds text whole."""
    transcript = Transcript()
    gate = Gate(transcript, frozenset({"text", "tool_use"}), 120.0)
    out: list[bytes] = []
    for frame in streams.frames(*written):
        out += gate.push(decode(frame), frame.raw, 0.0)
    return out, transcript


WHOLE = (streams.start(), streams.block(0), streams.text(0, '{"a":', " 1}"), streams.stop(0))


def test_text_held_whole_waits_for_what_follows_its_stop():
    """Between its stop and the ending a cut would leave what only a literal repetition could finish."""
    out, transcript = pushed(*WHOLE)
    assert out == [streams.start()]
    assert transcript.blocks == []


def test_text_held_whole_is_released_by_the_ending():
    """The ending releases it in one delta, stopped."""
    out, transcript = pushed(*WHOLE, streams.ending())
    assert b"".join(out) == b"".join((*WHOLE[:2], streams.text(0, '{"a": 1}'), WHOLE[3], streams.ending()))
    assert transcript.blocks[0].text == '{"a": 1}'


def test_text_held_whole_is_released_by_a_complete_call():
    """A tool call after it, once complete, releases both."""
    call = streams.block(1, "tool_use", id="toolu_1", name="f", input={})
    out, transcript = pushed(*WHOLE, call, streams.tool_input(1, "{}"))
    assert len(out) == 1
    _, transcript = pushed(*WHOLE, call, streams.tool_input(1, "{}"), streams.stop(1))
    assert [block.closed for block in transcript.blocks] == [True, True]


def test_text_that_never_stops_stays_held():
    """Another block's stop does not release text that is still open."""
    out, transcript = pushed(*WHOLE[:3], streams.block(1, "sketch"), streams.stop(1))
    assert out == [streams.start()]
    assert transcript.blocks == []
