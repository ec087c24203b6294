"""What comes of an answer that was cut between its last word and the event that says why it ends."""

from __future__ import annotations

import pytest

from resumable._core.errors import SeamError
from resumable._core.seam import Seam
from resumable._core.states import Stop
from tests.core.rig import Rig
from tests.core.streams import OVER, block, ending, start, stop, text, tool_input

HEAD = "The quick brown fox jumps over"
CALL = block(0, "tool_use", id="t", name="f", input={}) + tool_input(0, '{"a": 1}') + stop(0)


def cut_at_its_end(*, was_stopped=True, **fields):
    """Lose the end of a text, and perhaps of a block, that was complete; return the bench and the anchor."""
    rig = Rig(**fields)
    rig.begin(start(), block(0), text(0, HEAD), stop(0) if was_stopped else b"")
    rig.lose()
    return rig, rig.begin(start()).anchor


def repeated(anchor, reason, **fields):
    """Write an answer that repeats the anchor and ends."""
    return block(0) + text(0, anchor) + stop(0) + ending(reason, **fields) + OVER


@pytest.mark.parametrize("was_stopped", [True, False])
def test_stop_sequence_is_met_again(was_stopped):
    """The model says what it had said when it was stopped: the caller learns which sequence it was."""
    rig, anchor = cut_at_its_end(was_stopped=was_stopped, stop_sequences=["END"])
    rig.read(repeated(anchor, "stop_sequence", stop_sequence="END"))
    assert (rig.text, rig.message.stop_reason, rig.message.ending["stop_sequence"]) == (HEAD, "stop_sequence", "END")
    assert rig.session.report.synthesised is None


def test_limit_that_is_used_up_within_the_estimate_s_error():
    """Eight tokens of ten, by the estimate: upstream may say that these were all."""
    rig, anchor = cut_at_its_end(max_tokens=10)
    rig.read(repeated(anchor, "max_tokens"))
    assert (rig.text, rig.message.stop_reason) == (HEAD, "max_tokens")
    assert [seam.quality for seam in rig.session.report.seams] == ["exact"]


def test_limit_that_leaves_no_room_for_the_echo():
    """The ending is ours then, and the report says so; there is no seam."""
    rig, anchor = cut_at_its_end(max_tokens=8)
    rig.read(repeated(anchor[:9], "max_tokens"))
    assert (rig.text, rig.message.stop_reason) == (HEAD, "max_tokens")
    assert (rig.session.report.synthesised, rig.session.report.seams) == ("max_tokens", [])
    assert rig.ask() == Stop(None)


@pytest.mark.parametrize("reason", ["max_tokens", "stop_sequence", "refusal", "pause_turn"])
def test_ending_that_cannot_be_the_caller_s_is_an_error(reason):
    """Far from the limit, at a sequence nobody named, or for no: that may be about our request alone."""
    rig, anchor = cut_at_its_end()
    rig.read(repeated(anchor, reason))
    rig.begin(start() + repeated(anchor, reason))
    assert isinstance(rig.error, SeamError)
    assert rig.error.partial is not None
    assert rig.error.partial["content"] == [{"type": "text", "text": HEAD}]


def test_call_follows_text_that_was_whole():
    """The text's stop had come, so a model that calls at once leaves nothing out."""
    rig, _ = cut_at_its_end()
    rig.read(CALL, ending("tool_use"), OVER)
    assert [(part.type, part.closed) for part in rig.message.blocks] == [("text", True), ("tool_use", True)]
    assert (rig.text, rig.message.stop_reason) == (HEAD, "tool_use")
    assert rig.session.report.seams == [Seam(2, "user_turn", 30, "aligned", 0)]


def test_call_in_the_middle_of_text_is_an_error():
    """Words may be missing in front of it."""
    rig, _ = cut_at_its_end(was_stopped=False)
    rig.read(CALL)
    rig.begin(start() + CALL)
    assert isinstance(rig.error, SeamError)
    assert [part.type for part in rig.message.blocks] == ["text"]
