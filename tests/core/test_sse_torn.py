"""Records that were torn before their data, and closed by what somebody wrote after them."""

from __future__ import annotations

import pytest

from resumable._core.sse import Frame, FrameParser

NEXT = b'event: error\ndata: {"type":"error"}\n\n'


@pytest.mark.parametrize(
    "torn", [b"e", b"event", b"event: content_block_delta", b"event: message_start\ndat", b"id: 7"]
)
def test_record_without_data_is_no_frame(torn):
    """No client dispatches it; passed on, it would be a fragment of upstream's stream in the caller's."""
    assert FrameParser().feed(torn + b"\n\n" + NEXT) == [Frame(b"error", b'{"type":"error"}', NEXT)]
    assert FrameParser().feed(b": on\n\n" + torn + b"\n\n") == [Frame(b"", b"", b": on\n\n")]


def test_torn_record_at_the_end_is_no_frame():
    """The same when nothing follows."""
    parser = FrameParser()
    assert parser.feed(b"event: content_block_stop\n") == []
    assert parser.finish() is None


def test_comments_go_on():
    """They carry nothing but that the connection lives, which is what they are for."""
    assert FrameParser().feed(b": one\n: two\n\n") == [Frame(b"", b"", b": one\n: two\n\n")]
