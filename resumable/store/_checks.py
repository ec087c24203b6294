"""What an argument must be before a store looks at it, whichever store it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError, LocalProtocolError

from ._records import MAX_EVENTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from ._records import Append

_SESSION_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HOLDER_BYTES = 256

# Fields that the scripts write, and nobody else.
OWN_FIELDS = frozenset(
    {
        "schema",
        "status",
        "token",
        "holder",
        "marker",
        "lease_until_ms",
        "base",
        "last_seq",
        "takeovers",
        "principal",
        "request_hash",
        "ttl_ms",
        "cancel",
        "cancel_ms",
        "created_ms",
        "updated_ms",
        "compact_ms",
    }
)


def check_session_id(session_id: str) -> str:
    """
    Give a session's ID back if it can be one.

    Raises:
        ConfigurationError: It cannot.
    """
    if _SESSION_ID.fullmatch(session_id) is None:
        problem = "not of the form [A-Za-z0-9_.-]{1,128}"
        raise ConfigurationError(argument="session_id", problem=problem, remedy="choose another ID")
    return session_id


def check_holder(holder: str) -> str:
    """
    Give a holder's name back if it can be one.

    Raises:
        ConfigurationError: It is empty or longer than 256 bytes.
    """
    if not 0 < len(holder.encode()) <= _HOLDER_BYTES:
        problem = "empty or too long"
        raise ConfigurationError(argument="holder", problem=problem, remedy="pass a name unique to this writer")
    return holder


def milliseconds(name: str, seconds: float) -> int:
    """
    Convert a duration for the wire.

    Raises:
        ConfigurationError: It is not at least a millisecond and at most a century.
    """
    if not 0.001 <= seconds <= 3.2e9:  # noqa: PLR2004  # Reason: the docstring says what they are
        raise ConfigurationError(name, f"{seconds} s is out of range", "pass a positive number of seconds")
    return round(seconds * 1000)


def check_fields(names: Collection[str]) -> None:
    """
    Refuse fields that are the store's own.

    Raises:
        ConfigurationError: One is.
    """
    if not OWN_FIELDS.isdisjoint(names):
        problem = f"{min(OWN_FIELDS.intersection(names))} is the store's own"
        raise ConfigurationError(argument="fields", problem=problem, remedy="choose another name")


def check_append(one: Append) -> None:
    """
    Refuse an append that cannot be meant.

    Raises:
        ConfigurationError: It is too large, its end is no end, or a field is the store's own.
        LocalProtocolError: It reaches back before its lease.
    """
    if len(one.events) > MAX_EVENTS:
        problem = f"{len(one.events)} in one append"
        raise ConfigurationError(argument="events", problem=problem, remedy=f"pass {MAX_EVENTS} at most")
    if one.first_seq <= one.lease.base:
        state = f"writing behind seq {one.lease.base}"
        raise LocalProtocolError(input=f"appending from seq {one.first_seq}", state=state)
    if one.end is not None and not one.end.is_over:
        problem = f"{one.end.value} is no end"
        raise ConfigurationError(argument="end", problem=problem, remedy="pass COMPLETE, FAILED or CANCELLED")
    check_fields(one.fields)


def check_reason(reason: str) -> None:
    """
    Refuse an empty reason: it would read as none.

    Raises:
        ConfigurationError: It is empty.
    """
    if not reason:
        raise ConfigurationError(argument="reason", problem="empty", remedy="say in a word why")
