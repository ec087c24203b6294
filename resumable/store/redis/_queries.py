"""
What each operation that reads or waits sends, and what it makes of the answers, for both colours; pure.

Plans as in `_commands`. A blocking command travels alone, over a connection of its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from resumable._core.store_errors import (
    CursorError,
    LogLostError,
    LogRewoundError,
    SeqExpiredError,
    SessionNotFoundError,
    StoreError,
)
from resumable.store._chain import check_chain, check_found
from resumable.store._keys import OPAQUE_FIELDS, Keys
from resumable.store._records import (
    LONGEST_WAIT,
    MAX_EVENTS,
    Cancels,
    Checkpoint,
    Cursor,
    Entry,
    Recorded,
    Status,
    Vitals,
)

from . import _scripts
from ._commands import CONTROL_KEPT, Command, Plan, finish_hint, orphan_hint, run, sound
from ._replies import Reply, entries, entry_id, looked
from ._resp import Spelt, bulk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PAGE = 100  # sessions looked at in one flight of a listing
_WAKE_TTL = 60_000  # [ms]


def block_ms(seconds: float) -> int:
    """Bound a wait; 0 would mean for ever."""
    return max(1, round(min(seconds, LONGEST_WAIT) * 1000))


def wait_cancelled(names: Keys, after: Cursor | None, seconds: float) -> Plan[Cancels]:
    """Plan `Store.wait_cancelled`; blocks unless *after* is `None`."""
    if after is None:
        [reply] = yield [Command(("XREVRANGE", names.control, "+", "-", "COUNT", 1))]
        return Cancels(entry_id(sound(reply)[0][0]) if sound(reply) else Cursor(0, 0), ())
    [reply] = yield [
        Command(("XREAD", "COUNT", CONTROL_KEPT, "BLOCK", block_ms(seconds), "STREAMS", names.control, str(after)))
    ]
    found = [entry for _, raw in sound(reply) or () for entry in raw]
    ids = [fields[1].decode(errors="replace") for _, fields in found if fields[0] == b"cancel"]
    return Cancels(entry_id(found[-1][0]) if found else after, ids)


def read(names: Keys, session_id: str, after: Cursor | None, limit: int) -> Plan[Sequence[Entry]]:
    """Plan `Store.read`: the entry that the cursor names is read again, which proves that the log still has it."""
    keys = names.session(session_id)
    if after == (0, 0):
        after = None
    more = 0 if after is None else 1
    [reply] = yield [Command(("XRANGE", keys[1], "-" if after is None else str(after), "+", "COUNT", limit + more))]
    found = entries(session_id, sound(reply), since=after or Cursor(0, 0), limit=limit + more)
    if after is None:
        check_chain(session_id, None, found)
        if not found:
            yield from _get(keys, session_id)
        return found
    if found and found[0].cursor == after:
        check_chain(session_id, after, found[1:])
        return found[1:]
    if not found:
        yield from _get(keys, session_id)
        raise CursorError(str(after), "it lies in the future")
    [reply] = yield [Command(("XRANGE", keys[1], "-", "+", "COUNT", 1))]
    [first] = entries(session_id, sound(reply)) or found[:1]
    check_found(session_id, after, found, first)
    return []


def wait(
    names: Keys, after: Mapping[str, Cursor], seconds: float, wake: str, woken: list[bytes]
) -> Plan[Mapping[str, Sequence[Entry] | StoreError]]:
    """
    Plan `Store.wait`; blocks.

    Args:
        names: The keys.
        after: As of `Store.wait`.
        seconds: [s] As of `Store.wait`.
        wake: Key of the store's own stream that `wake` writes to.
        woken: Its last id that was seen; brought up to date.
    """
    bell = wake.encode()
    logs = [bulk(bell), *[_log(names, session_id) for session_id in after]]
    cursors = [bulk(woken[0]), *[bulk(b"%d-%d" % cursor) for cursor in after.values()]]
    asked = Spelt(2 * len(logs), b"".join(logs + cursors))
    [reply] = yield [Command(("XREAD", "COUNT", MAX_EVENTS, "BLOCK", block_ms(seconds), "STREAMS", asked))]
    found: dict[str, Sequence[Entry] | StoreError] = {}
    before, _, behind = names.session("-")[1].encode().rpartition(b"-")
    for log, raw in sound(reply) or ():
        if log == bell:
            woken[0] = raw[-1][0]
            continue
        session_id = log[len(before) : -len(behind)].decode()
        found[session_id] = following(session_id, after[session_id], raw)
    return found


@lru_cache(maxsize=4096)
def _log(names: Keys, session_id: str) -> bytes:
    """Spell the name of a log: a thousand of them are named at every wait."""
    return bulk(names.session(session_id)[1].encode())


def following(session_id: str, after: Cursor, raw: Sequence[Reply]) -> Sequence[Entry] | StoreError:
    """Read what follows a cursor, or say that the log does not go on from there."""
    return _next_events(after, raw) or _checked(session_id, after, raw)


def _next_events(after: Cursor, raw: Sequence[Reply]) -> Sequence[Recorded]:
    """Read what is nothing but the next events of the same writer, as nearly always; else give nothing."""
    token, seq = after
    found: list[Recorded] = []
    for name, fields in raw:
        seq += 1
        if seq == 1 or fields[0] != b"d" or name != b"%d-%d" % (token, seq):
            return ()
        found.append(Recorded(token, seq, fields[1]))
    return found


def _checked(session_id: str, after: Cursor, raw: Sequence[Reply]) -> Sequence[Entry] | StoreError:
    try:
        found = entries(session_id, raw, since=Cursor(after.token, after.seq + 1), limit=MAX_EVENTS)
        check_chain(session_id, after if after != (0, 0) else None, found)
    except (LogLostError, LogRewoundError, SeqExpiredError) as exc:
        return exc
    return found


def wake(key: str) -> Plan[None]:
    """Plan `Store.wake`."""
    replies = yield [Command(("XADD", key, "MAXLEN", 1, "*", "w", "1")), Command(("PEXPIRE", key, _WAKE_TTL))]
    sound(replies[0])


def get(names: Keys, session_id: str) -> Plan[Checkpoint]:
    """Plan `Store.get`."""
    return (yield from _get(names.session(session_id), session_id))


def _get(keys: Sequence[str], session_id: str) -> Plan[Checkpoint]:
    [reply] = yield [run(_scripts.LOOK, keys[:2])]
    found = looked(session_id, reply)
    if isinstance(found, StoreError):
        raise found
    return found


def look(names: Keys, session_ids: Sequence[str]) -> Plan[Sequence[Checkpoint | StoreError]]:
    """Plan `Store.look`."""
    flight = [run(_scripts.LOOK, names.session(session_id)[:2], *OPAQUE_FIELDS) for session_id in session_ids]
    replies = (yield flight) if flight else []
    return [looked(session_id, reply) for session_id, reply in zip(session_ids, replies, strict=True)]


def request(names: Keys, session_id: str) -> Plan[bytes]:
    """Plan `Store.request`."""
    keys = names.session(session_id)
    [reply] = yield [Command(("GET", keys[2]))]
    if isinstance(found := sound(reply), bytes):
        return found
    yield from _get(keys, session_id)
    raise LogLostError(session_id, "request")


def list_sessions(
    names: Keys, status: Status | None, principal: str | None, ages: tuple[float, float | None], limit: int
) -> Plan[Sequence[Checkpoint]]:
    """Plan `Store.list`; what the index names and the store no longer has is dropped from it."""
    index = names.principal(principal) if principal else names.all_sessions
    [reply] = yield [Command(("TIME",), near=index)]  # By the clock that its scores are of.
    now_ms = int(sound(reply)[0]) * 1000 + int(reply[1]) // 1000
    newest = now_ms - round(ages[0] * 1000)
    oldest = "-inf" if ages[1] is None else str(now_ms - round(ages[1] * 1000))
    found: list[Checkpoint] = []
    gone: list[str] = []
    for at in range(0, 2**31, _PAGE):
        [reply] = yield [Command(("ZREVRANGEBYSCORE", index, newest, oldest, "LIMIT", at, _PAGE))]
        ids = [raw.decode() for raw in sound(reply)]
        for session_id, one in zip(ids, (yield from look(names, ids)), strict=True):
            if isinstance(one, Checkpoint) and status in {None, one.status} and principal in {None, one.principal}:
                found.append(one)
            elif isinstance(one, SessionNotFoundError):
                gone.append(session_id)
        if len(ids) < _PAGE or len(found) >= limit:
            break
    if gone:
        yield [Command(("ZREM", index, *gone))]
    return found[:limit]


def due(names: Keys, limit: int) -> Plan[Sequence[str]]:
    """Plan `Store.due`; what is over or gone is dropped from the index."""
    [reply] = yield [Command(("TIME",), near=names.active)]
    now_ms = int(sound(reply)[0]) * 1000 + int(reply[1]) // 1000
    [reply] = yield [Command(("ZRANGEBYSCORE", names.active, "-inf", now_ms, "LIMIT", 0, limit))]
    ids = [raw.decode() for raw in sound(reply)]
    looks = list(zip(ids, (yield from look(names, ids)), strict=True))
    idle = yield from settle(names, looks)
    return [name for name, one in looks if name not in idle and not (isinstance(one, Checkpoint) and one.is_held)]


def settle(names: Keys, looks: Sequence[tuple[str, Checkpoint | StoreError]]) -> Plan[set[str]]:
    """Move what is no longer active to the index where it belongs now, and say which sessions that was."""
    there = [one for _, one in looks if isinstance(one, Checkpoint)]
    over = [one.session_id for one in there if one.status.is_over]
    orphans = [one for one in there if one.status is Status.ORPHANED]
    gone = [name for name, one in looks if isinstance(one, SessionNotFoundError)]
    idle = [*gone, *over, *(one.session_id for one in orphans)]
    if idle:
        hints = [orphan_hint(names, one.principal, one.session_id) for one in orphans]
        hints += [finish_hint(names, over)] if over else []
        yield [*hints, Command(("ZREM", names.active, *idle))]
    return set(idle)


def delete(names: Keys, session_id: str) -> Plan[bool]:
    """Plan `Store.delete`; the indices come after the keys, so that a crash leaves a hint too many."""
    [count, *_] = yield [
        Command(("UNLINK", *names.session(session_id))),
        Command(("ZREM", names.active, session_id)),
        Command(("ZREM", names.all_sessions, session_id)),
        Command(("ZREM", names.finished, session_id)),
    ]
    return bool(sound(count))


#: What `Store.ping` sends.
PING = (Command(("PING",)), Command(("INFO", "server")), Command(("INFO", "replication")))


def ping() -> Plan[Vitals]:
    """Plan `Store.ping`; where INFO is forbidden or unknown, the store says no more than that it is there."""
    return vitals((yield PING))


def vitals(replies: Sequence[Reply]) -> Vitals:
    """
    Read the answers to a ping.

    Raises:
        StoreError: The first of them is an error.
    """
    pong, server, replication = replies
    sound(pong)
    told = {**_told(server), **_told(replication)}
    uptime = told.get("uptime_in_seconds")
    return Vitals(told.get("run_id"), float(uptime) if uptime else None, told.get("role"))


def _told(reply: object) -> dict[str, str]:
    lines = reply.decode(errors="replace").splitlines() if isinstance(reply, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)
