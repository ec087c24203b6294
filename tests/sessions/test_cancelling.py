"""A cancel by ID reaches its producer wherever it is: before the first byte, in a wait, between two attempts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

import resumable
from resumable import RetryPolicy, SessionEndedError
from resumable.testing import Refuse, Reject, ScriptedUpstream, Stall, Truncate
from tests.sessions.calls import Calls, new_id

if TYPE_CHECKING:
    from tests.store.servers import Server

#: [s] What a cancel may take.
SOON = 1.0
#: [s] Where a thread waits for response headers, only its transport's patience ends the request.
PATIENCE = 3.0
#: Where the producer is when it is cancelled, and how many requests were sent until then.
PLACES: dict[str, tuple[list[Any], int]] = {
    "headers": ([Stall(phase="headers")], 1),
    "read": ([Stall(after=9)], 1),
    "wait before anything": ([Reject(529)], 1),
    "wait before a response": ([Refuse("rst")], 1),
    "wait in the middle": ([Truncate(after=9), Reject(529)], 2),
    "headers again": ([Truncate(after=9), Stall(phase="headers")], 2),
}


@pytest.fixture
def store(valkey: Server) -> str:
    """Where sessions are: on a real server, which other processes reach."""
    return valkey.url


class Producer(threading.Thread):
    """A call that goes on elsewhere, and what ended it."""

    def __init__(self, calls: Calls, upstream: ScriptedUpstream, session_id: str, reconnect: float) -> None:
        super().__init__(daemon=True)
        self.policy = RetryPolicy(
            overloaded=wait_fixed(60), reconnect=wait_fixed(reconnect), first_event_timeout=PATIENCE
        )
        self.calls, self.upstream, self.session_id = calls, upstream, session_id
        self.raised: Exception | None = None
        self.ended_at = 0.0

    def run(self) -> None:
        """Stream to the end."""
        try:
            self.calls.text(self.upstream, self.session_id, policy=self.policy)
        except Exception as error:  # noqa: BLE001  # Reason: whatever it is is what is tested
            self.raised = error
        self.ended_at = time.monotonic()


@pytest.mark.parametrize("place", PLACES)
def test_a_cancel_ends_a_session_wherever_it_is(calls: Calls, place: str):
    """The log ends within a second, upstream is closed, and nothing is sent any more; the caller hears why."""
    faults, requests = PLACES[place]
    session_id = new_id()
    with ScriptedUpstream("text", faults) as upstream, resumable.Sessions(calls.store) as sessions:
        producer = Producer(calls, upstream, session_id, 0.0 if place.endswith(("again", "middle")) else 60.0)
        producer.start()
        upstream.log.wait_for(lambda log: len(log) == requests)
        if "wait" in place:
            upstream.log.wait_idle()
        began = time.monotonic()
        assert sessions.cancel(session_id).holder
        with sessions.tail(session_id) as tail:
            last = [event.type for event in tail][-1]
        assert (last, time.monotonic() - began < SOON) == ("session.cancelled", True)
        producer.join(PATIENCE + SOON)
        is_blocked = calls.colour == "sync" and "headers" in place
        assert producer.ended_at - began < (PATIENCE if is_blocked else 0.0) + SOON
        if "wait" in place:
            upstream.log.wait_idle(SOON)
        else:
            upstream.log.wait_closed(SOON)
        assert len(upstream.log.messages) == requests
        assert isinstance(producer.raised, SessionEndedError)
        assert producer.raised.status == "cancelled"
