"""A broken line or sentence that was repeated as a whole, and is shorter than what is certain."""

from __future__ import annotations

import pytest

from resumable._core.seam import Join, Missed, MissedReason, SeamFinder, choose_anchor
from tests.core.seams import decide, own, reason

PROSE = (
    "Rivers shape the land they cross. Where the slope is steep they cut; where it is gentle they build. "
    "A delta is what remains of a mountain, carried grain by grain to the sea."
)
LONG = " ".join(f"Sentence {n} says {n * 7919 % 1009}." for n in range(60))
ROW = "| same | row | 1 |\n"
DATES = "".join(f"2026-{n:02}-{n + 4:02},{n * 7919 % 1009},ok\n" for n in range(1, 12)) + "2026-"
LIST = f"{PROSE}\n\n- Silt is what the river drops first.\n- Clay"


@pytest.mark.parametrize(
    ("delivered", "echo", "rest"),
    [
        (LIST, "- Clay", " goes further, and salt to the end."),
        (f"{PROSE}\n| 12 | mud", "| 12 | mud", "dy | 3 |"),
        (f"{PROSE} Marshes", "Marshes", " come and go."),
        (f"{PROSE}\n    if si", "    if si", "lt:\n        return 0"),
        (f"{PROSE}\n    if si", "if si", "lt:\n        return 0"),
        (f"{PROSE}\n河流改", "河流改", "变土地。"),
        (f"{PROSE}\n河流", "河流", "改变土地。"),
        (f"{PROSE}\n\n🚀 🌍", "🚀 🌍", " and away."),
        ("The storm was over. The", "The", " sea lay flat and nobody spoke."),
        (DATES, "2026-", "03-22,4,ok"),
        (DATES.removesuffix("26-"), "20", "26-03-22,4,ok"),
        (f"{PROSE}\n\n| 1 | mud |\n| 2 | silt |\n|", "|", " 3 | clay |"),
    ],
)
def test_a_short_broken_line_repeated_as_a_whole(delivered, echo, rest):
    """A few characters are enough if they are all there is of the line or sentence, common as they may be."""
    assert own(delivered, echo + rest) == ("aligned", rest)


def test_a_short_echo_is_believed_when_an_anchor_would_have_come():
    """What is held for it is bounded: a preamble's length and the anchor's."""
    finder = SeamFinder(LIST, choose_anchor(LIST))
    held = 200 + len(choose_anchor(LIST))
    assert finder.feed("- Clay" + "x" * (held - 7)) is None
    assert finder.feed("x") == Join("aligned", 6)


def test_a_preamble_may_begin_like_the_broken_line():
    """'Sure' was delivered; the anchor behind the preamble is what counts."""
    delivered = f"{PROSE}\nSure"
    anchor = choose_anchor(delivered)
    assert own(delivered, f"Sure, here it is:\n\n{anchor} thing.") == ("exact", " thing.")
    assert reason(delivered, "Sure, here it is:\n\nthing and nothing.") is MissedReason.NO_ANCHOR
    assert own(delivered, "Sure thing. Nothing is sure.\nOr is it?")[0] == "aligned"


def test_a_farewell_may_begin_like_the_broken_line():
    """'That' was delivered; 'That was the end of the answer' does not repeat it."""
    assert reason(f"{PROSE}\nThat", "That was the end of the answer.") is MissedReason.SAID_FINISHED


@pytest.mark.parametrize("kept", [16, 160])
def test_another_beginning_may_begin_like_the_broken_line(kept):
    """Starting over looks like repeating the last line for a while, and then the answer goes elsewhere."""
    delivered = f"Rapids first: {LONG}\nRapid"
    assert isinstance(decide(delivered, delivered[:kept] + " Quite different words, all of them."), Missed)


def test_another_beginning_that_agrees_no_longer_than_by_chance():
    """Rows begin alike; an answer that leaves the earlier one at once is the last one repeated."""
    assert own(f"Rapids first: {LONG}\nRapid", "Rapidly it falls.") == ("aligned", "ly it falls.")


def test_the_broken_line_said_twice():
    """Repeated and said once more, or said twice: nobody knows."""
    assert reason(LIST, "- Clay- Clay goes further.") is MissedReason.NO_ANCHOR


@pytest.mark.parametrize(("line", "rest"), [("Mud? Yes. Mud", " is all there is."), ("Go. Go", " on and see.")])
def test_a_line_that_ends_as_it_begins(line, rest):
    """The echo of the sentence is the beginning of the echo of the line, and each may be the one."""
    assert isinstance(decide(f"{PROSE}\n{line}", line + rest), Missed)


def test_only_the_broken_line():
    """Nothing followed it, so nothing tells what it was."""
    assert decide(LIST, "- Clay\n") == Missed(MissedReason.NO_ANCHOR, Join("unverified", 6))


@pytest.mark.parametrize("answer", ["Marsh Marshes come.", " Marshes come.", "\nMarshes come.", "marshes come."])
def test_a_short_echo_is_to_the_letter(answer):
    """Anything else in front, or missing, makes it text."""
    assert reason(f"{PROSE} Marshes", answer) is MissedReason.NO_ANCHOR


def test_a_short_echo_in_other_spacing():
    """What little there is has to be the same little."""
    assert reason(LIST, "-Clay goes further.") is MissedReason.NO_ANCHOR


BROKEN = "Oh, the water is wide, and n"
REFRAIN = "Oh, the water is wide, and no boat of mine was ever made to carry two. " * 5
VERSE = f"{REFRAIN}\nNobody sang, for once, and so the song went on without us.\n"
SONG = f"First.\n{VERSE}Second.\n{VERSE}Third.\n{BROKEN}"


@pytest.mark.parametrize("last", ["", "The end is near. " * 30])
def test_a_broken_line_that_has_come_before(last):
    """The answer goes on as the text once did, for longer than is waited, and then does not."""
    rest = f"{VERSE[len(BROKEN) :]}{last}"
    assert own(SONG, BROKEN + rest) == ("aligned", rest)


def test_an_earlier_line_that_begins_like_the_broken_one():
    """The model may have begun there and repeated everything since: no cut in the middle of that."""
    answer = SONG[SONG.index("Oh", SONG.index("Second")) :]
    assert reason(SONG, f"{answer}ot deep.") is MissedReason.AMBIGUOUS


def test_a_short_echo_of_a_long_period():
    """A model that repeated all of it, from where nobody expected, would begin so, too."""
    block = f"Once upon a time.\n{LONG}\n".replace(". ", ".\n")
    assert isinstance(decide(f"Preface.\n{block * 4}Once upo", "Once upon a time."), Missed)


def test_a_short_echo_of_periodic_text():
    """The next line would begin so, too."""
    delivered = (ROW * 30)[: len(ROW) * 20 + 6]
    assert reason(delivered, "| same row") is MissedReason.NO_ANCHOR


def test_a_short_echo_of_hardly_any_text():
    """What is shorter than an anchor has to be could be no shorter."""
    assert reason("Hi! Cla", "Clay goes further.") is MissedReason.NO_ANCHOR
