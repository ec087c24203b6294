"""What the grammar lets through, and what the caller's message looks like at every point of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.errors import RemoteProtocolError
from resumable._core.events import decode
from resumable._core.sse import Frame
from resumable._core.transcript import Block, Grammar, Transcript, is_result, parse_input

if TYPE_CHECKING:
    from resumable._core.events import Event

CITATION = {"type": "char_location", "cited_text": "rain"}

DELTAS: dict[str, dict[str, Any]] = {
    "text_delta": {"text": "x"},
    "citations_delta": {"citation": CITATION},
    "input_json_delta": {"partial_json": "{"},
    "thinking_delta": {"thinking": "x"},
    "signature_delta": {"signature": "x"},
}
ALLOWED = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "mcp_tool_use": {"input_json_delta"},
    "a_block_of_next_year": set(DELTAS),
}


def event(kind: str, **fields: Any) -> Event:
    """Decode one event of the API."""
    return decode(Frame(kind.encode(), msgspec.json.encode({"type": kind, **fields}), b""))


def start(**message: Any) -> Event:
    """Open the message."""
    return event("message_start", message=message)


def block(index: int, kind: str = "text", **fields: Any) -> Event:
    """Open a block."""
    return event("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> Event:
    """Let a block go on."""
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> Event:
    """Close a block."""
    return event("content_block_stop", index=index)


def ending(reason: str | None, **usage: int) -> Event:
    """Change the message's top level."""
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


def checked(*events: Event) -> Grammar:
    """Show events to a new grammar."""
    grammar = Grammar()
    for one in events:
        grammar.check(one)
    return grammar


def folded(*events: Event) -> Transcript:
    """Fold events into a new transcript."""
    transcript = Transcript()
    for one in events:
        transcript.fold(one)
    return transcript


def test_a_whole_message_is_in_grammar():
    """Blocks may interleave; pings, unknown events and a second message_delta may come at any place."""
    grammar = checked(
        event("ping"),
        start(),
        event("weather_report"),
        block(0),
        block(1, "tool_use"),
        delta(0, "text_delta", text="a"),
        delta(1, "input_json_delta", partial_json="{}"),
        stop(1),
        delta(0, "delta_of_next_year", x=1),
        stop(0),
        ending(None),
        ending("end_turn"),
        ending("end_turn"),
        event("message_stop"),
    )
    assert grammar.is_started
    assert grammar.open_indices == []


