"""What is left of the caller's limits after some of the answer was delivered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resumable._core.budget import (
    ESTIMATE_ERROR,
    StopMatcher,
    estimate_tokens,
    merged_usage,
    remaining_tokens,
    surfaced_tokens,
)
from resumable._core.transcript import Block


@given(st.text(), st.text())
def test_the_estimate_grows_with_the_text(first, second):
    """Nothing is no tokens, something is at least one, and a text costs about the sum of its parts."""
    assert estimate_tokens("") == 0
    parts, whole = estimate_tokens(first) + estimate_tokens(second), estimate_tokens(first + second)
    assert (whole > 0) == bool(first + second)
    assert parts - 1 <= whole <= parts


def test_the_estimate_counts_bytes():
    """Letters beyond ASCII cost more, as they do upstream; half a surrogate pair costs something too."""
    assert [estimate_tokens(text) for text in ("abcd", "abcde", "語語語語", "\ud800")] == [1, 2, 3, 1]


def test_every_block_that_was_surfaced_counts():
    """Text, thinking and input all are output."""
    blocks = [
        Block({"type": "text", "text": "abcd"}, [], bytearray(b"efgh")),
        Block({"type": "thinking", "thinking": ""}, [], bytearray(b"abcd")),
        Block({"type": "tool_use", "input": {}}, [], bytearray(b'{"a": 1}')),
    ]
    assert surfaced_tokens(blocks) == 2 + 1 + 2
    assert surfaced_tokens([]) == 0


@given(st.integers(1, 200_000), st.integers(0, 400_000))
def test_a_limit_is_reached_only_beyond_doubt(limit, surfaced):
    """Below the limit the rest of it remains; above it upstream is asked until not even the least estimate fits."""
    left = remaining_tokens(limit, surfaced)
    if surfaced < limit:
        assert left == limit - surfaced
    elif left is None:
        assert surfaced * (1 - ESTIMATE_ERROR) > limit - 1
    else:
        assert 1 <= left <= limit - surfaced * (1 - ESTIMATE_ERROR)


@pytest.mark.parametrize(("surfaced", "left"), [(0, 100), (99, 1), (100, 35), (152, 1), (153, None), (1000, None)])
def test_the_rest_of_a_limit(surfaced, left):
    """Of a hundred tokens so many are left."""
    assert remaining_tokens(100, surfaced) == left


def matched(sequences: list[str], delivered: str, *pieces: str) -> tuple[int, str] | None:
    """Feed pieces to a new matcher until it finds something; its place counts from the seam."""
    matcher = StopMatcher(sequences, delivered)
    fed = 0
    for piece in pieces:
        found = matcher.feed(piece)
        if found is not None:
            return fed + found[0], found[1]
        fed += len(piece)
    return None


def split_sequences(sequences: list[str], delivered: str, text: str) -> list[tuple[int, str]]:
    """List the stop sequences that lie across the seam, by their ends: the slow way."""
    whole, seam = delivered + text, len(delivered)
    return sorted(
        (at + len(sequence) - seam, sequence)
        for sequence in sequences
        for at in range(max(0, seam - len(sequence) + 1), seam)
        if whole.startswith(sequence, at) and at + len(sequence) > seam
    )


@given(
    st.lists(st.text("ab", min_size=1, max_size=5), max_size=3),
    st.text("ab", max_size=8),
    st.lists(st.text("ab", max_size=3), max_size=6),
)
def test_a_stop_sequence_across_the_seam_is_found(sequences, delivered, pieces):
    """The first to end is found, however the text after the seam is split."""
    text = "".join(pieces)
    # Upstream itself ends where a sequence lies within its own output.
    assume(not any(sequence in text for sequence in sequences))
    expected = split_sequences(sequences, delivered, text)
    assert matched(sequences, delivered, *pieces) == (expected[0] if expected else None)


def test_a_sequence_that_was_delivered_whole_hides_none():
    """A shorter sequence inside the delivered tail does not keep the matcher from one across the seam."""
    assert matched(["ab", "xxxxxxx"], "ab a", "b c") == (1, "ab")


@pytest.mark.parametrize(
    ("sequences", "delivered"), [([], "text"), (["x"], "text"), (["stop"], "")], ids=["none", "short", "no text"]
)
def test_where_nothing_can_be_split_there_is_nothing_to_match(sequences, delivered):
    """Without sequences of two characters, or without delivered text, the matcher is done before it begins."""
    matcher = StopMatcher(sequences, delivered)
    assert matcher.is_done
    assert matcher.feed("stop") is None


def test_the_matcher_is_done_when_the_seam_is_out_of_reach():
    """After as much text as the longest sequence reaches, nothing can be split any more."""
    matcher = StopMatcher(["stop", "##"], "and then st")
    assert matcher.feed("a") is None
    assert not matcher.is_done
    assert matcher.feed("op") is None
    assert matcher.is_done


FIRST = {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1, "service_tier": "standard"}


def test_usage_is_that_of_one_message():
    """Output adds up over the attempts; input stays the first one's, where the last one names it at all."""
    last = {"input_tokens": 99, "output_tokens": 5, "server_tool_use": None}
    assert merged_usage(FIRST, [7, 2], last) == {"input_tokens": 10, "output_tokens": 14, "server_tool_use": None}
    assert last["input_tokens"] == 99, "the attempt's own books must not change"


@pytest.mark.parametrize("own", [{}, {"output_tokens": None}, {"output_tokens": "many"}])
def test_output_that_upstream_did_not_count_is_none(own: dict[str, Any]):
    """Without a number of its own the last attempt adds nothing."""
    assert merged_usage({}, [7], own)["output_tokens"] == 7


def test_input_the_first_attempt_did_not_name_is_the_last_ones():
    """Counts are replaced, never invented."""
    assert merged_usage({}, [], {"input_tokens": 4, "output_tokens": 1}) == {"input_tokens": 4, "output_tokens": 1}
