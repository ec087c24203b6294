"""Followers at real servers: dead producers in real time, connections that break, servers that restart or forget."""

from __future__ import annotations

import threading
import time

import pytest

from resumable._core.store_errors import (
    LogRewoundError,
    SessionNotFoundError,
    SessionSchemaError,
    StoreUnavailableError,
)
from resumable._recording._follow import Lapse
from resumable.store import Append, Marker, Status
from resumable.testing._conformance_scene import until
from tests.recording.scenes import Author, Reader, of_the_log, scene_at

pytestmark = [pytest.mark.redis, pytest.mark.parametrize("colour", ["sync", "async"])]
META, LOG = "resumable:{s}:meta", "resumable:{s}:log"


class Stubborn:
    """Writes as a holder does that outlives outages: sends the same again until it is acknowledged."""

    def __init__(self, author: Author, count: int) -> None:
        self.author = author
        self._count = count
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        author = self.author
        for seq in range(1, self._count + 1):
            end = Status.COMPLETE if seq == self._count else None
            self._send(Append(author.lease, seq, [b'{"type":"%d"}' % seq], end=end))

    def _send(self, append: Append) -> None:
        while True:
            try:
                [outcome] = self.author.scene.store.append([append])
            except StoreUnavailableError:
                time.sleep(0.01)  # As a journal leaves a store alone that is away; no test waits for it.
            else:
                assert not isinstance(outcome, Exception), outcome
                return

    def join(self) -> None:
        """Wait until all of it is written."""
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_a_dead_producer_is_made_known_in_time(server, colour):
    """With a lease of 2 s, who follows a producer that died is told within 3 s of its last renewal."""
    with scene_at(server.url, colour) as scene:
        author = Author(scene, lease=2.0)
        readers = [Reader(scene.follow()) for _ in range(3)]
        author.write(3)
        [kept] = scene.store.renew([author.lease])
        renewed = time.monotonic()
        assert not isinstance(kept, Exception)
        for reader in readers:
            assert isinstance(reader.wait_for_count(5)[-1], Lapse)
        assert 1.9 < time.monotonic() - renewed < 3.0
        author.take()
        author.do("end")
        for reader in readers:
            assert of_the_log(reader.result()) == author.log


def test_connections_that_break_are_not_seen(server, proxy, colour):
    """While every connection is cut again and again, readers see the log, whole and in order."""
    with scene_at(server.url, colour) as writing, scene_at(proxy.url, colour) as scene:
        author = Author(writing)
        readers = [Reader(scene.follow()) for _ in range(4)]
        writer = Stubborn(author, 300)
        for seen in range(10, 300, 30):
            readers[0].wait_for_count(seen)
            proxy.cut_all()
        proxy.lose_reply(b"XREAD", times=3)
        writer.join()
        for reader in readers:
            assert of_the_log(reader.result()) == author.log
        assert len(author.log) == 302


@pytest.mark.parametrize("start_server", ["valkey"], indirect=True)
def test_a_server_that_restarts_is_not_seen(start_server, colour):
    """A server that is killed and comes back with its data costs the readers time, and no event."""
    server = start_server(appendfsync="always")
    with scene_at(server.url, colour) as scene:
        author = Author(scene, lease=60.0)
        readers = [Reader(scene.follow()) for _ in range(3)]
        writer = Stubborn(author, 200)
        for seen in (20, 90, 150):
            readers[0].wait_for_count(seen)
            server.restart()
        writer.join()
        for reader in readers:
            assert reader.result() == author.log
        assert len(author.log) == 202


@pytest.mark.parametrize("start_server", ["valkey"], indirect=True)
def test_a_server_that_stays_away_is_an_error_in_time(start_server, colour):
    """A server that is gone for longer than patience is an error, for who tails and for who comes."""
    server = start_server()
    with scene_at(server.url, colour) as scene:
        Author(scene)
        reader = Reader(scene.follow(patience=1.0))
        reader.wait_for_count(1)
        began = time.monotonic()
        server.kill()
        for waiting in (reader, Reader(scene.follow(patience=1.0))):
            failure = waiting.failure()
            assert isinstance(failure, StoreUnavailableError)
            assert (failure.reason, failure.retryable) == ("connection", True)
        assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("start_server", ["valkey"], indirect=True)
def test_a_server_that_comes_back_empty_is_an_error(start_server, colour):
    """Who follows a session that a restart has lost is told that it is gone."""
    server = start_server(appendonly=False)
    with scene_at(server.url, colour) as scene:
        Author(scene)
        reader = Reader(scene.follow())
        reader.wait_for_count(1)
        server.restart()
        assert isinstance(reader.failure(), SessionNotFoundError)


def rewind(server, seq: int) -> None:
    """Let the server forget what came behind an event, as a failover does, and the lease with it."""
    with server.client as client:
        token = client.hget(META, "token").decode()
        last = int(client.hget(META, "last_seq"))
        for lost in range(seq + 1, last + 1):
            client.xdel(LOG, f"{token}-{lost}")
        client.hset(META, mapping={"last_seq": seq, "lease_until_ms": 0})


def test_a_log_that_went_on_from_further_back_is_an_error(server, colour):
    """Who has seen what a failover lost is told how far the log is its own, not given other text in its place."""
    with scene_at(server.url, colour) as scene:
        author = Author(scene)
        author.write(5)
        reader = Reader(scene.follow())
        reader.wait_for_count(6)
        rewind(server, 3)
        author.take()
        failure = reader.failure()
        assert isinstance(failure, LogRewoundError)
        assert (failure.seen, failure.last_seq) == (5, 3)


def test_a_log_that_ends_further_back_is_an_error(server, colour):
    """The same where nobody writes on: what was seen is lost, and no cursor of its reader's is blamed."""
    with scene_at(server.url, colour) as scene:
        author = Author(scene, lease=1.0)
        author.write(5)
        reader = Reader(scene.follow())
        reader.wait_for_count(6)
        rewind(server, 3)
        failure = reader.failure()
        assert isinstance(failure, LogRewoundError)
        assert (failure.seen, failure.last_seq) == (5, 3)


def test_what_a_newer_version_wrote_stops_its_own_readers_only(server, colour):
    """A marker that cannot be read is an error to who follows that log, and nothing to the others."""
    with scene_at(server.url, colour) as scene:
        strange, plain = Author(scene), Author(scene, "other")
        puzzled, reader = Reader(scene.follow()), Reader(scene.follow("other"))
        puzzled.wait_for_count(1)
        reader.wait_for_count(1)
        with server.client as client:
            client.xadd(LOG, {"status": "paused", "holder": "x", "base": 0}, id=f"{strange.lease.token + 1}-0")
        assert isinstance(puzzled.failure(), SessionSchemaError)
        plain.do("end")
        assert reader.result() == plain.log


def test_one_connection_serves_all_followers(server, colour):
    """However many follow, one connection of the process waits at the server."""
    with scene_at(server.url, colour) as scene:
        authors = [Author(scene, f"s{number}") for number in range(20)]
        readers = [Reader(scene.follow(author.session_id)) for author in authors for _ in range(3)]
        for reader in readers:
            reader.wait_for_count(1)
        with server.client as client:
            until(lambda: any(one["cmd"] == "xread" and "b" in one["flags"] for one in client.client_list()))
            assert len([one for one in client.client_list() if one["cmd"] == "xread"]) == 1
        for author in authors:
            author.do("end")
        for reader in readers:
            assert isinstance(reader.result()[-1], Marker)