BROKEN = {
    "a second message_start": (start(), start()),
    "a block before message_start": (block(0),),
    "message_delta before message_start": (ending("end_turn"),),
    "message_stop before message_start": (event("message_stop"),),
    "block indices with a gap": (start(), block(1)),
    "a block without a type": (start(), event("content_block_start", index=0, content_block={})),
    "a block stops that is not open": (start(), block(0), stop(0), stop(0)),
    "a delta for a block that is not open": (start(), block(0), delta(1, "text_delta", text="")),
    "a delta of another block's type": (start(), block(0), delta(0, "thinking_delta", thinking="")),
    "a block after the stop_reason": (start(), ending("end_turn"), block(0)),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_what_is_out_of_grammar_is_named(problem):
    """The last of these events is refused, with a sentence that says why."""
    *before, last = BROKEN[problem]
    grammar = checked(*before)
    with pytest.raises(RemoteProtocolError) as refusal:
        grammar.check(last)
    assert refusal.value.problem == problem


def test_an_index_is_used_once():
    """A block that has stopped neither goes on nor starts again; the next one takes the next index."""
    before = (start(), block(0), stop(0))
    for late in (block(0), delta(0, "text_delta", text=""), delta(0, "delta_of_next_year")):
        with pytest.raises(RemoteProtocolError):
            checked(*before, late)
    assert checked(*before, block(1)).open_indices == [1]


@pytest.mark.parametrize("kind", ALLOWED)
def test_each_block_takes_the_deltas_of_its_type(kind):
    """Known blocks take only their own deltas; a block this library does not know takes any."""
    taken = set()
    for name, fields in DELTAS.items():
        try:
            checked(start(), block(0, kind), delta(0, name, **fields))
        except RemoteProtocolError:
            continue
        taken.add(name)
    assert taken == ALLOWED[kind]


def test_open_blocks_are_listed_in_order():
    """Indices come sorted, and types without repeats."""
    grammar = checked(start(), block(0), block(1, "thinking"), block(2), stop(1))
    assert grammar.open_indices == [0, 2]
    assert grammar.open_types == {"text"}


def test_results_are_told_by_their_name():
    """Every block that answers a server-side call is a result; calls and text are not."""
    assert is_result("web_search_tool_result")
    assert is_result("mcp_tool_result")
    assert not any(map(is_result, ("server_tool_use", "tool_use", "text", "")))


@given(st.lists(st.text()), st.integers(0, 5))
def test_text_is_the_sum_of_its_deltas(pieces, reads):
    """However often it is read on the way, a block's text is what its start and its deltas carried."""
    transcript = folded(start(), block(0, text="¡"))
    for piece in pieces:
        transcript.fold(delta(0, "text_delta", text=piece))
        for _ in range(reads):
            assert transcript.blocks[0].text.startswith("¡")
    assert transcript.content() == [{"type": "text", "text": "¡" + "".join(pieces)}]


def test_citations_follow_those_of_the_start():
    """A text block's citations are those it started with, then those of its deltas."""
    cited = delta(0, "citations_delta", citation=CITATION)
    assert folded(start(), block(0, text=""), cited).content()[0]["citations"] == [CITATION]
    assert folded(start(), block(0, text="", citations=None), cited).content()[0]["citations"] == [CITATION]
    before = {"type": "page_location"}
    assert folded(start(), block(0, text="", citations=[before]), cited).content()[0]["citations"] == [before, CITATION]


@pytest.mark.parametrize("nonsense", [5, "x", {"a": 1}, True])
def test_nonsense_in_a_start_is_not_trusted(nonsense):
    """Fields of the wrong type in a block's start neither raise nor reach its content (law L7)."""
    cited = delta(0, "citations_delta", citation=CITATION)
    transcript = folded(start(), block(0, text=[nonsense], citations=nonsense), cited)
    assert transcript.content() == [{"type": "text", "text": "", "citations": [CITATION]}]
    call = folded(start(), block(0, "tool_use", input=[nonsense]))
    assert call.blocks[0].tool_input == {}


def test_a_signature_replaces():
    """The last signature is the block's, and one that the start carried stands until then."""
    thinking = (start(), block(0, "thinking", thinking="a", signature="old"), delta(0, "thinking_delta", thinking="b"))
    assert folded(*thinking).content() == [{"type": "thinking", "thinking": "ab", "signature": "old"}]
    signed = folded(*thinking, *(delta(0, "signature_delta", signature=name) for name in ("s1", "s2")))
    assert signed.content() == [{"type": "thinking", "thinking": "ab", "signature": "s2"}]


def test_tool_input_is_an_object_once_it_parses():
    """Input that is whole stands as JSON, input that was cut as the text it is, and no deltas as what the start had."""
    call = (start(), block(0, "tool_use", id="t", name="f", input={}))
    assert folded(*call).content()[0]["input"] == {}
    cut = folded(*call, delta(0, "input_json_delta", partial_json='{"a": '))
    assert cut.blocks[0].tool_input is None
    assert cut.content()[0]["input"] == '{"a": '
    pieces = (delta(0, "input_json_delta", partial_json=piece) for piece in ('{"a": ', "1}"))
    whole = folded(*call, *pieces)
    assert whole.blocks[0].tool_input == {"a": 1}
    assert whole.content()[0]["input"] == {"a": 1}


@pytest.mark.parametrize(
    ("json", "parsed"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a": [1]}', {"a": [1]}),
        ("[1]", None),
        ("null", None),
        ('{"a": 1', None),
        ('{"a": "\\ud800"}', None),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, None),
    ],
    ids=["none", "empty", "object", "array", "null", "cut", "half a surrogate pair", "too deep"],
)
def test_only_an_object_is_input(json, parsed):
    """Input is a JSON object or nothing, whatever the model wrote."""
    assert parse_input(json) == parsed


def test_input_that_the_start_carried_counts_until_deltas_come():
    """A call that arrived whole in its start keeps the input it has."""
    assert parse_input("", {"q": 1}) == {"q": 1}
    assert parse_input("{}", {"q": 1}) == {}
    assert folded(start(), block(0, "server_tool_use", input={"q": 1})).blocks[0].tool_input == {"q": 1}


def test_an_unknown_delta_replaces_fields_of_its_block():
    """A compaction arrives in one delta; all it names but its type becomes the block's."""
    transcript = folded(start(), block(0, "compaction", content=None), delta(0, "compaction_delta", content="sum"))
    assert transcript.content() == [{"type": "compaction", "content": "sum"}]


def test_the_message_grows_as_it_is_delivered():
    """The partial is nothing, then the start's message with the content so far, then also what the ending said."""
    transcript = Transcript()
    assert transcript.partial() is None
    transcript.fold(start(id="msg_1", stop_reason=None, content=[]))
    assert transcript.partial() == {"id": "msg_1", "stop_reason": None, "content": []}
    transcript.fold(block(0, text=""))
    transcript.fold(delta(0, "text_delta", text="Hi"))
    assert transcript.open_indices == [0]
    transcript.fold(stop(0))
    assert transcript.open_indices == []
    transcript.fold(ending("stop_sequence"))
    transcript.fold(event("message_delta", delta={"stop_sequence": "###"}))
    transcript.fold(event("message_stop"))
    content = [{"type": "text", "text": "Hi"}]
    assert transcript.partial() == {
        "id": "msg_1",
        "stop_reason": "stop_sequence",
        "stop_sequence": "###",
        "content": content,
    }


def test_a_stop_reason_is_not_forgotten():
    """A later message_delta without a reason leaves the one that was given."""
    assert folded(start(), ending("refusal"), ending(None)).stop_reason == "refusal"
    assert folded(start(), ending(None)).stop_reason is None


def test_a_block_without_a_type_has_none():
    """A block of no type is folded like one that is unknown."""
    assert Block({}, [], bytearray()).type == ""
