"""The storm as data: seeded, and such that every fault strikes."""

from __future__ import annotations

import anthropic
import pytest

from resumable.cli._storm import ANSWER, HalfFrame, Storm, Strike, brew
from resumable.testing import Answer, Drop, Reject, Stall
from resumable.testing._frames import Frame


def cuts(storm):
    """List after how many frames each attempt is cut, for those that are."""
    return [after for strike in storm.strikes if (after := getattr(strike.fault, "after", None)) is not None]


def test_a_seed_is_a_storm():
    """The same seed gives the same storm, another one other places."""
    assert brew(7) == brew(7)
    assert cuts(brew(7)) != cuts(brew(8))


def test_the_storm_is_varied():
    """The storm holds what the network and the API do to a stream, each once."""
    names = [strike.name for strike in brew(1).strikes]
    assert names == [
        "overloaded_status",
        "clean_eof",
        "reset",
        "overloaded_event",
        "stall",
        "rate_limited",
        "half_frame",
    ]
    kinds = {type(strike.fault) for strike in brew(1).strikes}
    assert {Drop, HalfFrame, Reject, Stall} <= kinds


@pytest.mark.parametrize("seed", range(50))
def test_every_fault_finds_something_to_strike(seed):
    """All attempts together are cut before the answer's end, wherever the seed puts the cuts."""
    client = anthropic.Anthropic(
        base_url="http://upstream",
        api_key="demo",
        http_client=anthropic.DefaultHttpxClient(transport=Storm(0, ()).upstream().transport()),
    )
    storm = brew(seed)
    deltas = sum(event.type == "content_block_delta" for event in client.messages.create(**storm.body, stream=True))

    assert sum(cuts(storm)) < deltas


def test_the_answer_counts_the_faults():
    """What the answer says of itself is true: seven faults, a character of four bytes, one of two."""
    assert "seven things went wrong" in ANSWER
    assert len(brew(1).strikes) == 7
    assert "the four bytes of 🌊, the two of é" in ANSWER


@pytest.mark.parametrize(
    ("payloads", "after", "arrives"),
    [
        (["one.", "two.", "waité.", "four."], 1, b"one.two.wait\xc3"),
        (["one.", "two.", "three."], 1, b"one.two"),
        (["one.", "two."], 2, b"one.two."),
        (["é."], 0, b"\xc3"),
    ],
)
def test_half_a_frame_is_cut_within_a_character(payloads, after, arrives):
    """The cut falls within the next wide character, else within the next frame; a shorter answer is left alone."""
    answer = Answer(200, (), tuple(Frame(text.encode()) for text in payloads))
    suffered = HalfFrame(after).apply(answer)
    assert suffered.body == arrives
    assert suffered.whole == (len(payloads) <= after)


def test_a_strike_hits_its_attempt_and_no_other():
    """The first attempt gets the first strike; one beyond the last gets the answer."""
    upstream = Storm(1, (Strike("busy", "529", Reject(529)),)).upstream()
    client = anthropic.Anthropic(
        base_url="http://upstream",
        api_key="demo",
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(transport=upstream.transport()),
    )
    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(**Storm(1, ()).body)
    assert client.messages.create(**Storm(1, ()).body).content[0].text == ANSWER
