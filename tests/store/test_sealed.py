"""A store whose content is encrypted keeps every promise of a store, and shows nothing to who has no key."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from resumable import ConfigurationError, SealedError, SessionConflictError, SessionNotFoundError
from resumable.store import (
    Append,
    AsyncMemoryStore,
    AsyncStore,
    Cursor,
    Grant,
    Lease,
    MemoryStore,
    Opening,
    Recorded,
    Status,
    Store,
    asealed,
    sealed,
)
from resumable.store.encrypted._keyring import Keyring, find_keys
from resumable.store.encrypted._seals import CLEAR, RESERVED
from resumable.store.encrypted._stores import SealedStore
from resumable.store.redis._stores import AsyncRedisStore, RedisStore
from resumable.testing import STORE_CHECKS
from resumable.testing._conformance_portal import in_portal
from resumable.testing._conformance_scene import REQUEST, events, opened, write
from tests.store.stores import KEPT, LOG, LONG, META
from tests.store.stores import REQUEST as REQUEST_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.store.servers import Server

EACH = pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)

OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
SECRET = "what nobody may read"
ASKED = Opening(f'{{"prompt": "{SECRET}"}}'.encode(), "hash", "alice", {"model": "m", "title": SECRET})


@EACH
def test_promises_in_memory(check):
    """Every promise of a store holds around the reference."""
    check(sealed(MemoryStore(), OLD))


@EACH
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_promises_in_memory_async(check, backend):
    """So it does in the other colour, under both event loops."""

    async def make() -> AsyncStore:
        return await asealed(AsyncMemoryStore(), OLD)

    with in_portal(make, backend=backend) as store:
        check(store)


@EACH
@pytest.mark.parametrize("keys", [OLD, None], ids=["keys", "none"])
def test_promises_at_a_server(check, keys, server):
    """Every promise holds at a real server, with keys and as what stands before it without any."""
    inner = RedisStore.from_url(server.url)
    store = sealed(inner, keys) if keys else SealedStore(inner, Keyring())
    check(store)
    store.close()


@EACH
def test_promises_at_a_server_async(check, server):
    """So it does in the other colour."""

    async def make() -> AsyncStore:
        return await asealed(AsyncRedisStore.from_url(server.url), OLD)

    with in_portal(make) as store:
        check(store)


@contextmanager
def at(server: Server, colour: str, keys: dict[str, bytes] | None) -> Iterator[Store]:
    """Open an encrypted store of a colour, driven in the same way; without keys, what is opened by URL."""
    if colour == "sync":
        store = sealed(server.url, keys) if keys else SealedStore(RedisStore.from_url(server.url), Keyring())
        yield store
        store.close()
        return

    async def make() -> AsyncStore:
        from resumable.store._url import aopen_store  # noqa: PLC0415  # Reason: needed here alone

        return await asealed(server.url, keys) if keys else await aopen_store(server.url)

    with in_portal(make) as across:
        yield across


def begin(store: Store, session_id: str = "s") -> Lease:
    """Open a session and write some of everything."""
    lease = store.acquire(session_id, "me", duration=LONG, ttl=KEPT, opening=ASKED).lease
    fields: dict[str, str | int | bytes] = {
        "snapshot": SECRET.encode(),
        "error": SECRET,
        "text_chars": 20,
        "usage": "{}",
    }
    write(store, lease, 1, SECRET.encode(), b"b", fields=fields)
    return lease


def test_nothing_of_it_is_in_the_server(server, colour):
    """No key of the server holds a word of the content, not even a hash of it; the books stay readable."""
    with at(server, colour, OLD) as store, server.client as client:
        begin(store)
        everything = repr([client.dump(key) for key in client.keys("*")])
        meta = client.hgetall(META)
        assert SECRET[:8] not in everything
        assert meta[b"request_hash"] != b"hash"
        assert (meta[b"model"], meta[b"text_chars"], meta[b"principal"]) == (b"m", b"20", b"alice")
        assert (meta[b"kid"], store.get("s").request_hash) == (b"old", "hash")
        assert store.request("s") == ASKED.request
        assert store.get("s").text("snapshot") == SECRET
        assert events(store.read("s")) == [(1, SECRET.encode()), (2, b"b")]
        raw = client.xrange(LOG)[1][1][b"d"]
        assert len(raw) == len(SECRET) + 30


def test_another_process_reads_and_goes_on(server, colour):
    """Who has the key reads, waits, takes over and finds the same request the same, without having opened it."""
    with at(server, colour, OLD) as first, at(server, colour, {**NEW, **OLD}) as second:
        lease = begin(first)
        assert events(second.read("s")) == [(1, SECRET.encode()), (2, b"b")]
        first.append([Append(lease, 3, [b"c"])])
        found = second.wait({"s": Cursor(lease.token, 2)}, 1)["s"]
        assert not isinstance(found, Exception)
        assert events(found) == [(3, b"c")]
        first.release(lease)
        taken = second.acquire("s", "other", duration=LONG, ttl=KEPT, opening=ASKED)
        assert (taken.grant, taken.checkpoint and taken.checkpoint.text("error")) == (Grant.TAKEN, SECRET)
        write(second, taken.lease, 4, b"d")
        assert events(first.read("s"))[-1] == (4, b"d")
        with pytest.raises(SessionConflictError):
            second.acquire("s", "x", duration=1, ttl=KEPT, opening=Opening(b"", "another"))


def test_new_sessions_get_the_new_key(server, colour):
    """After a rotation the new key is for new sessions, and the old one only opens what is there."""
    with at(server, colour, OLD) as first, server.client as client:
        begin(first)
        with at(server, colour, {**NEW, **OLD}) as second:
            begin(second, "t")
            assert events(second.read("s"))
            assert [client.hget(f"resumable:{{{name}}}:meta", "kid") for name in "st"] == [b"old", b"new"]


@pytest.mark.parametrize(("keys", "reason"), [(None, "no_key"), (NEW, "no_key"), ({"old": b"x" * 32}, "wrong_key")])
def test_without_the_key(server, colour, keys, reason):
    """Without the key, or with another of its name, content is a typed error and the books are readable."""
    with at(server, colour, OLD) as owner, at(server, colour, keys) as store:
        lease = begin(owner)
        for read in (store.read, store.request):
            with pytest.raises(SealedError) as caught:
                read("s")
            assert (caught.value.session_id, caught.value.reason, caught.value.key_name) == ("s", reason, "old")
        refused = store.wait({"s": Cursor(lease.token, 0)}, 1)["s"]
        assert isinstance(refused, SealedError)
        for found in (store.get("s"), store.look(["s"])[0], store.list()[0]):
            assert not isinstance(found, Exception)
            assert found.fields == {"model": b"m", "text_chars": b"20", "usage": b"{}", "sealed": reason.encode()}


@pytest.mark.parametrize("keys", [None, NEW])
def test_who_cannot_open_it_cannot_take_it_over(server, colour, keys):
    """A takeover without the key is refused, whatever it opens with, and the lease is free again at once."""
    with at(server, colour, OLD) as owner, at(server, colour, keys) as store:
        owner.release(begin(owner))
        for opening in (None, ASKED):
            with pytest.raises(SealedError):
                store.acquire("s", "other", duration=LONG, ttl=KEPT, opening=opening)
        with pytest.raises(SessionNotFoundError):
            store.acquire("none", "other", duration=LONG, ttl=KEPT)
        assert owner.acquire("s", "third", duration=LONG, ttl=KEPT, opening=ASKED).grant is Grant.TAKEN


def test_deleting_the_data_key_shreds(server, colour):
    """Without its data key a session's content is gone for every key, and says so; the books stay."""
    with at(server, colour, OLD) as owner, server.client as client:
        begin(owner)
        for fields in (["dek"], ["kid"]):
            client.hdel(META, *fields)
            with at(server, colour, OLD) as store:
                for read in (store.read, store.request):
                    with pytest.raises(SealedError, match="deleted") as caught:
                        read("s")
                    assert caught.value.reason == "shredded"
                assert (store.get("s").text("sealed"), store.get("s").text("model")) == ("shredded", "m")


