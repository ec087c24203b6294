"""Where the new part of a continuation begins."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resumable._core.anchor import fold
from resumable._core.seam import Join, Missed, MissedReason, Seam, SeamFinder, choose_anchor
from tests.core.seams import decide, own, reason

PROSE = (
    "Rivers shape the land they cross. Where the slope is steep they cut; where it is gentle they build. "
    "A delta is what remains of a mountain, carried grain by grain to the sea."
)
CODE = (
    "Here it is:\n\n```python\ndef area(width, height):\n    if width < 0:\n        raise ValueError(width)\n    retu"
)
TABLE = "| city | country |\n|---|---|\n| Paris | France |\n| Oslo | Norway |\n| Lima | Pe"
ROW = "| same | row | 1 |\n"
WORDS = st.lists(
    st.sampled_from(["alpha", "beta", "gamma,", "delta.", "\n\n", "-", "`", "“quoted”", "中文", "🙂", "x = y(1)", ""]),
    max_size=60,
)
ALPHABET = st.text(alphabet=st.sampled_from("ab c.\n|`“é中👩\u200d\u0301…"), max_size=200)


# -- laws ------------------------------------------------------------------------------------------


@given(ALPHABET, ALPHABET, st.lists(st.integers(1, 9), max_size=40))
@example("ab c.\nab c.\nab", "ab c.\nab c.\nab c.", [1])
def test_the_decision_does_not_depend_on_the_pieces(text, answer, sizes):
    """Law L3: any split of an answer gives the same decision."""
    delivered = text.rstrip()
    anchor = choose_anchor(delivered)
    finder = SeamFinder(delivered, anchor, window=120)
    decision, start = None, 0
    for size in [*sizes, len(answer)]:
        decision = finder.feed(answer[start : start + size])
        start += size
    whole = SeamFinder(delivered, anchor, window=120)
    assert whole.feed(answer) == decision
    assert whole.finish() == finder.finish()


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=400))
def test_arbitrary_text_is_decided(delivered, anchor, answer):
    """Law L7: whatever is delivered, asked for and answered, there is a decision, and it stays."""
    finder = SeamFinder(delivered, anchor)
    first = finder.feed(answer)
    decision = finder.finish()
    assert first in {None, decision}
    assert finder.feed("more") == decision
    join = decision.best if isinstance(decision, Missed) else decision
    assert 0 <= join.cut <= len(answer)


@given(WORDS, WORDS)
def test_a_compliant_answer_joins_exactly(before, after):
    """Repeating the anchor to the letter is all a model has to do."""
    delivered = f"{PROSE} {' '.join(before)}".rstrip()
    rest = f" {' '.join(after)} end"
    assert own(delivered, choose_anchor(delivered) + rest) == ("exact", rest)


@given(st.integers(1, len(PROSE) - 2), st.sampled_from([PROSE, CODE, TABLE, ROW * 30]), st.integers(0, 3))
def test_every_cut_of_a_document_joins(at, document, kind):
    """Exact at every character: anchor, anchor respaced, anchor requoted, anchor announced."""
    at = min(at + 20, len(document) - 2)  # less is too little behind a preamble
    delivered = document[:at].rstrip()
    rest = document[len(delivered) :]
    anchor = choose_anchor(delivered)
    echo = [anchor, " ".join(anchor.split()), anchor.replace('"', "“"), f"Continuing:\n\n{anchor}"][kind]
    assert own(delivered, echo + rest)[1] == rest


@given(WORDS, st.integers(0, 400))
def test_text_that_repeats_nothing_is_never_cut(words, at):
    """No labelled join cuts into text that holds no echo."""
    delivered = PROSE[: max(20, at % len(PROSE))].rstrip()
    answer = " ".join(words).replace("delta", "omega")
    assert isinstance(decide(delivered, answer), Missed)


def test_a_decision_comes_within_the_window():
    """Law L9: what is held is bounded while nothing is recognised."""
    finder = SeamFinder(PROSE[:100], choose_anchor(PROSE[:100]), window=300)
    assert finder.feed("x" * 299) is None
    assert isinstance(finder.feed("x"), Missed)


# -- the anchor ------------------------------------------------------------------------------------


def test_the_whitespace_after_the_anchor_is_the_models():
    """Delivered text ends in a character, so what follows it is kept as it comes."""
    delivered = PROSE[:33]
    assert delivered.endswith(".")
    assert own(delivered, choose_anchor(delivered) + "\n\nWhere") == ("exact", "\n\nWhere")


@pytest.mark.parametrize("lead", ["\n", "\n\n  ", "…", "... "])
def test_blank_space_and_ellipses_before_the_anchor(lead):
    """They are dropped with it."""
    assert own(PROSE[:90], lead + choose_anchor(PROSE[:90]) + PROSE[90:]) == ("exact", PROSE[90:])


def test_other_whitespace_inside_the_anchor_is_aligned():
    """The cut is behind the last character, wherever the line breaks went."""
    delivered = "First there was a line\n\n  and then another one that was\ncut rig"
    echo = " ".join(choose_anchor(delivered).split())
    assert own(delivered, echo + "ht here.") == ("aligned", "ht here.")


def test_changed_quotes_are_aligned():
    """Straight or curly, the words are the same."""
    delivered = 'They called it the "grain by grain" theory, and they weren\'t w'
    echo = choose_anchor(delivered).replace('"', "“").replace("'", "’")
    assert own(delivered, echo + "rong.") == ("aligned", "rong.")


def test_composed_characters_are_aligned():
    """NFC or NFD, the words are the same."""
    delivered = "On a servi le café brûlé à la fenêtre du deuxième étage, tout près d"
    echo = choose_anchor(delivered).replace("è", "e\u0300").replace("é", "e\u0301")
    assert own(delivered, echo + "u port.") == ("aligned", "u port.")


def test_a_character_is_not_torn_apart():
    """Delivered 'e', repeated 'é': the accent would be lost, so this is no echo."""
    delivered = "On a servi quelque chose sur la terrasse du cafe"
    assert reason(delivered, delivered[:-1] + "é noir.") is MissedReason.NO_ANCHOR


@pytest.mark.parametrize("lead", ["Continuing…\n\n", "Sure, here's the rest:\n\n", "**Continued:**\n\n", "继续：\n"])
def test_a_preamble_is_dropped(lead):
    """What announces the rest is not part of it."""
    assert own(PROSE[:90], lead + choose_anchor(PROSE[:90]) + PROSE[90:]) == ("exact", PROSE[90:])


def test_text_before_the_anchor_is_not_taken_for_a_preamble():
    """A refrain: the model went on, and came back to the same words."""
    delivered = PROSE[:140]
    answer = PROSE[140:] + "\n\n" + PROSE
    assert reason(delivered, answer) is MissedReason.NO_ANCHOR


def test_a_fence_opened_again_is_dropped():
    """The block is open where the caller is; its second opening line is not text."""
    assert own(CODE, "```python\n" + choose_anchor(CODE) + "rn 1") == ("exact", "rn 1")


@pytest.mark.parametrize("lead", ["```\n", "“", "> "])
def test_a_wrapped_answer_is_not_joined(lead):
    """Something will be closed, or go on in every line, where nobody can cut it."""
    decision = decide(PROSE[:90], lead + choose_anchor(PROSE[:90]) + PROSE[90:])
    assert isinstance(decision, Missed)
    assert decision.reason is MissedReason.WRAPPED
    assert decision.best == Join("unverified", len(lead + choose_anchor(PROSE[:90])))


# -- other echoes ----------------------------------------------------------------------------------


def test_the_line_of_the_anchor_repeated():
    """Overshooting to the beginning of a line changes nothing."""
    start = TABLE.index("| Paris")
    assert own(TABLE, TABLE[start:] + "ru |") == ("exact", "ru |")


def test_the_broken_sentence_repeated():
    """Less than was asked for, but the whole sentence, to the letter."""
    delivered = PROSE[:54]
    assert own(delivered, PROSE[34:]) == ("aligned", PROSE[54:])


@pytest.mark.parametrize("delivered", ["The storm was over the", "The storm was over, and the", "Then came The"])
def test_a_short_overlap_is_not_trimmed(delivered):
    """Three letters in common are no echo, unless they are all there is of a line or sentence."""
    assert reason(delivered, "the sea lay flat and nobody spoke.") is MissedReason.NO_ANCHOR


def test_an_overlap_from_nowhere_is_not_trimmed():
    """The last words of the anchor, begun in the middle of a sentence."""
    assert reason(PROSE[:140], PROSE[125:]) is MissedReason.NO_ANCHOR


def test_a_repeated_line_behind_a_line_break_may_be_text():
    """A refrain comes behind a line break; a mistake comes first."""
    delivered = f"{PROSE}\nAnd so it goes for ever"
    assert isinstance(decide(delivered, "And so it goes for ever and ever."), Join)
    assert isinstance(decide(delivered, "\nAnd so it goes for ever and ever."), Missed)


def test_lost_indentation_makes_a_repeated_line_text():
    """The line break was lost, and the indentation with it."""
    first, *lines = ["for x in y:", "if x is not None and x.total > 0 and x.kind != 1:", "    return x"]
    delivered = "\n    ".join([first, *lines])
    start = delivered.rindex("if x")
    assert isinstance(decide(delivered, "    " + delivered[start:] + " + 1"), Join)
    assert isinstance(decide(delivered, delivered[start:] + " + 1"), Missed)


@pytest.mark.parametrize("length", [150, 5000])
def test_an_answer_that_starts_over(length):
    """Everything is repeated; only the new part is kept, however long it was."""
    document = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(600))
    assert own(document[:length].rstrip(), document) == ("exact", document[len(document[:length].rstrip()) :])


def test_a_preamble_before_starting_over():
    """Also behind a preamble, and longer than the window."""
    document = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(200))
    for at in (300, 2000):
        delivered = document[:at].rstrip()
        answer = "Of course, here is all of it:\n\n" + document
        assert own(delivered, answer) == ("exact", document[len(delivered) :])


def test_starting_over_in_other_whitespace_is_aligned():
    """The memory of what was compared is a counter, whatever the spacing."""
    document = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(200))
    answer = document[:2000].replace(" ", "\n") + document[2000:]
    assert own(document[:2000].rstrip(), answer)[0] == "aligned"


def test_starting_over_in_other_words():
    """The first difference ends it."""
    document = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(200))
    assert reason(document[:2000].rstrip(), document[:1500] + "Other words.") is MissedReason.DIVERGED


def test_starting_over_and_stopping_early():
    """The repetition never reached its end."""
    document = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(200))
    assert reason(document[:2000].rstrip(), document[:1500]) is MissedReason.DIVERGED


# -- doubt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, len(ROW) * 12])
def test_periodic_text_joins_only_where_it_was_asked_to(start):
    """A model that began elsewhere may have repeated one row or ten, or none."""
    delivered = (ROW * 30)[: len(ROW) * 20 + 8]
    assert own(delivered, choose_anchor(delivered) + ROW[8:] + ROW) == ("exact", ROW[8:] + ROW)
    assert reason(delivered, delivered[start:] + ROW[8:] + ROW * 60) is MissedReason.AMBIGUOUS


def test_going_on_in_periodic_text_is_not_an_echo():
    """The next row looks like the last one."""
    delivered = (ROW * 30)[: len(ROW) * 20 + 8]
    assert reason(delivered, ROW[8:] + ROW * 60) is MissedReason.AMBIGUOUS


def test_a_second_period_just_begun():
    """Starting over, or repeating only the few letters of the broken line."""
    line = "Not there, about nothing that anybody had ever really heard of before.\n"
    assert reason(line * 2 + line[:12], line * 9) is MissedReason.AMBIGUOUS
    assert reason(line + line[:12].rstrip(), line * 9) is MissedReason.AMBIGUOUS


def test_a_loop_that_was_written_twice():
    """What comes next has come next before."""
    loop = "    for item in items:\n        total += item.price * item.count\n"
    delivered = f"def f(items):\n{loop}    print(total)\n{loop}".rstrip()
    answer = "\n    print(total)\n" + loop
    assert not isinstance(decide(delivered, answer), Join)


def test_a_line_that_was_written_once_and_begun_again():
    """Either the model went back to the first, or the second is to be as long and the model repeated what it had."""
    before = "def f(total):\n    # Whatever it was before, it is something else by now.\n"
    line = "    if total is None or total.is_done:\n        return None\n"
    assert reason(f"{before}{line}    if tot", f"{line}    if total > 9:\n") is MissedReason.AMBIGUOUS


def test_an_anchor_with_its_indentation_is_its_line():
    """The anchor of a line that was written twice; the second of three may have been repeated, or the last."""
    rows = "        total += item.price\n        total += item.price"
    delivered = f"def f(items):\n    total = 0\n    for item in items:\n{rows}"
    anchor = "total += item.price\n        total += item.price"
    for indentation, expected in (("", Join("exact", len(anchor))), ("        ", None)):
        finder = SeamFinder(delivered, anchor)
        finder.feed(f"{indentation}{anchor}\n    return total")
        assert isinstance(finder.finish(), Missed) if expected is None else finder.finish() == expected


def test_a_long_passage_that_was_delivered_twice():
    """Starting over looks like repeating the second passage until the first one ends."""
    passage = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(12))
    delivered = f"{passage} And now for something else, which takes a line of its own. {passage}"
    assert own(delivered, choose_anchor(delivered) + " End.") == ("exact", " End.")
    assert reason(delivered, delivered + " End.") is MissedReason.AMBIGUOUS


def test_too_little_before_an_echo_to_compare():
    """What little stands before it is how the text ends: a second row may have begun."""
    row = "a long enough row of words that was only ever said once "
    assert reason(f"|{row}|", f"{row}|{row}|{row}") is MissedReason.AMBIGUOUS


def test_rows_that_begin_alike_are_told_apart_by_how_they_go_on():
    """The broken row's first letters begin other rows too, which went on in another way."""
    delivered = (
        "Log.\n2026-01-01,four hundred and six,ok\n2026-02-02,eleven thousand and nine of the parcels,failed\n2026-"
    )
    assert own(delivered, delivered[delivered.index("2026-02") :] + "03-03,one,ok") == ("exact", "03-03,one,ok")


