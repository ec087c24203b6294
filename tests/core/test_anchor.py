"""The delivered tail, folded, and the words chosen from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.anchor import choose_anchor, ends_statement, fold, is_telling, natural_echoes, unique_length, weigh

TEXT = st.text(alphabet=st.sampled_from("ab c.\n|-é“中👩\u200d\u0301"), max_size=300)
PROSE = "The quick brown fox jumps over the lazy dog. Nobody saw it coming, and nobody minded much"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a  b\n\tc", "abc"),
        ("“quoted” ‘it’", "\"quoted\"'it'"),
        ("cafe\u0301", "caf\u00e9"),
        ("one – two — three", "one-two-three"),
        ("wait…", "wait..."),
        ("a\u00a0b", "ab"),
    ],
)
def test_what_a_copy_changes_folds_to_the_same(one, other):
    """Whitespace, kinds of quotes and dashes and composed characters make no difference."""
    assert fold(one) == fold(other)


@given(TEXT, TEXT)
def test_folding_is_a_function_of_each_character(one, other):
    """Text can be folded piece by piece."""
    assert fold(one + other) == fold(one) + fold(other)


def test_wide_characters_weigh_double():
    """A Chinese character says as much as two Latin letters."""
    assert (weigh("ab"), weigh("中文"), weigh("")) == (2, 4, 0)


@given(st.text(alphabet="ab", min_size=1, max_size=60), st.integers(1, 40))
def test_the_unique_length_is_the_shortest(folded, limit):
    """The ending of that length occurs once and every shorter one occurs earlier too."""
    length = unique_length(folded, limit)
    counts = [folded.find(folded[-n:]) == len(folded) - n for n in range(1, min(limit, len(folded)) + 1)]
    assert length == (counts.index(True) + 1 if any(counts) else None)


@given(TEXT)
def test_an_anchor_is_a_bounded_ending(text):
    """Whatever was delivered, the anchor is an ending of it and never long."""
    delivered = text.rstrip()
    anchor = choose_anchor(delivered)
    assert delivered.endswith(anchor)
    assert len(anchor) <= 264
    assert bool(anchor) is bool(delivered)


def test_an_anchor_begins_with_a_whole_word():
    """In prose nothing is torn apart."""
    anchor = choose_anchor(PROSE)
    assert PROSE[: -len(anchor)].endswith(" ")
    assert PROSE.count(anchor) == 1


def test_a_short_text_is_its_own_anchor():
    """There is nothing more to quote."""
    assert choose_anchor("Hi, I") == "Hi, I"


def test_an_anchor_grows_until_it_is_unique():
    """A tail that occurs earlier is lengthened to where it differs."""
    same = "and then the very same sentence came along once again, word by word"
    text = f"In spring {same}. In autumn {same}"
    assert text.count(choose_anchor(text)) == 1


def test_an_anchor_without_spaces_keeps_characters_whole():
    """Combining marks and joined emoji stay with what they belong to."""
    family = "👨\u200d👩\u200d👧"
    anchor = choose_anchor(f"{'中文字符' * 3}甲乙丙丁" + family * 2 + "e\u0301" * 3)
    assert anchor[0] not in "\u200d\u0301"
    assert anchor.count("👨") == anchor.count("👧")


@pytest.mark.parametrize("row", ["| one | two | 3 |\n", "Not there, about nothing. ", "ha ha, "])
@pytest.mark.parametrize("extra", range(0, 17, 3))
def test_a_periodic_anchor_reads_like_no_other_beginning(row, extra):
    """Neither the line's beginning, nor everything's, nor what comes next begins like it."""
    delivered = (row * 30 + row[:extra]).rstrip()
    rest = fold((row * 40)[len(delivered) :])
    anchor = fold(choose_anchor(delivered))
    assert not rest.startswith(anchor)
    assert not fold(delivered).startswith(anchor)


def test_an_anchor_does_not_begin_where_a_preamble_would_end():
    """A sentence or line before it would make repeated text look like a preamble."""
    delivered = "It began.\nSo this is a line that nobody has ever written before, isn't it"
    start = len(delivered) - len(choose_anchor(delivered))
    assert not ends_statement(delivered[:start])


def test_one_letter_over_and_over_still_gets_an_anchor():
    """Where every beginning is a bad one, the nearest is taken."""
    assert set(choose_anchor("=" * 1000)) == {"="}


def test_natural_echoes_are_those_of_line_sentence_and_paragraph():
    """A model that overshoots begins at one of them."""
    delivered = "Title\n\nFirst words. Second words go\nthird line. Fourth, broken"
    folded = fold(delivered)
    expected = {len(folded), *(len(fold(delivered[delivered.index(w) :])) for w in ("First", "third", "Fourth"))}
    assert expected <= natural_echoes(delivered, "Fourth, broken", folded)


LONG = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(200))


@pytest.mark.parametrize("echo", ["- Ne", "| 12", "    done.", "The", "2026-0", "我们", "Été", "#x", "😀🚀"])
def test_a_telling_echo(echo):
    """A few characters, if they are not all alike and no text would say them twice."""
    delivered = f"{PROSE}\n{echo}"
    assert is_telling(echo, delivered)


@pytest.mark.parametrize(
    "echo",
    [
        "N",
        "1",
        "11",
        "1 1",
        "**",
        "- ",
        "|---",
        "| :-",
        "```",
        "我",
        "각",
        "😀",
        "👍🏽",
        "🇩🇪",
        "👨‍👩‍👧‍👦",
        "😀 😀",
        "No!",
        "真的。",
    ],
)
def test_an_echo_that_tells_nothing(echo):
    """One sign, be it a flag or a family; a mark that no line began with; a whole sentence."""
    delivered = f"{PROSE}\n{echo}"
    assert not is_telling(echo, delivered)


@pytest.mark.parametrize(
    ("before", "echo"),
    [
        ("say bye bye now, whoever said so\n", "bye"),
        ("pass\nx = 1\n", "pass"),
        ("|1|\n||\n|2|\n", "|"),
        ("```\n```\n", "```"),
    ],
)
def test_an_echo_of_what_the_text_has_said_before(before, echo):
    """Twice in a row, as a line of its own; a mark that was doubled, or one that opens and closes."""
    delivered = f"{LONG}\n{before}\n{echo}"
    assert not is_telling(echo, delivered)


@pytest.mark.parametrize(
    ("before", "echo"),
    [
        ("bye now, whoever said so", "bye"),
        ("    pass\n    x = 1", "    pass"),
        (f"{PROSE}\n" * 9, PROSE[:40]),
        (LONG[:700], "Sentence"),
        ("x = 0.20", "20"),
        ("- sand\n- silt", "- "),
    ],
)
def test_an_echo_that_tells_all_the_same(before, echo):
    """With its indentation, long, common, twice across two lines, or a mark that lines have begun with."""
    delivered = f"{LONG}\n{before}\n{echo}"
    assert is_telling(echo, delivered)
