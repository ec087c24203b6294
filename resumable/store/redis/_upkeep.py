"""
What is sent to look after sessions that nobody writes, and what is made of the answers, for both colours; pure.

Plans as in `_commands`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable._core.store_errors import StoreUnavailableError
from resumable.store._packs import Pack, size_of
from resumable.store._records import Checkpoint, Status, Upkeep

from . import _scripts
from ._commands import Command, Plan, run, sound
from ._queries import look, settle
from ._replies import accepted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store._keys import Keys
    from resumable.store._packs import Stored

    from ._resp import Word


def claim(names: Keys, upkeep: Upkeep, principal: str, spans: tuple[float, float], limit: int) -> Plan[Sequence[str]]:
    """
    Plan `Store.claim`; what needs no upkeep is dropped from the index.

    Args:
        names: The keys.
        upkeep: As of `Store.claim`.
        principal: Likewise.
        spans: [s] For how long, and the least age.
        limit: [sessions] As of `Store.claim`.
    """
    hold_ms, age_ms = (round(span * 1000) for span in spans)
    index = names.finished if upkeep is Upkeep.FINISHED else names.orphaned(principal)
    index = names.active if upkeep is Upkeep.LAPSED else index
    [reply] = yield [run(_scripts.CLAIM, [index], age_ms, hold_ms, limit)]
    ids = [raw.decode() for raw in sound(reply)]
    looks = list(zip(ids, (yield from look(names, ids)), strict=True))
    if upkeep is Upkeep.LAPSED:
        idle = yield from settle(names, looks)
        return [name for name, one in looks if name not in idle and isinstance(one, Checkpoint) and not one.is_held]
    found = [name for name, one in looks if isinstance(one, Checkpoint) and _is_due(one, upkeep)]
    # Gone, done, beyond repair, or never over: the hint is written whatever became of the end.
    done = [name for name, one in looks if name not in found and not isinstance(one, StoreUnavailableError)]
    if done:
        yield [Command(("ZREM", index, *done))]
    return found


def _is_due(there: Checkpoint, upkeep: Upkeep) -> bool:
    if upkeep is Upkeep.ORPHANED:
        return there.status is Status.ORPHANED
    return there.status.is_over and not there.is_compact


def compact(names: Keys, session_id: str, log: Sequence[Stored]) -> Plan[bool]:
    """Plan `Store.compact`."""
    if not log:
        return False
    keys = (*names.session(session_id), names.fresh(session_id))
    words: list[Word] = []
    for one in log:
        words += [str(one.cursor), one.first, one.blob] if isinstance(one, Pack) else [str(one.cursor), "", ""]
    [reply] = yield [run(_scripts.COMPACT, keys, size_of(log), *words)]
    match reply:
        case [b"RUNNING" | b"CHANGED"]:
            return False
        case _:
            accepted(session_id, reply)
    yield [Command(("ZREM", names.finished, session_id))]
    return True
