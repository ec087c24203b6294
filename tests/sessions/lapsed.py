"""Sessions that were left in mid-sentence, as a process leaves them that is killed; without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable.store import Append, Appended, Opening, Recorded, Store
from resumable.store._url import open_store
from resumable.testing import ScriptedUpstream
from resumable.testing._conformance_scene import until
from tests.sessions.calls import Calls, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHORT = 0.002  # [s] A lease to run out at once.
_KEPT = 600.0  # [s]
_TEMPLATE: list[tuple[bytes, str, bytes, Sequence[bytes]]] = []
PLAIN = Opening(b'{"body":{}}', "hash", "", {"model": "m", "lease_ms": 2})


def template() -> tuple[bytes, str, bytes, Sequence[bytes]]:
    """Give the request, its hash, the attempts and all events of one whole call."""
    if not _TEMPLATE:
        its = new_id()
        with ScriptedUpstream("text") as upstream:
            calls = Calls("sync", "memory://")
            calls.text(upstream, its)
        store = open_store("memory://")
        events = [entry.event for entry in store.read(its) if isinstance(entry, Recorded)]
        there = store.get(its)
        _TEMPLATE.append((store.request(its), there.request_hash, there.fields["attempts"], events))
        store.close()
    return _TEMPLATE[0]


def leave(store: Store, session_id: str, principal: str = "") -> None:
    """Leave a call behind that has come half way."""
    request, its_hash, attempts, events = template()
    opening = Opening(request, its_hash, principal, {"model": "m", "lease_ms": 2, "attempt": 1, "attempts": attempts})
    write(store, session_id, opening, events[: len(events) // 2])


def leave_plain(store: Store, session_id: str, *, waits: bool = True) -> None:
    """Leave something behind that nobody will read as a message; its time is the test's own unless it *waits*."""
    write(store, session_id, PLAIN, [b'{"type":"ping"}'], waits=waits)


def write(store: Store, session_id: str, opening: Opening, events: Sequence[bytes], *, waits: bool = True) -> None:
    """Write a session whose lease runs out at once."""
    lease = store.acquire(session_id, "gone", duration=_SHORT, ttl=_KEPT, opening=opening).lease
    [done] = store.append([Append(lease, 1, events)])
    assert isinstance(done, Appended), done
    if waits:
        until(lambda: not store.get(session_id).is_held)
