"""Leaving a stream early, in a task: cancelled, timed out or closed from elsewhere, under asyncio and trio."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tenacity import wait_fixed

import resumable
from resumable import RetryPolicy
from resumable.testing import Drop, Refuse, Reject, ScriptedUpstream, Stall, Truncate
from tests.middleware.conftest import real_aclient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import anthropic

#: [s] Far more than anything here takes, and far less than what it must not wait for.
SOON = 5.0
SLOW = RetryPolicy(
    rate_limited=wait_fixed(60), overloaded=wait_fixed(60), reconnect=wait_fixed(60), server=wait_fixed(60)
)
both_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@asynccontextmanager
async def served(
    *args: Any, policy: RetryPolicy | None = None, **options: Any
) -> AsyncIterator[tuple[ScriptedUpstream, anthropic.AsyncAnthropic]]:
    """Serve a scripted upstream and connect a wrapped client to it."""
    with ScriptedUpstream(*args, **options) as upstream:
        async with real_aclient(upstream, policy) as client:
            yield upstream, client


async def all_closed(upstream: ScriptedUpstream) -> None:
    """Wait until no connection is open, while other tasks go on."""
    await anyio.to_thread.run_sync(upstream.log.wait_closed, SOON)


async def all_over(upstream: ScriptedUpstream, place: str) -> None:
    """The same; a connection whose answer was read to its end may stay for the next request."""
    if place == "sleep before anything":
        await anyio.to_thread.run_sync(upstream.log.wait_idle, SOON)
    else:
        await all_closed(upstream)


async def leave_unread(client: anthropic.AsyncAnthropic, body: dict[str, Any]) -> None:
    """Close a stream from which nothing was read."""
    stream = await client.messages.create(**body, stream=True)
    await stream.close()


async def leave_early(client: anthropic.AsyncAnthropic, body: dict[str, Any]) -> None:
    """Close a stream after its first events."""
    async with await client.messages.create(**body, stream=True) as stream:
        for _ in range(4):
            await anext(stream)


async def leave_the_helper(client: anthropic.AsyncAnthropic, body: dict[str, Any]) -> None:
    """Leave the helper's block in the middle of the text."""
    async with client.messages.stream(**body) as stream:
        await anext(aiter(stream.text_stream))


async def leave_by_raising(client: anthropic.AsyncAnthropic, body: dict[str, Any]) -> None:
    """Leave by an error of the caller's own."""
    with suppress(ZeroDivisionError):
        async with client.messages.stream(**body) as stream:
            await anext(aiter(stream.text_stream))
            raise ZeroDivisionError


async def leave_raw(client: anthropic.AsyncAnthropic, body: dict[str, Any]) -> None:
    """Close a raw response that was never parsed."""
    answer = await client.messages.with_raw_response.create(**body, stream=True)
    await answer.http_response.aclose()


WAYS = [leave_unread, leave_early, leave_the_helper, leave_by_raising, leave_raw]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("broken", [False, True], ids=["whole", "after a break"])
@both_loops
async def test_leaving_closes_the_connection(body, leave, broken: bool):  # noqa: FBT001  # Reason: a parameter
    """However a caller leaves, and whatever was recovered before, upstream sees the connection close at once."""
    slow = Stall(after=12)
    async with served("text", [Drop(after=1), slow] if broken else [slow]) as (upstream, client):
        await leave(client, body)
        await all_closed(upstream)
        assert len(upstream.log.messages) <= 1 + broken


@both_loops
async def test_a_complete_message_leaves_its_connection_to_the_next(body):
    """Four messages, one connection: what follows the message is read, so the connection can be used again."""
    cut = Truncate(after=9)
    async with served("text", lambda number, _: cut if number % 2 else None, vary=False) as (upstream, client):
        for _ in range(4):
            async with client.messages.stream(**body) as stream:
                assert await stream.get_final_text() == upstream.expected_text(body)
        assert upstream.log.connections == 1


# Where a call can be when it is cancelled, and how many requests were sent until then.
PLACES: dict[str, tuple[list[Any], int]] = {
    "open": ([Stall(phase="headers")], 1),
    "read": ([Stall(after=9)], 1),
    "read, pings": ([Stall(after=9, pings=True, ping_every=0.01)], 1),
    "sleep before anything": ([Reject(529)], 1),
    "sleep before a response": ([Refuse("rst")], 1),
    "sleep in the middle": ([Drop(after=9)], 1),
    "open again": ([Truncate(after=9), Stall(phase="headers")], 2),
    "read again": ([Truncate(after=9), Stall(after=5)], 2),
}


