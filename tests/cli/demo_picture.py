"""
Draws docs/demo.svg: what `resumable demo` leaves on a terminal.

After a change of the demo: `python -m tests.cli.demo_picture`.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from resumable.cli._demo import watch
from resumable.cli._screen import Screen
from resumable.cli._storm import brew

PICTURE = Path(__file__).parents[2] / "docs/demo.svg"
SEED = 1


class Still(Screen):
    """Leaves out what was drawn while it happened."""

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        self._console.export_text(clear=True)
        self._console.print(self._head())


def draw() -> str:
    """Run the demo on a terminal of 120 columns, and give the last it shows; fonts are the reader's own."""
    console = Console(record=True, width=120, height=45, file=io.StringIO(), force_terminal=True, highlight=False)
    storm = brew(SEED)
    assert watch(storm, Still(storm, console)) == 0, "the demo failed"
    picture = console.export_svg(title="resumable demo", unique_id="demo")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
