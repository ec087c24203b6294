"""The shortest way of a text delta: it takes what it knows, and nothing twice."""

from __future__ import annotations

import pytest

from tests.core.streams import block, start, text
from tests.core.test_intake import Reader


@pytest.mark.parametrize(
    "odd",
    [
        text(0, "ends in a space "),
        text(0, "ends in a line\n"),
        text(0, "ends in a wide space\u3000"),
        text(0, 'a "quote"'),
        text(0, 'line\nbreak and "quote'),
        text(0, "back\\slash"),
        text(0, "back\\next"),
        text(0, "\u007f"),
        text(0, ""),
        text(0, "torn x").replace(b"x", b"\xe4"),
        text(0, "raw x").replace(b"x", b"\n"),
        text(0, "spaced").replace(b"\n\n", b"\n \n"),
        text(0, "x").replace(b'"}}', b'"} } '),
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
    assert not reader.passes(odd)
    assert reader.transcript.blocks[0].text == "a"


@pytest.mark.parametrize("known", [" word", "line\nbreak", "\n\nline", "\u00e9t\u00e9", "\u8a9e", "\U0001f642", "!"])
def test_the_shortest_way_takes_text_of_any_language(known: str):
    """What stands for itself in JSON, and line feeds, are taken as what they mean."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"))
    assert reader.passes(text(0, known))
    assert reader.transcript.blocks[0].text == "a" + known


def test_the_shortest_way_knows_padding():
    """Upstream pads some events with spaces, so that their length does not tell that of the text."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"))
    assert reader.passes(text(0, " padded!").replace(b"}}", b"}      }"))
    assert reader.transcript.blocks[0].text == "a padded!"


def test_the_shortest_way_waits_for_what_waits():
    """While whitespace waits, or half a record, the next text is not let past it."""
    reader = Reader()
    reader.read(start(), block(0), text(0, "a"), text(0, " "))
    assert not reader.passes(text(0, "b"))
    reader.read(text(0, "b"), text(0, "c")[:20])
    assert not reader.passes(text(0, "d"))
