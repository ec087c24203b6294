"""What a view of the demo is: whoever is told what happens while it happens, and shows what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from resumable._core.errors import ResumableError
    from resumable.cli._outcome import FailedAttempt, Heard, Outcome
    from resumable.cli._takeover import Takeover


class View:
    """
    A view that shows nothing until the end; a subclass shows what it wants to.

    Used once, as a context while it happens; all calls come from the thread that reads.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Leave the terminal as it was found."""

    def see_text(self, delta: str) -> None:
        """Learn that text has reached the caller."""

    def see_failure(self, failed: FailedAttempt) -> None:
        """Learn that an attempt has failed; what is yet unknown of it is filled in later."""

    def see_return(self, back: list[FailedAttempt]) -> None:
        """Learn that text flows again after these."""

    def see_bare(self, heard: Heard, *, is_over: bool) -> None:
        """Learn what the SDK alone gets at the same time; *heard* is added to until that is over."""

    def show(self, outcome: Outcome) -> None:
        """Show what came of it."""
        raise NotImplementedError

    def see_second_act(self) -> None:
        """Learn that the second act begins: a process will be killed."""

    def show_takeover(self, takeover: Takeover | ResumableError) -> None:
        """Show what came of the second act, or why there was none."""
        raise NotImplementedError