def test_what_is_moved_or_changed_is_noticed(server, colour):
    """An entry, a field or a request that was put elsewhere, changed or replaced is not believed."""
    with at(server, colour, OLD) as store, server.client as client:
        begin(store)
        [_, one, two] = client.xrange(LOG)
        for event in (two[1][b"d"], one[1][b"d"][:-1] + b"!", b"\x8e\x01", b'{"type":"ping"}', b""):
            client.xdel(LOG, two[0])
            _rewritten(client, [one[0], two[0]], [one[1][b"d"], event if event != two[1][b"d"] else one[1][b"d"]])
            with pytest.raises(SealedError, match="not what was written") as caught:
                store.read("s")
            assert caught.value.reason == "altered"
        meta = client.hgetall(META)
        client.hset(META, "snapshot", meta[b"error"])
        assert store.get("s").text("sealed") == "altered"
        client.hset(META, "snapshot", "clear")
        assert "snapshot" not in store.get("s").fields
        client.set(REQUEST_KEY, "{}")
        with pytest.raises(SealedError):
            store.request("s")


def _rewritten(client, ids, values):
    """Write a log anew with other events under the same ids."""
    marker = client.xrange(LOG, count=1)[0]
    client.delete(LOG)
    client.xadd(LOG, marker[1], id=marker[0])
    for name, value in zip(ids, values, strict=True):
        client.xadd(LOG, {"d": value}, id=name)


