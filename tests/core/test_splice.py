"""What a later attempt says becomes part of the message that is under way: indices, the seam, limits."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Strategy
from resumable._core.errors import SeamMissedError
from resumable._core.seam import Join
from resumable._core.splice import Joining
from tests.core.seams import ANCHOR, CLOSED, DELIVERED, OPEN, answer, prefill, shown, spliced, user_turn
from tests.core.streams import OVER, PING, block, delta, ending, start, stop, text, thought, tool_input

AFTER_RESULT = start() + block(0, "web_search_tool_result", tool_use_id="s", content=[]) + stop(0)


def test_prefill_goes_on_in_its_block():
    """Every word of it belongs to the message, and the second message_start does not."""
    splice, events = spliced(prefill(), answer(" the", " dog."))
    assert shown(events) == [(0, " the"), (0, " dog."), ("stop", 0), "end_turn"]
    assert splice.join == Join("exact", 0)
    assert splice.delivered == DELIVERED


def test_echo_is_cut_away():
    """The anchor is held until it is whole, and what follows it goes on in the seam's block."""
    splice, events = spliced(user_turn(), answer("brown fox", " jumps over the", " dog."))
    assert shown(events) == [(0, " the"), (0, " dog."), ("stop", 0), "end_turn"]
    assert splice.join == Join("exact", len(ANCHOR))


@pytest.mark.parametrize("pieces", [[ANCHOR, " the dog."], [ANCHOR + " the dog."], [*ANCHOR, *" the dog."]])
@pytest.mark.parametrize("blocks", [1, 2])
def test_echo_may_be_split_anywhere(pieces, blocks):
    """The seam is found over the leading text blocks, however they are cut."""
    written = start()
    for index, part in enumerate([pieces] if blocks == 1 else [pieces[:1], pieces[1:]]):
        written += block(index) + text(index, *part) + stop(index)
    splice, events = spliced(user_turn(), written, ending())
    said = [entry for entry in shown(events) if entry[0] == 0]
    assert "".join(words for _, words in said) == " the dog."
    assert shown(events).count(("stop", 0)) == 1
    assert splice.join == Join("exact", len(ANCHOR))


def test_text_that_a_block_s_start_carries_counts():
    """Some gateways send the first words with the start."""
    _, events = spliced(user_turn(), start(), block(0, text=ANCHOR + " the"), text(0, " dog."))
    assert shown(events) == [(0, " the"), (0, " dog.")]
    _, events = spliced(user_turn(), start(), block(0, text=None), text(0, ANCHOR, " the"))
    assert shown(events) == [(0, " the")]


def test_closed_block_is_followed_by_a_new_one():
    """Where the delivered block had its stop, what follows the seam is a block of its own."""
    _, events = spliced(user_turn(seam_index=None), answer(ANCHOR, "\n\nThen"), delivered=CLOSED)
    assert shown(events) == [("start", 1, "text"), (1, "\n\nThen"), ("stop", 1), "end_turn"]


@pytest.mark.parametrize("blank", [" ", " \n", "\n\n"])
@pytest.mark.parametrize("split", [True, False])
def test_whitespace_the_caller_has_is_not_sent_twice(blank, split):
    """A closed block ended in whitespace that no request may end in; the model writes it again, or not."""
    pieces = [ANCHOR, *blank, "Then"] if split else [ANCHOR + blank + "Then"]
    for again in (pieces, [ANCHOR, "Then"]):
        joining = user_turn(seam_index=None, blank=blank)
        _, events = spliced(joining, answer(*again), delivered=CLOSED)
        assert shown(events) == [("start", 1, "text"), (1, "Then"), ("stop", 1), "end_turn"]


def test_only_whitespace_that_is_the_same_is_dropped():
    """What differs from the delivered whitespace is the model's own."""
    _, events = spliced(user_turn(blank=" \n"), answer(ANCHOR, " \tThen", " \nso"))
    assert shown(events) == [(0, "\tThen"), (0, " \nso"), ("stop", 0), "end_turn"]


def test_blocks_that_follow_are_shifted():
    """Blocks of the attempt come behind those delivered, dense from there."""
    call = block(1, "tool_use", id="t", name="f", input={}) + tool_input(1, "{}") + stop(1)
    _, events = spliced(user_turn(), start(), block(0), text(0, ANCHOR + " so"), stop(0), call, ending("tool_use"))
    assert shown(events) == [
        (0, " so"),
        ("stop", 0),
        ("start", 1, "tool_use"),
        (1, "ContentBlockDelta"),
        ("stop", 1),
        "tool_use",
    ]


def test_thinking_of_a_continuation_does_not_surface():
    """Its signature is bound to turns the caller does not have; indices stay dense without it."""
    hidden = block(0, "thinking") + thought(0, signature="s") + stop(0) + block(1, "redacted_thinking") + stop(1)
    late = block(3, "thinking") + delta(3, "thinking_delta_of_tomorrow") + thought(3) + stop(3) + block(4, "hologram")
    _, events = spliced(user_turn(), start(), hidden, block(2), text(2, ANCHOR + " so"), stop(2), late)
    assert shown(events) == [(0, " so"), ("stop", 0), ("start", 1, "hologram")]


