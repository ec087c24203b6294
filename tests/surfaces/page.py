"""
Draws docs/reference/surfaces.md from what comes of every fault on every surface.

After a change of either: `python -m tests.surfaces.page`.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tests.surfaces.table import STREAMED, TROUBLES, WHOLE, colours_of, row

if TYPE_CHECKING:
    from tests.surfaces.ways import Surface

PAGE = Path(__file__).parents[2] / "docs/reference/surfaces.md"

HEAD = """\
# Surfaces and faults

What a caller gets on each way of the SDK to ask for a message, when the first request meets a fault.

- exact (+1): the text is that of a call without a fault, byte for byte and once, for one request more.
- an error's name: the SDK's class that was raised, and how many requests had been sent.
- no message: the SDK returned something else than a message, without a complaint.
- for good: every request meets the fault, not only the first.
- does not occur: a call without a stream has no events to go wrong.

Each cell holds for the sync client and, under asyncio and trio, for the async one; with aiohttp under asyncio alone.
The SDK's own `max_retries` is 2 everywhere.
How to write each of these calls: [Every way to call](../how-to/calls.md).

This page is drawn by the tests, against a server on the loopback interface, and a test compares it:
`python -m tests.surfaces.page`. What only time can end passes in virtual time, but for aiohttp.
"""
STREAM_HEAD = """\
## With a stream

Recovered. The middle of the text is where a stream breaks, if nothing else is said.
"""
WHOLE_HEAD = """\
## Without a stream

Left alone: each cell is that of the SDK without us, and its retries are its own; a test compares the two.
"""


def page() -> str:
    """Write the page, from calls that are made now."""
    return "\n".join([HEAD, STREAM_HEAD, *table(STREAMED), "", WHOLE_HEAD, *table(WHOLE)]) + "\n"


def table(surfaces: tuple[Surface, ...]) -> list[str]:
    """Draw one table: surfaces down, faults across."""
    lines = ["| | " + " | ".join(trouble.title for trouble in TROUBLES) + " |", "|---" * (len(TROUBLES) + 1) + "|"]
    for surface in surfaces:
        first, *others = (row(surface, colour) for colour in colours_of(surface))
        assert all(other == first for other in others), (surface.title, first, others)
        lines.append(f"| {surface.title} | " + " | ".join(first) + " |")
    return lines


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    PAGE.write_text(page(), encoding="utf-8")
