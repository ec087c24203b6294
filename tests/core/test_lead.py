"""What a model says before it repeats the anchor, or instead of it."""

from __future__ import annotations

import pytest

from resumable._core.anchor import fold
from resumable._core.lead import Lead, announces, read_lead, says_finished

DELIVERED = "Some prose. Here it is: a row\nand another"
FENCED = "Look:\n```python\nx = 1\ny"


def read(lead, delivered=DELIVERED):
    """Read a lead before an echo of *delivered*."""
    return read_lead(lead, delivered, fold(delivered))


@pytest.mark.parametrize("lead", ["", "\n\n", "…", "... "])
def test_nothing_is_nothing(lead):
    """Blank space and an ellipsis say nothing."""
    assert read(lead) is Lead.NOTHING


@pytest.mark.parametrize(
    "lead",
    ["Continuing…\n\n", "Sure, here's the rest:\n", "(continued)\n", "**Continued:**\n\n", "Okay. ", "好的，继续：\n"],
)
def test_an_announcement_is_a_preamble(lead):
    """One line that ends in a statement, in whatever language."""
    assert read(lead) is Lead.PREAMBLE


@pytest.mark.parametrize(
    "lead",
    [
        " and then it went on.\n",
        "went on like that. ",
        "Two lines\nof text.\n",
        "It went on to the ",
        "Here it is: ",
        "Words " * 40 + ".\n",
    ],
)
def test_what_may_be_text_is_no_preamble(lead):
    """Text that goes on in the middle, has several lines, or was delivered before."""
    assert read(lead) is None


@pytest.mark.parametrize("lead", ["“", "<received>", "> ", "Continuing:\n- ", "**", "`"])
def test_what_will_be_closed_is_a_quotation(lead):
    """Its other end stands where nobody will look for it."""
    assert read(lead) is Lead.QUOTATION


def test_a_fence_is_a_preamble_only_where_one_is_open():
    """Elsewhere it wraps the answer and is closed at its end."""
    assert read("```python\n", FENCED) is Lead.PREAMBLE
    assert read("Sure:\n```\n", FENCED) is Lead.PREAMBLE
    assert read("```python\n") is Lead.QUOTATION
    assert read("\n```\n", FENCED) is Lead.PREAMBLE


def test_text_before_a_fence_is_text():
    """A fence does not make a preamble of what stands before it."""
    assert read(" = 2\nz = 3\n```\n", FENCED) is None


@pytest.mark.parametrize("lead", ["Continuing:", "Okay…\n", "Fine.\n\n", "以下：\n"])
def test_plain_announcements(lead):
    """A colon, an ellipsis or an empty line announces."""
    assert announces(lead)


def test_a_sentence_announces_nothing():
    """Not every end of a sentence is an announcement."""
    assert not announces("It was so. ")


@pytest.mark.parametrize(
    "text",
    [
        "My answer was already complete.",
        "I had finished.",
        "There is nothing more to add.",
        "That was the end of the text.",
    ],
)
def test_saying_that_it_was_finished(text):
    """A short answer that says so."""
    assert says_finished(text)


@pytest.mark.parametrize("text", ["on the mat.", "It was complete. " + "More text follows here. " * 20])
def test_saying_something_else(text):
    """Own text, and a long answer, say more than that."""
    assert not says_finished(text)
