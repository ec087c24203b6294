"""Bytes into frames, by the wording of the specification, however the bytes are split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resumable._core.errors import RemoteProtocolError
from resumable._core.sse import MAX_FRAME_BYTES, Frame, FrameParser, parse_frame

BOM = b"\xef\xbb\xbf"

# What streams are made of: line ends of each kind, fields, comments, marks, and letters of several bytes.
LINES = [b"data: x", b"event: ping", b"event: a\ndata: {}\n\n", b": c", b"id: 1", b"retry: 5", b"data"]
BYTES = [b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b":", b" ", b"\x00", b"\xff", b"\xc2\x85"]
PIECES = st.lists(st.sampled_from([*LINES, *BYTES, BOM, "語".encode(), "\u2028".encode()]), max_size=12)
STREAMS = st.tuples(st.sampled_from([b"", BOM, BOM[:2]]), PIECES).map(lambda parts: parts[0] + b"".join(parts[1]))


def parsed(*pieces: bytes, limit: int = MAX_FRAME_BYTES) -> list[Frame]:
    """Feed pieces to a new parser and end the body."""
    parser = FrameParser(limit)
    frames = [frame for piece in pieces for frame in parser.feed(piece)]
    last = parser.finish()
    return frames if last is None else [*frames, last]


def said(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of each frame of a stream that is fed at once."""
    return [(frame.name, frame.data) for frame in parsed(stream)]


