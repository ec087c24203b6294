"""The demo for a terminal: the answer grows, each blow is marked where it fell, and the whole stays to read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from resumable.cli import _wording as wording
from resumable.cli._view import View

if TYPE_CHECKING:
    from rich.console import RenderableType

    from resumable.cli._passage import FailedAttempt, Outcome
    from resumable.cli._storm import Storm

_WIDTH: Final = 100
_FRAME: Final = 4
"""[columns] Border and padding of the panel."""
_LEAST_WIDTHS: Final = (24, 29, 10, 5)
"""[columns] What the rows will need, so that nothing moves when they fill."""
_ROOMY: Final = 80
"""[columns] Where they all fit."""
_LEAST: Final = 3
"""[lines] Of text, on the smallest screen."""
_REFRESH: Final = 20
"""[1/s] Redraws; a rest between two is what makes growing text look calm."""
_SILENCE: Final = 0.3
"""[s] Without text, from which on it is worth a word."""
_BLOW: Final = "bold red"
_SEAM: Final = {"exact": "green", "aligned": "yellow", "unverified": "bold red"}


class Screen(View):
    """
    Draws while it happens; use it as a context, and `show` the outcome after it.

    What it draws from is only ever added to, so that the drawing thread needs no lock.
    """

    def __init__(self, storm: Storm, console: Console | None = None) -> None:
        self._storm = storm
        self._console = console or Console(highlight=False)
        self._width = min(self._console.width, _WIDTH)
        self._text = ""
        self._failed: list[FailedAttempt] = []
        self._heard_at = time.monotonic()
        self._live = Live(
            console=self._console,
            get_renderable=self.draw,
            refresh_per_second=_REFRESH,
            transient=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._console.print(self._head())
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def see_text(self, delta: str) -> None:
        """Let the text grow."""
        self._text += delta
        self._heard_at = time.monotonic()

    def see_failure(self, failed: FailedAttempt) -> None:
        """Mark it at once; its row fills later."""
        self._failed.append(failed)

    def show(self, outcome: Outcome) -> None:
        """Leave the whole on the screen: text, rows, verdict."""
        text = marked(outcome.heard.text, outcome.failed)
        good = outcome.is_identical
        mark, style = ("✓", "bold green") if good else ("✗", _BLOW)
        lines = [Text.assemble((f" {mark} {wording.verdict(outcome)}", style))]
        lines.append(Text(f"   {wording.books(outcome)}"))
        lines.append(Text(f"   {wording.bare(outcome)}", "yellow"))
        self._console.print(Group(self._panel(text), Text(), self._rows(), Text(), *lines), width=self._width)

    def draw(self) -> RenderableType:
        """Draw the moment: the end of the text as far as there is room, and the rows so far."""
        text = marked(self._text, self._failed)
        text.append("▌", "bold cyan")
        # Header, borders, column titles, blank lines and the status line.
        room = self._console.height - len(self._storm.strikes) - 10
        lines = text.wrap(self._console, self._width - _FRAME)
        kept = Text("\n").join(lines[-max(room, _LEAST) :])
        return Group(self._panel(kept), Text(), self._rows(), Text(), self._status())

    def _head(self) -> RenderableType:
        first, second = wording.intro(self._storm)
        return Group(
            Text.assemble((" resumable demo ", "bold reverse cyan")),
            Text(f" {first}"),
            Text(f" {second}", "dim"),
            Text(),
        )

    def _panel(self, text: Text) -> RenderableType:
        return Panel(
            text,
            title="what the caller sees",
            title_align="left",
            subtitle="[bold red]↯[/] an attempt failed here",
            subtitle_align="right",
            border_style="cyan",
            width=self._width,
        )

    def _rows(self) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("", min_width=3, no_wrap=True)
        for column, least in zip(wording.COLUMNS, _LEAST_WIDTHS, strict=True):
            table.add_column(column, min_width=least if self._width >= _ROOMY else None, no_wrap=True)
        for failed in list(self._failed):
            what, verdict, back, seam = wording.cells(failed)
            table.add_row(
                Text(f" ↯{failed.number}", _BLOW),
                Text(what),
                Text(verdict),
                Text(back or "…", "bold" if back else "dim"),
                Text(seam, _SEAM.get(seam, "")),
            )
        return table

    def _status(self) -> RenderableType:
        silence = time.monotonic() - self._heard_at
        doing, style = "streaming", "bold cyan"
        if any(one.back_after is None for one in self._failed):
            doing, style = "recovering", _BLOW
        elif silence > _SILENCE:
            doing, style = f"no text for {silence:.1f} s", "bold yellow"
        facts = f"  attempt {len(self._failed) + 1} · {len(self._text):,} characters"
        return Text.assemble((f" {doing}", style), facts)


def marked(text: str, failed: list[FailedAttempt]) -> Text:
    """Put a mark into the text for each failed attempt, where the caller was when it failed."""
    whole, start = Text(), 0
    for one in list(failed):
        whole.append(text[start : one.at])
        whole.append(f"↯{one.number}", _BLOW)
        start = one.at
    return whole.append(text[start:])