def test_thinking_of_a_restart_surfaces():
    """A restart is the caller's own request: its thinking is bound to turns the caller has."""
    cut = start() + block(0, "thinking") + thought(0) + stop(0)
    again = start() + block(0, "thinking") + thought(0, signature="s") + stop(0) + block(1) + text(1, "Hi")
    _, events = spliced(Joining(Strategy.RESTART), again, delivered=cut)
    assert shown(events) == [
        ("start", 1, "thinking"),
        (1, "ContentBlockDelta"),
        (1, "ContentBlockDelta"),
        ("stop", 1),
        ("start", 2, "text"),
        (2, "Hi"),
    ]


def test_after_a_block_everything_follows():
    """Without an anchor there is no seam: text is a new block, and thinking stays hidden."""
    written = start() + block(0, "thinking") + thought(0) + stop(0) + block(1) + text(1, "So") + stop(1) + ending()
    _, events = spliced(Joining(Strategy.USER_TURN), written, delivered=AFTER_RESULT)
    assert shown(events) == [("start", 1, "text"), (1, "So"), ("stop", 1), "end_turn"]


def test_after_a_block_the_join_is_unverified():
    """Nothing was quoted, so a model that repeats itself there is not found out: the report has to say so."""
    joining = Joining(Strategy.USER_TURN)
    hidden = start() + block(0, "thinking") + thought(0) + stop(0)
    assert spliced(joining, hidden, delivered=AFTER_RESULT)[0].join is None
    for written in (hidden + block(1), start() + block(0, "tool_use", id="t", name="f", input={}), answer()):
        assert spliced(joining, written, delivered=AFTER_RESULT)[0].join == Join("unverified", 0)
    assert spliced(Joining(Strategy.RESTART), answer("Hi"), delivered=start())[0].join is None


def test_what_is_no_part_of_the_message_passes():
    """A delta without a stop_reason and a ping go on as they came, also while the seam is sought."""
    _, events = spliced(user_turn(), start(), PING, ending(None))
    assert shown(events) == ["Ping", None]


@pytest.mark.parametrize(
    ("reason", "pieces"),
    [
        ("no_anchor", ["Once upon a time there was a king."]),
        ("empty", []),
        ("empty", [" \n"]),
        ("said_finished", ["My answer was already complete."]),
        ("anchor_only", [ANCHOR]),
        ("anchor_only", [ANCHOR, " \n"]),
    ],
)
@pytest.mark.parametrize(
    "stop_reason", ["end_turn", "max_tokens", "stop_sequence", "refusal", "pause_turn", "a_reason_of_tomorrow"]
)
def test_until_the_seam_is_found_no_reason_ends_the_message(reason, pieces, stop_reason):
    """An answer that says anything else than what was asked for is a missed seam, however it ends."""
    with pytest.raises(SeamMissedError) as missed:
        spliced(user_turn(), answer(*pieces, reason=stop_reason))
    assert missed.value.reason == reason


def test_message_stop_alone_is_no_end_either():
    """Where a gateway drops the reason, what is held is not dropped with it; behind the seam it ends the message."""
    with pytest.raises(SeamMissedError, match="empty"):
        spliced(user_turn(), start(), OVER)
    _, events = spliced(user_turn(), start(), block(0), text(0, ANCHOR + " so"), stop(0), OVER)
    assert shown(events) == [(0, " so"), ("stop", 0), "MessageStop"]
    _, events = spliced(user_turn(), answer(ANCHOR, " so"), OVER)
    assert shown(events) == [(0, " so"), ("stop", 0), "end_turn", "MessageStop"]


def test_text_without_the_anchor_is_given_up_at_the_window():
    """What is held is bounded: the window decides, not the end of the answer."""
    with pytest.raises(SeamMissedError, match="no_anchor"):
        spliced(user_turn(window=50), start(), block(0), text(0, *["lorem "] * 9))


def test_bare_anchor_ends_the_message_where_that_was_likely():
    """Where the text's own stop had come already, repeating the anchor says that it was complete."""
    splice, events = spliced(user_turn(accept=frozenset({"ended"})), answer(ANCHOR))
    assert shown(events) == [("stop", 0), "end_turn"]
    assert splice.join == Join("exact", len(ANCHOR))
    _, events = spliced(user_turn(accept=frozenset({"ended"}), seam_index=None), answer(ANCHOR), delivered=CLOSED)
    assert shown(events) == ["end_turn"]


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "stop_sequence", "pause_turn"])
def test_bare_anchor_is_no_end_for_another_reason(reason):
    """Only a model that stopped by itself has said that it was done."""
    with pytest.raises(SeamMissedError, match="anchor_only"):
        spliced(user_turn(accept=frozenset({"ended"})), answer(ANCHOR, reason=reason))


def test_bare_anchor_before_a_call_is_a_seam():
    """A block of another kind right behind the echo is what comes next."""
    call = block(1, "tool_use", id="t", name="f", input={})
    _, events = spliced(user_turn(), start(), block(0), text(0, ANCHOR), stop(0), call)
    assert shown(events) == [("stop", 0), ("start", 1, "tool_use")]


