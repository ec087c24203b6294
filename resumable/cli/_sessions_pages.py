"""Sessions and their logs on paper: tables for people, JSON for programs. The JSON's fields are public."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from resumable.cli._teletype import printable
from resumable.store import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resumable.sessions import SessionEvent
    from resumable.store import Cancelled, Checkpoint

_LIST: Final = ("session", "status", "model", "events", "characters", "age", "writer")
_NUMBERS: Final = frozenset({"events", "characters", "age"})
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))
_HERE: Final = frozenset(
    {"model", "attempt", "strategy", "text_chars", "stop_reason", "usage", "usage_estimated", "error", "lease_ms"}
)
"""Fields of the layer above that are shown in a place of their own."""
_INNER: Final = frozenset({"attempts", "policy", "snapshot", "snapshot_seq"})
"""What only a survivor needs."""


def show_list(listed: Sequence[Checkpoint], *, as_json: bool) -> None:
    """Print a list of sessions."""
    if as_json:
        _print_json([as_object(one) for one in listed])
    elif listed:
        _print_table(_LIST, [_row(one) for one in listed])
    else:
        print("resumable: no sessions", file=sys.stderr)


def show_one(one: Checkpoint, request: bytes | None, *, as_json: bool) -> None:
    """Print what is known about a session, and the request if it is given."""
    if as_json:
        _print_json(as_object(one) | ({} if request is None else {"request": json.loads(request)}))
        return
    facts = _facts(one)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print(f"{name:<{width}}  {_plain(value)}")
    if request is not None:
        print(json.dumps(json.loads(request), indent=2))


def show_events(events: Iterable[SessionEvent], *, as_json: bool) -> None:
    """Print the entries of a log, as they are read."""
    room = _width()
    for event in events:
        print(line_of(event) if as_json else _cut(f"{event.cursor!s:<19} {event.type:<19}   {_gist(event)}", room))


def show_cancelled(session_id: str, done: Cancelled, *, as_json: bool) -> None:
    """Print what a cancel came to."""
    if as_json:
        _print_json({"session_id": session_id, "holder": done.holder or None, "last_seq": done.last_seq})
    elif done.holder:
        print(f"{session_id}: asked {_plain(done.holder)} to stop, after event {done.last_seq}")
    else:
        print(f"{session_id}: cancelled, after event {done.last_seq}")


def show_deleted(session_id: str, *, as_json: bool) -> None:
    """Print that a session is gone."""
    if as_json:
        _print_json({"session_id": session_id, "is_deleted": True})
    else:
        print(f"{session_id}: deleted")


def line_of(event: SessionEvent) -> str:
    """Write an entry for a program, in ASCII, which every pipe can carry."""
    return json.dumps({"cursor": str(event.cursor), "type": event.type, "event": event.event})


def as_object(one: Checkpoint) -> dict[str, Any]:
    """Write what is known about a session for a program; durations and times are milliseconds."""
    return {
        "session_id": one.session_id,
        "status": one.status.value,
        "is_held": one.is_held,
        "holder": one.holder or None,
        "lease_left_ms": _ms(one.lease_left),
        "takeovers": one.takeovers,
        "last_seq": one.last_seq,
        "cancel": one.cancel,
        "principal": one.principal or None,
        "created_ms": _ms(one.created),
        "updated_ms": _ms(one.updated),
        "model": one.text("model") or None,
        "attempt": _number(one, "attempt"),
        "strategy": one.text("strategy") or None,
        "text_chars": _number(one, "text_chars"),
        "stop_reason": one.text("stop_reason") or None,
        "usage": _usage(one),
        "is_estimated": one.text("usage_estimated") == "1",
        "error": one.text("error") or None,
        "fields": _others(one),
    }


def span(seconds: float) -> str:
    """Write how long something is ago, in the unit that suits it."""
    seconds = max(0.0, seconds)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _row(one: Checkpoint) -> tuple[str, ...]:
    return (
        one.session_id,
        one.status.value,
        one.text("model"),
        str(one.last_seq),
        one.text("text_chars"),
        span(time.time() - one.created),
        _writer(one),
    )


def _writer(one: Checkpoint) -> str:
    if one.status.is_over:
        return ""
    return one.holder if one.is_held else "nobody"


def _facts(one: Checkpoint) -> list[tuple[str, str]]:
    """List what a person wants to know, in that order; what is empty is left out."""
    strategy = one.text("strategy")
    facts = [
        ("session", one.session_id),
        ("status", _status(one)),
        ("asked to stop", one.cancel or ""),
        ("model", one.text("model")),
        ("attempt", one.text("attempt") + (f" ({strategy})" if strategy else "")),
        ("events", str(one.last_seq)),
        ("characters", one.text("text_chars")),
        ("stop reason", one.text("stop_reason")),
        ("usage", _tokens(one)),
        ("error", one.text("error")),
        ("created", _moment(one.created)),
        ("updated", _moment(one.updated)),
        ("takeovers", str(one.takeovers or "")),
        ("principal", one.principal),
        ("lease", _lease(one)),
        *_others(one).items(),
    ]
    return [(name, value) for name, value in facts if value]


def _status(one: Checkpoint) -> str:
    if one.is_held:
        return f"running, written by {one.holder} for another {one.lease_left:.0f} s at least"
    return f"{one.status.value}, nobody writes it" if one.status is Status.RUNNING else one.status.value


def _lease(one: Checkpoint) -> str:
    milliseconds = _number(one, "lease_ms")
    return "" if milliseconds is None else f"{milliseconds / 1000:g} s"


def _moment(seconds: float) -> str:
    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{written} ({span(time.time() - seconds)} ago)"


def _number(one: Checkpoint, name: str) -> int | None:
    text = one.text(name)
    return int(text) if text.isdecimal() else None


def _usage(one: Checkpoint) -> dict[str, Any] | None:
    try:
        usage = json.loads(one.fields.get("usage", b"null"))
    except ValueError:
        return None
    return usage if isinstance(usage, dict) else None


def _tokens(one: Checkpoint) -> str:
    counts = {name: value for name, value in (_usage(one) or {}).items() if isinstance(value, int) and value}
    written = ", ".join(f"{name} {value}" for name, value in counts.items())
    return f"{written} (estimated)" if written and one.text("usage_estimated") == "1" else written


def _others(one: Checkpoint) -> dict[str, str]:
    """Give the fields that have no place of their own, as far as they are text."""
    found: dict[str, str] = {}
    for name, value in one.fields.items():
        if name not in _HERE | _INNER:
            try:
                found[name] = value.decode()
            except UnicodeDecodeError:
                continue
    return found


def _gist(event: SessionEvent) -> str:
    """Say what is in an event, without its type."""
    return printable(
        json.dumps({name: value for name, value in event.event.items() if name != "type"}, ensure_ascii=False)
    )


def _plain(value: str) -> str:
    """Write a value on one line that a terminal shows and does not obey."""
    return printable(" ".join(value.split()))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        from resumable.cli._sessions_table import print_table  # noqa: PLC0415  # Reason: a pipe needs no rich

        print_table(columns, rows, _NUMBERS)
        return
    lines = [columns, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = [
            f"{cell:>{width}}" if name in _NUMBERS else f"{cell:<{width}}"
            for name, cell, width in zip(columns, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _width() -> int | None:
    """[columns] Say how wide a line may be; `None` where nobody looks at it."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415  # Reason: a pipe needs no rich

    return Console().width


def _cut(line: str, room: int | None) -> str:
    if room is None:
        return line
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415  # Reason: a pipe needs no rich

    return line if cell_len(line) <= room else set_cell_size(line, room - 1) + "…"


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
