"""What is held back and what releases it; wherever a stream is cut, what was delivered can be continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from resumable._core.events import (
    ContentBlockDelta,
    ContentBlockStart,
    InputJSONDelta,
    Ping,
    TextDelta,
    UnknownEvent,
    decode,
    encode,
)
from resumable._core.hold import DEFAULT_HOLD, HOLDABLE, Gate, split_blank_end
from resumable._core.transcript import SERVER_CALLS, THINKING, Transcript, is_result
from tests.core import streams
from tests.core.written import messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resumable._core.events import Event


class Caller:
    """A gate with a caller behind it, who keeps all that was delivered."""

    def __init__(self, hold: frozenset[str] = DEFAULT_HOLD, max_hold: float = 120.0) -> None:
        self.transcript = Transcript()
        self.gate = Gate(self.transcript, hold, max_hold)
        self.frames: list[bytes] = []

    def push(self, frame: bytes, now: float = 0.0, *, is_hot: bool = False) -> list[bytes]:
        """Push one frame, as the intake does: text that may go on at once takes the short way."""
        [one] = streams.frames(frame)
        event = decode(one)
        passes = (
            is_hot
            and isinstance(event, ContentBlockDelta)
            and isinstance(event.delta, TextDelta)
            and self.gate.pass_text(event.index, event.delta.text)
        )
        out = [one.raw] if passes else self.gate.push(event, one.raw, now)
        self.frames += out
        return out


def after(*frames: bytes, hold: frozenset[str] = DEFAULT_HOLD) -> Caller:
    """Push frames at one moment."""
    caller = Caller(hold)
    for frame in frames:
        caller.push(frame)
    return caller


def canonical(frames: Iterable[bytes]) -> list[Any]:
    """List what frames say in order: neighbouring deltas of one kind as one, without pings and comments."""
    said: list[Any] = []
    for frame in streams.frames(*frames):
        event = decode(frame)
        if isinstance(event, Ping | UnknownEvent):
            continue
        key, part = _part(event)
        if part is None:
            said.append(event)
        elif said and isinstance(said[-1], tuple) and said[-1][0] == key:
            said[-1] = (key, said[-1][1] + part)
        elif part:
            said.append((key, part))
    return said


def _part(event: Event) -> tuple[Any, str | None]:
    if isinstance(event, ContentBlockDelta):
        if isinstance(event.delta, TextDelta):
            return ("text", event.index), event.delta.text
        if isinstance(event.delta, InputJSONDelta):
            return ("input", event.index), event.delta.partial_json
    return None, None


def folded(frames: Iterable[bytes]) -> Transcript:
    """Fold frames as a caller does."""
    return streams.transcript_of(*frames)


def assert_can_be_continued(transcript: Transcript) -> None:
    """Check that what was delivered is a legal prefill once what is still open is closed."""
    held = transcript.blocks
    answered = {block.start["tool_use_id"] for block in held if is_result(block.type) and block.closed}
    for block in held:
        if block.type in SERVER_CALLS:
            assert block.start["id"] in answered, "an unpaired server-side call"
        if block.type == "tool_use":
            assert block.closed, "half a tool call"
            assert block.tool_input is not None, "half an input"
        if block.type == "thinking":
            assert block.signature or not block.closed, "thinking is closed and not signed"
    if held and held[-1].type == "text":
        assert held[-1].text, "an empty block at the end"
        assert not split_blank_end(held[-1].text)[1], "the text ends in whitespace"
        assert not held[-1].closed, "a text block nothing follows can no longer go on"
    if held and held[-1].type in THINKING:
        assert not held[-1].closed, "complete thinking that nothing follows"
        assert held[-1].type == "thinking", "redacted thinking that nothing follows"


@given(messages() | messages(interleaved=True), st.booleans(), st.sampled_from([DEFAULT_HOLD, frozenset(HOLDABLE)]))
def test_wherever_the_stream_is_cut_it_can_be_continued(frames, is_hot, hold):
    """After each event, what was delivered is what the transcript says, in grammar, and a legal prefill."""
    caller = Caller(hold)
    for frame in frames:
        caller.push(frame, is_hot=is_hot)
        delivered = folded(caller.frames)
        assert delivered.content() == caller.transcript.content()
        if delivered.stop_reason is None and frame != streams.OVER:
            assert_can_be_continued(delivered)
    assert caller.frames[-1] == streams.OVER


@given(
    messages() | messages(interleaved=True),
    st.booleans(),
    st.just(DEFAULT_HOLD) | st.frozensets(st.sampled_from(HOLDABLE)),
    st.just(120.0) | st.floats(0.5, 20),
)
def test_without_a_cut_everything_arrives_in_order(frames, is_hot, hold, max_hold):
    """Whatever is held, and for however long, content and order are those of upstream (law L10)."""
    caller = Caller(hold, max_hold)
    for now, frame in enumerate(frames):
        caller.push(frame, float(now), is_hot=is_hot)
    assert canonical(caller.frames) == canonical(frames)
    assert caller.transcript.content() == folded(frames).content()
    assert caller.gate.held_tokens == 0


@given(messages(interleaved=True), st.frozensets(st.sampled_from(HOLDABLE)))
def test_pings_and_what_is_unknown_never_wait(frames, hold):
    """Whatever waits, a ping, a comment and an unknown event are delivered at once."""
    caller = Caller(hold)
    for frame in frames:
        for passing in (streams.PING, b": keep-alive\n\n", encode("weather_report", {"rain": True})):
            assert caller.push(passing) == [passing]
        caller.push(frame)


@given(messages(interleaved=True), st.frozensets(st.sampled_from(HOLDABLE)), st.data())
def test_what_is_dropped_was_never_delivered(frames, hold, data):
    """After a cut the blocks that waited are named, nothing waits any more, and what follows flows at once."""
    caller = Caller(hold)
    for frame in frames[: data.draw(st.integers(0, len(frames)))]:
        caller.push(frame)
    started = sum(frame.startswith(b"event: content_block_start") for frame in caller.frames)
    waiting = [event for held in caller.gate._queue if isinstance(event := held.event, ContentBlockStart)]
    dropped = caller.gate.discard()
    assert dropped == [event.block_type for event in waiting]
    assert len(caller.transcript.blocks) == started
    assert caller.gate.held_tokens == 0
    for index in caller.transcript.open_indices:
        assert caller.push(streams.stop(index)) == [streams.stop(index)]
    if caller.transcript.stop_reason is None:
        assert caller.push(streams.ending()) == [streams.ending()]


def test_only_the_last_stop_that_waits_is_known():
    """Whether a block has stopped upstream is known as long as its stop waits."""
    caller = after(streams.start(), streams.block(0), streams.text(0, "a"))
    assert not caller.gate.is_stopped(0)
    assert caller.push(streams.stop(0)) == []
    assert caller.gate.is_stopped(0)
    assert not caller.gate.is_stopped(1)
    caller.gate.discard()
    assert not caller.gate.is_stopped(0)
