"""Amazon's binary framing: every split, every damage, and that its own decoder agrees with ours."""

from __future__ import annotations

import json
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.aws_stream import (
    MAX_HEADERS_BYTES,
    MAX_PAYLOAD_BYTES,
    EventStreamDecoder,
    EventStreamEncoder,
    encode_event,
    encode_exception,
    encode_message,
)
from resumable._core.errors import RemoteProtocolError

DELTA = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a \xc3\xa9"}}'
STOP = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3}}'
BODY = encode_event(DELTA) + encode_event(STOP)
TEXT = b"event: content_block_delta\ndata: " + DELTA + b"\n\nevent: message_stop\ndata: " + STOP + b"\n\n"
ALIVE = b":\n\n"


def decoded(*reads: bytes) -> bytes:
    """Decode a body that came in these reads, without the comments."""
    decoder = EventStreamDecoder()
    return b"".join(decoder.feed(read) for read in reads).replace(ALIVE, b"")


def sealed(total: int, headers: int, rest: bytes = b"") -> bytes:
    """Write a message with any lengths and right checksums."""
    prelude = total.to_bytes(4) + headers.to_bytes(4)
    message = prelude + crc32(prelude).to_bytes(4) + rest
    return message + crc32(message).to_bytes(4)


def with_headers(raw: bytes, payload: bytes = b"") -> bytes:
    """Write a message with these bytes as its headers."""
    return sealed(16 + len(raw) + len(payload), len(raw), raw + payload)


def test_an_event_becomes_its_text():
    """The API's JSON comes out byte for byte, named by its type."""
    assert EventStreamDecoder().feed(BODY) == TEXT


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 12, 13, 64, 1000])
def test_every_split_gives_the_same(size: int):
    """Where the reads end changes nothing (law L3)."""
    assert decoded(*(BODY[at : at + size] for at in range(0, len(BODY), size))) == TEXT


def test_bytes_that_complete_nothing_say_that_the_connection_lives():
    """Half a message is a comment, so that a watchdog sees its bytes."""
    decoder = EventStreamDecoder()
    assert [decoder.feed(BODY[:20]), decoder.feed(BODY[20:40])] == [ALIVE, ALIVE]


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_no_damage_goes_unnoticed(at: int, change: int):
    """A byte that is not what it was is an error, or leaves the message unfinished; what came before is returned."""
    body = bytearray(BODY)
    body[at] ^= change
    decoder = EventStreamDecoder()
    first = at < len(encode_event(DELTA))
    try:
        out = decoder.feed(bytes(body))
    except RemoteProtocolError:
        assert first
        return
    assert not first
    assert out == TEXT[: TEXT.index(b"event: message_stop")]
    assert decoder.is_broken
    with pytest.raises(RemoteProtocolError):
        decoder.feed(b"")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_nonsense_is_an_error_of_ours_or_nothing(first: bytes, second: bytes):
    """No bytes make the decoder raise anything else (law L7)."""
    decoder = EventStreamDecoder()
    for data in (first, second):
        try:
            assert decoder.feed(data)
        except RemoteProtocolError:
            assert decoder.is_broken


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_nonsense_in_a_sealed_message_is_an_error_of_ours_or_nothing(headers: bytes, payload: bytes):
    """Not behind right checksums either."""
    decoder = EventStreamDecoder()
    try:
        assert decoder.feed(with_headers(headers, payload)) == ALIVE
    except RemoteProtocolError:
        assert decoder.is_broken


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (BODY[:8] + b"\0\0\0\0" + BODY[12:], "the checksum of a binary message's lengths is wrong"),
        (BODY[:40] + b"?" + BODY[41:], "the checksum of a binary message is wrong"),
        (sealed(15, 0), "the lengths of a binary message are impossible"),
        (sealed(20, 5), "the lengths of a binary message are impossible"),
        (sealed(MAX_HEADERS_BYTES + 100, MAX_HEADERS_BYTES + 1), "the lengths of a binary message are impossible"),
        (sealed(MAX_PAYLOAD_BYTES + 17, 0), "the lengths of a binary message are impossible"),
        (with_headers(b"\x05:a"), "the headers of a binary message are malformed"),
        (with_headers(b"\x01a\x07\x00"), "the headers of a binary message are malformed"),
        (with_headers(b"\x01a\x07\x00\x02b"), "the headers of a binary message are malformed"),
        (with_headers(b"\x01a\x04\x00"), "the headers of a binary message are malformed"),
        (with_headers(b"\x01a\x0a"), "the headers of a binary message are malformed"),
        (with_headers(b"\x01\xff\x00"), "the headers of a binary message are malformed"),
        (encode_message({":event-type": "chunk"}, b"{"), "a binary message holds no event"),
        (encode_message({":event-type": "chunk"}, b'{"bytes":"*"}'), "a binary message holds no event"),
        (encode_message({":event-type": "chunk"}, b'{"bytes":7}'), "a binary message holds no event"),
        (encode_message({":event-type": "chunk"}, b"\xff"), "a binary message holds no event"),
    ],
)
def test_what_is_no_message_says_why(message: bytes, problem: str):
    """Each rule of the format has its sentence, which shows nothing of what was sent."""
    with pytest.raises(RemoteProtocolError) as raised:
        EventStreamDecoder().feed(message)
    assert problem in str(raised.value)


