"""What the reference lists is what the code has."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

import resumable
from resumable import Attempt, Exhausted, Notice, Obstacle, Report, ResumableError, RetryPolicy, Seam
from resumable._core import errors, store_errors
from resumable._core.continuation import Strategy
from resumable._core.errors import (
    AttemptError,
    ConnectError,
    RecoveryError,
    StreamInterruptedError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.hold import HOLDABLE
from resumable._core.retry import Row, row_of
from resumable._report import headers_of
from resumable.middleware._errors import class_for
from tests.pages import names, read, section, tables

API = read("docs/reference/api.md")
ERRORS = read("docs/reference/errors.md")
EVENTS = read("docs/reference/events.md")
RECOVERY = read("docs/explanation/recovery.md")

ERROR_NAMES = [name for name in resumable.__all__ if name.endswith("Error")]
STRUCTS = [Attempt, Notice, Report, Seam]


def first_column(text: str, place: int = 0) -> list[str]:
    """List the names in the first column of a table of a text."""
    return [name for row in tables(text)[place][1:] for name in names(row[0])]


def properties(cls: type) -> list[str]:
    """List the properties that a class defines, in order."""
    return [name for name, value in vars(cls).items() if isinstance(value, property)]


def described(kind: type[ResumableError]) -> list[str]:
    """List the attributes that an error's own constructor adds."""
    parent = kind.__mro__[1]
    if "__init__" not in vars(kind):
        return []
    inherited = list(inspect.signature(parent).parameters) if "__init__" in vars(parent) else []
    return [name for name in inspect.signature(kind).parameters if name not in inherited]


def test_the_api_page_has_every_public_name():
    """Every name of `resumable.__all__` is a heading of the page or in its last section, and nothing else is."""
    headings = re.findall(r"^### `(\w+)`$", API, re.MULTILINE)
    last = names(section(API, "## The errors"))
    assert sorted([*headings, *last]) == sorted(resumable.__all__)


@pytest.mark.parametrize("name", ["wrap", "report", "Resumable"])
def test_signatures_are_those_of_the_code(name: str):
    """The page shows the arguments in order, says which go by keyword, and describes each."""
    part = section(API, f"### `{name}`")
    [shown] = re.findall(r"```python\n(.*)\n```", part)
    space: dict[str, Any] = {"random": __import__("random")}
    exec(f"def {shown}: ...", space)
    expected = inspect.signature(getattr(resumable, name)).parameters.values()
    told = inspect.signature(space[name]).parameters.values()
    assert [(one.name, one.kind, one.default is None) for one in told] == [
        (one.name, one.kind, one.default is None) for one in expected
    ]
    assert first_column(part) == [one.name for one in expected]


def test_the_policy_s_fields_and_defaults_are_those_of_the_code():
    """Every field in order; a default that is written as code is the default."""
    rows = tables(section(API, "### `RetryPolicy`"))[0][1:]
    fields = dataclasses.fields(RetryPolicy)
    assert [names(row[0]) for row in rows] == [[field.name] for field in fields]
    told = [(field.name, row[1]) for field, row in zip(fields, rows, strict=True) if "`" in row[1]]
    assert told == [(field.name, f"`{field.default!r}`") for field in fields if field.name in dict(told)]
    assert len(told) == len(fields) - 4  # All but the four waits.


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_fields_are_those_of_the_code(struct: Any):
    """Every field of what recovery tells, in order, and then every property."""
    assert first_column(section(API, f"### `{struct.__name__}`")) == [*struct.__struct_fields__, *properties(struct)]


def test_the_error_tree_is_the_tree():
    """The page draws the tree as the code does, and says of each class whose fault it is and what to do next."""
    lines: list[str] = []
    for module in (errors, store_errors):
        drawn = (module.__doc__ or "").partition("::\n\n")[2]
        branch = [line.removeprefix("    ") for line in drawn.rstrip().splitlines()]
        assert "\n".join(branch) in section(ERRORS, "## The tree")
        lines = [*lines[:-1], *branch]  # The tree ends with the root of the branch.
    table = section(ERRORS, "## Whose fault, and what next")
    assert first_column(table) == [re.sub(r"^[^A-Za-z]*", "", line).split()[0] for line in lines]
    assert sorted(first_column(table)) == ERROR_NAMES


