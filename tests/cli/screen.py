"""A terminal in miniature: what a person sees after everything was written and taken back."""

from __future__ import annotations

import re

_PART = re.compile(r"\x1b\[(?P<count>\d*)(?P<what>[A-Za-z])|\x1b\[\?\d+[hl]|(?P<one>.)", re.DOTALL)


def screen(written: str, width: int) -> list[str]:
    """
    Give the lines that are left, from the first to the cursor's.

    Knows line ends, wrapping, going left and erasing to the end of the line; colours are passed over.
    """
    lines: list[list[str]] = [[]]
    column = 0
    for part in _PART.finditer(written):
        one, what = part["one"], part["what"]
        if what == "D":
            column = max(0, column - int(part["count"] or 1))
        elif what == "K":
            del lines[-1][column:]
        elif one == "\n":
            lines.append([])
            column = 0
        elif one == "\r":
            column = 0
        elif one is not None:
            if column == width:
                lines.append([])
                column = 0
            lines[-1][column : column + 1] = [one]
            column += 1
    return ["".join(line) for line in lines]