def test_sessions_do_not_open_each_other(server, colour):
    """The data key of one session opens no other, also not under the other's ID."""
    with at(server, colour, OLD) as store, server.client as client:
        begin(store)
        begin(store, "t")
        client.hset(META, "dek", client.hget("resumable:{t}:meta", "dek"))
        with at(server, colour, OLD) as other, pytest.raises(SealedError, match="not the one it is encrypted with"):
            other.read("s")


def test_what_was_opened_in_the_clear(server, colour):
    """A session that was opened before there were keys is read and finished as it is; keys or none, it is the same."""
    with at(server, colour, None) as plain, at(server, colour, OLD) as store:
        lease = begin(plain)
        assert events(store.read("s")) == events(plain.read("s"))
        assert store.request("s") == ASKED.request
        assert store.get("s").fields == plain.get("s").fields
        plain.release(lease)
        taken = store.acquire("s", "other", duration=LONG, ttl=KEPT, opening=ASKED).lease
        write(store, taken, 3, b"c", end=Status.COMPLETE)
        assert events(plain.read("s"))[-1] == (3, b"c")


def test_a_lease_of_another_process(server, colour):
    """Who is handed a lease without having acquired it writes with the session's key; without the key, not at all."""
    with at(server, colour, OLD) as owner, at(server, colour, OLD) as other, at(server, colour, NEW) as stranger:
        lease = begin(owner)
        gone = Lease("gone", "me", 1, 0, LONG, KEPT)
        refused = stranger.append([Append(lease, 3, [b"x"]), Append(gone, 1, [b"x"])])
        assert [type(one) for one in refused] == [SealedError, SessionNotFoundError]
        write(other, lease, 3, b"c")
        write(other, lease, 4, b"d")
        stale = Lease("s", "me", lease.token - 1, 0, LONG, KEPT)
        assert not isinstance(other.append([Append(stale, 1, [b"x"])])[0], tuple)
        assert events(owner.read("s"))[2:] == [(3, b"c"), (4, b"d")]


