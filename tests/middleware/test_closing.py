"""Leaving a stream early, in a thread: no connection leaks, nothing is sent again, and it takes no time."""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_fixed

from resumable import Resumable, RetryPolicy
from resumable.testing import Drop, ManualClock, NoMessageStop, Refuse, Reject, ScriptedUpstream, Stall, Truncate
from tests.middleware.conftest import client_of, half, real_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import anthropic

#: [s] Far more than anything here takes, and far less than what it must not wait for.
SOON = 5.0
SLOW = RetryPolicy(
    rate_limited=wait_fixed(60), overloaded=wait_fixed(60), reconnect=wait_fixed(60), server=wait_fixed(60)
)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedUpstream]]:
    """Serve scripted upstreams over HTTP until the test ends."""
    started: list[ScriptedUpstream] = []

    def start(*args: Any, **options: Any) -> ScriptedUpstream:
        started.append(ScriptedUpstream(*args, **options))
        started[-1].start()
        return started[-1]

    yield start
    for upstream in started:
        upstream.stop()


def leave_unread(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Close a stream from which nothing was read."""
    client.messages.create(**body, stream=True).close()


def leave_early(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Close a stream after its first events."""
    with client.messages.create(**body, stream=True) as stream:
        for _ in range(4):
            next(stream)


def leave_the_helper(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Leave the helper's block in the middle of the text."""
    with client.messages.stream(**body) as stream:
        next(stream.text_stream)


def leave_by_raising(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Leave by an error of the caller's own."""
    with suppress(KeyboardInterrupt), client.messages.stream(**body) as stream:
        next(stream.text_stream)
        raise KeyboardInterrupt


def leave_raw(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Close a raw response that was never parsed."""
    client.messages.with_raw_response.create(**body, stream=True).http_response.close()


def leave_the_streaming_response(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Leave the block of a streaming response without reading."""
    with client.messages.with_streaming_response.create(**body, stream=True):
        pass


def drop_it(client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    """Forget a stream that was begun."""
    stream = client.messages.create(**body, stream=True)
    next(stream)
    del stream
    gc.collect()


WAYS = [
    leave_unread,
    leave_early,
    leave_the_helper,
    leave_by_raising,
    leave_raw,
    leave_the_streaming_response,
    drop_it,
]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("broken", [False, True], ids=["whole", "after a break"])
def test_leaving_closes_the_connection(serve, body, leave, broken: bool):  # noqa: FBT001  # Reason: a parameter
    """However a caller leaves, and whatever was recovered before, upstream sees the connection close at once."""
    slow = Stall(after=12)
    upstream = serve("text", [Drop(after=1), slow] if broken else [slow])
    with real_client(upstream) as client:
        leave(client, body)
        upstream.log.wait_closed(SOON)
        assert len(upstream.log.messages) <= 1 + broken
        assert all(recorded.done for recorded in upstream.log)


def test_a_helper_that_is_never_entered_asks_nothing(serve, body):
    """As with the SDK, a stream manager sends its request when it is entered."""
    upstream = serve("text")
    with real_client(upstream) as client:
        client.messages.stream(**body)
    assert len(upstream.log) == 0
    assert upstream.log.connections == 0


@pytest.mark.parametrize("fault", [None, Truncate(after=9), NoMessageStop(), NoMessageStop(blank_line=False)], ids=repr)
def test_a_complete_message_leaves_its_connection_to_the_next(serve, body, fault):
    """Five messages, one connection: what follows the message is read, so the connection can be used again."""
    upstream = serve("text", lambda number, _: fault if number % 2 else None, vary=False)
    with real_client(upstream) as client:
        for number in range(5):
            if number % 2:
                with client.messages.stream(**body) as helper:
                    assert helper.get_final_text() == upstream.expected_text(body)
            else:
                assert list(client.messages.create(**body, stream=True))[-1].type == "message_stop"
        assert upstream.log.connections == 1


def reader(stream: Any, seen: list[Any]) -> threading.Thread:
    """Read a stream to its end in a thread of its own; what ends it is the last thing seen."""

    def read() -> None:
        try:
            seen.extend(event.type for event in stream)
            seen.append("end")
        except Exception as error:  # noqa: BLE001  # Reason: whatever it is is what is tested
            seen.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("pings", [False, True], ids=["silent", "pings"])
def test_close_from_another_thread_ends_a_blocked_read(serve, body, pings: bool):  # noqa: FBT001  # Reason: a parameter
    """The reader ends at once and quietly, the connection closes, and nothing is sent again."""
    upstream = serve("text", [Stall(after=9, pings=pings, ping_every=60.0)])
    with real_client(upstream) as client:
        stream = client.messages.create(**body, stream=True)
        seen: list[Any] = []
        thread = reader(stream, seen)
        thread.join(0.2)  # Let it come to block; had it not, it would have to end all the same.
        assert thread.is_alive()
        stream.close()
        thread.join(SOON)
        assert not thread.is_alive()
        assert seen[-1] == "end"
        upstream.log.wait_closed(SOON)
        assert len(upstream.log.messages) == 1


def test_close_from_another_thread_ends_a_wait(serve, body):
    """A minute of back-off ends when the stream is closed, and the request it waited for is never sent."""
    told = threading.Event()
    upstream = serve("text", [Drop(after=9)])
    with real_client(upstream, SLOW) as bare:
        client = bare.with_options(middleware=[telling(told)])
        stream = client.messages.create(**body, stream=True)
        seen: list[Any] = []
        thread = reader(stream, seen)
        assert told.wait(SOON)
        stream.close()
        thread.join(SOON)
        assert not thread.is_alive()
        assert seen[-1] == "end"
        upstream.log.wait_closed(SOON)
        assert len(upstream.log.messages) == 1


def telling(told: threading.Event) -> Resumable:
    """Make a middleware that waits for a minute, and tells when it begins to."""
    return Resumable(policy=SLOW, on_recovery=lambda _: told.set())


class Interrupted(ManualClock):
    """A clock in whose sleep the user presses Ctrl-C."""

    def sleep(self, seconds: float) -> None:  # noqa: ARG002  # Reason: it ends before any of them
        """Be interrupted."""
        raise KeyboardInterrupt


@pytest.mark.parametrize("faults", [[Reject(529)], [Refuse()], [Drop(after=9), Drop(after=9)]], ids=repr)
def test_an_interrupt_in_a_wait_leaves_at_once(body, faults):
    """Ctrl-C while we wait reaches the caller as it is; nothing is sent any more and nothing stays open."""
    upstream = ScriptedUpstream("text", faults)
    middleware = Resumable(clock=Interrupted(), chance=half, policy=SLOW)
    with client_of(upstream, middleware=[middleware], max_retries=2) as client, pytest.raises(KeyboardInterrupt):
        list(client.messages.create(**body, stream=True))
    assert upstream.log.open_connections == 0
    assert len(upstream.log.messages) == 1


def test_reading_on_after_close_is_the_end(serve, body):
    """A closed stream is at its end; reading on asks nobody for anything."""
    upstream = serve("text", [Stall(after=9)])
    with real_client(upstream) as client:
        stream = client.messages.create(**body, stream=True)
        next(stream)
        stream.close()
        stream.close()
        assert list(stream.response.stream) == []
    assert len(upstream.log.messages) == 1
