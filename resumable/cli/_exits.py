"""How a command ends: with a code, whoever leaves first, and with one line on stderr where it cannot do its work."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130
"""128 + SIGINT, what a shell reports of a program that Ctrl-C ended."""


def exit_with(command: Callable[[], int]) -> NoReturn:
    """Run a command to its end, whoever leaves first: a reader, or the user."""
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has left; what is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except KeyboardInterrupt:
        print("resumable: interrupted", file=sys.stderr)
        code = INTERRUPTED
    raise typer.Exit(code)