def cut(stream: bytes, places: set[int]) -> list[bytes]:
    """Cut a stream at some places."""
    edges = [0, *sorted(place for place in places if place <= len(stream)), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def by_the_book(stream: bytes) -> list[tuple[bytes, bytes]]:
    """
    Interpret a stream as the specification is written: line by line, with buffers, dispatching at blank lines.

    Source: WHATWG HTML, 9.2.6. What it drops at the end of the body counts here: the caller may want it.
    """
    stream = stream.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    dispatched, name, data = [], b"", b""
    for line in [*stream.split(b"\n"), b""]:
        if not line:
            if data:
                dispatched.append((name, data.removesuffix(b"\n")))
            name = data = b""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                name = value
            elif field == b"data":
                data += value + b"\n"
    return dispatched


@given(STREAMS)
@example(b"data\n\ndata\ndata\n\ndata:")
@example(b"data: a\n\n\ndata: b\n\n")
def test_frames_are_those_of_the_specification(stream):
    """Every frame with data is one that the specification dispatches, with the same name and data, in order."""
    assert [pair for pair in said(stream) if pair[1] or pair[0]] == [
        pair for pair in by_the_book(stream) if pair[1] or pair[0]
    ]


@given(STREAMS, st.sets(st.integers(0, 60)))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", {8, 9, 10, 11})
@example(b"event: a\ndata: {}\n\n\nevent: b\ndata: {}\n\n", {20})
@example(BOM + b"data: \xe8\xaa\x9e\n\n", {1, 2, 10, 11})
def test_any_split_gives_the_same_frames(stream, places):
    """Splits inside a letter, a mark, a blank line or between CR and LF change nothing (law L3)."""
    whole = parsed(stream)
    assert parsed(*cut(stream, places)) == whole
    assert parsed(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    assert parsed(b"", stream, b"") == whole


@given(STREAMS)
def test_what_goes_on_says_the_same(stream):
    """The raw bytes of all frames, read again, are the same frames (law L10)."""
    frames = parsed(stream)
    # Behind a line end, as they are never a body's first bytes: a mark is one only there.
    assert parsed(b"\n", *(frame.raw for frame in frames)) == frames
    assert all(frame.raw.endswith(b"\n\n") and b"\r" not in frame.raw for frame in frames)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_lines_end_in_any_of_three_ways(end):
    """LF, CR and CRLF end lines; what goes on ends in LF."""
    stream = b"event: a" + end + b"data: b" + end + end
    assert parsed(stream) == [Frame(b"a", b"b", b"event: a\ndata: b\n\n")]


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a\n\n", [(b"", b" a")]),
        (b"event: x\ndata:  a\n\n", [(b"x", b" a")]),
        (b"data: a:b: c\n\n", [(b"", b"a:b: c")]),
        (b"data\n\n", [(b"", b"")]),
        (b"data: a\ndata\ndata: b\n\n", [(b"", b"a\n\nb")]),
        (b"event: x\ndata: a\ndata: b\n\n", [(b"x", b"a\nb")]),
        (b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
        (b"event: x\nevent\ndata: a\n\n", [(b"", b"a")]),
        (b"data: a\nid: 7\nretry: 10\nweather: rain\n data: b\nDATA: c\n\n", [(b"", b"a")]),
        (b": one\n:two\n\n", [(b"", b"")]),
        (b": one\ndata: a\n:two\n\n", [(b"", b"a")]),
        (b"event: x\n\n", []),
        (b"id: 7\n\n", []),
        (b"\n\n\n\n\n", []),
        (BOM + b"data: a\n\n", [(b"", b"a")]),
        (BOM + BOM + b"data: a\n\ndata: b\n\n", [(b"", b"b")]),
        (b"data: a\n\n" + BOM + b"data: b\n\n", [(b"", b"a")]),
        (b"data: a", [(b"", b"a")]),
        (b"data: a\n", [(b"", b"a")]),
        (b"data: a\r", [(b"", b"a")]),
        (BOM[:2], []),
        (BOM, []),
        (b"", []),
    ],
)
def test_the_wording_by_example(stream, frames):
    """Fields, colons, one leading space, repeated and unknown fields, comments, marks and the end of the body."""
    assert said(stream) == frames


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"], ids=ascii)
def test_only_cr_and_lf_end_a_line(letter):
    """What ends a line to Python's readers is data here."""
    assert said(f"data: a{letter}b\n\n".encode()) == [(b"", f"a{letter}b".encode())]


def test_the_bytes_of_a_frame_go_on():
    """A frame's raw bytes hold also the fields and comments that were ignored."""
    assert parsed(b"\n\nid: 7\r\ndata: a\r\n: c\r\n\r\n") == [Frame(b"", b"a", b"id: 7\ndata: a\n: c\n\n")]


def test_a_parser_knows_when_the_next_byte_begins_a_record():
    """It is idle after a blank line, and not while a line, half a CRLF or half a mark waits."""
    parser = FrameParser()
    idle = []
    for piece in (BOM[:1], BOM[1:], b"data: a", b"\n\n", b"data: b\r\n\r", b"\n", b"data: c\n\n", b"", b"\n"):
        parser.feed(piece)
        idle.append(parser.is_idle)
    assert idle == [False, True, False, True, False, True, True, True, False]


def test_whole_records_are_the_bytes_that_were_fed():
    """Records are aligned when, with their blank lines, they are just what was fed."""
    parser = FrameParser()
    aligned = []
    for piece in (b"data: a\n\n", b"data: b\n\ndata: c\n\n", b"data: d\r\n\r\n", b"data: e", b"\n\n"):
        records = parser.records(piece)
        if parser.is_aligned:
            aligned.append(piece)
            assert b"".join(record + b"\n\n" for record in records) == piece
    assert aligned == [b"data: b\n\ndata: c\n\n"]


@pytest.mark.parametrize("block", [b"", b"\n", b"event: a", b"event: a\nid: 1", b"id: 1\n: c"])
def test_a_record_without_data_is_no_frame(block):
    """What no client dispatches is dropped, unless it is all comments."""
    assert parse_frame(block) is None
    assert parse_frame(b": c\n:") == Frame(b"", b"", b": c\n:\n\n")


def until_refused(pieces: list[bytes], limit: int) -> tuple[list[Frame], str]:
    """Feed pieces until the parser refuses; what it returned before, and its problem."""
    parser, frames = FrameParser(limit), []
    try:
        for piece in pieces:
            frames += parser.feed(piece)
        parser.finish()
    except RemoteProtocolError as refusal:
        return frames, refusal.problem
    return frames, ""


@given(st.lists(st.sampled_from([1, 5, 19, 20, 21, 50]), min_size=1, max_size=6), st.sets(st.integers(0, 200)))
def test_a_frame_is_refused_by_its_length_alone(sizes, places):
    """A frame longer than the limit ends the attempt, after all frames before it, however it arrives (law L3)."""
    records = [b":" + b"x" * (size - 1) + b"\n\n" for size in sizes]
    stream = b"".join(records)
    fitting = next((at for at, size in enumerate(sizes) if size > 20), len(sizes))
    problem = "" if fitting == len(sizes) else "a frame is longer than 20 bytes"
    pairs = [b"".join(records[at : at + 2]) for at in range(0, len(records), 2)]
    for pieces in (cut(stream, places), records, pairs, [stream], [stream[at : at + 1] for at in range(len(stream))]):
        frames, why = until_refused(pieces, 20)
        assert [frame.raw for frame in frames] == records[:fitting]
        assert why == problem


def test_an_endless_frame_is_refused_early():
    """No more than the limit is kept of a frame that does not end (law L9)."""
    parser = FrameParser(100)
    parser.feed(b":" + b"x" * 99)
    with pytest.raises(RemoteProtocolError):
        parser.feed(b"xx")


class CountingBuffer(bytearray):
    """Counts the bytes that searches look at."""

    looked_at = 0

    def rfind(self, *args):
        """Search from the end, as far back as the match or the start of the range."""
        found = super().rfind(*args)
        start = args[1] if len(args) > 1 else 0
        self.looked_at += len(self) - max(found, start)
        return found

    def find(self, *args):
        """Search from the start of the range, as far as the match or the end."""
        found = super().find(*args)
        start = args[1] if len(args) > 1 else 0
        self.looked_at += (len(self) if found < 0 else found + 2) - start
        return found


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("frames", [1, 50])
def test_each_byte_is_looked_at_a_constant_number_of_times(size, frames):
    """However small the pieces and however long the frame, searching costs at most two looks a byte (law L9)."""
    stream = (b"event: a\ndata: " + b"x" * (20_000 // frames) + b"\n\n") * frames
    parser = FrameParser()
    parser._buffer = buffer = CountingBuffer()
    for at in range(0, len(stream), size):
        parser.feed(stream[at : at + size])
        assert len(buffer) <= len(stream) // frames + size
    assert buffer.looked_at <= 2 * len(stream) + 2 * frames
