"""The page on prices is what the code has."""

from __future__ import annotations

from typing import Any

import pytest

from resumable import prices
from resumable.prices import PRICES, PRICES_AS_OF, Books, Line, Price, Spared, Tokens
from tests.pages import names, read, section, tables

PAGE = read("docs/reference/prices.md")


def test_the_table_is_the_table():
    """Every model and every rate of the page is the code's, in the code's order, and so is the date."""
    rows = tables(section(PAGE, "## The table"))[0][1:]
    told = {names(row[0])[0]: tuple(map(float, row[1:])) for row in rows}
    assert list(told) == list(PRICES)
    assert told == {
        name: (price.input, price.output, price.cache_write_5m, price.cache_write_1h, price.cache_read)
        for name, price in PRICES.items()
    }
    assert f"taken down: {PRICES_AS_OF}." in PAGE


@pytest.mark.parametrize("struct", [Price, Books, Line, Tokens, Spared], ids=lambda struct: struct.__name__)
def test_fields_are_those_of_the_code(struct: Any):
    """Every field in order, and then every public property."""
    shown = [name for row in tables(section(PAGE, f"## `{struct.__name__}`"))[0][1:] for name in names(row[0])]
    properties = [
        name for name, value in vars(struct).items() if isinstance(value, property) and not name.startswith("_")
    ]
    assert shown == [*struct.__struct_fields__, *properties]


def test_every_public_name_is_on_the_page():
    """What `resumable.prices` exports is explained."""
    assert [name for name in prices.__all__ if f"`{name}" not in PAGE] == []
