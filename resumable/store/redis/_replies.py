"""
What the scripts and commands answered, as values or typed errors.

Pure; replies are what the wire carries: bytes, integers and lists, nested. An error is a value here, since one answer
of a flight must not hide the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from resumable._core.store_errors import (
    FencedError,
    LeaseHeldError,
    LogLostError,
    LogRewoundError,
    SessionConflictError,
    SessionEndedError,
    SessionNotFoundError,
    SessionSchemaError,
    StoreError,
    StoreUnavailableError,
)
from resumable.store._checks import OWN_FIELDS
from resumable.store._packs import Pack, entries_in
from resumable.store._records import (
    MAX_EVENTS,
    SCHEMA,
    Appended,
    Checkpoint,
    Cursor,
    Entry,
    Lease,
    Marker,
    Recorded,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Reply: TypeAlias = Any  # Reason: RESP is recursive and untyped; it is narrowed where it is read
Replies: TypeAlias = list[Reply]
SECOND = 1000.0  # [ms]
_BEGINNING = Cursor(0, 0)
_OK_WORDS = 4

# Refusals whose facts are those of the error, in order.
_SAID: dict[bytes, Callable[..., StoreError]] = {
    b"MISSING": SessionNotFoundError,
    b"LOST": LogLostError,
    b"ENDED": SessionEndedError,
    b"CONFLICT": SessionConflictError,
}


def refusal(session_id: str, reply: Reply, *, token: int = 0, seen: int = 0) -> StoreError | None:
    """
    Tell why a script refused; `None` if it did not.

    Args:
        session_id: The session it was about.
        reply: Its answer, or the error that came in place of one.
        token: The caller's own, where it has one.
        seen: Seq of the last event that the caller knows to be acknowledged.
    """
    try:
        return _refusal(session_id, reply, token, seen)
    except (AttributeError, TypeError, ValueError):
        return _strange(reply)


def _refusal(session_id: str, reply: Reply, token: int, seen: int) -> StoreError | None:
    error: StoreError | None = None
    match reply:
        case StoreError():
            error = reply
        case [bytes(tag), *facts] if tag in _SAID:
            error = _SAID[tag](session_id, *(_text(fact) if isinstance(fact, bytes) else fact for fact in facts))
        case [b"FENCED", highest, holder]:
            error = FencedError(session_id, token, int(highest), _text(holder))
        case [b"GAP", last]:
            error = LogRewoundError(session_id, seen, last)
        case [b"HELD", holder, left]:
            error = LeaseHeldError(session_id, _text(holder), left / SECOND)
        case [b"SCHEMA", found]:
            error = SessionSchemaError(session_id, _text(found), SCHEMA)
        case _:
            pass
    return error


def _strange(reply: Reply) -> StoreUnavailableError:
    # Something that is no store of ours, or a proxy, answered; what it said is not quoted.
    return StoreUnavailableError("refused", type(reply).__name__, retryable=False)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def accepted(session_id: str, reply: Reply) -> Sequence[Reply]:
    """
    Give the answer of a script back, or raise what it says.

    Raises:
        StoreError: The script refused.
    """
    error = refusal(session_id, reply)
    if error is not None:
        raise error
    if not isinstance(reply, list):
        raise _strange(reply)
    return reply


def appended(lease: Lease, reply: Reply, *, seen: int) -> Appended | StoreError:
    """Read the answer to an append or a renewal."""
    if type(reply) is list and len(reply) == _OK_WORDS and reply[0] == b"OK":  # A pattern takes ten times as long.
        _, last, written, cancel = reply
        if isinstance(last, int) and isinstance(written, int) and isinstance(cancel, bytes):
            return Appended(last, written, cancel.decode(errors="replace") if cancel else None)
    return refusal(lease.session_id, reply, token=lease.token, seen=seen) or _strange(reply)


def checkpoint(session_id: str, now_ms: int, flat: Sequence[bytes]) -> Checkpoint:
    """
    Read a checkpoint from what HGETALL answers.

    Raises:
        SessionSchemaError: A newer version wrote it.
        LogLostError: Fields that every checkpoint has are missing.
    """
    fields = {flat[i].decode(errors="replace"): flat[i + 1] for i in range(0, len(flat), 2)}
    schema = fields.get("schema", b"0").decode(errors="replace")
    if not schema.partition(".")[0].isdecimal() or int(schema.partition(".")[0]) > SCHEMA:
        raise SessionSchemaError(session_id, schema, SCHEMA)
    try:
        return Checkpoint(
            session_id=session_id,
            status=Status(fields["status"].decode()),
            last_seq=int(fields["last_seq"]),
            base=int(fields["base"]),
            token=int(fields["token"]),
            holder=fields["holder"].decode(errors="replace"),
            lease_left=max(int(fields["lease_until_ms"]) - now_ms, 0) / SECOND,
            takeovers=int(fields["takeovers"]),
            cancel=fields["cancel"].decode(errors="replace") if "cancel" in fields else None,
            principal=fields["principal"].decode(errors="replace"),
            request_hash=fields["request_hash"].decode(errors="replace"),
            created=int(fields["created_ms"]) / SECOND,
            updated=int(fields["updated_ms"]) / SECOND,
            schema=schema,
            fields={name: value for name, value in fields.items() if name not in OWN_FIELDS},
            is_compact="compact_ms" in fields,
            marker=int(fields.get("marker", b"0")),
        )
    except (KeyError, ValueError) as exc:
        raise LogLostError(session_id, "checkpoint") from exc


def looked(session_id: str, reply: Reply) -> Checkpoint | StoreError:
    """Read the answer to a look."""
    try:
        _, now_ms, flat = accepted(session_id, reply)
        return checkpoint(session_id, int(now_ms), flat)
    except StoreError as exc:
        return exc
    except (AttributeError, LookupError, TypeError, ValueError):
        return _strange(reply)


def entry_id(raw: bytes) -> Cursor:
    """Read the id of an entry."""
    token, _, seq = raw.partition(b"-")
    return Cursor(int(token), int(seq))


def entries(
    session_id: str, raw: Iterable[Reply], *, since: Cursor = _BEGINNING, limit: int = MAX_EVENTS + 1
) -> list[Entry]:
    """
    Read what XRANGE and XREAD answer for one log.

    Args:
        session_id: Whose.
        raw: The answer.
        since: The first entry that is wanted; a pack may begin before it.
        limit: [entries] At most this many; a pack holds more than one.

    Raises:
        SessionSchemaError: There is a marker that a newer version wrote.
        LogLostError: A pack does not hold what it should.
    """
    found: list[Entry] = []
    for name, fields in raw:
        token, _, seq = name.partition(b"-")
        if fields[0] == b"d":
            found.append(Recorded(int(token), int(seq), fields[1]))
        elif fields[0] == b"first":
            found += entries_in(session_id, Pack(int(token), int(fields[1]), int(seq), fields[3]), since)
            if len(found) >= limit:
                break
        else:
            found.append(_marker(session_id, int(token), dict(zip(fields[::2], fields[1::2], strict=True))))
    return found if len(found) <= limit else found[:limit]


def _marker(session_id: str, token: int, fields: dict[bytes, bytes]) -> Marker:
    try:
        status = Status(fields[b"status"].decode())
        after = entry_id(fields[b"after"]) if b"after" in fields else None
        return Marker(token, status, fields[b"holder"].decode(errors="replace"), int(fields[b"base"]), after)
    except (KeyError, ValueError) as exc:
        raise SessionSchemaError(session_id, "of a marker", SCHEMA) from exc