def test_a_tiny_anchor_may_begin_a_preamble():
    """'C' was delivered; 'Continuing' does not repeat it."""
    assert reason("C", "Continuing…\n\nCats are small.") is MissedReason.AMBIGUOUS
    assert own("C", "Cats are small. Cows are not.") == ("exact", "ats are small. Cows are not.")


def test_a_tiny_anchor_may_begin_a_farewell():
    """'Th' was delivered; 'The reply is complete' does not repeat it."""
    assert reason("Th", "The reply above is complete.") is MissedReason.SAID_FINISHED
    assert own("Th", "The end of the pier.") == ("exact", "e end of the pier.")


def test_a_tiny_anchor_is_believed_after_a_while():
    """The wait for a preamble's end is bounded."""
    finder = SeamFinder("C", "C")
    assert finder.feed("C" + "a" * 198) is None
    assert finder.feed("a") == Join("exact", 1)


def test_a_tiny_anchor_and_nothing_else():
    """Blank space behind it is not an answer."""
    finder = SeamFinder("C", "C")
    assert finder.feed("C" + " " * 220) is None
    assert finder.finish() == Missed(MissedReason.ANCHOR_ONLY, Join("exact", 1))
    assert reason("C", "C") is MissedReason.ANCHOR_ONLY


# -- no answer -------------------------------------------------------------------------------------


