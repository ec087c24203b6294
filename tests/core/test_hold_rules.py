"""Each rule of holding by example: edges, calls, ages, sizes, and what a request chooses."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.events import decode
from resumable._core.hold import (
    BLANKS,
    DEFAULT_HOLD,
    HOLDABLE,
    Gate,
    effective_hold,
    is_structured,
    split_blank_end,
)
from resumable._core.transcript import Transcript
from tests.core import streams
from tests.core.streams import block, citation, delta, ending, start, stop, text, thought, tool_input


class Pushed:
    """A gate by itself, and what it delivered because of the last push."""

    def __init__(self, *frames: bytes, hold: frozenset[str] = DEFAULT_HOLD, max_hold: float = 120.0) -> None:
        self.transcript = Transcript()
        self.gate = Gate(self.transcript, hold, max_hold)
        for frame in frames:
            self.push(frame)

    def push(self, *written: bytes, now: float = 0.0) -> bytes:
        """Push frames and return what was delivered because of them."""
        out: list[bytes] = []
        for frame in streams.frames(*written):
            out += self.gate.push(decode(frame), frame.raw, now)
        return b"".join(out)


OPEN_TEXT = (start(), block(0), text(0, "Hello"))
CALL = block(0, "tool_use", id="toolu_1", name="f", input={})
SERVER_CALL = block(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={})
RESULT = block(1, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[])


def test_text_flows_as_the_bytes_it_came_in():
    """A delta that does not end in whitespace is delivered at once and unchanged."""
    gate = Pushed(start())
    assert gate.push(block(0)) == b""
    odd = text(0, "Hi").replace(b'"index":0', b'"index": 0, "x": 1')
    assert gate.push(odd) == block(0) + odd


def test_whitespace_waits_for_text():
    """Trailing whitespace is cut off its delta, and comes with the text that follows."""
    gate = Pushed(*OPEN_TEXT)
    assert gate.push(text(0, " world \n")) == text(0, " world")
    assert gate.push(text(0, "\n")) == b""
    assert gate.push(text(0, "Next")) == text(0, " \n\nNext")


def test_what_follows_whitespace_in_its_block_waits_too():
    """A citation, an unknown delta and an empty one flow after text, and wait after whitespace."""
    for odd in (citation(0, "c"), delta(0, "delta_of_next_year"), text(0, "")):
        gate = Pushed(*OPEN_TEXT)
        assert gate.push(odd) == odd
        assert gate.push(text(0, " "), odd) == b""
        assert gate.push(text(0, "x")).endswith(text(0, " x") if odd == text(0, "") else odd + text(0, "x"))


def test_the_short_way_overtakes_nothing():
    """Text takes the short way only in a block that flows, after nothing that waits, and if it may be the last."""
    gate = Pushed(*OPEN_TEXT)
    assert gate.gate.pass_text(0, " there")
    assert gate.transcript.blocks[0].text == "Hello there"
    for piece in ("", "ends in blank ", "\u200b"):
        assert not gate.gate.pass_text(0, piece)
    assert not gate.gate.pass_text(1, "another block")
    gate.push(text(0, " "))
    assert not gate.gate.pass_text(0, "overtakes")
    gate.push(text(0, "x"))
    assert gate.gate.pass_text(0, "y")
    gate.push(stop(0))
    assert not gate.gate.pass_text(0, "after the stop")
    assert gate.transcript.blocks[0].text == "Hello there xy"


def test_the_short_way_ends_with_the_attempt():
    """After an attempt has failed, text takes the long way until the block flows again."""
    gate = Pushed(*OPEN_TEXT)
    gate.gate.discard()
    assert not gate.gate.pass_text(0, "x")
    gate.gate.reopen(0)
    assert gate.push(text(0, " on")) == text(0, " on")
    assert gate.gate.pass_text(0, "!")


def test_a_dropped_block_holds_nothing_back():
    """After an attempt has failed, the block that goes on is the newest, whatever was dropped behind it."""
    gate = Pushed(*OPEN_TEXT, block(1, "tool_use", id="t", name="f", input={}))
    assert gate.gate.discard() == ["tool_use"]
    gate.gate.reopen(0)
    assert gate.push(text(0, " "), text(0, "on")) == text(0, " on")


@pytest.mark.parametrize("hold", [DEFAULT_HOLD, frozenset(HOLDABLE), frozenset()], ids=["default", "all", "none"])
def test_text_that_goes_on_flows(hold):
    """A block that was delivered goes on live, whatever is held; only its edges can wait."""
    gate = Pushed(start(), hold=hold - {"text"})
    gate.push(block(0), text(0, "a"))
    later = Gate(gate.transcript, hold, 120.0)
    later.reopen(0)
    [frame] = streams.frames(text(0, "b "))
    assert b"".join(later.push(decode(frame), frame.raw, 0.0)) == text(0, "b" if "text_edge" in hold else "b ")


@pytest.mark.parametrize(
    "next_event", [block(1, "thinking"), block(1, "sketch"), ending()], ids=["thinking", "unknown", "ending"]
)
def test_a_stop_waits_for_what_follows(next_event):
    """A text block's stop is delivered with the next event that is itself delivered."""
    gate = Pushed(*OPEN_TEXT)
    assert gate.push(text(0, " "), stop(0)) == b""
    assert gate.push(ending(None)) == b""
    assert gate.push(next_event) == text(0, " ") + stop(0) + ending(None) + next_event


