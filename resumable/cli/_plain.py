"""The demo for a pipe, a file, a log: plain text, a line for each failed attempt once text flows again."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from resumable.cli import _wording as wording
from resumable.cli._view import View

if TYPE_CHECKING:
    from resumable._core.errors import ResumableError
    from resumable.cli._outcome import FailedAttempt, Outcome
    from resumable.cli._storm import Storm
    from resumable.cli._takeover import Takeover

_WIDTHS: Final = (26, 31, 12, 10)
_WIDTH: Final = 96


class Plain(View):
    """Prints lines; none is ever changed afterwards."""

    def __init__(self, storm: Storm) -> None:
        print("resumable demo", *wording.intro(storm), "", sep="\n")
        _print_row("", wording.COLUMNS)

    def see_failure(self, failed: FailedAttempt) -> None:
        """Wait for the rest of its facts; a failure that is final has none to wait for."""
        if failed.verdict == "give_up":
            _print_row(str(failed.number), wording.cells(failed))

    def see_return(self, back: list[FailedAttempt]) -> None:
        """Print what is now known."""
        for failed in back:
            _print_row(str(failed.number), wording.cells(failed))

    def show(self, outcome: Outcome) -> None:
        """Print what the caller saw, and the verdict."""
        print("\nWhat the caller saw; each number is a failed attempt, where it happened:\n")
        for paragraph in marked(outcome.heard.text, outcome.failed).split("\n"):
            lines = textwrap.wrap(paragraph, _WIDTH, initial_indent="  ", subsequent_indent="  ")
            print("\n".join(lines))
        print("", wording.verdict(outcome), wording.books(outcome), wording.bare(outcome), sep="\n")

    def see_second_act(self) -> None:
        """Say what is about to happen."""
        print("", *wording.second_act(), sep="\n", flush=True)

    def show_takeover(self, takeover: Takeover | ResumableError) -> None:
        """Print what came of it."""
        print(*wording.takeover(takeover), sep="\n")


def marked(text: str, failed: list[FailedAttempt]) -> str:
    """Put the number of each failed attempt into the text, where the caller was when it failed."""
    for one in reversed(failed):
        text = f"{text[: one.at]}[{one.number}]{text[one.at :]}"
    return text


def _print_row(number: str, row: tuple[str, ...]) -> None:
    padded = "".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True))
    print(f"{number:>3}  {padded}".rstrip(), flush=True)