def test_only_the_anchor():
    """The message may in truth have been complete; the session decides."""
    anchor = choose_anchor(PROSE)
    assert decide(PROSE, anchor + "\n") == Missed(MissedReason.ANCHOR_ONLY, Join("exact", len(anchor)))
    assert decide(PROSE, PROSE).reason is MissedReason.ANCHOR_ONLY


def test_endless_space_behind_the_anchor():
    """Not even blank space is held for ever."""
    anchor = choose_anchor(PROSE)
    finder = SeamFinder(PROSE, anchor, window=100)
    assert finder.feed(anchor + " " * 100) is None
    assert finder.feed(" ") == Join("exact", len(anchor))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", MissedReason.EMPTY),
        (" \n", MissedReason.EMPTY),
        ("My previous response was already complete.", MissedReason.SAID_FINISHED),
        ("and on to the ocean.", MissedReason.NO_ANCHOR),
        ("mountain, carr", MissedReason.TORN),
    ],
)
def test_answers_without_the_anchor(answer, expected):
    """Each has its own reason."""
    assert reason(PROSE, answer) is expected


def test_nothing_delivered_has_no_anchor():
    """There is nothing to repeat."""
    assert reason("", "Hello") is MissedReason.NO_ANCHOR


def test_the_best_join_drops_a_repeated_line_all_the_same():
    """Unverified: the broken line, when it was repeated in front."""
    delivered = f"{PROSE}\n|---"
    assert decide(delivered, "|---|---|").best == Join("unverified", 4)
    assert decide(delivered, "|---|").best == Join("unverified", 4)
    assert decide(delivered, "|").best == Join("unverified", 0)


def test_a_seam_is_a_plain_record():
    """It goes into reports as it is."""
    seam = Seam(attempt=2, strategy="user_turn", at=120, quality="exact", removed=41)
    assert msgspec.json.decode(msgspec.json.encode(seam), type=Seam) == seam


@given(st.integers(30, len(PROSE) - 2))
def test_a_label_is_never_wrong_about_the_line(at):
    """Whatever line or sentence is repeated, a labelled join has the right bytes."""
    delivered = PROSE[:at].rstrip()
    for start in (0, 34, 67, 102):
        if start < len(delivered):
            decision = decide(delivered, PROSE[start:])
            assert isinstance(decision, Missed) or fold(PROSE[start:][decision.cut :]) == fold(PROSE[len(delivered) :])