def test_a_signature_waits_for_what_follows():
    """Thinking flows; its signature and its stop come with what follows, and redacted thinking waits as a whole."""
    gate = Pushed(start())
    assert gate.push(block(0, "thinking"), thought(0)) == block(0, "thinking") + thought(0)
    signature = delta(0, "signature_delta", signature="s")
    redacted = block(1, "redacted_thinking", data="?")
    assert gate.push(signature, stop(0)) == b""
    gate.push(redacted, stop(1))
    assert len(gate.transcript.blocks) == 1
    delivered = gate.push(block(2), text(2, "So"))
    assert delivered == signature + stop(0) + redacted + stop(1) + block(2) + text(2, "So")


def test_a_call_waits_for_its_stop():
    """A tool call is released whole, its input in one delta; input that is no object counts as open."""
    gate = Pushed(start())
    assert gate.push(CALL, tool_input(0, '{"a"'), tool_input(0, ": 1}")) == b""
    assert gate.gate.held_tokens == 2
    assert gate.push(stop(0)) == CALL + tool_input(0, '{"a": 1}') + stop(0)
    gate = Pushed(start(), CALL, tool_input(0, '{"a"'), stop(0), block(1), text(1, "x"))
    assert gate.transcript.blocks == []
    assert gate.push(ending("max_tokens")).endswith(ending("max_tokens"))
    assert [held.closed for held in gate.transcript.blocks] == [True, False]


def test_a_server_side_call_waits_for_its_result():
    """Call and result are released together, each to its own."""
    gate = Pushed(start())
    other = block(1, "mcp_tool_use", id="mcptoolu_2", name="g", input={})
    assert gate.push(SERVER_CALL, stop(0), other, stop(1)) == b""
    answer = block(2, "mcp_tool_result", tool_use_id="mcptoolu_2", content=[]) + stop(2)
    assert gate.push(answer) == b""
    result = block(3, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[])
    assert gate.push(result) == b""
    assert gate.push(stop(3)) == SERVER_CALL + stop(0) + other + stop(1) + answer + result + stop(3)


def test_a_result_that_names_no_call_releases_no_half_input():
    """A result without the id of its call completes no tool call that is still open."""
    gate = Pushed(start(), CALL, tool_input(0, '{"a"'))
    assert gate.push(block(1, "web_search_tool_result", content=[]), stop(1)) == b""
    assert gate.transcript.blocks == []


@pytest.mark.parametrize("end", [ending("pause_turn"), streams.OVER], ids=["stop_reason", "message_stop"])
def test_an_unpaired_call_is_released_by_the_end(end):
    """The end of the message releases whatever waits, also where only message_stop says it."""
    gate = Pushed(start(), SERVER_CALL, stop(0))
    assert gate.push(end) == SERVER_CALL + stop(0) + end


def test_an_older_block_releases_nothing_of_a_newer_one():
    """Of two open blocks, the older one's text waits behind the edge of the newer one's."""
    gate = Pushed(*OPEN_TEXT, block(1), text(1, "b"), text(1, " "))
    late = (text(0, " more"), delta(0, "delta_of_next_year"), stop(0))
    assert gate.push(*late) == b""
    assert gate.push(text(1, "c")) == text(1, " ") + b"".join(late) + text(1, "c")
    sketch = Pushed(start(), block(0, "sketch"), block(1), text(1, "b"), text(1, " "))
    assert sketch.push(text(0, "odd"), delta(0, "delta_of_next_year"), stop(0)) == b""


def test_what_is_not_held_flows():
    """With nothing held every event is delivered as it comes."""
    frames = (*OPEN_TEXT, text(0, " "), stop(0), block(1, "tool_use", id="t", name="f", input={}), tool_input(1, "{"))
    gate = Pushed(hold=frozenset())
    for frame in (*frames, block(2, "thinking"), thought(2, signature="s"), ending(), streams.OVER):
        assert gate.push(frame) == frame