def test_an_id_that_is_used_again(server, colour):
    """A reader that knew the session's former life opens the new one; encrypted, plain and encrypted again."""
    with at(server, colour, OLD) as store, at(server, colour, OLD) as reader, at(server, colour, None) as plain:
        for writer in (store, store, plain, store):
            begin(writer)
            assert events(reader.read("s")) == [(1, SECRET.encode()), (2, b"b")]
            assert events(store.read("s")) == events(reader.read("s"))
            assert store.delete("s")


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_fields_are_refused(name):
    """The fields that say how the rest is encrypted are nobody else's."""
    store = sealed(MemoryStore(), OLD)
    with pytest.raises(ConfigurationError, match=name):
        store.acquire("s", "me", duration=1, ttl=1, opening=Opening(b"", "", fields={name: 1}))
    lease = opened(store)
    with pytest.raises(ConfigurationError, match=name):
        store.append([Append(lease, 1, fields={name: 1})])


def test_only_books_stay_readable():
    """Of the fields that are written, those with words of the conversation in them are encrypted."""
    assert CLEAR.isdisjoint({"snapshot", "error", "attempts", "policy", "title"})


def test_many_sessions_are_more_than_are_remembered(monkeypatch):
    """A session whose key was forgotten meanwhile is looked at again."""
    monkeypatch.setattr("resumable.store.encrypted._seals._KEPT", 1)
    store = sealed(MemoryStore(), OLD)
    leases = [opened(store, name) for name in "abc"]
    for lease in leases:
        write(store, lease, 1, lease.session_id.encode())
    for name in "abc":
        assert events(store.read(name)) == [(1, name.encode())]


def test_a_key_is_looked_up_once():
    """A reader asks for the key of a session once; a writer that opened it, never."""
    looks: list[object] = []

    class Counted(MemoryStore):
        def look(self, session_ids):
            looks.append(session_ids)
            return super().look(session_ids)

    inner = Counted()
    writer, reader = sealed(inner, OLD), sealed(inner, OLD)
    lease = opened(writer)
    for seq in range(1, 4):
        write(writer, lease, seq, b"a")
        assert len(events(writer.read("s"))) == len(events(reader.read("s"))) == seq
        assert reader.wait({"s": Cursor(lease.token, seq - 1)}, 0)
    assert looks == [["s"]]


def test_a_session_that_goes_while_it_is_read():
    """A session that is deleted between two questions is not found; nothing else."""

    class Fleeting(MemoryStore):
        def read(self, session_id, **options):
            try:
                return super().read(session_id, **options)
            finally:
                self.delete(session_id)

        def request(self, session_id):
            try:
                return super().request(session_id)
            finally:
                self.delete(session_id)

        def wait(self, after, seconds):
            found = super().wait(after, seconds)
            self.delete("s")
            return found

    inner = Fleeting()
    store = sealed(inner, OLD)
    for read in (store.read, store.request):
        sealed(inner, OLD).acquire("s", "me", duration=LONG, ttl=KEPT, opening=REQUEST)
        write(sealed(inner, OLD), Lease("s", "me", inner.get("s").token, 0, LONG, KEPT), 1, b"a")
        with pytest.raises(SessionNotFoundError):
            read("s")
    lease = sealed(inner, OLD).acquire("s", "me", duration=LONG, ttl=KEPT, opening=REQUEST).lease
    write(sealed(inner, OLD), lease, 1, b"a")
    assert isinstance(store.wait({"s": Cursor(lease.token, 0)}, 1)["s"], SessionNotFoundError)


def test_nonces_are_never_the_same():
    """The same event sent again under the same seq is encrypted with another nonce."""
    inner = MemoryStore()
    found: set[bytes] = set()
    for _ in range(3):
        store = sealed(inner, OLD)
        write(store, opened(store), 1, b"a")
        found |= {entry.event for entry in inner.read("s") if isinstance(entry, Recorded)}
        store.delete("s")
    assert len({one[:14] for one in found}) == 3


def test_reprs_tell_nothing():
    """What a log may print of a store and its keys holds no key."""
    store = SealedStore(MemoryStore(), find_keys(OLD, {}))
    write(store, opened(store), 1, b"a")
    shown = repr((store, vars(store), vars(store._seals), list(store._seals._readers._found.values())))
    assert "old" in shown
    assert "ooo" not in shown
