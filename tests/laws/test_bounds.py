"""Law L9: memory per stream is bounded by what must be remembered, and cost per byte is constant; nothing is timed."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from resumable._core.states import Open
from tests.laws.machine import machine
from tests.laws.noise import body_of
from tests.laws.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resumable._core.session import Session

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_COMMENT = b": still here\n\n"
_UNKNOWN = b'event: message_note\ndata: {"type":"message_note","note":"new"}\n\n'


def _event(kind: str, rest: str) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}",{rest}}}\n\n'.encode()


_START = body_of("text").split(b"\n\n")[0] + b"\n\n"
_TEXT = _event("content_block_start", '"index":0,"content_block":{"type":"text","text":""}')
_TOOL = _event("content_block_start", '"index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}')


def _text(words: str) -> bytes:
    return _event("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{words}"}}')


def _json(words: str) -> bytes:
    return _event("content_block_delta", f'"index":0,"delta":{{"type":"input_json_delta","partial_json":"{words}"}}')


def reading(*heads: bytes) -> Session:
    """Make a session that has read these records."""
    session = machine(Schedule().body)
    assert isinstance(session.next_action(0.0), Open)
    session.receive_response(0.0)
    for head in heads:
        session.receive_data(head, 0.0)
    return session


def calls(work: Callable[[], Any]) -> int:
    """Count the calls, of Python's functions and of built-in ones, that *work* makes."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def kept(session: Session, pieces: Iterable[bytes]) -> int:
    """Measure the bytes that stay allocated because of these pieces."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for piece in pieces:
            session.receive_data(piece, 0.0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("noise", [_PING, _COMMENT, _UNKNOWN], ids=["pings", "comments", "unknown"])
@pytest.mark.parametrize("size", [37, 1000])
def test_l9_what_need_not_be_remembered_takes_no_memory(noise: bytes, size: int) -> None:
    """Ten thousand events that are no part of the message leave nothing behind, however they are split."""
    session = reading(_START, _TEXT, _text("word"))
    stream = noise * 10_000
    assert kept(session, (stream[at : at + size] for at in range(0, len(stream), size))) < 10_000


@pytest.mark.parametrize("length", [1, 10, 100])
def test_l9_memory_is_that_of_the_transcript(length: int) -> None:
    """What text leaves behind is its own length, and no more for each delta than a short string takes."""
    session = reading(_START, _TEXT)
    count = 200_000 // length
    deltas = (_text("w" * length) for _ in range(count))
    assert kept(session, deltas) < 1.2 * count * (length + 64) + 10_000


@pytest.mark.parametrize(
    ("block", "delta"),
    [(_TEXT, _text("word")), (_TEXT, _text("word ")), (_TOOL, _json("w"))],
    ids=["text", "edges", "held"],
)
@pytest.mark.parametrize("size", [None, 1, 16, 4096], ids=["records", "bytes", "small", "large"])
def test_l9_cost_per_byte_is_constant(block: bytes, delta: bytes, size: int | None) -> None:
    """The tenth thousand of events costs as many calls as the first, whole or split."""
    session = reading(_START, block)
    length = size or len(delta)
    stream = delta * (200 if size == 1 else 1000)

    def feed() -> None:
        for at in range(0, len(stream), length):
            session.receive_data(stream[at : at + length], 0.0)

    feed()
    first = calls(feed)
    for _ in range(3 if size == 1 else 8):
        feed()
    assert calls(feed) <= 1.05 * first + 50


def test_l9_nothing_of_an_attempt_outlives_it() -> None:
    """A session that has read many broken attempts holds what one holds, and their entries in the report."""
    session = reading(_START, _TEXT, _text("word"))
    held = session._gate
    for _ in range(3):
        session.receive_data(_text("word "), 0.0)
    session.receive_eof(0.0)
    assert not held._queue
    assert not held._modes
    assert not held._incomplete


def test_l9_a_record_without_end_is_refused() -> None:
    """A record longer than the bound ends the attempt, so the buffer cannot grow without end."""
    session = reading(_START, _TEXT, _text("word"))
    piece = b"x" * (1 << 20)
    for _ in range(40):
        if session.is_reading:
            session.receive_data(piece, 0.0)
    assert not session.is_reading
    assert session.report.attempts[0].failure is not None