def test_a_block_that_was_held_too_long_flows():
    """At its greatest age a held call is delivered by whatever comes, be it a ping, and goes on live."""
    gate = Pushed(start(), max_hold=120.0)
    gate.push(CALL, tool_input(0, '{"a"'), now=1.0)
    assert gate.push(streams.PING, now=120.9) == streams.PING
    assert gate.push(streams.PING, now=121.0) == CALL + tool_input(0, '{"a"') + streams.PING
    assert gate.gate.overdue == 1
    assert gate.push(tool_input(0, ": 1}"), now=121.1) == tool_input(0, ": 1}")
    assert gate.push(stop(0), now=300.0) == stop(0)
    assert gate.gate.overdue == 1


def test_an_age_begins_with_the_first_that_is_held():
    """A block is as old as the first that waits with it; the next one after a release is new."""
    gate = Pushed(start(), max_hold=10.0)
    gate.push(SERVER_CALL, stop(0), now=0.0)
    assert gate.push(block(1, "tool_use", id="t", name="f", input={}), now=9.0) == b""
    assert gate.push(streams.PING, now=10.0).startswith(SERVER_CALL + stop(0))
    assert gate.push(stop(1), now=10.5) == stop(1)
    gate.push(block(2, "tool_use", id="t", name="f", input={}), now=11.0)
    assert gate.push(streams.PING, now=20.9) == streams.PING


@pytest.mark.parametrize("letter", ["a", '"', "語", "\u2028", "\x01", "😀"], ids=ascii)
def test_held_input_is_released_in_few_small_deltas(letter):
    """However it is escaped, held input leaves in frames of at most 32 KiB, and adds up to what came."""
    json = '{"a": "' + letter * 70_000
    gate = Pushed(start(), block(0, "tool_use", id="t", name="f", input={}))
    gate.push(*(tool_input(0, json[at : at + 100]) for at in range(0, len(json), 100)))
    frames = [frame.raw for frame in streams.frames(gate.push(ending("max_tokens")))[1:-1]]
    assert max(map(len, frames)) <= 32 * 1024
    assert len(frames) <= 3 * len(json.encode("utf-8", "backslashreplace")) / 8 / 1024
    assert gate.transcript.blocks[0].text == json
    assert streams.transcript_of(start(), CALL, *frames).blocks[0].text == json


def test_a_single_delta_keeps_its_bytes():
    """A delta that nothing was merged into is delivered as it came."""
    odd = tool_input(0, '{"a":1}').replace(b'"index":0', b'"index": 0')
    assert odd in Pushed(start(), CALL, odd).push(stop(0))


FORMAT = {"type": "json_schema", "schema": {}}


@pytest.mark.parametrize(
    ("body", "is_it"),
    [
        ({}, False),
        ({"output_config": None}, False),
        ({"output_config": {"effort": "low"}}, False),
        ({"output_config": {"format": FORMAT}}, True),
        ({"output_format": FORMAT}, True),
    ],
)
def test_structured_output_is_held_whole(body, is_it):
    """A request for structured output holds text, unless the caller wants it live."""
    assert is_structured(body) is is_it
    assert effective_hold(None, body, "") == (frozenset(HOLDABLE) if is_it else DEFAULT_HOLD)
    assert effective_hold(frozenset({"signature"}), body, "") == {"signature"}


@pytest.mark.parametrize(
    ("body", "betas", "is_eager"),
    [
        ({"tools": None}, "", False),
        ({"tools": [{"name": "f"}, "nonsense"]}, "context-1m", False),
        ({"tools": [{"name": "f"}, {"name": "g", "eager_input_streaming": True}]}, "", True),
        ({}, "context-1m,fine-grained-tool-streaming-2025-05-14", True),
    ],
)
def test_eager_input_is_live_unless_the_caller_holds_it(body, betas, is_eager):
    """Who asks upstream for fine-grained input gets it live; an explicit choice stands."""
    assert ("tool_use" in effective_hold(None, body, betas)) is not is_eager
    assert effective_hold(frozenset({"tool_use"}), body, betas) == {"tool_use"}


@given(st.text(st.characters() | st.sampled_from(" \n\u00a0\u200b\u200d\ufeff\u00ad")))
def test_a_blank_end_is_all_that_any_reader_may_trim(written):
    """The split loses nothing, leaves no whitespace at the end, and takes nothing else."""
    head, tail = split_blank_end(written)
    assert head + tail == written
    assert head[-1:] not in BLANKS
    assert (written[-1:] in BLANKS) == bool(tail)
    assert set(tail) <= BLANKS
    assert len(head) <= len(written.rstrip())


def test_blanks_are_a_superset_of_whitespace():
    """Whatever Python calls whitespace is held at the edges of text, and what cannot be seen is too."""
    assert {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()} < BLANKS
