"""What becomes of every call when the store is away, full, read-only or forgetful; in both colours."""

from __future__ import annotations

import threading
import time

import anyio
import pytest
import redis

from resumable._core.store_errors import StoreUnavailableError
from resumable.store import Append, Appended, Cursor, Grant, Lease, Marker, Opening, Store
from resumable.store._records import LONGEST_WAIT
from resumable.store.redis._stores import AsyncRedisStore
from resumable.testing._conformance_scene import opened, write
from tests.store.stores import KEPT, LONG, outcome, store_at, unavailable


@pytest.mark.parametrize("is_abrupt", [False, True])
def test_a_lost_answer_is_fetched_again(proxy, colour, is_abrupt):
    """The connection is cut behind a command that was done: it is sent again, and nothing is there twice."""
    proxy.is_abrupt = is_abrupt
    with store_at(proxy.url, colour) as store:
        lease = opened(store)
        write(store, lease, 1, b"a")
        proxy.lose_reply(b"EVALSHA")
        assert write(store, lease, 2, b"b") == Appended(2, 0, None)
        proxy.cut(b"EVALSHA", times=2)
        assert write(store, lease, 3, b"c") == Appended(3, 1, None)
        proxy.lose_reply(b"EVALSHA")
        again = store.acquire("t", "first", duration=LONG, ttl=KEPT, opening=Opening(b"{}", "hash"))
        assert (again.grant, again.last_seq) == (Grant.KEPT, 0)
        assert [entry.cursor.seq for entry in store.read("s")] == [0, 1, 2, 3]


def test_gone_and_back(proxy, colour):
    """Refused is told at once; when the server is back, the same call works, with the same store."""
    with store_at(proxy.url, colour) as store:
        lease = opened(store)
        proxy.refuse()
        began = time.monotonic()
        for call in (
            lambda: store.append([Append(lease, 1, [b"a"])]),
            lambda: store.wait({"s": Cursor(lease.token, 0)}, 1.0),
            store.ping,
        ):
            error = unavailable(call)
            assert (error.reason, error.retryable) == ("connection", True)
        assert time.monotonic() - began < 5
        proxy.accept()
        write(store, lease, 1, b"a")


def test_silence_is_a_timeout(proxy, colour):
    """A server that says nothing is given up after 2 s, and nothing hangs; what it did then is not done again."""
    with store_at(proxy.url, colour) as store:
        lease = opened(store)
        proxy.blackhole()
        began = time.monotonic()
        error = unavailable(lambda: store.append([Append(lease, 1, [b"a"])]))
        assert (error.reason, error.retryable) == ("timeout", True)
        assert time.monotonic() - began < 4
        proxy.heal()
        write(store, lease, 1, b"a")


def test_a_wait_outlives_no_silence(proxy, colour):
    """A wait whose connection died without a word ends within its longest and 2 s."""
    with store_at(proxy.url, colour) as store:
        lease = opened(store)
        proxy.blackhole()
        began = time.monotonic()
        assert unavailable(lambda: store.wait({"s": Cursor(lease.token, 0)}, 60.0)).reason == "timeout"
        assert time.monotonic() - began < LONGEST_WAIT + 4


def test_a_wait_survives_a_quiet_time(store):
    """A wait as long as any ends empty and not as a failure."""
    lease = opened(store)
    began = time.monotonic()
    assert not store.wait({"s": Cursor(lease.token, 0)}, 60.0)
    assert LONGEST_WAIT - 0.5 < time.monotonic() - began < LONGEST_WAIT + 2


def test_a_server_that_forgot_its_scripts(store, server):
    """Scripts are taught again in the same call, whatever the flight holds."""
    lease = opened(store)
    other = opened(store, "t")
    with server.client as client:
        client.script_flush()
    appends = [Append(lease, 1, [b"a"]), Append(other, 1, [b"x"]), Append(lease, 2, [b"b"])]
    assert store.append(appends) == [Appended(1, 1, None), Appended(1, 1, None), Appended(2, 1, None)]


def test_a_replica_is_read_only(store, server):
    """A server that lost its office refuses writes, retryably; a reader goes on."""
    lease = opened(store)
    write(store, lease, 1, b"a")
    with server.client as client:
        client.replicaof("127.0.0.1", "1")
        client.config_set("replica-serve-stale-data", "yes")
        try:
            failed = outcome(store, lease, 2, b"b")
            assert isinstance(failed, StoreUnavailableError)
            assert (failed.reason, failed.retryable) == ("readonly", True)
            assert len(store.read("s")) == 2
            assert store.ping().role == "slave"
        finally:
            client.replicaof("NO", "ONE")
    write(store, lease, 2, b"b")


