"""
The demo for a terminal: what the network does, what the caller sees and the counts of both, side by side and live.

Where there is no room for that they stand below each other. The whole stays to read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resumable.cli import _panels as panels
from resumable.cli import _wording as wording
from resumable.cli._storm import ANSWER
from resumable.cli._view import View

if TYPE_CHECKING:
    from rich.console import RenderableType

    from resumable._core.errors import ResumableError
    from resumable.cli._outcome import FailedAttempt, Heard, Outcome
    from resumable.cli._storm import Storm
    from resumable.cli._takeover import Takeover

_WIDTH: Final = 120
_WIDE: Final = 100
"""[columns] From here on there is room side by side."""
_LEFT: Final = 48
"""[columns] Of the network's side."""
_FRAME: Final = 4
"""[columns] Border and padding of a panel."""
_EDGES: Final = 2
"""[lines] Border of a panel."""
_TALL: Final = 12
"""[lines] What the counters and the SDK alone need below the network."""
_LEAST: Final = 3
"""[lines] Of text, on the smallest screen."""
_REFRESH: Final = 20
"""[1/s] Redraws; a rest between two is what makes growing text look calm."""
_SILENCE: Final = 0.3
"""[s] Without text, from which on it is worth a word."""


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
        self._bare: Heard | None = None
        self._is_bare_over = False
        self._started = self._heard_at = time.monotonic()
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

    def see_second_act(self) -> None:
        """Say what is about to happen."""
        self._console.print("", *wording.second_act(), sep="\n")

    def show_takeover(self, takeover: Takeover | ResumableError) -> None:
        """Print what came of it; the last line is the verdict."""
        *lines, verdict = wording.takeover(takeover)
        is_good = not isinstance(takeover, Exception) and takeover.is_identical
        self._console.print(*lines, sep="\n", markup=False)
        self._console.print(Text(verdict, style="bold green" if is_good else "bold yellow"))

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def see_text(self, delta: str) -> None:
        """Let the text grow."""
        self._text += delta
        self._heard_at = time.monotonic()

    def see_failure(self, failed: FailedAttempt) -> None:
        """Mark it at once; its row fills later."""
        self._failed.append(failed)

    def see_bare(self, heard: Heard, *, is_over: bool) -> None:
        """Keep what is added to while it happens."""
        self._bare, self._is_bare_over = heard, is_over

    def show(self, outcome: Outcome) -> None:
        """Leave the whole on the screen: text, rows, verdict."""
        self._text, self._failed = outcome.heard.text, outcome.failed
        self.see_bare(outcome.bare, is_over=True)
        good = outcome.is_identical
        mark, style = ("✓", "bold green") if good else ("✗", panels.BLOW)
        lines = [Text.assemble((f" {mark} {wording.verdict(outcome)}", style))]
        lines.append(Text(f"   {wording.books(outcome)}"))
        if not self._is_wide:  # There it has a panel of its own.
            lines.append(Text(f"   {wording.bare(outcome)}", "yellow"))
        text = panels.marked(outcome.heard.text, outcome.failed)
        whole = self._aside(text, None, outcome) if self._is_wide else self._below(text, is_final=True)
        self._console.print(Group(whole, Text(), *lines), width=self._width)

    def draw(self) -> RenderableType:
        """Draw the moment: the end of the text as far as there is room, and the rows so far."""
        text = panels.marked(self._text, self._failed)
        text.append("▌", "bold cyan")
        if not self._is_wide:
            # Header, borders, column titles, blank lines and the status line.
            room = self._console.height - len(self._storm.strikes) - 10
            return Group(self._below(self._end_of(text, self._width, room)), Text(), self._status())
        # The status line, the blank one before it, and one for the cursor.
        height = max(min(self._console.height - 3, self._needed + _TALL), _LEAST + _EDGES)
        text = self._end_of(text, self._width - _LEFT, height - _EDGES)
        return Group(self._aside(text, height, None), Text(), self._status())

    @property
    def _is_wide(self) -> bool:
        return self._width >= _WIDE

    @property
    def _needed(self) -> int:
        """[lines] Of the network's panel."""
        return 2 * max(len(self._storm.strikes), len(self._failed)) + _EDGES

    def _end_of(self, text: Text, width: int, room: int) -> Text:
        """Give the last lines of a text."""
        lines = text.wrap(self._console, width - _FRAME)
        return Text("\n", overflow="fold").join(lines[-max(room, _LEAST) :])

    def _head(self) -> RenderableType:
        first, second = wording.intro(self._storm)
        return Group(
            Text.assemble((" resumable demo ", "bold reverse cyan")),
            Text(f" {first}"),
            Text(f" {second}", "dim"),
            Text(),
        )

    def _below(self, text: Text, *, is_final: bool = False) -> RenderableType:
        """Put the text over the rows; at the end, where they would be cut off, over two lines each."""
        panel = panels.framed(text, panels.CALLER, "cyan", self._width)
        panel.subtitle, panel.subtitle_align = Text("↯ an attempt failed here", panels.BLOW), "right"
        if is_final and self._width < panels.ROOMY:
            return Group(panel, Text(), panels.blows(self._failed, self._width, planned=0))
        return Group(panel, Text(), panels.rows(self._failed, self._width))

    def _aside(self, text: Text, height: int | None, outcome: Outcome | None) -> RenderableType:
        """Put the network to the left of the text; below it the counters and the SDK alone, where there is room."""
        is_tall = height is None or height >= self._needed + _TALL
        blows = panels.blows(self._shown(height), _LEFT - _FRAME, planned=len(self._storm.strikes) if is_tall else 0)
        if not is_tall:
            left: RenderableType = panels.framed(blows, panels.NETWORK, "red", _LEFT, height)
        else:
            counted = panels.counters(self._counters(outcome))
            alone = panels.alone(self._bare, len(ANSWER), is_over=self._is_bare_over)
            left = Group(
                panels.framed(blows, panels.NETWORK, "red", _LEFT),
                panels.framed(counted, "counters", "green", _LEFT),
                panels.framed(alone, panels.ALONE, "yellow", _LEFT, 6),
            )
        panel = panels.framed(text, panels.CALLER, "cyan", self._width - _LEFT, height)
        panel.subtitle, panel.subtitle_align = Text("↯ an attempt failed here", panels.BLOW), "right"
        grid = Table.grid()
        grid.add_row(left, panel)
        return grid

    def _shown(self, height: int | None) -> list[FailedAttempt]:
        """Give the failures for which there is room, the newest."""
        failed = list(self._failed)
        return failed if height is None else failed[-max(1, (height - _EDGES) // 2) :]

    def _counters(self, outcome: Outcome | None) -> list[tuple[str, str, str]]:
        failed, text = list(self._failed), self._text
        is_same = ANSWER.startswith(text)
        elapsed = time.monotonic() - self._started if outcome is None else outcome.elapsed
        seams = [one.seam.quality for one in failed if one.seam is not None]
        return [
            ("attempts", f"{len(failed) + 1}, {len(failed)} failed", panels.BLOW if failed else ""),
            ("characters delivered", f"{len(text):,} of {len(ANSWER):,}", ""),
            ("lost or repeated", "none" if is_same else "some", "bold green" if is_same else panels.BLOW),
            ("seams", f"{len(seams)}, {seams.count('exact')} exact", ""),
            ("time", f"{elapsed:.1f} s, {wording.span(sum(one.delay for one in failed))} waiting", ""),
        ]

    def _status(self) -> RenderableType:
        silence = time.monotonic() - self._heard_at
        doing, style = "streaming", "bold cyan"
        if any(one.back_after is None for one in self._failed):
            doing, style = "recovering", panels.BLOW
        elif silence > _SILENCE:
            doing, style = f"no text for {silence:.1f} s", "bold yellow"
        facts = f"  attempt {len(self._failed) + 1} · {len(self._text):,} characters"
        return Text.assemble((f" {doing}", style), facts)
