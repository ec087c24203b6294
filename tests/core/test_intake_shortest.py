"""The shortest way of a text delta: it takes what it knows, and nothing twice."""

from __future__ import annotations

import pytest

from tests.core.streams import block, start, text
from tests.core.test_intake import Reader


@pytest.mark.parametrize(
    "odd",
    [
        text(0, "ends in a space "),
        text(0, "line\nbreak"),
        text(0, 'a "quote"'),
        text(0, "back\\slash"),
        text(0, "\u00e9"),
        text(0, ""),
        text(1, "another block"),
        text(0, "two") + text(0, "records"),
        text(0, "torn")[:-1],
        text(0, "more").replace(b"}}", b',"x":1}}'),
        text(0, "crlf").replace(b"\n", b"\r\n"),
    ],
)
def test_the_shortest_way_takes_only_what_it_knows(odd: bytes):
    """Plain text in upstream's own shape needs no decoding; anything else is looked at, and nothing is taken twice."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"))
    assert not reader.intake.passes(odd)
    assert reader.transcript.blocks[0].text == "a"


def test_the_shortest_way_knows_padding():
    """Upstream pads some events with spaces, so that their length does not tell that of the text."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"))
    assert reader.intake.passes(text(0, " padded!").replace(b"}}", b"}      }"))
    assert reader.transcript.blocks[0].text == "a padded!"


def test_the_shortest_way_waits_for_what_waits():
    """While whitespace waits, or half a record, the next text is not let past it."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"), text(0, " "))
    assert not reader.intake.passes(text(0, "b"))
    reader.read(text(0, "b"), text(0, "c")[:20])
    assert not reader.intake.passes(text(0, "d"))