def test_memory_full(store, server):
    """Without memory a write is refused whole; with memory again it is the same call."""
    lease = opened(store)
    with server.client as client:
        client.config_set("maxmemory", "1")
        try:
            failed = outcome(store, lease, 1, b"a", b"b")
            assert isinstance(failed, StoreUnavailableError)
            assert (failed.reason, failed.retryable) == ("memory", True)
            assert unavailable(lambda: store.acquire("t", "x", duration=1, ttl=1, opening=Opening(b"", "h"))).reason
            assert len(store.read("s")) == 1
        finally:
            client.config_set("maxmemory", "0")
    write(store, lease, 1, b"a", b"b")


def test_disk_broken(start_server, colour):
    """A server that cannot save refuses writes with MISCONF."""
    server = start_server(appendonly=False, arguments=("--stop-writes-on-bgsave-error", "yes"))
    with store_at(server.url, colour) as store, server.client as client:
        lease = opened(store)
        (server.directory / "dump.rdb").mkdir()  # What was saved cannot be put in its place.
        client.config_set("save", "1 1")
        client.bgsave()
        limit = time.monotonic() + 20
        while client.info("persistence")["rdb_last_bgsave_status"] != "err" and time.monotonic() < limit:
            time.sleep(0.01)
        failed = outcome(store, lease, 1, b"a")
        client.config_set("save", "")  # Or it would not let itself be stopped.
        assert isinstance(failed, StoreUnavailableError)
        assert (failed.reason, failed.retryable) == ("disk", True)


def test_a_slow_script_of_somebody_else(start_server, colour):
    """A server that is busy with a script says so, or is silent at first; both end in bounded time."""
    server = start_server(arguments=("--lua-time-limit", "20"))
    with store_at(server.url, colour) as store:
        lease = opened(store)
        with server.client as busy, server.client as killer:
            thread = threading.Thread(target=loop, args=[busy])
            thread.start()
            try:
                failed = busy_answer(store, lease)
            finally:
                killer.script_kill()
                thread.join()
        assert (failed.reason, failed.retryable) == ("busy", True)
        write(store, lease, 1, b"a")


def loop(client: redis.Redis) -> None:
    """Run a script that does not end, until it is killed."""
    with pytest.raises(redis.ResponseError):
        client.eval("while true do end", 0)


def busy_answer(store: Store, lease: Lease) -> StoreUnavailableError:
    """Call until the server has noticed that it is busy."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        failed = outcome(store, lease, 1)
        if isinstance(failed, StoreUnavailableError):
            return failed
    raise AssertionError


@pytest.mark.parametrize(
    ("user", "reason"), [("nobody:wrong", "auth"), ("reader:word", "permission")], ids=["auth", "permission"]
)
def test_not_let_in(server, colour, user, reason):
    """A wrong password or a missing right is told, and that waiting does not help."""
    with server.client as client:
        client.acl_setuser("reader", enabled=True, passwords=["+word"], keys=["*"], commands=["+get", "+ping"])
    with store_at(server.tcp_url.replace("//", f"//{user}@"), colour) as store:
        error = unavailable(lambda: store.get("s"))
        assert (error.reason, error.retryable) == (reason, False)
        assert "wrong" not in repr(error) + str(error)


def test_no_connection_left(start_server, colour):
    """A server that takes no more clients is unavailable, retryably."""
    server = start_server(tcp=True)
    with server.client as client:
        client.ping()
        client.config_set("maxclients", "1")
        with store_at(server.tcp_url, colour) as store:
            error = unavailable(lambda: store.get("s"))
            assert error.retryable
            assert error.reason in {"clients", "connection"}


def test_an_async_call_that_is_cancelled_leaves_no_mess(proxy):
    """A call that its task gave up may have been done; the next one gets its own answer, and the same again is safe."""

    async def scenario() -> None:
        store = AsyncRedisStore.from_url(proxy.url)
        lease = (await store.acquire("s", "a", duration=LONG, ttl=KEPT, opening=Opening(b"", "h"))).lease
        for i in range(1, 20):
            proxy.delay = 0.02
            with anyio.move_on_after(0.005):
                await store.append([Append(lease, i, [b"x"])])
            proxy.delay = 0.0
            [done] = await store.append([Append(lease, i, [b"x"])])
            assert isinstance(done, Appended)
            assert done.last_seq == i
        entries = await store.read("s")
        assert [entry.cursor.seq for entry in entries] == list(range(20))
        assert isinstance(entries[0], Marker)
        await store.close()

    anyio.run(scenario)
