"""The pieces of the demo's picture: facts into panels and rows; what stands where is not decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from resumable.cli import _wording as wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from resumable.cli._outcome import FailedAttempt, Heard

BLOW: Final = "bold red"
SEAM: Final = {"exact": "green", "aligned": "yellow", "unverified": "bold red"}
NETWORK: Final = "what the network does"
CALLER: Final = "what the caller sees"
ALONE: Final = "the same call, the SDK alone"
_LEAST_WIDTHS: Final = (24, 29, 10, 5)
"""[columns] What the rows will need, so that nothing moves when they fill."""
ROOMY: Final = 80
"""[columns] Where they all fit."""


def marked(text: str, failed: Sequence[FailedAttempt]) -> Text:
    """Put a mark into the text for each failed attempt, where the caller was when it failed."""
    # Folded: in a column, rich would take a line with wide characters and a space at its end for too long, and cut it.
    whole, start = Text(overflow="fold"), 0
    for one in list(failed):
        whole.append(text[start : one.at])
        whole.append(f"↯{one.number}", BLOW)
        start = one.at
    return whole.append(text[start:])


def framed(body: RenderableType, title: str, style: str, width: int, height: int | None = None) -> Panel:
    """Put a frame with a title around something."""
    return Panel(body, title=title, title_align="left", border_style=style, width=width, height=height)


def blows(failed: Sequence[FailedAttempt], width: int, *, planned: int) -> Table:
    """
    Give two lines for each failed attempt: what happened, and what was done about it.

    Args:
        failed: In order.
        width: [columns] Of the whole.
        planned: How many there will be at least, so that nothing moves while they come.
    """
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=3, no_wrap=True)
    grid.add_column(width=width - 15, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=10, no_wrap=True, justify="right")
    for one in failed:
        what, verdict, back, seam = wording.cells(one)
        grid.add_row(Text(f"↯{one.number}", BLOW), Text(what, "bold"), Text(seam, SEAM.get(seam, "")))
        is_over = bool(back) or one.verdict in {"give_up", "finish"}
        grid.add_row("", Text(verdict, "dim"), Text(back if is_over else "…", "dim" if is_over else "bold yellow"))
    for _ in range(planned - len(failed)):
        grid.add_row("", "", "")
        grid.add_row("", "", "")
    return grid


def counters(facts: Sequence[tuple[str, str, str]]) -> Table:
    """Give one line for each name, value and style."""
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    for name, value, style in facts:
        grid.add_row(Text(name, "dim"), Text(value, style))
    return grid


def alone(heard: Heard | None, whole: int, *, is_over: bool) -> Text:
    """Show the end of what the SDK alone has got, and how it ended."""
    if heard is None:
        return Text("")
    ending = wording.ending(heard, whole) if is_over else f"{len(heard.text):,} characters"
    is_lost = is_over and len(heard.text) < whole
    tail = heard.text[-80:].replace("\n", " ")
    return Text.assemble(
        (f"…{tail}" if len(heard.text) > len(tail) else tail, "dim"),
        "\n",
        (("✗ " if is_lost else "") + ending, "bold yellow" if is_lost else ""),
    )


def rows(failed: Sequence[FailedAttempt], width: int) -> RenderableType:
    """Give a row for each failed attempt, as wide as the terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", min_width=3, no_wrap=True)
    for column, least in zip(wording.COLUMNS, _LEAST_WIDTHS, strict=True):
        table.add_column(column, min_width=least if width >= ROOMY else None, no_wrap=True)
    for one in failed:
        what, verdict, back, seam = wording.cells(one)
        table.add_row(
            Text(f" ↯{one.number}", BLOW),
            Text(what),
            Text(verdict),
            Text(back or "…", "bold" if back else "dim"),
            Text(seam, SEAM.get(seam, "")),
        )
    return table
