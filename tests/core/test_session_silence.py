"""Records that were torn: a last event without its blank line, one without its data, and a silence after them."""

from __future__ import annotations

import pytest

from resumable._core.errors import StreamStalledError
from resumable._core.states import State
from tests.core import streams
from tests.core.rig import Rig

CALL = streams.block(0, "tool_use", id="toolu_1", name="f", input={})


@pytest.mark.parametrize("last", [streams.tool_input(0, '{"a":'), streams.PING])
def test_silence_does_not_age_what_is_held(last):
    """A held call is dropped with the attempt that stalled; the event that was torn does not set it free."""
    rig = Rig()
    rig.session.next_action(rig.now)
    rig.session.receive_response(rig.now)
    got = rig.session.receive_data(streams.start() + CALL + last.removesuffix(b"\n\n"), rig.now)
    rig.now += 180.0
    got += rig.session.receive_failure(StreamStalledError("bytes", 180.0), rig.now)
    assert streams.received(got).blocks == []
    assert rig.session.state is State.WAITING
    assert rig.session.report.overdue == 0


@pytest.mark.parametrize("torn", [b"event: message_start\ndata: ", b"event: ping\ndata", b"data:"])
def test_record_without_data_does_not_go_on(torn):
    """It is what is left of an event; the caller's stream consists of whole ones, and of comments."""
    rig = Rig()
    rig.session.next_action(rig.now)
    rig.session.receive_response(rig.now)
    assert rig.session.receive_data(torn + b"\n\n: on\n\n" + streams.start(), rig.now) == b": on\n\n" + streams.start()
