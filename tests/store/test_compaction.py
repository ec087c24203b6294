"""A log that is compacted while it is read, while the server is killed, and while many do it; with any content."""

from __future__ import annotations

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from resumable import SealedError, Sessions
from resumable._core.store_errors import LogLostError, StoreUnavailableError
from resumable.store import MAX_EVENTS, Cursor, Entry, Marker, Pack, Recorded, Status, Store, _packs, sealed
from resumable.store._packs import Piece, events_in, pack_log, size_of, spread
from resumable.store.encrypted._envelopes import MARK, AlteredError, DataKey
from resumable.store.encrypted._logs import open_entries, place_of
from resumable.store.redis._stores import RedisStore
from resumable.testing._conformance_scene import opened, until, write

if TYPE_CHECKING:
    from tests.store.servers import Server

LOG, FRESH = "resumable:{s}:log", "resumable:{s}:fresh"
OPENED = Marker(7, Status.RUNNING, "h", 0, None)


def some(count: int, first: int = 1) -> list[bytes]:
    """Make events that a reader can tell apart."""
    return [b'{"type":"content_block_delta","n":%d}' % n for n in range(first, first + count)]


def ended(store: Store, session_id: str = "s") -> list[Entry]:
    """Write a session of several packs to its end, and read it."""
    lease = opened(store, session_id)
    for at in range(0, 2500, MAX_EVENTS):
        write(store, lease, at + 1, *some(MAX_EVENTS, at + 1))
    write(store, lease, 2501, end=Status.COMPLETE)
    return whole(store, session_id)


def whole(store: Store, session_id: str = "s") -> list[Entry]:
    """Read all of a log."""
    log: list[Entry] = []
    while page := store.read(session_id, after=log[-1].cursor if log else None):
        log += page
    return log


@given(events=st.lists(st.binary(max_size=40), max_size=40), at=st.integers(0, 41), limit=st.integers(1, 50))
def test_any_events_are_what_they_were(events, at, limit):
    """From any of them on, for any limit; bytes of all kinds, in packs of any size."""
    log: list[Entry] = [OPENED, *(Recorded(7, seq, event) for seq, event in enumerate(events, 1))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_packs, "_MOST", 9)
        stored = pack_log(log)
    assert size_of(stored) == len(log)
    since = log[min(at, len(log) - 1)].cursor
    behind = [one for one in stored if one.cursor >= since]
    assert spread("s", behind, since, limit) == log[min(at, len(log) - 1) :][:limit]


@pytest.mark.parametrize(
    "blob",
    [
        b"x\x9cnonsense",
        zlib.compress(b"nonsense"),
        zlib.compress(msgspec.msgpack.encode([b"a"])),
        zlib.compress(msgspec.msgpack.encode(["a", "b"])),
    ],
)
def test_a_pack_that_is_none_is_a_lost_log(blob):
    """Damaged, or of another number of events: a typed error, and no event that never was."""
    pack = Pack(7, 1, 2, blob)
    with pytest.raises(LogLostError):
        spread("s", [pack], Cursor(7, 1), 9)
    with pytest.raises(ValueError, match="7-2"):
        events_in(pack, blob)


def test_readers_in_the_middle_do_not_notice(store, server):
    """Whoever reads or tails while logs are compacted gets every event once, in order."""
    logs = {f"s{i}": ended(store, f"s{i}") for i in range(4)}
    begun = threading.Barrier(len(logs) + 1)

    def tail(session_id: str) -> list[int]:
        with Sessions(server.url) as sessions, sessions.tail(session_id, changes=False) as events:
            seqs = [next(events).cursor.seq]
            begun.wait()
            return [*seqs, *(event.cursor.seq for event in events)]

    with ThreadPoolExecutor(len(logs)) as pool:
        readers = [pool.submit(tail, session_id) for session_id in logs]
        begun.wait()
        for session_id, log in logs.items():
            assert store.compact(session_id, pack_log(log))
        assert [reader.result() for reader in readers] == [[*range(1, 2501)]] * len(logs)


def test_many_at_once_do_it_once(store, server):
    """All of them are told that it is compact, and the log is the one that it was."""
    log = ended(store)
    packed = pack_log(log)
    others = [RedisStore.from_url(server.url) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda other: other.compact("s", packed), others))
    for other in others:
        other.close()
    assert whole(store) == log
    with server.client as client:
        assert client.xlen(LOG) == len(packed)
        assert not client.exists(FRESH)


def test_a_kill_leaves_the_one_log_or_the_other(start_server):
    """A server that is killed while it compacts has every log whole when it is back."""
    server: Server = start_server(appendfsync="always")
    store = RedisStore.from_url(server.url)
    logs = {f"s{i}": ended(store, f"s{i}") for i in range(6)}

    def compact_all() -> None:
        for session_id, log in logs.items():
            try:
                store.compact(session_id, pack_log(log))
            except StoreUnavailableError:
                return

    worker = threading.Thread(target=compact_all)
    worker.start()
    until(lambda: store.get("s2").is_compact)
    server.kill()
    worker.join()
    server.start()
    assert {session_id: whole(store, session_id) for session_id in logs} == logs
    with server.client as client:
        assert not client.keys("*:fresh")
    store.close()


def test_a_full_server_can_be_relieved(start_server):
    """Where there is no memory left to write, there is for what frees some."""
    server: Server = start_server()
    store = RedisStore.from_url(server.url)
    log = ended(store)
    with server.client as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("x", "y")
        assert store.compact("s", pack_log(log))
        client.config_set("maxmemory", 0)
    assert whole(store) == log
    store.close()


def test_what_is_encrypted_stays_so(store, server):
    """A pack shows nothing, opens with the key alone, and only where it belongs."""
    inside = sealed(store, {"key": b"k" * 32})
    log = ended(inside)
    assert inside.compact("s", pack_log(log))
    assert whole(inside) == log
    with pytest.raises(SealedError):
        whole(sealed(store, {"other": b"o" * 32}))
    with server.client as client:
        raw = client.xrange(LOG)
        blobs = [fields[b"z"] for _, fields in raw if b"z" in fields]
        assert all(blob.startswith(MARK) for blob in blobs)
        client.delete(LOG)
        others = iter([*blobs[1:], blobs[0]])
        for name, fields in raw:
            client.xadd(LOG, {**fields, b"z": next(others)} if b"z" in fields else fields, id=name)
    with pytest.raises(SealedError) as caught:
        whole(inside)
    assert caught.value.reason == "altered"


def test_a_pack_with_the_wrong_events_is_altered():
    """An envelope that opens, and does not hold what it should, is not believed."""
    key = DataKey.fresh("s", "hash")
    pack = Pack(7, 1, 2, b"")
    blob = key.seal(place_of(pack), zlib.compress(msgspec.msgpack.encode([b"a"])))
    with pytest.raises(AlteredError):
        open_entries(key, [Recorded(7, 1, Piece.of(pack._replace(blob=blob)))])
