"""What the doctor finds: values, how bad they are, and how they are written for people and for programs."""

from __future__ import annotations

import json
import textwrap
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import resumable

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 100
_INDENT: Final = " " * 22


class Level(IntEnum):
    """How bad it is; the exit code is that of the worst, a note is no worse than well."""

    OK = 0
    NOTE = 1
    WARNING = 2
    FAILURE = 3

    @property
    def word(self) -> str:
        """As it is printed."""
        return self.name.lower()


class Finding(NamedTuple):
    """
    What one check found.

    Attributes:
        check: Name of the check.
        level: How bad it is.
        found: What is so.
        why: Why that matters; empty where all is well.
        change: What to change; likewise.
        server: Host and port, where a store has several; else empty.
    """

    check: str
    level: Level
    found: str
    why: str = ""
    change: str = ""
    server: str = ""


def exit_code(findings: Sequence[Finding]) -> int:
    """Say how the command ends: 0 fine, 1 something should be changed, 2 it cannot work as it is."""
    worst = max((finding.level for finding in findings), default=Level.OK)
    return max(0, worst - Level.NOTE)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Write findings for a program."""
    return {
        "version": resumable.__version__,
        "exit_code": exit_code(findings),
        "findings": [
            {
                "check": finding.check,
                "level": finding.level.word,
                "server": finding.server or None,
                "found": finding.found,
                "why": finding.why or None,
                "change": finding.change or None,
            }
            for finding in findings
        ],
    }


def show(findings: Sequence[Finding], *, as_object: bool) -> None:
    """Print findings; as one JSON object, in ASCII, or for people."""
    if as_object:
        print(json.dumps(as_json(findings), indent=2))
        return
    for finding in findings:
        where = f"{finding.server}: " if finding.server else ""
        print(f"{finding.level.word:<8} {finding.check:<12} {where}{finding.found}")
        for text in (finding.why, f"-> {finding.change}" if finding.change else ""):
            for line in textwrap.wrap(text, _WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False):
                print(f"{_INDENT}{line}")
    bad = [finding for finding in findings if finding.level > Level.NOTE]
    if not bad:
        print("\nNothing needs to be changed.")
    elif exit_code(findings) == 1:
        print(f"\nIt works; {len(bad)} should be changed.")
    else:
        print(f"\nIt cannot work like this; {len(bad)} must or should be changed.")
