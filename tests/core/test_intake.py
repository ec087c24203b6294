"""One attempt's bytes into what the caller gets, however they arrive and whatever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.continuation import Strategy
from resumable._core.errors import AttemptError, RemoteProtocolError, UpstreamEventError
from resumable._core.events import decode, encode
from resumable._core.hold import DEFAULT_HOLD, HOLDABLE, Gate
from resumable._core.intake import Intake
from resumable._core.splice import Ended, Joining, Splice
from resumable._core.transcript import Grammar, Transcript
from tests.core import streams
from tests.core.streams import OVER, PING, block, delta, ending, start, stop, text, thought
from tests.core.written import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Reader:
    """An intake with its gate, and all that the caller got."""

    def __init__(
        self,
        hold: frozenset[str] = DEFAULT_HOLD,
        merge: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        joining: Joining | None = None,
        before: Iterable[bytes] = (),
    ) -> None:
        self.transcript = streams.transcript_of(*before) if before else Transcript()
        gate = Gate(self.transcript, hold, 120.0)
        mapper = None if joining is None else Splice(joining, self.transcript)
        if joining is not None and joining.seam_index is not None:
            gate.reopen(joining.seam_index)
        self.intake = Intake(gate, mapper, merge)
        self.out: list[bytes] = []
        self.failure: AttemptError | None = None

    def passes(self, piece: bytes) -> bool:
        """Whether what was read takes the short way, as a driver asks."""
        return self.intake.is_idle and self.intake.flows(piece)

    def read(self, *pieces: bytes, is_short: bool = False) -> bytes:
        """Feed pieces until one fails, each by the short way first where that is wanted."""
        before = len(self.out)
        for piece in pieces:
            if is_short and self.passes(piece):
                self.out.append(piece)
                continue
            try:
                self.intake.feed(piece, 0.0, self.out)
            except AttemptError as failure:
                self.failure = failure
                break
        return b"".join(self.out[before:])

    def finish(self) -> bytes:
        """End the body."""
        before = len(self.out)
        self.intake.finish(0.0, self.out)
        return b"".join(self.out[before:])

    @property
    def outcome(self) -> tuple[Any, ...]:
        """What there is to compare between two readers of one stream."""
        its = self.intake
        facts = (its.is_complete, its.is_over, its.is_slow, its.usage, its.output_tokens, its.message)
        return (b"".join(self.out), repr(self.failure), self.transcript.content(), *facts)


def outcome_of(*pieces: bytes, is_short: bool = False, hold: frozenset[str] = DEFAULT_HOLD) -> tuple[Any, ...]:
    """Read a body that comes in these pieces, to its end or its failure."""
    reader = Reader(hold)
    reader.read(*pieces, is_short=is_short)
    if reader.failure is None:
        try:
            reader.finish()
        except AttemptError as failure:
            reader.failure = failure
    return reader.outcome


def spoiled(frames: list[bytes], spoil: tuple[str, int, bytes]) -> bytes:
    """Join frames into a body, spoiled at a place in one of several ways."""
    body = b"".join(frames)
    how, place, noise = spoil
    at = place % (len(body) + 1)
    if how == "insert":
        return body[:at] + noise + body[at:]
    if how == "overwrite":
        return body[:at] + noise + body[at + len(noise) :]
    if how == "torn":
        return body[:at]
    if how == "twice":
        return body[:at] + body[place % (at + 1) :]
    return {"nameless": _nameless(body), "crlf": body.replace(b"\n", b"\r\n")}.get(how, body)


def _nameless(body: bytes) -> bytes:
    """Take the names away, as some proxies do."""
    return b"\n".join(line for line in body.split(b"\n") if not line.startswith(b"event:"))


NOISE = st.binary(max_size=6) | st.sampled_from(
    [
        b"\n",
        b"\n\n",
        b"\r",
        b"data: ",
        b"\xff",
        b"null",
        b"\\ud800",
        b'"index":1',
        *map(bytes, (OVER, PING, ending(), start())),
    ]
)
SPOILS = st.tuples(
    st.sampled_from(["", "insert", "overwrite", "torn", "twice", "nameless", "crlf"]), st.integers(0, 5000), NOISE
)
BODIES = st.builds(spoiled, messages() | messages(interleaved=True), SPOILS)


@given(BODIES, st.lists(st.integers(1, 200), max_size=8), st.booleans())
def test_any_split_gives_the_same_bytes_and_the_same_end(body, sizes, is_short):
    """However a body is cut, the caller gets the same bytes, and the attempt ends in the same way (law L3)."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    pieces.append(body[at:])
    whole = outcome_of(body)
    assert outcome_of(*pieces, is_short=is_short) == whole
    assert outcome_of(*(body[at : at + 1] for at in range(len(body)))) == whole


@given(BODIES | st.binary(max_size=200), st.frozensets(st.sampled_from(HOLDABLE)))
def test_whatever_upstream_sends_the_caller_gets_a_message(body, hold):
    """No bytes raise anything but a failure of the attempt (law L7), and what came before it is in grammar (law L1)."""
    out = outcome_of(body, hold=hold)[0]
    grammar, transcript = Grammar(), Transcript()
    for frame in streams.frames(out):
        event = decode(frame)
        assert frame.name or frame.raw.startswith(b":"), "clients skip what has no name"
        grammar.check(event)
        transcript.fold(event)
        assert transcript.stop_reason is None or grammar.open_indices == []


