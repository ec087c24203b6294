"""What a reader of a session gets: entries of its log as events, those of the message and those of the session."""

from __future__ import annotations

from typing import Any

import msgspec

from resumable._core.store_errors import LogLostError
from resumable._recording._follow import Followed, Lapse
from resumable.store import Cursor, Marker, Recorded, Status

OPENED = "session.opened"
TAKEN_OVER = "session.taken_over"
RELEASED = "session.released"
LAPSED = "session.lapsed"
CHANGE = "session."  # No type of the API begins so.


class _Named(msgspec.Struct):
    type: str = ""


_NAMED = msgspec.json.Decoder(_Named)
_EVENT = msgspec.json.Decoder(dict[str, Any])


class SessionEvent(msgspec.Struct, frozen=True):
    """
    An event of a session: the API's own, or one that says what became of the session.

    Attributes:
        session_id: Whose.
        cursor: Where a reader is that has seen it: pass it, or `str(cursor)`, as `after`.
        type: The API's type; or `session.opened`, `session.taken_over`, `session.released`, `session.lapsed`,
            `session.orphaned`, `session.complete`, `session.failed`, `session.cancelled`.
        json: [bytes] The event as the log holds it.
    """

    session_id: str
    cursor: Cursor
    type: str
    json: bytes

    @property
    def event(self) -> dict[str, Any]:
        """
        The event, decoded.

        Raises:
            LogLostError: The log does not hold JSON there.
        """
        try:
            return _EVENT.decode(self.json)
        except msgspec.MsgspecError as exc:
            raise LogLostError(self.session_id, "log") from exc

    @property
    def is_change(self) -> bool:
        """Whether it says what became of the session; it is then no event of the message."""
        return self.type.startswith(CHANGE)

    @property
    def is_end(self) -> bool:
        """Whether the session is over with it; nothing comes after it."""
        return self.type in _ENDS

    def __repr__(self) -> str:
        """Leave the content out."""
        return f"SessionEvent({self.session_id!r}, {str(self.cursor)!r}, {self.type!r})"


_ENDS = frozenset(f"{CHANGE}{status.value}" for status in Status if status.is_over)


def event_of(session_id: str, entry: Followed, cursor: Cursor) -> SessionEvent:
    """
    Make an event of what a follower gave.

    Args:
        session_id: Whose log.
        entry: What was given.
        cursor: Of the last entry of the log that was.
    """
    if isinstance(entry, Recorded):
        return SessionEvent(session_id, cursor, _type_of(entry.event), entry.event)
    if isinstance(entry, Lapse):
        change = {"status": entry.status.value, "holder": entry.holder}
        return _change(session_id, cursor, LAPSED, change)
    return _change(
        session_id,
        cursor,
        _type_of_marker(entry),
        {"status": entry.status.value, "holder": entry.holder, "last_seq": entry.base},
    )


def _change(session_id: str, cursor: Cursor, kind: str, facts: dict[str, Any]) -> SessionEvent:
    return SessionEvent(session_id, cursor, kind, msgspec.json.encode({"type": kind, **facts}))


def _type_of(event: bytes) -> str:
    try:
        return _NAMED.decode(event).type
    except msgspec.MsgspecError:
        return ""


def _type_of_marker(marker: Marker) -> str:
    if marker.status is not Status.RUNNING:
        return f"{CHANGE}{marker.status.value}"
    if not marker.holder:
        return RELEASED
    return OPENED if marker.after is None else TAKEN_OVER
