"""How soon a dead producer is known, and its session finished: by the clock of the server that keeps the lease."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import resumable
from resumable._recording._desk import Desk
from resumable._recording._fields import Request
from resumable._recording._journal import Journal
from resumable.store import Opening
from resumable.store._url import open_store
from resumable.testing import ScriptedUpstream, Stall
from tests.sessions.calls import Calls, body, expected_text, new_id
from tests.sessions.test_takeover import Producer
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

#: [ms] After the end of the lease.
SOON = 1000
DEATHS = pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server that has just been started: it is younger than a resumer's own lease of 15 s."""
    with ExitStack() as stack:
        server = Server("valkey", short_directory(stack))
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture
def store(server: Server) -> str:
    """Where sessions are."""
    return server.url


@pytest.fixture
def stalled() -> Iterator[ScriptedUpstream]:
    """Give an upstream that falls silent in the middle of its first answer."""
    with ScriptedUpstream("text", [Stall(after=9)]) as upstream:
        yield upstream


def lease_until(server: Server, session_id: str) -> int:
    """[ms] Say when the lease runs out that its holder had last."""
    with server.client as client:
        return int(client.hget(f"resumable:{{{session_id}}}:meta", "lease_until_ms") or 0)


@DEATHS
def test_a_waiting_resume_takes_over_in_time(calls: Calls, server: Server, stalled: ScriptedUpstream, death: int):
    """Within lease + 1 s of the last renewal, whatever lease the resumer would have himself (law L5)."""
    session_id = new_id()
    producer = Producer(stalled, calls.store, session_id)
    producer.read(20)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(calls.resumed(stalled, session_id)))
    reader.start()
    producer.process.send_signal(death)
    until = lease_until(server, session_id)
    reader.join(30)
    producer.kill()
    assert got == [expected_text()]
    with resumable.Sessions(calls.store) as sessions, sessions.replay(session_id) as replay:
        [taken_at] = [event.cursor.token for event in replay if event.type == "session.taken_over"]
    assert 0 <= taken_at - until <= SOON


@DEATHS
def test_who_tails_is_told_in_time(server: Server, stalled: ScriptedUpstream, death: int):
    """That nobody writes is an event, once, within lease + 1 s of the last renewal."""
    session_id = new_id()
    producer = Producer(stalled, server.url, session_id)
    producer.read(20)
    with resumable.Sessions(server.url) as sessions, sessions.tail(session_id) as tail, server.client as client:
        producer.process.send_signal(death)
        until = lease_until(server, session_id)
        assert next(event for event in tail if event.is_change and event.type != "session.opened").type == (
            "session.lapsed"
        )
        seconds, microseconds = client.time()
        assert 0 <= seconds * 1000 + microseconds // 1000 - until <= SOON
        sessions.cancel(session_id)
        assert [event.type for event in tail if event.is_change] == ["session.cancelled"]
    producer.kill()


def test_a_clean_stop_is_taken_over_at_once(calls: Calls, server: Server):
    """Who leaves of his own accord leaves the session to whoever waits: no lease has to run out."""
    session_id = new_id()
    kept = Request("/v1/messages", {**body(), "stream": True})
    store = open_store(server.url)
    journal = Journal.open(Desk.of(store), session_id, Opening(kept.encode(), kept.hash), lease=60.0)
    got: list[str] = []
    with ScriptedUpstream("text") as upstream:
        reader = threading.Thread(target=lambda: got.append(calls.resumed(upstream, session_id)))
        reader.start()
        journal.release()
        reader.join(5)
    assert got == [expected_text()]
    store.close()
