"""What a server lost of a session, met by its writer, its readers and whoever asks for it; nothing is invented."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import resumable
from resumable import LogLostError, SessionNotFoundError, StoreError
from resumable.cli import main
from resumable.testing import ScriptedUpstream
from tests.sessions.calls import Calls, body, client_of, expected_text, new_id
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: [s] A reader is told within this.
SOON = 7.0
#: What is lost, and what that is to who needs it.
LOSSES: dict[str, type[StoreError]] = {"everything": SessionNotFoundError, "log": LogLostError, "meta": LogLostError}


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


def lose(server: Server, session_id: str, lost: str) -> None:
    """Lose a part of a session, or everything there is."""
    with server.client as client:
        if lost == "everything":
            client.flushall()
        else:
            assert client.delete(f"resumable:{{{session_id}}}:{lost}") == 1


@pytest.mark.parametrize("lost", LOSSES)
def test_a_writer_and_its_reader_are_told(server: Server, lost: str):
    """The stream ends with what happened, also under "degrade"; so does a tail; and upstream is left."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream, resumable.Sessions(server.url) as sessions:
        client = resumable.wrap(client_of(upstream), store=server.url)
        with (
            client,
            resumable.session(session_id),
            client.messages.create(stream=True, **body()) as stream,
            sessions.tail(session_id) as tail,
        ):
            next(iter(stream))
            assert next(tail).type == "session.opened"
            lose(server, session_id, lost)
            with pytest.raises(LOSSES[lost]):
                list(stream)
            began = time.monotonic()
            with pytest.raises(LOSSES[lost]):
                list(tail)
            assert time.monotonic() - began < SOON
        upstream.log.wait_idle()
        assert len(upstream.log) == 1


@pytest.mark.parametrize("lost", LOSSES)
def test_whoever_asks_is_told(calls: Calls, server: Server, lost: str, capsys: pytest.CaptureFixture[str]):
    """Every way to ask that needs what is lost says so at once; a list leaves it out; the shell has a code for it."""
    session_id, error = new_id(), LOSSES[lost]
    with ScriptedUpstream("text") as upstream, resumable.Sessions(server.url) as sessions:
        calls.text(upstream, session_id)
        lose(server, session_id, lost)
        asks: list[Callable[[], object]] = [
            lambda: sessions.get(session_id),
            lambda: calls.resumed(upstream, session_id),
        ]
        if lost != "log":  # Its checkpoint says that it was over, which is what a cancel asks.
            asks.append(lambda: sessions.cancel(session_id))
        if lost != "meta":  # A whole log is read without a checkpoint.
            asks += [lambda: list(sessions.replay(session_id)), lambda: list(sessions.tail(session_id))]
        for ask in asks:
            with pytest.raises(error):
                ask()
        assert sessions.list() == []
        code = main(["sessions", "show", session_id, "--store", server.url])
        assert (code, session_id in capsys.readouterr().err) == (4 if error is SessionNotFoundError else 1, True)
        assert len(upstream.log) == 1


def test_the_same_call_after_a_loss(calls: Calls, server: Server):
    """Half a session is an error to the same call; one of which nothing is left is begun again."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream, session_id)
        lose(server, session_id, "log")
        with pytest.raises(LogLostError):
            calls.text(upstream, session_id)
        assert len(upstream.log) == 1
        lose(server, session_id, "everything")
        calls.text(upstream, session_id)
        assert len(upstream.log) == 2


def test_a_session_without_its_request(calls: Calls, server: Server):
    """Who has the request goes on; who has the ID alone is told what is missing."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream, resumable.Sessions(server.url) as sessions:
        calls.text(upstream, session_id)
        lose(server, session_id, "request")
        with pytest.raises(LogLostError):
            calls.resumed(upstream, session_id)
        assert calls.text(upstream, session_id) == expected_text()
        assert sessions.get(session_id).status.value == "complete"
