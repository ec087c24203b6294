"""
What each operation that writes sends, and what it makes of the answers, for both colours; pure.

Strategy: an operation is a plan, a generator that yields flights of commands, is sent their replies, and returns the
value or raises the typed error. A store drives it in six lines; nothing but those differs between sync and async.
A flight travels at once and its commands are done in order; it may be sent again as it is, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from resumable._core.store_errors import StoreError
from resumable.store._checks import check_append, check_fields, check_holder, check_reason, milliseconds
from resumable.store._records import (
    SCHEMA,
    Acquired,
    Append,
    Appended,
    Cancelled,
    Grant,
    Lease,
    Opening,
)

from . import _scripts
from ._replies import Reply, accepted, appended, checkpoint, refusal
from ._resp import Spelt, Word, bulk, spell

if TYPE_CHECKING:
    from resumable.store._keys import Keys

T = TypeVar("T")


class Command(msgspec.Struct, frozen=True, gc=False):  # One for nearly every event: nothing for a collector.
    """
    One command of a flight.

    Attributes:
        words: As on the wire; for a script its keys and arguments.
        script: The script to run, if it is one.
        keys: How many of its words are keys.
        near: Key of the server that is meant, for a command without keys; empty when any will do.
    """

    words: Sequence[Word]
    script: _scripts.Script | None = None
    keys: int = 0
    near: str = ""


Flight: TypeAlias = Sequence[Command]
Plan: TypeAlias = Generator[Flight, Sequence[Reply], T]

CONTROL_KEPT = 1000  # entries; a listener that is further behind learns it from its next append
_CONTROL_TTL = 86_400_000  # [ms]
_NOTHING = Spelt(0, b"")
_UPKEEP_TTL = 604_800_000  # [ms] What has been kept for longer, and was not looked after by then, stays as it is.


def run(script: _scripts.Script, keys: Sequence[str], *args: Word) -> Command:
    """Make the command that runs a script."""
    return Command((*keys, *args), script, len(keys))


def on_the_wire(flight: Flight, *, with_texts: bool = False) -> list[Sequence[Word]]:
    """
    Spell a flight out.

    Args:
        flight: What to send.
        with_texts: Send each script's text once, for a server that does not know it.
    """
    spelt: list[Sequence[Word]] = []
    sent: set[str] = set()
    for command in flight:
        if command.script is None:
            spelt.append(command.words)
        elif with_texts and command.script.name not in sent:
            spelt.append(("EVAL", command.script.text, command.keys, *command.words))
            sent.add(command.script.name)
        else:
            spelt.append((_calling(command.script, command.keys), *command.words))
    return spelt


@cache
def _calling(script: _scripts.Script, keys: int) -> Spelt:
    """Spell the words before a script's keys."""
    return spell(("EVALSHA", script.sha, keys))


def unknown(flight: Flight, is_unknown: Sequence[bool]) -> list[int]:
    """
    Find what to send again, with texts, to a server that did not know some script.

    All commands of that script, in order: another client may have taught it to the server halfway, and what came
    behind was done before its time. The others stay done.

    Args:
        flight: What was sent.
        is_unknown: Of each command, whether its script was not known.
    """
    names = {one.script for one, is_it in zip(flight, is_unknown, strict=True) if is_it}
    return [i for i, one in enumerate(flight) if one.script is not None and one.script in names]


def hint(index: str, session_ids: Sequence[str], ahead_ms: int, keep_ms: int, *, only_new: bool = False) -> Command:
    """Make the command that notes sessions in an index."""
    return run(_scripts.HINT, [index], ahead_ms, keep_ms, "1" if only_new else "0", *session_ids)


def finish_hint(names: Keys, session_ids: Sequence[str]) -> Command:
    """Make the command that notes that sessions are over."""
    return hint(names.finished, session_ids, 0, _UPKEEP_TTL, only_new=True)


def orphan_hint(names: Keys, principal: str, session_id: str) -> Command:
    """Make the command that notes that a session waits for a credential."""
    return hint(names.orphaned(principal), [session_id], 0, _UPKEEP_TTL, only_new=True)


def sound(reply: Reply) -> Reply:
    """
    Give an answer back unless it is an error.

    Raises:
        StoreError: It is.
    """
    if isinstance(reply, StoreError):
        raise reply
    return reply


def _flat(fields: Mapping[str, Word]) -> list[Word]:
    check_fields(fields)
    return list(chain.from_iterable(fields.items()))


