"""
The command line: `resumable`, which shows what the library does, and asks Claude through it.

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
from resumable.cli._exits import WRONG, exit_with
from resumable.cli._sessions import sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.cli._listener import Listener

__all__ = ("main",)

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
_app.add_typer(sessions, name="sessions")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Args:
        arguments: What follows the program's name; `None` takes it from the process.

    Returns:
        The exit code: 0 well, 1 not, 2 the command line is wrong, 3 no valid key, 130 interrupted.
    """
    # A terminal or a pipe that cannot show a character shows another one: no reason to end with a traceback.
    for stream in (sys.stdin, sys.stdout, sys.stderr):
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
    from resumable.cli._demo import run  # noqa: PLC0415  # Reason: help must not wait for the SDK

    exit_with(lambda: run(seed=seed, as_json=as_json))


@_app.command("run")
def _run(
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask; - or nothing reads it from stdin.", show_default=False)
    ] = None,
    *,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Who is asked.")] = "claude-sonnet-5-5",
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="The system prompt.", show_default=False)
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, help="Most tokens of the answer.")
    ] = 8192,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Where the API is, if elsewhere.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """
    Ask Claude, through whatever the network does.

    Takes the key from ANTHROPIC_API_KEY. The answer goes to stdout as it comes; what recovery does
    and what it cost go to stderr.

    Exits with 0 when the answer is whole, 1 when it broke off or was refused, 3 without a valid key.
    """
    asked = _prompt(prompt)
    if asked is None:
        print("resumable: what shall be asked? give a prompt, or pipe one in", file=sys.stderr)
        raise typer.Exit(WRONG)

    from resumable.cli._answer import Question  # noqa: PLC0415  # Reason: help must not wait for the SDK
    from resumable.cli._ask import ask  # noqa: PLC0415  # Reason: help must not wait for the SDK

    question = Question(asked, model, max_tokens, system, base_url)
    exit_with(lambda: ask(question, _listener_for(model, as_json=as_json)).code)


@_app.command("doctor")
def _doctor(
    *,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            help="Where sessions are kept; else RESUMABLE_URL, REDIS_URL, or the embedded server.",
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Where the API is, if elsewhere.", show_default=False),
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Ask the API for its models, with the key.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """
    Check the store and the way to the API, and say what to change and why.

    Tries every operation of the store on a session that it deletes again. Nothing is sent to the API
    without --probe, and a probe costs no tokens.

    Exits with 0 when nothing needs to be changed, 1 when something should be, 2 when it cannot work.
    """
    from resumable.cli._doctor import run  # noqa: PLC0415  # Reason: help must not wait for it

    exit_with(lambda: run(store=store, base_url=base_url, probe=probe, as_json=as_json))


def _prompt(given: str | None) -> str | None:
    """Read the question; `None` where there is none."""
    if given is None and sys.stdin.isatty():
        return None
    text = sys.stdin.read() if given in {None, "-"} else given
    return text if text and text.strip() else None


def _listener_for(model: str, *, as_json: bool) -> Listener:
    from resumable.cli._listener import Lines, Machine  # noqa: PLC0415  # Reason: help must not wait for them

    if as_json:
        return Machine()
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return Lines()
    from resumable.cli._teletype import Teletype  # noqa: PLC0415  # Reason: a pipe needs no rich

    return Teletype(model)
