"""
`resumable run` on a terminal: the text as it comes, and a few quiet words where there is none.

What waits is said behind the text, on the cursor's own line, and is taken back before the text goes on: nothing
that was shown as the answer ever moves.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from rich.cells import cell_len

from resumable.cli import _accounts as accounts
from resumable.cli._listener import Listener

if TYPE_CHECKING:
    from resumable._core.report import Notice
    from resumable.cli._answer import Answer

_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_REFRESH: Final = 0.1
"""[s] Between two drawings of the words."""
_PATIENCE: Final = 1.0
"""[s] Without text, from which on it is worth a word."""
_LEAST: Final = 8
"""[columns] What a word needs; where there is less room, none is said."""
_TAB: Final = 8
_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class Teletype(Listener):
    """Writes on a terminal; the words are on stderr, the text is on stdout, which may be a file."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._guard = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="teletype", daemon=True)
        self._is_colourful = not os.environ.get("NO_COLOR")
        self._is_shared = sys.stdout.isatty()
        self._since = time.monotonic()
        self._doing: str | None = f"waiting for {model}"
        self._until: float | None = None
        self._column = 0
        self._shown = 0
        self._last = "\n"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Take the words back, and end the text's last line."""
        self._over.set()
        self._thread.join()
        with self._guard:
            self._erase()
            if self._last != "\n":
                print(flush=True)

    def see_text(self, delta: str) -> None:
        """Write it at once; a terminal gets no control characters from a model."""
        with self._guard:
            self._erase()
            shown = printable(delta) if self._is_shared else delta
            print(shown, end="", flush=True)
            self._column = column_after(shown, self._column, self._width) if self._is_shared else 0
            self._last = delta[-1:] or self._last
            self._since, self._doing, self._until = time.monotonic(), None, None

    def see_block(self, kind: str) -> None:
        """Say what the model does where it is no text."""
        if kind != "text":
            self._do(kind.replace("_", " "))

    def see_failure(self, notice: Notice) -> None:
        """Say what is done about it; what it was is said at the end."""
        self._do(accounts.verb(notice), notice.delay)

    def show(self, answer: Answer) -> None:
        """Say what happened on the way, and what it took."""
        happened = [accounts.failure(notice) for notice in answer.failures if accounts.is_worth_a_line(notice)]
        for line in [*happened, *accounts.closing(answer)]:
            plain = line is answer.problem
            print(line if plain else self._dim(f"─ {line}"), file=sys.stderr, flush=True)

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size().columns

    def _do(self, what: str, delay: float = 0.0) -> None:
        with self._guard:
            self._since, self._doing = time.monotonic(), what
            self._until = self._since + delay if delay else None

    def _tick(self) -> None:
        number = 0
        while not self._over.wait(_REFRESH):
            number += 1
            with self._guard:
                self._erase()
                self._say(_FRAMES[number % len(_FRAMES)])

    def _say(self, frame: str) -> None:
        now = time.monotonic()
        if self._doing is None and now - self._since < _PATIENCE:
            return
        what = self._doing or "no text"
        left = 0.0 if self._until is None else self._until - now
        clock = f" in {math.ceil(left)} s" if left > 0 else f" · {now - self._since:.0f} s"
        words = f"{' ' if self._column else ''}{frame} {what}{clock}"
        room = self._width - self._column - 1
        if room < _LEAST:
            return
        words = words[:room]
        self._shown = cell_len(words)
        sys.stderr.write(self._dim(words))
        sys.stderr.flush()

    def _erase(self) -> None:
        if self._shown:
            sys.stderr.write(f"\x1b[{self._shown}D\x1b[K")
            sys.stderr.flush()
            self._shown = 0

    def _dim(self, words: str) -> str:
        return f"{_DIM}{words}{_RESET}" if self._is_colourful else words


def printable(text: str) -> str:
    """Replace what a terminal would obey instead of show; line ends and tabs stay."""
    return _OBEYED.sub("\ufffd", text)


def column_after(text: str, column: int, width: int) -> int:
    """
    Say where the cursor stands behind a text.

    Args:
        text: Without control characters but line ends and tabs.
        column: [columns] Where it begins, from 0.
        width: [columns] Of the terminal.

    Returns:
        [columns] From 0; *width* where the line is full and the next character will wrap.
    """
    for character in text:
        if character == "\n":
            column = 0
        elif character == "\t":
            column = min(width - 1, (column // _TAB + 1) * _TAB)
        else:
            size = cell_len(character)
            column = size if column + size > width else column + size
    return column
