"""One session from its first request to its end: what it asks for, what the caller gets, what is refused."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Strategy
from resumable._core.errors import LocalProtocolError, RetriesExhaustedError, StreamInterruptedError, UpstreamEventError
from resumable._core.events import encode
from resumable._core.states import Open, Read, Sleep, State, Stop
from resumable._core.watch import LINGER
from tests.core.rig import ASK, LOST, NEW, Rig
from tests.core.streams import OVER, PING, block, ending, error, start, stop, text, whole


def test_undisturbed_answer_goes_on_byte_for_byte():
    """With no fault the caller gets the bytes upstream sent (law L10), and the session ends with the body."""
    rig = Rig()
    assert rig.ask() == Open(1, rig.session._plan)
    rig.session.receive_response(rig.now, "req_1")
    assert rig.session.next_action(rig.now) == Read()
    rig.read(whole("Hello,", " world."))
    assert rig.got == whole("Hello,", " world.")
    assert rig.ask() == Read()
    assert rig.end() == b""
    assert rig.ask() == Stop(None)
    assert rig.session.state is State.DONE


def test_first_request_is_the_caller_s():
    """Nothing is added to it, and nothing taken away."""
    rig = Rig(top_k=3)
    plan = rig.open()
    assert plan.strategy is Strategy.ORIGINAL
    assert plan.body == {"model": NEW, "max_tokens": 8000, "messages": [ASK], "top_k": 3}


def test_books_of_an_attempt():
    """Who answered, when, and what it used as upstream told it."""
    rig = Rig()
    rig.begin(start(id="msg_9", model="m9", usage={"input_tokens": 5, "output_tokens": 1}), block(0), text(0, "Hi"))
    [attempt] = rig.session.report.attempts
    assert (attempt.number, attempt.opened_at, attempt.ended_at, attempt.request_id) == (1, 1000.0, None, "req_1")
    rig.read(stop(0), ending(output=42), after=2.0)
    assert (attempt.message_id, attempt.model, attempt.ended_at) == ("msg_9", "m9", 1002.0)
    assert attempt.usage == {"input_tokens": 5, "output_tokens": 42}
    assert (attempt.output_tokens, attempt.is_estimated, attempt.failure) == (42, False, None)


def test_usage_told_after_the_ending_counts():
    """A second message_delta passes, and its counts are the last word."""
    rig = Rig()
    rig.begin(start(), block(0), text(0, "Hi"), stop(0), ending(output=3), after_ending := ending(None, output=5))
    assert rig.got.endswith(after_ending)
    rig.end(OVER)
    [attempt] = rig.session.report.attempts
    assert (attempt.output_tokens, attempt.usage["output_tokens"]) == (5, 5)


def test_books_without_counts_are_estimates():
    """Where upstream says nothing, nothing is claimed to be measured."""
    rig = Rig()
    rig.begin(
        start(id=1, model=None),
        block(0),
        text(0, "x" * 40),
        stop(0),
        encode("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": "many"}}),
    )
    [attempt] = rig.session.report.attempts
    assert (attempt.output_tokens, attempt.is_estimated) == (10, True)
    assert (attempt.message_id, attempt.model) == (None, None)


@pytest.mark.parametrize("last", [b"", PING, start()])
def test_missing_message_stop_is_written(last):
    """From the stop_reason on failures are swallowed; whatever comes instead of the stop is one."""
    rig = Rig()
    rig.begin(start(), block(0), text(0, "Hi"), stop(0), ending(), last)
    if rig.session.state is State.ENDING:
        rig.end()
    assert rig.got.endswith(OVER)
    assert rig.message.stop_reason == "end_turn"
    assert rig.ask() == Stop(None)


@pytest.mark.parametrize("failure", [LOST, UpstreamEventError("overloaded_error"), StreamInterruptedError("EOF")])
def test_failures_after_the_end_are_swallowed(failure):
    """A complete message is complete however its connection ends."""
    rig = Rig()
    rig.begin(whole("Hi"))
    rig.lose(failure=failure)
    assert rig.ask() == Stop(None)
    assert rig.session.notices == []


def test_error_event_after_the_end_is_swallowed_in_the_same_read():
    """How the bytes were split makes no difference to when the message was complete (law L3)."""
    rig = Rig()
    rig.begin(start() + block(0) + text(0, "Hi") + stop(0) + ending() + error())
    assert rig.message.stop_reason == "end_turn"
    assert rig.ask() == Stop(None)


def test_last_frame_without_its_blank_line_counts():
    """Some streams end right behind the data of message_stop."""
    rig = Rig()
    rig.begin(whole("Hi").removesuffix(b"\n\n"))
    rig.end()
    assert rig.message.stop_reason == "end_turn"
    rig = Rig()
    rig.begin((start() + block(0) + text(0, "Hi") + stop(0) + ending()).removesuffix(b"\n\n"))
    rig.end()
    assert rig.message.stop_reason == "end_turn"


def test_blocks_that_upstream_left_open_are_stopped():
    """Some gateways drop those events."""
    rig = Rig()
    rig.begin(start(), block(0), text(0, "Hi"), ending(), OVER)
    assert rig.message.open_indices == []


def test_a_complete_message_waits_for_the_end_of_its_body_but_not_for_long():
    """The connection can be reused if the body ends soon; a trickle does not keep the session."""
    rig = Rig()
    rig.begin(whole("Hi"))
    assert rig.session.deadline == rig.now + LINGER
    rig.read(PING, after=LINGER - 1)
    assert rig.ask() == Read()
    rig.read(PING, after=1.0)
    assert rig.ask() == Stop(None)
    assert rig.session.state is State.DONE


def test_trickle_instead_of_message_stop_ends_too():
    """The ending is then written in upstream's place."""
    rig = Rig()
    rig.begin(start(), block(0), text(0, "Hi"), stop(0), ending())
    rig.read(PING, after=LINGER)
    assert rig.message.stop_reason == "end_turn"
    assert rig.ask() == Stop(None)


