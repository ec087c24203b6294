"""A cited block that was cut does not go on: its citation would cover text that it does not support."""

from __future__ import annotations

from resumable import RetryPolicy
from resumable._core.continuation import Memory
from resumable._core.errors import StreamInterruptedError
from resumable._core.hold import DEFAULT_HOLD
from resumable._core.report import Report
from resumable._core.session import Session
from resumable._core.states import Open
from tests.core import streams

DOCUMENT = {"type": "document", "source": {}, "citations": {"enabled": True}}
BODY = {"model": "claude-haiku-5-5", "max_tokens": 1000, "messages": [{"role": "user", "content": [DOCUMENT]}]}
WORDS = "The river is long and it is cold"


def session_after(*written: bytes) -> tuple[Session, bytes]:
    """Let a session read what upstream wrote, then lose the connection."""
    session = Session(
        BODY,
        policy=RetryPolicy(),
        hold=DEFAULT_HOLD,
        memory=Memory(),
        chance=lambda: 0.5,
        report=Report("s"),
        now=0.0,
    )
    session.next_action(0.0)
    session.receive_response(0.0)
    out = session.receive_data(b"".join(written), 0.0)
    return session, out + session.receive_failure(StreamInterruptedError("ReadError"), 0.0)


def test_a_cited_block_is_closed_where_it_was_cut():
    """The continuation's text stands in a block of its own, outside the citation."""
    first = streams.start() + streams.block(0) + streams.text(0, WORDS) + streams.citation(0, "cold")
    session, out = session_after(first)
    assert isinstance(session.next_action(0.0), Open)
    session.receive_response(0.0)
    answer = streams.start() + streams.block(0) + streams.text(0, WORDS, " in winter.") + streams.stop(0)
    out += session.receive_data(answer + streams.ending() + streams.OVER, 0.0)
    blocks = streams.received(out).blocks
    assert [(block.text, len(block.citations)) for block in blocks] == [(WORDS, 1), (" in winter.", 0)]


def test_an_uncited_block_goes_on():
    """Without a citation the block that was cut is the one that goes on."""
    session, _ = session_after(streams.start() + streams.block(0) + streams.text(0, WORDS))
    assert [block.closed for block in session.transcript.blocks] == [False]
