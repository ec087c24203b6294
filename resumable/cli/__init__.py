"""
The command line: `resumable`, which shows what the library does on a machine with neither key nor server.

A command imports what it runs only when it is run, so that help and errors come at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

import resumable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("main",)

# 128 + SIGINT, what a shell reports of a program that Ctrl-C ended.
_INTERRUPTED = 130
# What a command has to say it says itself: without this, warnings of the library would reach stderr beside it.
_SILENCE = logging.NullHandler()

_app = typer.Typer(
    name="resumable",
    help="Claude streams that do not break.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help is the same in a terminal, in a pipe and in the documents.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Args:
        arguments: What follows the program's name; `None` takes it from the process.

    Returns:
        The exit code: 0 well, 1 not, 2 the command line is wrong, 130 interrupted.
    """
    # A terminal or a pipe that cannot show a character shows another one: no reason to end with a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    logging.getLogger("resumable").addHandler(_SILENCE)
    try:
        _app(None if arguments is None else list(arguments), prog_name="resumable")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    return 0


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # Reason: typer hands an option's value over by place
    if wanted:
        print(f"resumable {resumable.__version__}")
        raise typer.Exit


@_app.callback()
def _program(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Claude streams that do not break."""


@_app.command("demo")
def _demo(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Where the faults strike.", show_default=True)] = 1,
) -> None:
    """
    Stream a long answer through a storm of faults, here and now.

    Starts a scripted upstream on 127.0.0.1, which needs no key, and asks it through a wrapped client.
    Shows what the network did and what the caller saw.

    Exits with 0 when the caller got every byte of the fault-free answer, else with 1.
    """
    try:
        from resumable.cli._demo import run  # noqa: PLC0415  # Reason: help must not wait for the SDK

        code = run(seed=seed, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has left; what is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        print("resumable: interrupted", file=sys.stderr)
        code = _INTERRUPTED
    raise typer.Exit(code)