READS = {
    "receive_response": lambda session: session.receive_response(0.0),
    "receive_data": lambda session: session.receive_data(PING, 0.0),
    "receive_eof": lambda session: session.receive_eof(0.0),
    "receive_failure": lambda session: session.receive_failure(LOST, 0.0),
}
OUT_OF_ORDER = {
    State.READY: set(READS),
    State.OPENING: {"receive_data"},
    State.STREAMING: {"receive_response"},
    State.WAITING: set(READS),
    State.ENDING: {"receive_response"},
    State.DONE: set(READS),
    State.FAILED: set(READS),
    State.CLOSED: set(),
}


def rig_in(state):
    """Bring a session into a state the way a driver does."""
    rig = Rig(strategies=("user_turn",)) if state is State.FAILED else Rig()
    if state is not State.READY and state is not State.CLOSED:
        rig.open()
    if state in {State.STREAMING, State.ENDING, State.DONE}:
        rig.session.receive_response(rig.now)
    if state in {State.ENDING, State.DONE}:
        rig.read(whole("Hi"))
    if state in {State.WAITING, State.FAILED}:
        rig.lose()
    if state is State.DONE:
        rig.end()
    if state is State.CLOSED:
        rig.session.close(rig.now)
    assert rig.session.state is state
    return rig


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", READS)
def test_what_is_told_out_of_order_is_a_bug_in_the_driver(state, name):
    """It raises and changes nothing; after the caller has left it is only late, and says nothing."""
    session = rig_in(state).session
    if name in OUT_OF_ORDER[state]:
        with pytest.raises(LocalProtocolError):
            READS[name](session)
        assert session.state is state
    else:
        assert READS[name](session) in {None, b""} or state is not State.CLOSED


def test_next_action_is_not_asked_for_while_a_request_is_under_way():
    """The machine waits to be told how it went."""
    with pytest.raises(LocalProtocolError, match="next_action is not allowed in state opening"):
        rig_in(State.OPENING).ask()


@pytest.mark.parametrize("state", State)
def test_caller_may_leave_in_every_state(state):
    """Then nothing is sent any more, what still arrives is dropped, and the books are closed; an end stays an end."""
    rig = rig_in(state)
    failed = rig.session.report.attempts[0].failure if rig.session.report.attempts else None
    for _ in range(2):
        rig.session.close(rig.now + 1)
    over = {State.DONE, State.FAILED}
    assert rig.session.state is (state if state in over else State.CLOSED)
    assert isinstance(rig.ask(), Stop)
    assert [attempt.ended_at is None for attempt in rig.session.report.attempts] in ([], [False])
    assert [attempt.failure for attempt in rig.session.report.attempts] in ([], [failed])


def test_leaving_mid_text_writes_an_estimate():
    """What a cancelled attempt produced is in the books."""
    rig = Rig()
    rig.begin(start(), block(0), text(0, "x" * 40))
    rig.session.close(rig.now + 3)
    [attempt] = rig.session.report.attempts
    assert (attempt.ended_at, attempt.output_tokens, attempt.is_estimated) == (1003.0, 10, True)


def test_same_action_until_it_was_performed():
    """Asking twice changes nothing, but for the request that is counted when it is asked for."""
    rig = rig_in(State.STREAMING)
    assert rig.ask() == rig.ask() == Read()
    rig = Rig()
    rig.begin(start())
    rig.lose()
    rig.begin(start())
    rig.lose()
    assert rig.ask() == rig.ask() == Sleep(0.5)
    rig.now += 0.25
    assert rig.ask() == Sleep(0.25)


def test_caller_who_received_nothing_gets_upstream_s_own_error():
    """The frame itself is the last thing delivered, and no error of ours is raised."""
    rig = Rig()
    frame = error("invalid_request_error")
    rig.begin(PING, frame)
    assert rig.got == PING + frame
    assert rig.ask() == Stop(None)
    assert rig.session.state is State.FAILED


def test_caller_who_received_something_gets_an_error_with_it():
    """The partial is the message in the API's shape."""
    rig = Rig()
    rig.begin(start(), block(0), text(0, "Hi"), error("invalid_request_error"))
    assert isinstance(rig.error, RetriesExhaustedError)
    assert rig.error.partial == rig.message.partial()
    assert rig.error.session_id == "s1"


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ((), "the stream ended after 0 bytes, before the message did (EOF)"),
        ((b"<html>Bad gateway</html>",), "upstream sent what is not a message stream: the response holds no message"),
        ((PING,), "upstream sent what is not a message stream: the response holds no message"),
        ((start(),), f"the stream ended after {len(start())} bytes, before the message did (EOF)"),
        ((start(), b"event: x\ndata: {"), None),
        ((start(), b"data: [1]\n"), None),
        ((start() + b"data: {nonsense\n\n",), None),
        ((OVER,), "upstream sent what is not a message stream: message_stop before message_start"),
    ],
)
def test_every_other_end_of_a_body_is_a_failure(written, sentence):
    """A clean end before the message's, an empty answer and garbage are all told apart, and none raises."""
    rig = Rig()
    rig.begin(*written)
    if rig.session.state is State.STREAMING:
        rig.end()
    assert rig.session.state is State.WAITING
    [attempt] = rig.session.report.attempts
    assert sentence is None or str(attempt.failure) == sentence


def test_more_bytes_after_message_stop_are_dropped():
    """A message is never followed by another one."""
    rig = Rig()
    rig.begin(whole("Hi"), whole("again"))
    assert rig.got == whole("Hi")
