"""The command `resumable demo`: who watches, and what the exit code says."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Final

from resumable._core.errors import ConfigurationError, ResumableError
from resumable.cli._machine import Machine
from resumable.cli._plain import Plain
from resumable.cli._storm import brew

if TYPE_CHECKING:
    from resumable.cli._storm import Storm
    from resumable.cli._takeover import Takeover
    from resumable.cli._view import View

_PACE: Final = 0.014
"""[s] Between two frames in a terminal: about as fast as a model writes."""


def run(*, seed: int, as_json: bool) -> int:
    """
    Show the storm to whoever watches.

    Args:
        seed: Of the storm.
        as_json: Whether a program watches.

    Returns:
        0 when the caller got the fault-free answer, else 1.
    """
    storm = brew(seed)
    if as_json:
        return watch(storm, Machine(storm))
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return watch(storm, Plain(storm))
    from resumable.cli._screen import Screen  # noqa: PLC0415  # Reason: a pipe needs no rich

    return watch(storm, Screen(storm), _PACE)


def watch(storm: Storm, view: View, pace: float = 0.0) -> int:
    """
    Stream through a storm.

    Args:
        storm: What goes wrong.
        view: Who watches.
        pace: [s] Between two frames.

    Returns:
        0 when the caller got the fault-free answer, else 1.
    """
    with view:
        from resumable.cli._passage import pass_through  # noqa: PLC0415  # Reason: the head is there before the SDK is

        # The imports left the collector much to look at; its pause is not a recovery's.
        gc.freeze()
        try:
            outcome = pass_through(storm, view, pace)
        finally:
            gc.unfreeze()
    view.show(outcome)
    takeover = _second_act(view, pace)
    view.show_takeover(takeover)
    return 0 if outcome.is_identical and (isinstance(takeover, ResumableError) or takeover.is_identical) else 1


def _second_act(view: View, pace: float) -> Takeover | ResumableError:
    from resumable.cli._takeover import take_over  # noqa: PLC0415  # Reason: as above

    view.see_second_act()
    try:
        return take_over(pace)
    except ConfigurationError as refused:  # No server program here: the act needs one, the library does not.
        return refused