def test_the_largest_message_is_still_waited_for():
    """The limits themselves are inside; the headers' end is not believed before it came."""
    decoder = EventStreamDecoder()
    assert decoder.feed(sealed(16 + MAX_HEADERS_BYTES + MAX_PAYLOAD_BYTES, MAX_HEADERS_BYTES)) == ALIVE


def test_headers_of_every_type_are_passed_over():
    """Only strings matter to us, but the others must not throw off the reader."""
    odd = b"".join(
        [
            b"\x01a\x00\x01b\x01\x01c\x02x\x01d\x03xx\x01e\x04xxxx\x01f\x05xxxxxxxx",
            b"\x01g\x06\x00\x03xyz\x01h\x08xxxxxxxx\x01i\x09xxxxxxxxxxxxxxxx",
            b"\x0b:event-type\x07\x00\x05chunk",
        ]
    )
    assert decoded(with_headers(odd, b'{"bytes":"e30=","p":"abcd"}')) == b"data: {}\n\n"


@pytest.mark.parametrize(
    "message",
    [
        encode_message({":message-type": "event", ":event-type": "initial-response"}, b"{}"),
        encode_message({":event-type": "chunk"}, b"{}"),
        encode_message({":event-type": "chunk"}, b'{"bytes":""}'),
        encode_message({}, b""),
    ],
    ids=["another event", "no bytes", "empty bytes", "no headers"],
)
def test_what_is_no_event_of_the_api_s_is_a_comment(message: bytes):
    """Messages that nobody asked for are passed over, as the SDK does."""
    assert EventStreamDecoder().feed(message) == ALIVE


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"[1]", b"data: [1]\n\n"),
        (b'{"type":7}', b'data: {"type":7}\n\n'),
        (b"no json", b"data: no json\n\n"),
        (b"\xff", b"data: \xff\n\n"),
        (b'{"type":"a\\nb"}', b'data: {"type":"a\\nb"}\n\n'),
        (b'{"type":"\xc3\xa9"}', b'data: {"type":"\xc3\xa9"}\n\n'),
        (b'{\n"type":\r\n"ping"\r}', b'event: ping\ndata: {\ndata: "type":\ndata: "ping"\ndata: }\n\n'),
    ],
)
def test_what_has_no_name_gets_none(data: bytes, text: bytes):
    """What is no event is judged where text is judged; line ends stay inside the event."""
    assert EventStreamDecoder().feed(encode_event(data)) == text


@pytest.mark.parametrize(
    ("message", "name", "sentence"),
    [
        (encode_exception("throttlingException", "Slow down."), "throttlingException", "Slow down."),
        (
            encode_message({":message-type": "exception", ":exception-type": "a"}, b'{"Message":"Large."}'),
            "a",
            "Large.",
        ),
        (encode_message({":message-type": "exception", ":exception-type": "a"}, b"<html>"), "a", ""),
        (
            encode_message({":message-type": "error", ":error-code": "b", ":error-message": "No."}, b""),
            "b",
            "No.",
        ),
        (encode_message({":message-type": "error"}, b""), "", ""),
    ],
)
def test_an_exception_becomes_an_error_event(message: bytes, name: str, sentence: str):
    """Amazon's name is the type, so that one table of failures serves both."""
    first, data, _, _ = EventStreamDecoder().feed(message).split(b"\n")
    assert first == b"event: error"
    error = {"type": name, "message": sentence}
    assert json.loads(data.removeprefix(b"data: ")) == {"type": "error", "error": error}


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_there_and_back_again(size: int):
    """What was framed is what comes out, at any split; comments are left out."""
    encoder = EventStreamEncoder()
    stream = b": alive\n\n" + TEXT
    body = b"".join(encoder.feed(stream[at : at + size]) for at in range(0, len(stream), size))
    assert body == BODY
    assert EventStreamDecoder().feed(body) == TEXT


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            b'{"type":"error","error":{"type":"throttlingException","message":"Slow down."}}',
            encode_exception("throttlingException", "Slow down."),
        ),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', None),
        (b'{"type":"error","error":7}', None),
        (b"no json", None),
    ],
)
def test_what_was_an_exception_is_one_again(event: bytes, message: bytes | None):
    """Amazon's are framed as its exceptions, the API's own as the events that they were."""
    assert EventStreamEncoder().feed(b"event: error\ndata: %b\n\n" % event) == (message or encode_event(event))


def test_amazon_s_own_decoder_reads_what_we_write():
    """Both checksums, the headers and the payload are as its library wants them."""
    library = pytest.importorskip("botocore.eventstream")
    buffer = library.EventStreamBuffer()
    buffer.add_data(BODY + encode_exception("throttlingException", "Slow down."))
    found = [message.to_response_dict() for message in buffer]
    assert [one["status_code"] for one in found] == [200, 200, 400]
    assert found[0]["headers"][":event-type"] == "chunk"
    assert json.loads(found[2]["body"]) == {"message": "Slow down."}