def acquire(
    names: Keys, session_id: str, holder: str, *, duration: float, ttl: float, opening: Opening | None
) -> Plan[Acquired]:
    """Plan `Store.acquire`; the hints go first, so that a crash leaves a hint too many and never one too few."""
    keys = names.session(session_id)
    duration_ms, ttl_ms = milliseconds("duration", duration), milliseconds("ttl", ttl)
    words: list[Word] = [check_holder(holder), duration_ms, ttl_ms, SCHEMA]
    flight: list[Command] = []
    if opening is None:
        words += ["0"]
    else:
        words += ["1", opening.request_hash, opening.principal, opening.request, *_flat(opening.fields)]
        # Only what is new: an acquire that is refused must not move the hint of a session that is there.
        flight.append(hint(names.active, [session_id], duration_ms, ttl_ms, only_new=True))
        indices = [names.all_sessions, *([names.principal(opening.principal)] if opening.principal else [])]
        flight += [hint(index, [session_id], 0, 2 * ttl_ms, only_new=True) for index in indices]
    reply = accepted(session_id, (yield [*flight, run(_scripts.ACQUIRE, keys, *words)])[-1])
    grant, token = Grant(reply[0].decode().lower()), int(reply[1])
    before = None if grant is Grant.CREATED else checkpoint(session_id, int(reply[2]), reply[3])
    last_seq = before.last_seq if before else 0
    base = before.base if before and grant is Grant.KEPT else last_seq
    if grant is not Grant.CREATED:
        yield [hint(names.active, [session_id], duration_ms, ttl_ms)]
    return Acquired(Lease(session_id, holder, token, base, duration, ttl), grant, last_seq, before)


def append(names: Keys, appends: Sequence[Append]) -> Plan[Sequence[Appended | StoreError]]:
    """Plan `Store.append`."""
    flight = [_append(names, one) for one in appends]
    over = [one.lease.session_id for one in appends if one.end is not None]
    if over:
        flight += [Command(("ZREM", names.active, *over)), finish_hint(names, over)]
    replies = (yield flight) if flight else []
    return [
        appended(one.lease, reply, seen=one.first_seq - 1)
        for one, reply in zip(appends, replies[: len(appends)], strict=True)
    ]


def _append(names: Keys, one: Append) -> Command:
    """Make the command of an append, spelt here in one go: there is one for nearly every event."""
    check_append(one)
    key, before, after, going_on = _standing(names, one.lease)
    end = going_on if one.end is None else spell((after, one.end.value))
    fields = spell(chain.from_iterable(one.fields.items())) if one.fields else _NOTHING
    first, count = bulk(b"%d" % one.first_seq), bulk(b"%d" % len(one.events))
    raw = b"".join((before.raw, first, count, end.raw, *map(bulk, one.events), fields.raw))
    number = before.number + 2 + end.number + len(one.events) + fields.number
    return Command((Spelt(number, raw),), _scripts.APPEND, 3, key)


@lru_cache(maxsize=4096)
def _standing(names: Keys, lease: Lease) -> tuple[str, Spelt, Spelt, Spelt]:
    """Spell what is the same in every append under a lease: its key, the words before and behind, and no end."""
    keys = names.session(lease.session_id)
    after = spell((milliseconds("duration", lease.duration), milliseconds("ttl", lease.ttl)))
    return keys[0], spell((*keys, lease.token, lease.holder)), after, spell((after, ""))


def renew(names: Keys, leases: Sequence[Lease]) -> Plan[Sequence[Appended | StoreError]]:
    """Plan `Store.renew`."""
    spans = [(milliseconds("duration", lease.duration), milliseconds("ttl", lease.ttl)) for lease in leases]
    flight = [
        run(_scripts.RENEW, names.session(lease.session_id), lease.token, lease.holder, *span)
        for lease, span in zip(leases, spans, strict=True)
    ]
    for span in sorted(set(spans)):
        ids = [lease.session_id for lease, its in zip(leases, spans, strict=True) if its == span]
        flight.append(hint(names.active, ids, *span))
    replies = (yield flight) if flight else []
    return [
        appended(lease, reply, seen=lease.base) for lease, reply in zip(leases, replies[: len(leases)], strict=True)
    ]


def release(names: Keys, lease: Lease) -> Plan[None]:
    """Plan `Store.release`."""
    keys = names.session(lease.session_id)
    ttl_ms = milliseconds("ttl", lease.ttl)
    [reply, _] = yield [
        run(_scripts.RELEASE, keys[:2], lease.token, lease.holder),
        hint(names.active, [lease.session_id], 0, ttl_ms),
    ]
    error = refusal(lease.session_id, reply, token=lease.token)
    if error is not None:
        raise error


def orphan(names: Keys, session_id: str) -> Plan[bool]:
    """Plan `Store.orphan`."""
    [reply] = yield [run(_scripts.ORPHAN, names.session(session_id)[:2])]
    match reply:
        case [b"HELD" | b"ENDED", *_]:
            return False
        case _:
            principal = accepted(session_id, reply)[1].decode(errors="replace")
    yield [orphan_hint(names, principal, session_id), Command(("ZREM", names.active, session_id))]
    return True


def cancel(names: Keys, session_id: str, reason: str) -> Plan[Cancelled]:
    """Plan `Store.cancel`; the control stream is a hint, so it goes last: the flag is what counts."""
    check_reason(reason)
    [reply] = yield [run(_scripts.CANCEL, names.session(session_id), reason)]
    match accepted(session_id, reply):
        case [b"ASKED", holder, last]:
            yield [
                Command(("XADD", names.control, "MAXLEN", "~", CONTROL_KEPT, "*", "cancel", session_id)),
                Command(("PEXPIRE", names.control, _CONTROL_TTL)),
            ]
            return Cancelled(holder.decode(errors="replace"), last)
        case answer:
            yield [Command(("ZREM", names.active, session_id)), finish_hint(names, [session_id])]
            return Cancelled("", answer[1])
