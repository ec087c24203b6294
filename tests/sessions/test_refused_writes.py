"""A server that answers and writes nothing (full, read-only): what is there is read, and nothing is begun anew."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

import resumable
from resumable import StoreUnavailableError
from resumable._recording._desk import Desk
from resumable._recording._fields import Request
from resumable._recording._journal import Journal
from resumable.store import MemoryStore, Opening
from resumable.store._url import open_store
from resumable.testing import ScriptedUpstream
from tests.sessions.calls import Calls, body, client_of, expected_text, new_id
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from resumable import StoreError
    from resumable.store import Checkpoint, Store

#: What makes a server refuse to write, and the word for it.
FAULTS = {
    "memory": ("CONFIG SET maxmemory 1", "memory"),
    "replica": ("REPLICAOF 127.0.0.1 1", "readonly"),
}


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server of this test's own."""
    with ExitStack() as stack:
        server = Server("valkey", short_directory(stack))
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture
def store(server: Server) -> str:
    """Where sessions are."""
    return server.url


@pytest.fixture(params=FAULTS)
def refuse(request: pytest.FixtureRequest, server: Server) -> Callable[[], str]:
    """Give what makes the server refuse to write, and says the word for it."""

    def begin() -> str:
        command, reason = FAULTS[request.param]
        with server.client as client:
            client.execute_command(*command.split())
        return reason

    return begin


def leave(url: str, session_id: str) -> None:
    """Leave a session behind that runs, and that nobody writes."""
    with closing(open_store(url)) as store:
        begin(store, session_id)


def begin(store: Store, session_id: str) -> None:
    """Begin a session in a store, and leave it."""
    kept = Request("/v1/messages", {**body(), "stream": True})
    Journal.open(Desk.of(store), session_id, Opening(kept.encode(), kept.hash)).release()


def test_a_whole_session_is_read(calls: Calls, refuse: Callable[[], str]):
    """The same call, and a resume, get what the log holds: neither has to write for it."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream, session_id)
        refuse()
        assert calls.text(upstream, session_id) == expected_text()
        assert calls.resumed(upstream, session_id) == expected_text()
        assert len(upstream.log) == 1


def test_what_is_there_is_not_begun_anew(calls: Calls, refuse: Callable[[], str]):
    """A session that cannot be taken over is an error, and no second answer under its name, whatever the policy."""
    session_id = new_id()
    leave(calls.store, session_id)
    reason = refuse()
    with ScriptedUpstream("text") as upstream:
        for ask in (calls.text, calls.resumed):
            with pytest.raises(StoreUnavailableError) as raised:
                ask(upstream, session_id)
            assert raised.value.reason == reason
        assert len(upstream.log) == 0


def test_what_is_new_flows_unkept(calls: Calls, refuse: Callable[[], str]):
    """A session that does not exist is not opened, and its stream flows."""
    reason = refuse()
    with ScriptedUpstream("text") as upstream:
        assert calls.text(upstream, new_id()) == expected_text()
    assert calls.headers["resumable-unkept"] == reason


def test_everything_else_reads_or_says_why(server: Server, refuse: Callable[[], str]):
    """Get, list, request, replay and tail read; a cancel and a delete are refused in bounded time."""
    session_id = new_id()
    leave(server.url, session_id)
    reason = refuse()
    with resumable.Sessions(server.url) as sessions:
        assert sessions.get(session_id).status.value == "running"
        assert [one.session_id for one in sessions.list()] == [session_id]
        assert b"Tell me." in sessions.request(session_id)
        with sessions.replay(session_id) as replay:
            assert [event.type for event in replay] == ["session.opened", "session.released"]
        with sessions.tail(session_id) as tail:
            assert [next(tail).type, next(tail).type] == ["session.opened", "session.released"]
        with pytest.raises(StoreUnavailableError) as raised:
            sessions.cancel(session_id)
    assert raised.value.reason == reason


class Vanishing(MemoryStore):
    """A store that goes away once somebody has read a request from it."""

    is_away = False

    def request(self, session_id: str) -> bytes:
        """Answer, and go away."""
        self.is_away = True
        return super().request(session_id)

    def look(self, session_ids: Sequence[str]) -> Sequence[Checkpoint | StoreError]:
        """Answer while it is there."""
        if self.is_away:
            raise StoreUnavailableError(reason="connection", cause_name="ConnectionError")
        return super().look(session_ids)


def test_a_resume_begins_nothing():
    """Where the store goes away in the middle of a resume, that is an error, not another answer."""
    store = Vanishing()
    begin(store, "s")
    with (
        ScriptedUpstream("text") as upstream,
        client_of(upstream) as client,
        resumable.Sessions(store) as sessions,
    ):
        with pytest.raises(StoreUnavailableError):
            sessions.resume(client, "s")
        assert len(upstream.log) == 0
