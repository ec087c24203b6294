"""Frames into events and back: what is known, what is carried, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resumable._core.errors import AttemptError, RemoteProtocolError
from resumable._core.events import (
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    InputJSONDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    OpaqueDelta,
    Ping,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    UnknownEvent,
    decode,
    decode_delta,
    edit,
    encode,
    input_frame,
    is_utf8,
    name_of,
    text_frame,
)
from resumable._core.sse import Frame, FrameParser

if TYPE_CHECKING:
    from resumable._core.events import Event

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = [b"message_start", b"content_block_delta", b"content_block_stop", b"error", b"ping", b"weather", b"", b"\xff"]


def frame(data: bytes, name: bytes = b"") -> Frame:
    """Make a frame of some data."""
    return Frame(name, data, b"event: " + name + b"\ndata: " + data + b"\n\n")


def of(**fields: Any) -> Frame:
    """Make a frame as upstream does, named by its type."""
    return frame(msgspec.json.encode(fields), fields["type"].encode())


def reread(written: bytes) -> Frame:
    """Read what was written: one frame."""
    [one] = FrameParser().feed(b"\n" + written)
    return one


MESSAGE = {"id": "msg_1", "usage": {"input_tokens": 1}}
KNOWN: list[tuple[Frame, Event]] = [
    (of(type="message_start", message=MESSAGE, x=1), MessageStart(MESSAGE)),
    (of(type="content_block_start", index=1, content_block={"type": "text"}), ContentBlockStart(1, {"type": "text"})),
    (of(type="content_block_stop", index=1), ContentBlockStop(1)),
    (of(type="message_delta"), MessageDelta()),
    (
        of(type="message_delta", delta={"stop_reason": "x"}, usage={"y": 1}),
        MessageDelta({"stop_reason": "x"}, {"y": 1}),
    ),
    (of(type="message_stop"), MessageStop()),
    (of(type="ping"), Ping()),
    (of(type="error", error={"type": "overloaded_error"}), ErrorEvent({"type": "overloaded_error"})),
    (of(type="error"), ErrorEvent()),
]
DELTAS = [
    ({"type": "text_delta", "text": "a"}, TextDelta("a")),
    ({"type": "input_json_delta", "partial_json": "{"}, InputJSONDelta("{")),
    ({"type": "thinking_delta", "thinking": "hm", "estimated_tokens": 5}, ThinkingDelta("hm")),
    ({"type": "signature_delta", "signature": "s"}, SignatureDelta("s")),
    ({"type": "citations_delta", "citation": {"type": "page_location"}}, CitationsDelta({"type": "page_location"})),
]


@pytest.mark.parametrize(("one", "event"), KNOWN)
def test_known_events_are_typed(one, event):
    """Each event of the API is its type, whether its frame has a name or a proxy took it away."""
    assert decode(one) == event
    assert decode(frame(one.data)) == event


@pytest.mark.parametrize(("fields", "delta"), DELTAS)
def test_known_deltas_are_typed(fields, delta):
    """Each delta of the API is its type, also on the short way."""
    one = of(type="content_block_delta", index=2, delta=fields)
    assert decode(one) == decode_delta(one.data) == ContentBlockDelta(2, delta)


def test_facts_of_an_event_are_strings():
    """A block's type and a stop reason are strings, whatever upstream sent; none is none."""
    assert [ContentBlockStart(0, its).block_type for its in ({"type": "text"}, {}, {"type": 5})] == ["text", "", "5"]
    reasons = [MessageDelta(delta).stop_reason for delta in ({"stop_reason": "end_turn"}, {"stop_reason": None}, {})]
    assert reasons == ["end_turn", None, None]
    assert MessageDelta({"stop_reason": 5}).stop_reason == "5"


@pytest.mark.parametrize(
    ("one", "event"),
    [
        (frame(b""), UnknownEvent("")),
        (frame(b"", b"ping"), UnknownEvent("")),
        (of(type="weather", rain=True), UnknownEvent("weather")),
        (frame(b'{"rain": true}', b"weather"), UnknownEvent("weather")),
        (frame(b'{"type": 5}', "wétter".encode()), UnknownEvent("wétter")),
        (frame(b"{}"), UnknownEvent("")),
        (
            of(type="content_block_delta", index=0, delta={"type": "new", "a": 1}),
            OpaqueDelta(0, {"type": "new", "a": 1}),
        ),
        (of(type="content_block_delta", index=0, delta={}), OpaqueDelta(0, {})),
    ],
)
def test_what_is_unknown_is_carried(one, event):
    """Comments, unknown events and unknown deltas are no errors."""
    assert decode(one) == event


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (frame(b"<html>", b"message_start"), "the data of an event is not a JSON object"),
        (frame(b"[1]"), "the data of an event is not a JSON object"),
        (frame(b"null"), "the data of an event is not a JSON object"),
        (frame(b'{"type": "ping"'), "the data of an event is not a JSON object"),
        (frame(b'{"type": "x", "text": "\xff"}'), "an event is not UTF-8"),
        (frame(b'{"type": "x"}', b"\xff"), "an event is not UTF-8"),
        (frame(b'{"index": 0, "delta": {}}', b"content_block_delta"), "a content_block_delta event has not its shape"),
        (frame(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "the data of an event is not a JSON object"),
        (frame(b'{"type": "x", "n": ' + b"9" * 5000 + b"}"), "the data of an event is not a JSON object"),
        (frame(b"{}", b"message_start"), "a message_start event has not its shape"),
        (of(type="message_start", message=None), "a message_start event has not its shape"),
        (of(type="content_block_stop", index="0"), "a content_block_stop event has not its shape"),
        (of(type="content_block_delta", index=0), "a content_block_delta event has not its shape"),
        (of(type="content_block_delta", index=True, delta={}), "a content_block_delta event has not its shape"),
        (of(type="content_block_delta", index=0, delta=[]), "a content_block_delta event has not its shape"),
        (
            of(type="content_block_delta", index=0, delta={"type": "text_delta", "text": None}),
            "a content_block_delta event has not its shape",
        ),
    ],
)
def test_what_has_not_its_shape_is_refused(one, problem):
    """What is no JSON object, and a known event without what it needs, fails the attempt."""
    with pytest.raises(RemoteProtocolError) as refusal:
        decode(one)
    assert refusal.value.problem == problem


