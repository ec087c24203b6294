"""A message that another holder began: any process writes it on from the log, as if its own attempt had failed."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Strategy
from resumable._core.errors import StreamInterruptedError
from resumable._core.report import Attempt
from resumable._core.states import Sleep, State, Stop
from tests.core import streams
from tests.core.rig import OLD, Rig
from tests.core.streams import OVER, block, ending, start, stop, text, tool_input


def adopted(*frames: bytes, attempts: int = 1, is_over: bool = False, **fields: object) -> Rig:
    """A session that goes on with what was written, after so many attempts, the last of them lost."""
    rig = Rig(**fields)  # type: ignore[arg-type]
    sent = [
        Attempt(number, Strategy.ORIGINAL, 0.0, failure=None if number == attempts else StreamInterruptedError("EOF"))
        for number in range(1, attempts + 1)
    ]
    log = streams.transcript_of(*frames)
    rig.got += b"".join(frames)
    rig.got += rig.session.adopt(log, sent, rig.now, is_over=is_over)
    return rig


def test_text_goes_on_where_the_log_ends():
    """The next attempt is a continuation of what the log holds, and counts on from those before."""
    rig = adopted(start(), block(0), text(0, "Hello"), model=OLD)
    plan = rig.open()
    assert plan.strategy is Strategy.PREFILL
    rig.session.receive_response(rig.now)
    rig.end(start(), block(0), text(0, " you"), stop(0), ending(), OVER)
    assert rig.text == "Hello you"
    assert [attempt.number for attempt in rig.session.report.attempts] == [1, 2]
    assert rig.session.report.attempts[0].is_estimated


def test_an_empty_log_is_a_fresh_start():
    """Where nothing was sent, the request is; where nothing was delivered, it is sent again."""
    assert adopted(attempts=0).open().strategy is Strategy.ORIGINAL
    assert adopted().open().strategy is Strategy.RESTART


@pytest.mark.parametrize("is_over", [False, True])
def test_a_message_that_is_complete_needs_only_its_end(is_over):
    """A stop_reason in the log ends the message, whoever did not get to write its last event."""
    frames = [start(), block(0), text(0, "Hello"), stop(0), ending(), *([OVER] if is_over else [])]
    rig = adopted(*frames, is_over=is_over)
    assert rig.got == b"".join([*frames, *([] if is_over else [OVER])])
    assert rig.session.state is State.DONE
    assert rig.ask() == Stop(None)


def test_a_complete_tool_call_finishes_the_message():
    """A continuation after a tool call is refused by the API, so the message ends with it."""
    call = block(0, "tool_use", id="t", name="f", input={})
    rig = adopted(start(), call, tool_input(0, "{}"), stop(0))
    assert rig.message.stop_reason == "tool_use"
    assert rig.ask() == Stop(None)


def test_attempts_of_holders_before_count():
    """The budget is the session's, whoever spends it."""
    rig = adopted(start(), block(0), text(0, "Hello"), attempts=10)
    assert rig.error.attempts == 10


def test_the_first_loss_is_not_waited_for():
    """A holder that died is a connection that was lost: reconnect at once."""
    rig = adopted(start(), block(0), text(0, "Hello"))
    action = rig.ask()
    assert not isinstance(action, Sleep) or action.delay == 0