def test_call_without_the_anchor_is_no_seam():
    """A call that comes instead of the echo may answer from anywhere."""
    for accept in ((), ("spent",)):
        with pytest.raises(SeamMissedError, match="empty"):
            spliced(user_turn(accept=frozenset(accept)), start(), block(0, "tool_use", id="t", name="f", input={}))


@pytest.mark.parametrize("pieces", [[], ["\n"]])
def test_call_without_the_anchor_follows_text_that_was_whole(pieces):
    """Its stop had come: nothing is lost, nothing said twice, and blank space in between says nothing."""
    call = block(1, "tool_use", id="t", name="f", input={})
    written = start() + block(0) + text(0, *pieces) + stop(0) + call
    splice, events = spliced(user_turn(accept=frozenset({"ended"})), written)
    assert shown(events) == [("stop", 0), ("start", 1, "tool_use")]
    assert splice.join == Join("aligned", len(pieces))


def test_words_in_the_anchor_s_place_do_not_follow_text_that_was_whole():
    """They may say again what the caller has, before the call as before an ending."""
    call = stop(0) + block(1, "tool_use", id="t", name="f", input={})
    for rest in (call, stop(0) + ending()):
        with pytest.raises(SeamMissedError, match="no_anchor"):
            spliced(user_turn(accept=frozenset({"ended"})), start(), block(0), text(0, "One moment."), rest)


def test_policy_may_join_without_certainty():
    """Then everything is delivered, and the join says that nobody verified it."""
    splice, events = spliced(user_turn(accept=frozenset({"anything"})), answer("Once upon a time."))
    assert shown(events) == [(0, "Once upon a time."), ("stop", 0), "end_turn"]
    assert splice.join == Join("unverified", 0)


@pytest.mark.parametrize("pieces", [[], ["I can't help with that."]])
def test_refusal_of_our_instruction_is_never_the_caller_s(pieces):
    """Not even a policy that joins anything takes a refusal in the echo's place for an answer."""
    with pytest.raises(SeamMissedError):
        spliced(user_turn(accept=frozenset({"anything", "ended"})), answer(*pieces, reason="refusal"))


def test_refusal_before_anything_else_is_not_the_caller_s_after_a_block_either():
    """Where no anchor was asked for, a model that says nothing but no has refused the instruction."""
    with pytest.raises(SeamMissedError, match="refusal"):
        spliced(Joining(Strategy.USER_TURN), start(), ending("refusal"), delivered=AFTER_RESULT)


@pytest.mark.parametrize(
    ("joining", "pieces", "delivered"),
    [
        (user_turn(), [ANCHOR, " and"], OPEN),
        (prefill(), [" and"], OPEN),
        (prefill(), [], OPEN),
        (Joining(Strategy.USER_TURN), ["So"], AFTER_RESULT),
        (Joining(Strategy.RESTART), [], start()),
    ],
)
def test_refusal_of_what_the_caller_asked_for_is_theirs(joining, pieces, delivered):
    """A refusal in mid-text, of a prefill or of a restart is upstream's answer to the caller."""
    _, events = spliced(joining, answer(*pieces, reason="refusal"), delivered=delivered)
    assert shown(events)[-1] == "refusal"


@pytest.mark.parametrize("blank_end", [False, True])
def test_late_words_in_the_seam_s_block_do_not_break_the_grammar(blank_end):
    """Where upstream lets blocks overlap, the seam's is over once another one began."""
    late = text(0, " late") + stop(0) if blank_end else stop(0)
    written = start() + block(0) + text(0, " so") + block(1, "hologram") + late + stop(1)
    _, events = spliced(prefill(), written)
    assert shown(events) == [(0, " so"), ("stop", 0), ("start", 1, "hologram"), ("stop", 1)]


def test_frames_go_on_as_they_came_once_nothing_can_change_in_them():
    """Text is transparent where its index stays, the seam lies behind it, and no limit can cut it."""

    def transparent(joining, *written, delivered=OPEN, index=0):
        return spliced(joining, *written, delivered=delivered)[0].is_transparent(index)

    begun = start() + block(0) + text(0, ANCHOR)
    assert not transparent(user_turn(), begun)
    assert transparent(user_turn(), begun, text(0, " so"))
    assert not transparent(user_turn(is_citing=True), begun, text(0, " so"))
    assert not transparent(user_turn(limit=100), begun, text(0, " so"))
    assert not transparent(user_turn(stop_sequences=["STOP!"]), begun, text(0, " so"))
    assert transparent(user_turn(stop_sequences=["STOP!"]), begun, text(0, " so long"))
    assert transparent(user_turn(), begun, text(0, " so"), stop(0), block(1), index=1)
    assert not transparent(user_turn(), begun, text(0, " so"), stop(0), block(1), index=0)
    assert not transparent(Joining(Strategy.USER_TURN), start(), block(0), delivered=AFTER_RESULT)
    assert transparent(Joining(Strategy.RESTART), start(), block(0), delivered=start())
