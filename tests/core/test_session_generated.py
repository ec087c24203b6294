"""Sessions driven by generated upstreams and drivers: nothing raises, nothing hangs, nothing is lost or doubled."""

from __future__ import annotations

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from resumable._core.continuation import Strategy
from resumable._core.errors import (
    AttemptError,
    ConnectError,
    LocalProtocolError,
    RecoveryError,
    StreamInterruptedError,
    StreamStalledError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.hold import DEFAULT_HOLD, HOLDABLE
from resumable._core.states import Input, Open, Read, Sleep, State, Stop
from tests.core.rig import NEW, OLD, Rig
from tests.core.streams import (
    OVER,
    PING,
    block,
    citation,
    delta,
    ending,
    error,
    received,
    start,
    stop,
    text,
    thought,
    tool_input,
    whole,
)

FAILURES = (
    ConnectError("ConnectError"),
    ConnectError("ConnectError", is_certificate=True),
    StreamInterruptedError("ReadError"),
    StreamStalledError("bytes", 180.0),
    UpstreamStatusError(400, "invalid_request_error", is_prefill_refusal=True),
    UpstreamStatusError(429, "rate_limit_error", retry_after=30.0),
    UpstreamStatusError(500),
    UpstreamEventError("overloaded_error", None, error()),
)
SAID = ("Hello", " ", "over the hill", "\n", "brown fox jumps over", "\u2028")
PIECES = st.one_of(
    st.sampled_from(
        [
            start(),
            start(usage=None, container={"id": "c"}),
            PING,
            OVER,
            b": comment\n\n",
            b"event: tomorrow\ndata: {}\n\n",
            b"<html>",
            b"\n\n",
            b"data: {",
            error(),
            error("invalid_request_error"),
            whole("Hello,", " world"),
            *(ending(reason) for reason in (None, "end_turn", "tool_use", "refusal", "max_tokens")),
        ]
    ),
    st.builds(stop, st.integers(0, 3)),
    st.builds(
        block,
        st.integers(0, 3),
        st.sampled_from(["text", "thinking", "redacted_thinking", "web_search_tool_result", "hologram"]),
    ),
    st.builds(
        lambda index, kind: block(index, kind, id="t", name="f", input={}),
        st.integers(0, 3),
        st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
    ),
    st.builds(text, st.integers(0, 3), st.sampled_from(SAID)),
    st.builds(thought, st.integers(0, 3), st.just("hm"), st.sampled_from(["", "s"])),
    st.builds(tool_input, st.integers(0, 3), st.sampled_from(["{", "}", "{}", "[]"])),
    st.builds(citation, st.integers(0, 3), st.just("c")),
    st.builds(lambda index: delta(index, "delta_of_tomorrow", x=1), st.integers(0, 3)),
    st.binary(max_size=20),
)
#: Whole blocks in order, so that much of what is generated is in grammar.
PHRASES = st.lists(
    st.one_of(
        st.builds(lambda *said: start() + block(0) + text(0, *said), st.sampled_from(SAID), st.sampled_from(SAID)),
        st.builds(lambda said: start() + block(0) + text(0, said) + stop(0) + block(1), st.sampled_from(SAID)),
        PIECES,
    ),
    max_size=8,
)
RIGS = st.builds(
    lambda model, hold, fields: Rig(model=model, hold=hold, **fields),
    st.sampled_from([NEW, OLD]),
    st.one_of(st.just(DEFAULT_HOLD), st.frozensets(st.sampled_from(HOLDABLE))),
    st.sampled_from(
        [
            {},
            {"on_uncertain": "join"},
            {"stop_sequences": ["over the hill", "lo over"]},
            {"max_tokens": 3, "thinking": {"type": "adaptive"}},
            {"output_config": {"format": {"type": "json_schema"}}},
            {"tools": [{"type": "web_search_20260209", "name": "web_search"}]},
            {"total_timeout": 500.0, "first_event_timeout": 10.0},
            {"max_hold": 1.0},
        ]
    ),
)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ask", "respond", "eof", "resume"]), st.none()),
        st.tuples(st.sampled_from(["ask", "respond"]), st.none()),
        st.tuples(st.just("close"), st.none()),
        st.tuples(st.just("fail"), st.sampled_from(FAILURES)),
        st.tuples(st.just("read"), PIECES),
        st.tuples(st.just("wait"), st.floats(0.0, 2000.0)),
    ),
    max_size=40,
)


def perform(rig, step, value):
    """Do one thing to a session, whether it is in order or not."""
    session = rig.session
    match step:
        case "ask":
            rig.ask()
        case "respond":
            session.receive_response(rig.now)
        case "eof":
            rig.got += session.receive_eof(rig.now)
        case "resume":
            session.resume(rig.now)
        case "close":
            session.close(rig.now)
        case "fail":
            rig.got += session.receive_failure(value, rig.now)
        case "read":
            rig.read(value)
        case _:
            rig.now += value