@pytest.mark.parametrize(
    "one",
    [
        frame(b"upstream connect error", b"error"),
        frame(b"[]", b"error"),
        frame(b'{"error": "overloaded"}', b"error"),
        of(type="error", error="overloaded"),
        frame(b'{"type": "error", "error": null}'),
    ],
)
def test_an_error_is_an_error_in_any_shape(one):
    """Gateways send text, HTML or their own JSON where the API sends an error."""
    assert decode(one) == ErrorEvent()


def test_an_event_has_the_name_of_its_type():
    """The name clients go by is the event's type, also for a delta or an event that is unknown."""
    for one, event in KNOWN:
        assert name_of(event) == one.name
    assert name_of(OpaqueDelta(0, {})) == name_of(ContentBlockDelta(0, TextDelta(""))) == b"content_block_delta"
    assert name_of(UnknownEvent("weather")) == b"weather"


@given(st.binary() | st.text().map(str.encode))
def test_utf8_is_what_python_decodes(data):
    """Bytes are UTF-8 if they decode."""
    assert is_utf8(data) == (data == data.decode("utf-8", "replace").encode())


def test_an_error_keeps_its_facts_without_its_type():
    """The name alone makes an error, and its body stays readable."""
    assert decode(frame(b'{"error": {"type": "api_error"}}', b"error")) == ErrorEvent({"type": "api_error"})


BYTES = st.binary(max_size=60) | JSON.map(msgspec.json.encode)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from([*(name.decode("latin-1") for name in NAMES), 5])},
    optional={"index": JSON, "delta": JSON, "message": JSON, "content_block": JSON, "usage": JSON, "error": JSON},
).map(msgspec.json.encode)


@given(st.sampled_from(NAMES), BYTES | EVENTS)
@example(b"", rb'{"type":"content_block_stop","index":0,"x":"\ud800"}')
@example(b"", b'{"type":"content_block_stop","index":0,"x":1e999}')
@example(b"", b'{"type":"content_block_stop","index":0,"x":' + b"9" * 5000 + b"}")
def test_no_bytes_raise_anything_else(name, data):
    """Whatever a frame holds, decoding and editing it work or fail the attempt (law L7)."""
    one = frame(data, name)
    try:
        decode(one)
        edited = edit(one, index=3)
    except AttemptError:
        return
    assert msgspec.json.decode(reread(edited).data)["index"] == 3


@given(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=3))
@example("ping", {"a": "\u2028\u2029\x85"})
def test_what_is_encoded_can_be_read(kind, fields):
    """Any fields come back from the frame, which no line reader breaks (not even Python's own)."""
    assert decode(reread(encode("weather", {"said": fields}))) == UnknownEvent("weather")
    written = encode("weather", {"said": fields, "kind": kind})
    assert msgspec.json.decode(reread(written).data) == {"type": "weather", "said": fields, "kind": kind}
    assert len(written.decode().splitlines()) == 3


@given(st.integers(0, 99), st.text())
def test_frames_of_our_own_say_what_they_carry(index, written):
    """Text and input that we encode ourselves decode as the API's own deltas."""
    assert decode(reread(text_frame(index, written))) == ContentBlockDelta(index, TextDelta(written))
    assert decode(reread(input_frame(index, written))) == ContentBlockDelta(index, InputJSONDelta(written))
    assert reread(text_frame(index, written)).name == b"content_block_delta"


@given(st.dictionaries(st.text(), JSON, max_size=4), JSON)
def test_an_edit_keeps_every_other_field(fields, value):
    """One field changes, and each other one stays, known or not."""
    before = {**fields, "type": "weather"}
    edited = reread(edit(of(**before), rain=value))
    expected = (
        {**before.get("rain", {}), **value}
        if isinstance(value, dict) and isinstance(before.get("rain"), dict)
        else value
    )
    assert msgspec.json.decode(edited.data) == {**before, "rain": expected}
    assert edited.name == b"weather"


def test_an_edit_merges_what_is_nested():
    """A dict is merged into the one that is there, and replaces anything else."""
    usage = of(type="message_delta", usage={"output_tokens": 1, "server_tool_use": None})
    assert msgspec.json.decode(reread(edit(usage, usage={"output_tokens": 5})).data)["usage"] == {
        "output_tokens": 5,
        "server_tool_use": None,
    }
    bare = of(type="message_delta", usage=None)
    assert msgspec.json.decode(reread(edit(bare, usage={"a": 1})).data)["usage"] == {"a": 1}


def test_an_edit_without_a_type_takes_the_name():
    """A frame whose data names no type keeps the name it came with."""
    assert edit(frame(b'{"index": 1}', b"content_block_stop"), index=2) == encode("content_block_stop", {"index": 2})
