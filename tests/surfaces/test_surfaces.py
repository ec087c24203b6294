"""Surfaces times faults: what the page says is what comes of it, in every colour, and nothing is lost or doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pages import tables
from tests.surfaces.page import HEAD, PAGE, STREAM_HEAD, WHOLE_HEAD
from tests.surfaces.table import STREAMED, TROUBLES, WHOLE, cell, colours_of, faultless, outcome, row, worded
from tests.surfaces.ways import SURFACES

if TYPE_CHECKING:
    from tests.surfaces.ways import Surface

TEXT = PAGE.read_text(encoding="utf-8")
ROWS = {cells[0]: cells[1:] for table in tables(TEXT) for cells in table[1:]}
TITLES = [trouble.title for trouble in TROUBLES]
CASES = [pytest.param(one, colour, id=f"{one.acall.__name__}-{one.transport}-{colour}")
         for one in SURFACES for colour in colours_of(one)]  # fmt: skip
LEFT_ALONE = [case for case in CASES if case.values[0] in WHOLE]

# Generators that the SDK and its transports leave behind under trio are theirs.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpcore|anthropic):ResourceWarning")


@pytest.mark.parametrize(("surface", "colour"), CASES)
def test_the_page_says_what_comes_of_every_fault(surface: Surface, colour: str):
    """Draw the page anew when this is meant to change: python -m tests.surfaces.page."""
    said = dict(zip(TITLES, ROWS[surface.title], strict=True))
    assert dict(zip(TITLES, row(surface, colour), strict=True)) == said


def test_the_page_has_no_hole():
    """Every surface meets every fault, and around the tables stands what the generator writes."""
    assert [table[0][1:] for table in tables(TEXT)] == [TITLES, TITLES]
    assert list(ROWS) == [surface.title for surface in (*STREAMED, *WHOLE)]
    assert all(found for cells in ROWS.values() for found in cells)
    assert [part for part in (HEAD, STREAM_HEAD, WHOLE_HEAD) if part not in TEXT] == []


@pytest.mark.parametrize("surface", STREAMED, ids=lambda surface: surface.title)
def test_a_stream_is_exact_after_every_fault_that_ends(surface: Surface):
    """The page may say something else of no fault that asking again can heal."""
    for trouble, found in zip(TROUBLES, ROWS[surface.title], strict=True):
        assert found.startswith("`" if trouble.is_final else "exact (+1)"), trouble.title


@pytest.mark.parametrize(("surface", "colour"), LEFT_ALONE)
def test_what_does_not_stream_is_as_the_sdk_leaves_it(surface: Surface, colour: str):
    """Text, error and number of requests are those of a client without us."""
    for trouble in TROUBLES:
        if trouble.of_whole is not None:
            bare = worded(outcome(surface, trouble, colour, ours=False), surface)
            assert cell(surface, trouble, colour) == bare, trouble.title


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.title)
def test_a_surface_says_something_when_nothing_goes_wrong(surface: Surface):
    """What every cell is held against is a text, and long enough to break in its middle."""
    expected = faultless(surface)
    assert len(expected.text or "") > 200
    assert outcome(surface, None, "asyncio") == expected