@given(messages())
def test_the_short_way_is_the_long_way(frames):
    """Reads that are one frame each give the same, whether the short way may take them or not."""
    assert outcome_of(*frames, is_short=True) == outcome_of(*frames)


@pytest.mark.parametrize(
    "odd",
    [
        text(0, "x").replace(b'"index":0', b'"index":\n0'),
        text(0, "x").replace(b'"index":0', b'"index":\r0'),
        text(0, "x").replace(b"\n\n", b"\nid: 7\n\n"),
        text(0, "x").replace(b"\n\n", b"\r\n\r\n"),
        text(0, "x").replace(b"\n\n", b"\n\n\n"),
        text(0, "x") + PING,
        text(0, "x") + text(0, "y"),
        text(0, "x")[:-1],
        text(0, "x").replace(b"x", b"\xff"),
        text(0, "x "),
        text(1, "x"),
        thought(0),
        delta(0, "delta_of_next_year"),
    ],
)
def test_the_short_way_takes_nothing_odd(odd):
    """What is not one plain text delta is left to the long way, which sees the same in it."""
    before = (start(), block(0), text(0, "Hello"))
    assert outcome_of(*before, odd, is_short=True) == outcome_of(b"".join(before) + odd)


def test_text_goes_on_as_the_bytes_it_came_in():
    """Text by either way keeps its bytes, and counts as passed (law L10)."""
    odd = text(0, "語").replace(b'"index":0', b'"index": 0, "x":1')
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"))
    plain = text(0, " (plain)")
    assert reader.passes(plain)
    assert not reader.passes(odd)
    assert reader.read(odd + odd + PING + odd) == odd + odd + PING + odd
    passed = [reader.intake.passed]
    assert reader.transcript.blocks[0].text == "a (plain)語語語"
    reader.read(PING)
    assert [*passed, reader.intake.passed] == [True, False]


def test_what_no_client_can_read_stays_here():
    """A record that was torn before its data, and an unknown event whose name is no line of ASCII, are dropped."""
    reader = Reader()
    for piece in (b"event: message_start\ndata:\n\n", b"data\n\n", encode("wétter", {}), encode("a", {"type": "a\nb"})):
        assert reader.read(piece) == b""
    assert reader.read(b": c\n\n", encode("weather", {})) == b": c\n\n" + encode("weather", {})
    assert reader.failure is None


def test_more_than_text_turns():
    """Every event but text that goes on, pings and comments is worth a look; the session clears the mark."""
    reader = Reader()
    turned = []
    for piece in (PING, b": c\n\n", start(), block(0), text(0, "a"), text(0, "b"), encode("weather", {}), stop(0)):
        reader.intake.turned = False
        reader.read(piece)
        turned.append(reader.intake.turned)
    assert turned == [False, False, True, True, True, False, True, True]


def test_what_upstream_says_is_in_the_books():
    """Message, usage and output are the last that upstream told; nothing is what it did not tell."""
    reader = Reader()
    assert (reader.intake.message, reader.intake.usage, reader.intake.output_tokens) == (None, {}, None)
    reader.read(start(id="m", usage={"input_tokens": 5, "output_tokens": 1, "cache": 2}))
    assert reader.intake.message is not None
    assert reader.intake.message["id"] == "m"
    usage = {"output_tokens": 9, "cache": None}
    reader.read(encode("message_delta", {"delta": {}, "usage": usage}), encode("message_delta", {"delta": {}}))
    assert reader.intake.usage == {"input_tokens": 5, "output_tokens": 9, "cache": 2}
    assert reader.intake.output_tokens == 9
    odd = Reader()
    odd.read(start(usage=[1]), encode("message_delta", {"delta": {}, "usage": {"output_tokens": "many"}}))
    assert odd.intake.output_tokens is None


def test_what_may_be_silent_for_long_is_known():
    """Before the first event, in thinking, and from a server-side call to its result, silence is normal."""
    reader = Reader()
    slow = [reader.intake.is_slow]
    call = block(1, "server_tool_use", id="call", name="web_search", input={})
    result = block(2, "web_search_tool_result", tool_use_id="call", content=[])
    for piece in (start(), block(0, "thinking"), stop(0), call, stop(1), PING, result, stop(2), block(3)):
        reader.read(piece)
        slow.append(reader.intake.is_slow)
    assert slow == [True, False, True, False, True, True, True, False, False, False]


def test_a_call_in_doubt_does_not_stay_slow():
    """Who goes on to text or calls a tool without a result for the call is not running one any more."""
    reader = Reader()
    reader.read(start(), block(0, "mcp_tool_use", name="f", input={}), stop(0), block(1, "mcp_tool_result"), stop(1))
    assert not reader.intake.is_slow