def impatient(place: str) -> RetryPolicy:
    """Wait for a minute in a sleep, not at all to come to a later place."""
    return RetryPolicy(reconnect=wait_fixed(0)) if place.endswith("again") else SLOW


async def read(client: anthropic.AsyncAnthropic, body: dict[str, Any], seen: list[Any]) -> None:
    """Read a whole stream."""
    async with await client.messages.create(**body, stream=True) as stream:
        async for event in stream:
            seen.append(event)  # noqa: PERF401  # Reason: what came before it was cancelled is kept


@pytest.mark.parametrize("place", PLACES)
@both_loops
async def test_a_cancelled_scope_is_left_at_once(body, place: str):
    """Wherever the call is, it ends with its scope; its connection closes, nothing is sent, the client goes on."""
    faults, requests = PLACES[place]
    async with served("text", faults, policy=impatient(place), vary=False) as (upstream, client):
        seen: list[Any] = []
        with anyio.fail_after(SOON), anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(read, client, body, seen)
                await anyio.to_thread.run_sync(upstream.log.wait_for, lambda log: len(log) == requests, SOON)
                await anyio.sleep(0.1)  # Let it come to block; had it not, it would have to end all the same.
                scope.cancel()
        assert scope.cancelled_caught
        await all_over(upstream, place)
        assert len(upstream.log.messages) == requests
        async with client.messages.stream(**body) as stream:
            assert await stream.get_final_text() == upstream.expected_text(body)


@pytest.mark.parametrize("place", PLACES)
async def test_asyncio_timeout_is_a_timeout(body, place: str):
    """`asyncio.timeout` around a call ends it with `TimeoutError`, as without us."""
    faults, requests = PLACES[place]
    async with served("text", faults, policy=impatient(place)) as (upstream, client):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await read(client, body, [])
        await all_over(upstream, place)
        assert len(upstream.log.messages) == requests


@pytest.mark.parametrize("place", PLACES)
async def test_a_cancelled_task_is_cancelled(body, place: str):
    """`task.cancel` ends a call with `CancelledError`, as without us."""
    faults, requests = PLACES[place]
    async with served("text", faults, policy=impatient(place)) as (upstream, client):
        task = asyncio.create_task(read(client, body, []))
        await anyio.to_thread.run_sync(upstream.log.wait_for, lambda log: len(log) == requests, SOON)
        await anyio.sleep(0.1)
        task.cancel()
        with anyio.fail_after(SOON), pytest.raises(asyncio.CancelledError):
            await task
        await all_over(upstream, place)
        assert len(upstream.log.messages) == requests


async def read_into(stream: Any, seen: list[Any]) -> None:
    """Read a stream to its end; what ends it is the last thing seen."""
    try:
        async for event in stream:
            seen.append(event.type)  # noqa: PERF401  # Reason: what came before it ended is kept
        seen.append("end")
    except Exception as error:  # noqa: BLE001  # Reason: whatever it is is what is tested
        seen.append(error)


@pytest.mark.parametrize(
    "faults", [[Stall(after=9)], [Stall(after=9, pings=True, ping_every=60.0)], [Drop(after=9)]], ids=repr
)
@both_loops
async def test_close_from_another_task_ends_it(body, faults):
    """A read or a wait ends at once and quietly, the connection closes, and nothing is sent again."""
    async with served("text", faults, policy=SLOW) as (upstream, client):
        stream = await client.messages.create(**body, stream=True)
        seen: list[Any] = []
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as group:
                group.start_soon(read_into, stream, seen)
                await anyio.sleep(0.2)
                assert "end" not in seen
                await stream.close()
        assert seen[-1] == "end"
        await all_closed(upstream)
        assert len(upstream.log.messages) == 1


@both_loops
async def test_reading_on_after_close_is_the_end(body):
    """A closed stream is at its end; reading on asks nobody for anything."""
    async with served("text", [Stall(after=9)]) as (upstream, client):
        stream = await client.messages.create(**body, stream=True)
        await anext(stream)
        await stream.close()
        await stream.close()
        body_of_it: Any = stream.response.stream
        assert [data async for data in body_of_it] == []
        assert len(upstream.log.messages) == 1


@both_loops
async def test_a_caller_may_wait_forever(body):
    """A call without limits of its own is none of a scope's business until that scope ends."""
    async with served("text", [Drop(after=9)]) as (upstream, client):
        with anyio.CancelScope(deadline=math.inf):
            async with client.messages.stream(**body) as stream:
                text = await stream.get_final_text()
        assert text == upstream.expected_text(body)
        assert len(resumable.report(stream).attempts) == 2