@pytest.mark.parametrize("name", [name for name in ERROR_NAMES if described(getattr(resumable, name))])
def test_attributes_are_those_of_the_code(name: str):
    """Every attribute that a class adds, in order."""
    assert first_column(section(ERRORS, f"### `{name}`")) == described(getattr(resumable, name))


@pytest.mark.parametrize(
    ("heading", "members"),
    [("### `RetriesExhaustedError`", Exhausted), ("### `NotContinuableError`", Obstacle)],
    ids=["Exhausted", "Obstacle"],
)
def test_every_member_of_the_enums_is_explained(heading: str, members: Any):
    """Each limit and each obstacle has a row that says when it is met and what to do."""
    table = tables(section(ERRORS, heading))[1]
    assert names(table[0][0]) == [members.__name__]
    assert [names(row[0]) for row in table[1:]] == [[member.name] for member in members]
    assert all(row[1] and row[2] for row in table[1:])


def test_the_sdk_s_classes_are_those_of_the_code():
    """What the page says about a failure's class in the SDK is what is made of it."""
    rows = {names(row[0])[0]: row[1] for row in tables(section(ERRORS, "## Which class of the SDK it also is"))[0][1:]}
    assert sorted(rows) == sorted(kind.__name__ for kind in AttemptError.__subclasses__())
    for status, sdk in re.findall(r"(\d+) `(\w+)`", rows.pop("UpstreamStatusError")):
        assert class_for(UpstreamStatusError(int(status))).__name__ == sdk
    events = rows.pop("UpstreamEventError")
    for kind, sdk in re.findall(r"`(\w+_error)` `(\w+)`", events):
        assert class_for(UpstreamEventError(kind)).__name__ == sdk
    assert class_for(UpstreamEventError("new_error")).__name__ == names(events)[-1]
    for name, cell in rows.items():
        facts = ("bytes", 1.0) if name == "StreamStalledError" else ("reason",)
        assert class_for(getattr(resumable, name)(*facts)).__name__ == names(cell)[0]
    assert class_for(ConnectError("ConnectTimeout", is_timeout=True)).__name__ == names(rows["ConnectError"])[1]


def test_what_is_held_is_what_can_be_named():
    """The table of what is held has the names that `hold=` takes."""
    assert first_column(section(EVENTS, "## What is held back")) == list(HOLDABLE)


def test_headers_are_those_that_are_sent():
    """Every header that a response can get is on the page."""
    report = Report(
        "id",
        [Attempt(1, Strategy.ORIGINAL, 0.0, is_estimated=True)],
        [Seam(2, "user_turn", 1, "exact", 1)],
        unkept="timeout",
    )
    assert first_column(section(EVENTS, "## Headers of the response")) == list(headers_of(report))


def test_failures_are_in_the_rows_that_decide():
    """Each status and each type in the table of failures is treated as the table says."""
    rows = tables(section(RECOVERY, "## Again, and when"))[0][1:]
    decided = {Row(names(row[2])[0]) if names(row[2]) else Row.TERMINAL for row in rows}
    assert decided == set(Row)
    for what, _, field in rows:
        expected = Row(names(field)[0]) if names(field) else Row.TERMINAL
        for name in names(what):
            failure: AttemptError = UpstreamEventError(name)
            if name.isdigit():
                failure = UpstreamStatusError(int(name))
            elif name.endswith("_reached"):
                failure = UpstreamStatusError(429, "rate_limit_error", name)
            assert (name, row_of(failure)) == (name, expected)
    assert row_of(StreamInterruptedError("EOF")) is Row.RECONNECT


def test_strategies_are_those_of_the_code():
    """The table of strategies has every one that a policy may name, and the policy's page lists them too."""
    told = first_column(section(RECOVERY, "## How an answer is continued"))
    known = [strategy.value for strategy in Strategy if strategy is not Strategy.ORIGINAL]
    assert sorted(told) == sorted(known)
    row = next(row for row in tables(section(API, "### `RetryPolicy`"))[0] if row[0] == "`strategies`")
    assert sorted(name.strip("'") for name in names(row[2]) if name.startswith("'")) == sorted(known)


def test_no_error_of_the_tree_is_left_out_of_the_rules():
    """Every class that a caller can catch is in the table, also one that was added today."""
    catchable = {kind.__name__ for kind in RecoveryError.__subclasses__() if kind.__module__ == errors.__name__}
    assert catchable <= set(first_column(section(ERRORS, "## Whose fault, and what next")))