@given(rig=RIGS, steps=STEPS)
def test_nothing_but_a_call_out_of_order_raises(rig, steps):
    """In any order of inputs the only exception is LocalProtocolError, and it changes nothing (law L7)."""
    for step, value in steps:
        before = rig.session.state
        try:
            perform(rig, step, value)
        except LocalProtocolError:
            assert rig.session.state is before
    received(rig.got)


class Driver:
    """Does what a session asks for; upstream says what is in *attempts*, and after that nothing at all."""

    def __init__(self, rig, attempts, size):
        self.rig = rig
        self._size = size
        self._left = iter(attempts)
        reads = sum(len(split(one, size)) for written, _ in attempts for one in written)
        self._patience = reads + 10 * len(Input)  # Ten attempts, none of which takes each of its turns twice.
        self._pieces: list[bytes] = []
        self._last: object = None

    def drive(self):
        """Go on until the session stops; return the error it stops with."""
        for _ in range(self._patience):
            match action := self.rig.ask():
                case Stop():
                    return action.error
                case Sleep():
                    self.rig.now += action.delay
                case Open():
                    self._open()
                case Read():
                    self._read()
        pytest.fail("the session never stopped")

    def _open(self):
        written, self._last = next(self._left, ([], None))
        self._pieces = [part for one in written for part in split(one, self._size)]
        if isinstance(self._last, UpstreamStatusError | ConnectError):
            self.rig.lose(failure=self._last)
        else:
            self.rig.session.receive_response(self.rig.now)

    def _read(self):
        if self._pieces:
            self.rig.read(self._pieces.pop(0), after=0.25)
        elif self._last == "eof":
            self.rig.end()
        elif isinstance(self._last, AttemptError):
            self.rig.lose(failure=self._last)
        else:
            self.rig.lose(failure=StreamInterruptedError("ReadTimeout"), after=self.rig.session.deadline - self.rig.now)


def split(written, size):
    """Split what was written into reads."""
    return [written] if size is None else [written[at : at + size] for at in range(0, len(written), size)]


@given(
    rig=RIGS,
    attempts=st.lists(st.tuples(PHRASES, st.one_of(st.just("eof"), st.none(), st.sampled_from(FAILURES))), max_size=6),
    size=st.sampled_from([None, 1, 7]),
)
def test_every_session_ends_within_its_budget(rig, attempts, size):
    """Whatever upstream says and however it fails: a message, or an error with the partial (laws L1, L4, L7)."""
    failed = Driver(rig, attempts, size).drive()
    report = rig.session.report
    message = received(rig.got)
    assert rig.session.state in {State.DONE, State.FAILED}
    assert len(report.attempts) <= 10
    assert report.waited <= 300.0
    assert all(attempt.ended_at is not None for attempt in report.attempts)
    assert message.content() == rig.session.transcript.content()
    event(f"{rig.session.state.value} after {len(report.attempts)} attempts")
    if rig.session.state is State.DONE:
        assert failed is None
        assert rig.got.rstrip().endswith(OVER.rstrip())
        assert message.open_indices == []
    elif failed is not None:
        assert isinstance(failed, RecoveryError)
        assert failed.attempts == len(report.attempts)
        assert failed.partial == rig.session.transcript.partial()
    else:
        assert not rig.session.has_delivered


PROSE = (
    "The river rises in the hills above the town, where the snow lies until May.\n\n"
    "It is cold and clear there; further down, it slows, and the meadows begin. "
    "- Trout live in the upper part.\n- Pike live in the lower.\n\n"
    "Nobody knows how old the bridge is: some say 300 years, others say \u201cmuch older\u201d. "
    "In summer, children jump from it into the water, and in autumn the anglers come."
)


def conforming(plan):
    """Answer as a model does that always means to say the same and does what it is asked to."""
    if plan.strategy in {Strategy.ORIGINAL, Strategy.RESTART}:
        return PROSE
    turn = plan.body["messages"][-1 if plan.strategy is Strategy.PREFILL else -2]
    said = "".join(part["text"] for part in turn["content"])
    assert PROSE.startswith(said)
    return plan.anchor + PROSE[len(said) :]


@given(
    model=st.sampled_from([NEW, OLD]),
    cuts=st.lists(st.tuples(st.integers(0, len(PROSE)), st.booleans()), max_size=4),
    size=st.integers(1, 40),
)
@example(model=NEW, cuts=[(77, True), (0, False), (1, True)], size=5)
def test_text_is_the_fault_free_text_whatever_the_faults(model, cuts, size):
    """With an upstream whose answer is a function of the conversation, byte for byte (law L2)."""
    rig = Rig(model=model)
    left = list(cuts)
    while rig.session.state is not State.DONE:
        plan = rig.begin(start(), block(0))
        answer = conforming(plan)
        at, is_stopped = left.pop(0) if left else (len(answer), True)
        written = answer[:at]
        rig.read(*(text(0, written[i : i + size]) for i in range(0, len(written), size)))
        if is_stopped and at >= len(answer):
            rig.read(stop(0) if left else stop(0) + ending() + OVER)
        if rig.session.is_reading:
            rig.lose()
    assert rig.text == PROSE
    assert len(rig.message.blocks) == 1
