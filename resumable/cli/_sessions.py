"""
The commands `resumable sessions …`: what there is, what became of it, and what is in it, from any shell.

A command imports what it runs only when it is run, so that help and errors come at once.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from resumable.cli._exits import exit_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable.sessions import Sessions

sessions = typer.Typer(
    help="Sessions by ID: what there is, what became of it, what is in it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


class _Status(str, Enum):  # noqa: UP042  # Reason: typer shows the values of this kind of enum
    """As of `resumable.store.Status`, which help must not wait for."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"


def _seconds(text: str) -> float:
    """Read a duration of the command line."""
    found = _DURATION.fullmatch(text)
    if found is None:
        problem = f"{text!r} is no duration: write 90s, 15m, 2h or 7d"
        raise typer.BadParameter(problem)
    return float(found[1]) * _SECONDS[found[2]]


_ID = Annotated[str, typer.Argument(metavar="ID", help="The session's ID.", show_default=False)]
_STORE = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where sessions are kept; else RESUMABLE_URL, REDIS_URL, or the embedded server.",
        show_default=False,
    ),
]
_LINES = Annotated[bool, typer.Option("--json", help="Print one JSON object a line and nothing else.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
_AFTER = Annotated[
    str | None,
    typer.Option("--after", metavar="CURSOR", help="Begin behind this entry: <token>-<seq>.", show_default=False),
]


@sessions.command("list")
def _list(
    *,
    status: Annotated[_Status | None, typer.Option("--status", help="Only these.", show_default=False)] = None,
    principal: Annotated[
        str | None, typer.Option("--principal", metavar="NAME", help="Only of this one.", show_default=False)
    ] = None,
    min_age: Annotated[
        str, typer.Option("--min-age", metavar="TIME", help="Created at least this long ago: 90s, 15m, 2h, 7d.")
    ] = "0s",
    max_age: Annotated[
        str | None,
        typer.Option("--max-age", metavar="TIME", help="Created at most this long ago.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Show at most this many.")] = 50,
    store: _STORE = None,
    as_json: _JSON = False,
) -> None:
    """List sessions, the newest first."""
    least, most = _seconds(min_age), None if max_age is None else _seconds(max_age)

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_pages import show_list  # noqa: PLC0415  # Reason: help must not wait for it

        listed = found.list(
            status=None if status is None else status.value,
            principal=principal,
            min_age=least,
            max_age=most,
            limit=limit,
        )
        show_list(listed, as_json=as_json)
        return 0

    _at(store, work)


@sessions.command("show")
def _show(
    session_id: _ID,
    *,
    with_request: Annotated[
        bool, typer.Option("--request", help="Show the request that it was opened with, too.")
    ] = False,
    store: _STORE = None,
    as_json: _JSON = False,
) -> None:
    """Show what is known about a session besides its events."""

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_pages import show_one  # noqa: PLC0415  # Reason: help must not wait for it

        request = found.request(session_id) if with_request else None
        show_one(found.get(session_id), request, as_json=as_json)
        return 0

    _at(store, work)


@sessions.command("events")
def _events(session_id: _ID, *, after: _AFTER = None, store: _STORE = None, as_json: _LINES = False) -> None:
    """Print the log of a session as it is now, an entry a line."""

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_pages import show_events  # noqa: PLC0415  # Reason: help must not wait for it

        with found.replay(session_id, after) as replay:
            show_events(replay, as_json=as_json)
        return 0

    _at(store, work)


@sessions.command("tail")
def _tail(session_id: _ID, *, after: _AFTER = None, store: _STORE = None, as_json: _LINES = False) -> None:
    """
    Show a session's answer as it comes.

    From its beginning to its end: the text goes to stdout; who wrote it, and how it ended, goes to
    stderr. Where nobody writes any more, it says so and waits for somebody to take over.

    Exits with 0 when the session is complete, 1 when it failed or was cancelled.
    """

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_tail import watch  # noqa: PLC0415  # Reason: help must not wait for it

        with found.tail(session_id, after) as tail:
            return watch(tail, as_json=as_json)

    _at(store, work)


@sessions.command("resume")
def _resume(
    session_id: _ID,
    *,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Where the API is, if elsewhere.", show_default=False),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option("--principal", metavar="NAME", help="In whose name, if it is somebody's.", show_default=False),
    ] = None,
    store: _STORE = None,
    as_json: _LINES = False,
) -> None:
    """
    Get the whole answer of a session, and finish it if nobody does.

    Replays what there is and follows whoever writes it; when nobody does any more, continues it with
    the key in ANTHROPIC_API_KEY. The answer goes to stdout, everything else to stderr.

    Exits with 0 when the answer is whole, 1 when it broke off, failed or was cancelled, 3 without a
    valid key.
    """

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_resume import resume  # noqa: PLC0415  # Reason: help must not wait for the SDK

        return resume(found, session_id, base_url, principal, as_json=as_json)

    _at(store, work)


@sessions.command("cancel")
def _cancel(
    session_id: _ID,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a word.")] = "cancelled",
    store: _STORE = None,
    as_json: _JSON = False,
) -> None:
    """
    Ask whoever writes a session to stop; where nobody does, end it.

    Exits with 1 when the session was over already.
    """

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_pages import show_cancelled  # noqa: PLC0415  # Reason: help must not wait for it

        show_cancelled(session_id, found.cancel(session_id, reason), as_json=as_json)
        return 0

    _at(store, work)


@sessions.command("delete")
def _delete(session_id: _ID, *, store: _STORE = None, as_json: _JSON = False) -> None:
    """Remove a session at once, also one that is being written."""

    def work(found: Sessions) -> int:
        from resumable import SessionNotFoundError  # noqa: PLC0415  # Reason: help must not wait for it
        from resumable.cli._sessions_pages import show_deleted  # noqa: PLC0415  # Reason: as above

        if not found.delete(session_id):
            raise SessionNotFoundError(session_id)
        show_deleted(session_id, as_json=as_json)
        return 0

    _at(store, work)


@sessions.command("sweep")
def _sweep(
    *,
    continues: Annotated[
        bool, typer.Option("--continue", help="Continue what was left, with the key in ANTHROPIC_API_KEY.")
    ] = False,
    principal: Annotated[
        str, typer.Option("--principal", metavar="NAME", help="Whose to continue.", show_default=False)
    ] = "",
    compact_after: Annotated[
        str, typer.Option("--compact-after", metavar="TIME", help="Compact what has been over for so long, or never.")
    ] = "5m",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many of each kind.")] = 100,
    goes_on: Annotated[bool, typer.Option("--forever", help="Sweep again and again, until Ctrl-C.")] = False,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Where the API is, if elsewhere.", show_default=False),
    ] = None,
    store: _STORE = None,
    as_json: _LINES = False,
) -> None:
    """
    Look after sessions that nobody writes.

    Marks what was left, so that its readers know; or, with --continue, continues what belongs to
    --principal. Compacts what is over. Any number may sweep at the same time. After the store was
    away, nothing is touched until the holders had time to come back.

    Exits with 1 when something could not be done, 3 without a key.
    """
    age = None if compact_after == "never" else _seconds(compact_after)

    def work(found: Sessions) -> int:
        from resumable.cli._sessions_sweep import Terms, sweep  # noqa: PLC0415  # Reason: help must not wait for the SDK

        terms = Terms(continues, principal, limit, age, base_url)
        return sweep(found, terms, goes_on=goes_on, as_json=as_json)

    _at(store, work)


def _at(store: str | None, work: Callable[[Sessions], int]) -> NoReturn:
    """Do something with the sessions of a store; an error of the library is one line and a code."""

    def command() -> int:
        from resumable import ResumableError  # noqa: PLC0415  # Reason: help must not wait for it
        from resumable.cli._sessions_errors import code_of, sentence  # noqa: PLC0415  # Reason: as above
        from resumable.sessions import Sessions  # noqa: PLC0415  # Reason: as above

        try:
            with Sessions(store) as found:
                return work(found)
        except ResumableError as error:
            sys.stdout.flush()
            print(f"resumable: {sentence(error)}", file=sys.stderr)
            return code_of(error)

    exit_with(command)
