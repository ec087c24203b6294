"""A process dies in mid-sentence; another finds the session by its ID and finishes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import resumable
from resumable import SessionEndedError
from resumable.testing import ScriptedUpstream, Stall
from tests.sessions.calls import Calls, expected_text, new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.store.servers import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(valkey: Server) -> str:
    """Where sessions are: on a real server, which other processes reach."""
    return valkey.url


class Producer:
    """A process that streams one answer."""

    def __init__(self, upstream: ScriptedUpstream, store: str, session_id: str) -> None:
        command = [sys.executable, "-m", "tests.sessions.producer", upstream.url, store, session_id]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    def read(self, characters: int) -> str:
        """Read so much of what its caller got."""
        assert self.process.stdout is not None
        return self.process.stdout.read(characters).decode()

    def kill(self) -> str:
        """Kill it, and give the rest of what its caller got."""
        self.process.kill()
        return self.rest()

    def rest(self) -> str:
        """Read to the end what its caller got."""
        assert self.process.stdout is not None
        with self.process:  # Not `communicate`: it forgets what `read` has read ahead.
            return self.process.stdout.read().decode()


@pytest.fixture
def stalled() -> Iterator[ScriptedUpstream]:
    """Give an upstream that falls silent in the middle of its first answer."""
    with ScriptedUpstream("text", [Stall(after=9)]) as upstream:
        yield upstream


def test_another_process_finishes_what_a_killed_one_began(calls: Calls, stalled: ScriptedUpstream):
    """What both callers got joins byte for byte: the log had all that the first one saw (laws L2, L5)."""
    session_id = new_id()
    producer = Producer(stalled, calls.store, session_id)
    seen = producer.read(20)
    seen += producer.kill()
    whole = calls.resumed(stalled, session_id)
    assert whole == expected_text()
    assert whole.startswith(seen)
    with resumable.Sessions(calls.store) as sessions:
        found = sessions.get(session_id)
    assert (found.status.value, found.takeovers, found.text("attempt")) == ("complete", 1, "2")


def test_a_reader_of_a_live_session_goes_on_when_its_producer_dies(calls: Calls, stalled: ScriptedUpstream):
    """Who attached while the producer lived becomes the producer when its lease has run out."""
    session_id = new_id()
    producer = Producer(stalled, calls.store, session_id)
    producer.read(20)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(calls.resumed(stalled, session_id)))
    reader.start()
    producer.kill()
    reader.join(60)
    assert got == [expected_text()]
    assert len(stalled.log) == 2


def test_a_process_that_slept_through_its_lease_becomes_a_reader(store: str, stalled: ScriptedUpstream):
    """A zombie that wakes after a takeover writes nothing more, and its caller gets the whole message (law L5)."""
    session_id = new_id()
    producer = Producer(stalled, store, session_id)
    seen = producer.read(20)
    producer.process.send_signal(signal.SIGSTOP)
    assert Calls("sync", store).resumed(stalled, session_id) == expected_text()
    producer.process.send_signal(signal.SIGCONT)
    assert seen + producer.rest() == expected_text()
    assert producer.process.returncode == 0
    with resumable.Sessions(store) as sessions, sessions.replay(session_id) as replay:
        deltas = [event.event["delta"] for event in replay if event.type == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == expected_text()


def test_a_cancel_from_elsewhere_stops_the_producer(store: str, stalled: ScriptedUpstream):
    """Its caller hears that the session was cancelled, and so does whoever reads it later."""
    session_id = new_id()
    raised: list[Exception] = []
    first = Calls("sync", store)

    def produce() -> None:
        try:
            first.text(stalled, session_id)
        except SessionEndedError as error:
            raised.append(error)

    thread = threading.Thread(target=produce)
    thread.start()
    with resumable.Sessions(store) as sessions:
        assert _is_there(sessions, session_id, thread)
        with sessions.tail(session_id) as tail:
            for event in tail:
                if event.type == "content_block_delta":
                    break
        sessions.cancel(session_id)
        thread.join(60)
        assert sessions.get(session_id).status.value == "cancelled"
    assert [error.status for error in raised] == ["cancelled"]  # type: ignore[attr-defined]


def _is_there(sessions: resumable.Sessions, session_id: str, thread: threading.Thread) -> bool:
    """Wait until the session exists."""
    while thread.is_alive():
        if any(found.session_id == session_id for found in sessions.list()):
            return True
    return False
