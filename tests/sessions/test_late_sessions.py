"""A stream that begins while the store is down is found by its ID all the same, if the store comes back in time."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

import resumable
from resumable.testing import Drop, ScriptedUpstream
from resumable.testing._conformance_scene import until
from tests.sessions.calls import Calls, aclient_of, body, client_of, expected_text, new_id, text_of
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server of this test's own, which is not there yet."""
    with ExitStack() as stack:
        server = Server("valkey", short_directory(stack))
        stack.callback(server.stop)
        yield server


def read(upstream: ScriptedUpstream, server: Server, session_id: str) -> tuple[str, Any]:
    """Stream one call; the server is started after the first event."""
    client = resumable.wrap(client_of(upstream), store=server.url)
    with client, resumable.session(session_id), client.messages.create(stream=True, **body()) as stream:
        assert stream.response.headers["resumable-unkept"] == "connection"
        events = [next(stream)]
        report: Any = resumable.report(stream)
        server.start()
        until(lambda: report.unkept is None)
        return text_of([*events, *stream]), report


async def aread(upstream: ScriptedUpstream, server: Server, session_id: str) -> tuple[str, Any]:
    """As `read`."""
    async with resumable.wrap(aclient_of(upstream), store=server.url) as client:
        with resumable.session(session_id):
            stream = await client.messages.create(stream=True, **body())
        async with stream:
            assert stream.response.headers["resumable-unkept"] == "connection"
            events = [await anext(stream)]
            report: Any = resumable.report(stream)
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(until, lambda: report.unkept is None)
            events += [event async for event in stream]
            return text_of(events), report


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_it_is_kept_from_its_first_event_on(colour: str, server: Server):
    """The log holds the whole message, upstream was asked for it once and once more where it broke, and never again."""
    session_id = new_id()
    with ScriptedUpstream("text", [Drop(after=9)]) as upstream:
        if colour == "sync":
            text, report = read(upstream, server, session_id)
        else:
            text, report = asyncio.run(aread(upstream, server, session_id))
        assert text == expected_text()
        assert (report.session_id, len(report.attempts)) == (session_id, 2)
        assert Calls(colour, server.url).resumed(upstream, session_id) == expected_text()
        assert len(upstream.log) == 2
    with resumable.Sessions(server.url) as sessions:
        kept = sessions.get(session_id)
        assert kept.status.value == "complete"
        assert '"outages":1' in kept.text("gap")
        with sessions.replay(session_id) as replay:
            assert [event.type for event in replay][:2] == ["session.opened", "message_start"]


def test_a_stream_that_is_over_is_kept_when_the_store_comes(server: Server):
    """Its caller has gone; his process is still there."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls = Calls("sync", server.url)
        assert calls.text(upstream, session_id) == expected_text()
        server.start()
        with resumable.Sessions(server.url) as sessions:
            until(lambda: [one.status.value for one in sessions.list()] == ["complete"])
        assert calls.resumed(upstream, session_id) == expected_text()
        assert len(upstream.log) == 1