@pytest.mark.parametrize("end", [ending(), OVER], ids=["stop_reason", "message_stop"])
def test_the_end_closes_what_is_open(end):
    """Blocks that upstream left open are stopped before the message ends, in order."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"), block(1, "sketch"))
    assert reader.read(end) == stop(0) + stop(1) + end
    assert reader.intake.is_complete
    assert reader.intake.is_over is (end == OVER)


def test_events_after_the_stop_reason_pass_until_the_stop():
    """A second message_delta goes on; after message_stop nothing does, not even in the same read."""
    reader = Reader()
    reader.read(start(), ending())
    assert reader.read(ending(None) + PING + ending("end_turn")) == ending(None) + PING + ending("end_turn")
    assert reader.read(OVER + PING + b"<html>\n\n" + PING.rstrip(b"\n"), PING) == OVER
    assert reader.finish() == b""
    assert reader.failure is None


def test_what_came_before_a_failure_is_delivered():
    """In one read, events up to the one that fails reach the caller."""
    reader = Reader()
    assert reader.read(start() + block(0) + text(0, "a", "b") + b"data: <html>\n\n") == start() + block(0) + text(
        0, "a", "b"
    )
    assert isinstance(reader.failure, RemoteProtocolError)
    early = Reader()
    early.read(OVER)
    assert repr(early.failure) == repr(RemoteProtocolError("message_stop before message_start"))


ERROR = {"type": "overloaded_error", "details": {"error_code": "compaction_unavailable"}}


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ERROR, "overloaded_error", "compaction_unavailable"),
        ({"type": "api_error"}, "api_error", None),
        ({"type": 5, "details": {"error_code": 5}}, None, None),
        ({"details": "x"}, None, None),
        ("overloaded", None, None),
    ],
)
def test_an_error_event_fails_the_attempt_with_its_facts(error, kind, code):
    """Type and code are told where they are the API's, and the frame is kept for who received nothing."""
    frame = encode("error", {"error": error})
    reader = Reader()
    reader.read(frame)
    assert isinstance(reader.failure, UpstreamEventError)
    assert (reader.failure.error_type, reader.failure.error_code, reader.failure.frame) == (kind, code, frame)


def test_a_last_frame_without_its_blank_line_counts():
    """The end of the body ends the last record, unless that was torn."""
    reader = Reader()
    reader.read(start(), ending().rstrip(b"\n"))
    assert reader.finish() == ending()
    assert reader.intake.is_complete
    for torn in (text(0, "more")[:-4], b"event: content_block_delta\ndata:", b"event: ping", b""):
        reader = Reader()
        reader.read(start(), block(0), text(0, "a"), torn)
        assert reader.finish() == b""


def test_an_error_at_the_end_still_fails():
    """A last frame that says an error is one."""
    reader = Reader()
    reader.read(start(), encode("error", {"error": ERROR}).rstrip(b"\n"))
    with pytest.raises(UpstreamEventError):
        reader.finish()


def test_frames_get_back_the_names_a_proxy_took():
    """Clients skip events without a name, so each gets its own."""
    frames = [start(), block(0), text(0, "a"), stop(0), ending(), OVER]
    reader = Reader()
    assert reader.read(_nameless(b"".join(frames))) == b"".join(frames)


def double(usage: dict[str, Any]) -> dict[str, Any]:
    """Merge usage in a way that can be seen."""
    return {"output_tokens": 2 * usage.get("output_tokens", 0)}


def test_the_final_usage_is_merged():
    """Where there were attempts before, each message_delta says the usage of all; nothing else changes."""
    for taken in (bytes, _nameless):
        reader = Reader(merge=double)
        assert reader.read(taken(start() + ending(output=7) + OVER)) == start() + ending(output=14) + OVER
        assert reader.intake.output_tokens == 7


def test_a_later_attempt_is_mapped():
    """Events of a continuation go through the mapper: no second start, text in the seam's block, indices shifted."""
    before = (start(), block(0), text(0, "Hello"))
    reader = Reader(joining=Joining(Strategy.PREFILL, delivered="Hello", seam_index=0), before=before)
    assert reader.intake.ended is None
    assert reader.read(start() + block(0)) == b""
    assert reader.read(text(0, " you")) == text(0, " you")
    assert reader.passes(text(0, " and"))
    assert reader.read(stop(0) + block(1, "sketch") + stop(1)) == stop(0) + block(1, "sketch") + stop(1)
    assert reader.read(ending() + OVER) == ending() + OVER
    assert reader.transcript.content()[0]["text"] == "Hello you and"


def test_a_limit_of_the_callers_ends_the_reading():
    """Where the mapper says that the message ends, nothing that follows is read."""
    before = (start(), block(0), text(0, "a ST"))
    joining = Joining(Strategy.PREFILL, delivered="a ST", seam_index=0, stop_sequences=["STOP"])
    reader = Reader(joining=joining, before=before)
    reader.read(start() + block(0) + text(0, "OP here") + text(0, "more") + b"data: <html>\n\n")
    assert reader.intake.ended == Ended("stop_sequence", "STOP")
    assert reader.failure is None
    assert not reader.intake.is_complete
