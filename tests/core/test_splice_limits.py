"""Where a limit of the caller's ends the message behind a seam, and which citations belong behind it."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Strategy
from resumable._core.errors import SeamMissedError
from resumable._core.seam import Join
from resumable._core.splice import Ended, Joining
from tests.core.seams import ANCHOR, CLOSED, answer, prefill, shown, spliced, user_turn
from tests.core.streams import block, citation, delta, ending, start, stop, text, tool_input

AFTER_RESULT = start() + block(0, "web_search_tool_result", tool_use_id="s", content=[]) + stop(0)
CALL = block(1, "tool_use", id="t", name="f", input={}) + tool_input(1, "{}") + stop(1)
CITED = (1, "ContentBlockDelta")


@pytest.mark.parametrize(
    ("sequence", "pieces", "said"),
    [
        ("over the hill", [" the", " hill", " and on"], [" the"]),
        ("over the hill", [" the hill and on"], []),
        ("over.", [". And on"], []),
        ("the moon", [" the", " moon"], [" the", " moon"]),  # not split: upstream's own to find
        ("over the hill", [" the house", " over the hill"], [" the house", " over the hill"]),
    ],
)
def test_stop_sequence_that_the_seam_has_split_still_stops(sequence, pieces, said):
    """Upstream sees only its own half; what came before the sequence in this attempt is delivered."""
    splice, events = spliced(prefill(stop_sequences=["END", sequence]), start(), block(0), text(0, *pieces))
    assert shown(events) == [(0, piece) for piece in said]
    ends = said != pieces
    assert splice.ended == (Ended("stop_sequence", sequence) if ends else None)


def test_nothing_follows_a_limit():
    """Whatever upstream goes on to say, the message has ended."""
    splice, events = spliced(prefill(stop_sequences=["over!"]), answer(" ", "!", " more"), CALL, ending())
    assert shown(events) == [(0, " "), (0, "!"), (0, " more"), ("stop", 0), "end_turn", *shown(events)[5:]]
    splice, events = spliced(prefill(stop_sequences=["over!"]), answer("!", " more"))
    assert shown(events) == []
    assert splice.ended == Ended("stop_sequence", "over!")


@pytest.mark.parametrize("rest", [stop(0) + CALL, stop(0) + ending(), CALL, stop(0) + ending("refusal")])
def test_nothing_follows_a_limit_that_is_met_as_the_seam_s_block_closes(rest):
    """Text of a citing block is judged at its stop: neither that stop nor what caused it is delivered then."""
    joining = user_turn(is_citing=True, stop_sequences=["over!"])
    splice, events = spliced(joining, start(), block(0), text(0, ANCHOR, "!", " more"), citation(0, "c"), rest)
    assert splice.ended == Ended("stop_sequence", "over!")
    assert "end_turn" not in shown(events)
    assert [event for event in shown(events) if event[0] == "stop"] == [("stop", 0)]
    assert shown(events) == [("stop", 0), ("start", 1, "text")]


def test_nothing_follows_a_limit_that_is_met_as_the_message_ends():
    """An unverified join is made when the answer is over; a limit met in it wins over upstream's reason."""
    joining = user_turn(accept=frozenset({"anything"}), limit=2)
    splice, events = spliced(joining, answer("Once upon a time."))
    assert shown(events) == [(0, "Once upon a time.")]
    assert splice.ended == Ended("max_tokens")
    splice, events = spliced(joining, start(), block(0), text(0, "Once upon a time."), CALL)
    assert shown(events) == [(0, "Once upon a time.")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_surfaced_text_is_cut_at_the_caller_s_limit(size):
    """A continuation may have been allowed more; what surfaces is counted as a whole, however it is split."""
    words = " the lazy dog that slept all day long"  # 37 bytes, about ten tokens
    pieces = [words[at : at + size] for at in range(0, len(words), size)]
    for limit, is_cut in ((9, True), (10, False)):
        splice, events = spliced(user_turn(limit=limit), start(), block(0), text(0, ANCHOR, *pieces))
        said = "".join(said for _, said in shown(events))
        assert words.startswith(said)
        assert splice.ended == (Ended("max_tokens") if is_cut else None)
        assert len(said) > 4 * limit if is_cut else said == words


def over(pieces, reason, **fields):
    """Write an answer that ends for a reason, with what else is said of it."""
    return start() + block(0) + text(0, *pieces) + stop(0) + ending(reason, **fields)


@pytest.mark.parametrize("pieces", [[ANCHOR], [ANCHOR, " "]])
def test_stop_sequence_right_behind_the_echo_is_the_message_s(pieces):
    """The model went on as it had, and what it said next was the caller's word to stop."""
    splice, events = spliced(user_turn(stop_sequences=["END"]), over(pieces, "stop_sequence", stop_sequence="END"))
    assert shown(events) == [*((0, piece) for piece in pieces[1:]), ("stop", 0), "stop_sequence"]
    assert splice.join == Join("exact", len(ANCHOR))


@pytest.mark.parametrize("pieces", [[], ["brown fox"], ["Continuing"]])
def test_stop_sequence_anywhere_else_is_a_missed_seam(pieces):
    """It may have been met in a preamble, or inside the echo."""
    with pytest.raises(SeamMissedError):
        spliced(user_turn(stop_sequences=["END"]), over(pieces, "stop_sequence", stop_sequence="END"))


@pytest.mark.parametrize("sequence", [None, "OTHER"])
def test_stop_sequence_that_is_not_the_caller_s_is_a_missed_seam(sequence):
    """Nobody asked to stop there."""
    with pytest.raises(SeamMissedError, match="anchor_only"):
        spliced(user_turn(stop_sequences=["END"]), over([ANCHOR], "stop_sequence", stop_sequence=sequence))


def test_spent_limit_right_behind_the_echo_is_the_message_s():
    """Where the estimate says that the caller's limit may be used up, upstream is believed."""
    spent = user_turn(accept=frozenset({"spent"}))
    splice, events = spliced(spent, answer(ANCHOR, reason="max_tokens"))
    assert shown(events) == [("stop", 0), "max_tokens"]
    assert (splice.join, splice.ended) == (Join("exact", len(ANCHOR)), None)
    with pytest.raises(SeamMissedError, match="anchor_only"):
        spliced(spent, answer(ANCHOR))


@pytest.mark.parametrize("pieces", [[], ["brown fox"]])
def test_spent_limit_inside_the_echo_ends_the_message(pieces):
    """There was no room for what was asked for, nor for anything after it: nothing joined, and nothing was lost."""
    splice, events = spliced(user_turn(accept=frozenset({"spent"})), answer(*pieces, reason="max_tokens"))
    assert shown(events) == []
    assert (splice.join, splice.ended) == (None, Ended("max_tokens"))
    for accept, reason in (((), "max_tokens"), (("spent",), "end_turn")):
        with pytest.raises(SeamMissedError, match="torn" if pieces else "empty"):
            spliced(user_turn(accept=frozenset(accept)), answer(*pieces, reason=reason))


def test_limit_holds_after_a_block_too():
    """Where no seam is sought, text that surfaces is counted all the same."""
    joining = Joining(Strategy.USER_TURN, limit=2)
    splice, events = spliced(joining, start(), block(0), text(0, "So it", " goes on"), delivered=AFTER_RESULT)
    assert shown(events) == [("start", 1, "text"), (1, "So it"), (1, " goes on")]
    assert splice.ended == Ended("max_tokens")


def test_citation_behind_the_seam_begins_a_block_of_its_own():
    """A citation covers its whole block, and it does not cover what was delivered before."""
    _, events = spliced(user_turn(is_citing=True), start(), block(0), text(0, ANCHOR, " so"), citation(0, "c"), stop(0))
    assert shown(events) == [("stop", 0), ("start", 1, "text"), (1, " so"), CITED, ("stop", 1)]


def test_citation_may_come_before_its_text():
    """The order inside a block says nothing about what a citation covers."""
    written = start() + block(0) + citation(0, "c") + text(0, ANCHOR, " so") + stop(0)
    _, events = spliced(user_turn(is_citing=True), written)
    assert shown(events) == [("stop", 0), ("start", 1, "text"), CITED, (1, " so"), ("stop", 1)]


def test_citation_whose_text_was_wholly_cut_away_is_dropped():
    """An echo may cite what the caller has; that citation was delivered, or belongs to nothing."""
    echo = start() + block(0) + text(0, ANCHOR) + citation(0, "c") + stop(0)
    rest = block(1) + text(1, " so") + stop(1) + ending()
    splice, events = spliced(user_turn(is_citing=True), echo, rest)
    assert shown(events) == [(0, " so"), ("stop", 0), "end_turn"]
    assert splice.join is not None


def test_citation_of_the_text_that_follows_an_echo_block_stays():
    """Only the echo's own citation goes with it."""
    echo = start() + block(0) + text(0, ANCHOR) + citation(0, "c") + stop(0)
    rest = block(1) + text(1, " so") + citation(1, "d") + stop(1)
    _, events = spliced(user_turn(is_citing=True), echo, rest)
    assert shown(events) == [("stop", 0), ("start", 1, "text"), (1, " so"), CITED, ("stop", 1)]


def test_text_of_an_earlier_block_is_not_covered_by_a_later_citation():
    """What an echo's block said behind the anchor goes on in the seam's block."""
    echo = start() + block(0) + text(0, ANCHOR + " ") + stop(0)
    _, events = spliced(user_turn(is_citing=True), echo, block(1) + text(1, "so") + citation(1, "c") + stop(1))
    assert shown(events) == [(0, " "), ("stop", 0), ("start", 1, "text"), (1, "so"), CITED, ("stop", 1)]


def test_citing_request_may_cite_nothing():
    """Without a citation the text goes on in the seam's block after all."""
    _, events = spliced(user_turn(is_citing=True), answer(ANCHOR, " so", " on"))
    assert shown(events) == [(0, " so"), (0, " on"), ("stop", 0), "end_turn"]


def test_closed_block_is_followed_by_the_cited_one():
    """Where there is no block to stop, the cited one is simply the next."""
    joining = user_turn(is_citing=True, seam_index=None)
    written = start() + block(0) + text(0, ANCHOR, " so") + citation(0, "c") + stop(0)
    _, events = spliced(joining, written, delivered=CLOSED)
    assert shown(events) == [("start", 1, "text"), (1, " so"), CITED, ("stop", 1)]


def test_other_deltas_in_the_seam_s_block_are_dropped():
    """Neither a citation nobody asked for nor a delta of tomorrow can be told to belong to the new text."""
    odd = citation(0, "c") + delta(0, "delta_of_tomorrow", x=1)
    _, events = spliced(user_turn(), start(), block(0), odd, text(0, ANCHOR, " so"), odd, stop(0))
    assert shown(events) == [(0, " so"), ("stop", 0)]


def test_citations_of_blocks_that_follow_are_their_own():
    """Behind the seam's block nothing is held back any more."""
    written = answer(ANCHOR, " so", reason=None) + block(1) + text(1, "x") + citation(1, "c") + stop(1)
    _, events = spliced(user_turn(is_citing=True), written)
    assert shown(events)[-4:] == [("start", 1, "text"), (1, "x"), CITED, ("stop", 1)]
