"""Whether entries follow a cursor and each other; pure, the same for every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable._core.store_errors import CursorError, LogRewoundError, SeqExpiredError

from ._records import Cursor, Entry, Marker, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def check_chain(session_id: str, before: Cursor | None, following: Iterable[Entry]) -> None:
    """
    Check that entries follow a cursor, and each other, without a hole (law L6).

    Each event names its predecessor by its seq, each marker by `after`.

    Args:
        session_id: The session's ID.
        before: The cursor; `None` for the beginning of the log.
        following: What the log holds behind it.

    Raises:
        LogRewoundError: The log went back behind the cursor and on from there.
        SeqExpiredError: Something between was removed.
    """
    token, seq = before or (0, 0)
    base = 0 if before is None else -1  # of a marker; a cursor alone does not tell
    for entry in following:
        if isinstance(entry, Recorded):
            if entry.token != token or (entry.seq != (seq or base) + 1 and (seq or base) >= 0):
                raise SeqExpiredError(session_id, (seq or max(base, 0)) + 1, entry.seq)
            seq = entry.seq
            continue
        after = entry.after or Cursor(0, 0)
        if after < (token, seq):
            raise LogRewoundError(session_id, seq or max(base, entry.base), entry.base)
        if after > (token, seq):
            raise SeqExpiredError(session_id, seq + 1, entry.base + 1)
        token, seq, base = entry.token, 0, entry.base


def check_found(session_id: str, cursor: Cursor, following: Sequence[Entry], first: Entry) -> None:
    """
    Tell what became of the entry that a cursor names, which the log does not hold.

    Args:
        session_id: The session's ID.
        cursor: The cursor.
        following: What the log holds behind it; not empty.
        first: The first entry of the log.

    Raises:
        LogRewoundError: It was lost, and the log has gone on without it.
        SeqExpiredError: The log begins behind it.
        CursorError: It never was.
    """
    entry = following[0]
    if isinstance(entry, Marker) and (entry.after or Cursor(0, 0)) < cursor:
        raise LogRewoundError(session_id, cursor.seq or entry.base, entry.base)
    if first == entry:
        earliest = entry.seq if isinstance(entry, Recorded) else entry.base + 1
        raise SeqExpiredError(session_id, cursor.seq + 1, earliest)
    raise CursorError(str(cursor), "not one of this log's")
