"""Silence in real time: what ends a blocked read, with a socket in reach and without, and what must not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import httpx2
import pytest
from tenacity import wait_fixed

import resumable
from resumable import RecoveryError, Resumable, RetryPolicy, StreamStalledError
from resumable.testing import ScriptedUpstream, Slow, Stall
from tests.middleware.conftest import real_aclient, real_client, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: [s] Far more than anything here takes.
HANG = 20.0
AT_ONCE = wait_fixed(0)
#: [s] The watchdogs here. An upstream that is only slow, on a busy machine, must not look like a silent one.
LIMIT = 0.4
BYTES = RetryPolicy(bytes_timeout=LIMIT, reconnect=AT_ONCE)
PROGRESS = RetryPolicy(progress_timeout=LIMIT, thinking_timeout=LIMIT, reconnect=AT_ONCE)
both_colours = pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])


class Outcome:
    """What came of reading a whole stream: its text, and the watchdogs that fired."""

    def __init__(self, events: list[Any], report: Any) -> None:
        self.text = text_of(events)
        failures = [attempt.failure for attempt in report.attempts]
        self.stalls = [failure.watchdog for failure in failures if isinstance(failure, StreamStalledError)]
        self.requests = len(failures)


def read(colour: str, upstream: ScriptedUpstream, body: dict[str, Any], policy: RetryPolicy, **options: Any) -> Outcome:
    """Read a stream by a client that keeps real time; hang for so long at most."""
    if colour != "sync":
        return anyio.run(_read, upstream, body, policy, options, backend=colour)
    with real_client(upstream, policy, **options) as client:
        stream = client.messages.create(**body, stream=True)
        return Outcome(list(stream), resumable.report(stream))


async def _read(
    upstream: ScriptedUpstream, body: dict[str, Any], policy: RetryPolicy, options: dict[str, Any]
) -> Outcome:
    with anyio.fail_after(HANG):
        async with real_aclient(upstream, policy, **options) as client:
            stream = await client.messages.create(**body, stream=True)
            events = [event async for event in stream]
            return Outcome(events, resumable.report(stream))


@both_colours
@pytest.mark.parametrize("after", [0, 1, 9], ids=["before any event", "after the start", "in the text"])
def test_a_silent_upstream_is_left(body, colour: str, after: int):
    """Without any byte for too long, the read is broken and the message goes on in another attempt."""
    with ScriptedUpstream("text", [Stall(after=after)], vary=False) as upstream:
        outcome = read(colour, upstream, body, BYTES)
        assert outcome.text == upstream.expected_text(body)
        assert outcome.stalls == ["bytes"]
        assert outcome.requests == 2
        upstream.log.wait_closed()


@both_colours
@pytest.mark.parametrize("after", [0, 9], ids=["before any event", "in the text"])
def test_an_upstream_that_only_pings_is_left(body, colour: str, after: int):
    """Pings keep a read timeout from firing for ever; the progress watchdog does not count them."""
    with ScriptedUpstream("text", [Stall(after=after, pings=True, ping_every=0.05)], vary=False) as upstream:
        outcome = read(colour, upstream, body, PROGRESS)
        assert outcome.text == upstream.expected_text(body)
        assert outcome.stalls == ["progress"]


@both_colours
def test_the_first_event_has_a_deadline_of_its_own(body, colour: str):
    """An upstream that answers and then says nothing but pings is left after the first event's deadline."""
    policy = RetryPolicy(first_event_timeout=LIMIT, reconnect=AT_ONCE)
    with ScriptedUpstream("text", [Stall(after=0, pings=True, ping_every=0.05)], vary=False) as upstream:
        outcome = read(colour, upstream, body, policy)
        assert (outcome.text, outcome.stalls) == (upstream.expected_text(body), ["first_event"])


@both_colours
def test_the_total_deadline_is_final(body, colour: str):
    """What lasts longer than the caller allows in total ends with a timeout that carries the partial."""
    policy = RetryPolicy(total_timeout=2 * LIMIT, bytes_timeout=HANG, reconnect=AT_ONCE)
    with ScriptedUpstream("text", lambda *_: Stall(after=9, pings=True, ping_every=0.05)) as upstream:
        with pytest.raises(anthropic.APITimeoutError) as raised:
            read(colour, upstream, body, policy)
        error: Any = raised.value
        assert [type(error).__mro__.count(RecoveryError), error.last.watchdog] == [1, "total"]
        assert error.partial["content"][0]["text"]
        upstream.log.wait_closed()


@both_colours
@pytest.mark.parametrize("after", [0, 9], ids=["before any event", "in the text"])
def test_the_callers_timeout_keeps_its_meaning(body, colour: str, after: int):
    """`timeout=` is the longest silence of one read in each attempt, as with the bare SDK, and is recovered from."""
    with ScriptedUpstream("text", [Stall(after=after), Stall(after=after + 1)], vary=False) as upstream:
        outcome = read(colour, upstream, body, RetryPolicy(reconnect=AT_ONCE), timeout=LIMIT)
        assert outcome.text == upstream.expected_text(body)
        assert outcome.requests == 3


@both_colours
def test_the_callers_timeout_covers_the_headers(body, colour: str):
    """Headers that do not come within `timeout=` are a failed attempt, once each, not a failed call."""
    with ScriptedUpstream("text", [Stall(phase="headers")], vary=False) as upstream:
        outcome = read(colour, upstream, body, RetryPolicy(reconnect=AT_ONCE), timeout=LIMIT)
        assert (outcome.text, outcome.requests) == (upstream.expected_text(body), 2)


@both_colours
def test_a_slow_upstream_is_not_a_silent_one(body, colour: str):
    """Events that come one after the other, each in time, take as long as they take."""
    body["max_tokens"] = 60
    with ScriptedUpstream("text", [Slow(LIMIT / 20)]) as upstream:
        outcome = read(colour, upstream, body, RetryPolicy(bytes_timeout=LIMIT, progress_timeout=LIMIT))
        assert (outcome.text, outcome.requests) == (upstream.expected_text(body), 1)


def test_a_caller_who_pauses_is_not_a_silent_upstream(body):
    """Time between two reads is the caller's: nobody is reading, so nobody can be late."""
    pause = threading.Event()
    policy = RetryPolicy(bytes_timeout=LIMIT, progress_timeout=LIMIT)
    with ScriptedUpstream("text") as upstream, real_client(upstream, policy) as client:
        with client.messages.stream(**body) as stream:
            text = ""
            for number, piece in enumerate(stream.text_stream):
                text += piece
                if number in {2, 9}:
                    assert not pause.wait(3 * LIMIT)
        assert text == upstream.expected_text(body)
        assert len(resumable.report(stream).attempts) == 1


async def test_a_task_that_pauses_is_not_a_silent_upstream(body):
    """The same in a task."""
    policy = RetryPolicy(bytes_timeout=LIMIT, progress_timeout=LIMIT)
    with ScriptedUpstream("text") as upstream:
        async with real_aclient(upstream, policy) as client, client.messages.stream(**body) as stream:
            text = ""
            async for piece in stream.text_stream:
                await anyio.sleep(0 if text else 3 * LIMIT)
                text += piece
        assert text == upstream.expected_text(body)
        assert len(resumable.report(stream).attempts) == 1


# Without a socket in reach: the read itself is cancelled.


class Silent(httpx2.AsyncByteStream):
    """A body that says something once, and then nothing for ever; it has no socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data
        await anyio.sleep_forever()

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True


class HalfSilent(httpx2.AsyncBaseTransport):
    """The scripted upstream's own transport, but the first answer falls silent within its text."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.inner = upstream.async_transport()
        self.silent: Silent | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer, and cut the first answer short."""
        answer = await self.inner.handle_async_request(request)
        if self.silent is None:
            whole = await answer.aread()
            self.silent = Silent(whole[: len(whole) // 2])
            return httpx2.Response(200, stream=self.silent, request=request)
        return answer


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_read_without_a_socket_is_cancelled_at_its_deadline(body):
    """Where no socket can be shut down, the watchdog still ends the read, and the message goes on."""
    upstream = ScriptedUpstream("text", vary=False)
    transport = HalfSilent(upstream)
    options = {
        "base_url": "http://upstream.test",
        "http_client": anthropic.DefaultAsyncHttpxClient(transport=transport),
    }
    client = resumable.wrap(anthropic.AsyncAnthropic(api_key="k", **options), policy=BYTES)  # type: ignore[arg-type]  # Reason: mypy reads one type into all options
    with anyio.fail_after(HANG):
        async with client, client.messages.stream(**body) as stream:
            assert await stream.get_final_text() == upstream.expected_text(body)
    assert [str(attempt.failure) for attempt in resumable.report(stream).attempts] == [
        f"upstream stalled: the bytes watchdog allows {LIMIT} s",
        "None",
    ]
    assert transport.silent is not None
    assert transport.silent.is_closed


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_read_without_a_socket_ends_when_it_is_closed(body):
    """A task that closes the stream ends the read of another, also where no socket is in reach."""
    transport = HalfSilent(ScriptedUpstream("text"))
    options = {
        "base_url": "http://upstream.test",
        "http_client": anthropic.DefaultAsyncHttpxClient(transport=transport),
    }
    client = resumable.wrap(anthropic.AsyncAnthropic(api_key="k", **options))  # type: ignore[arg-type]  # Reason: as above
    seen: list[Any] = []

    async def read_all(stream: Any) -> None:
        seen.extend([event async for event in stream])

    with anyio.fail_after(HANG):
        async with (
            client,
            await client.messages.create(**body, stream=True) as stream,
            anyio.create_task_group() as group,
        ):
            group.start_soon(read_all, stream)
            await anyio.sleep(0.1)
            assert seen == []
            await stream.close()
    assert text_of(seen)
    assert transport.silent is not None
    assert transport.silent.is_closed


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_read_under_a_clock_of_its_own_is_left_to_its_task(body):
    """Where nothing breaks a read, a task that closes the stream gives the body back and leaves the read alone."""
    upstream = ScriptedUpstream("text")
    transport = HalfSilent(upstream)
    async with anthropic.AsyncAnthropic(
        api_key="k",
        base_url="http://upstream.test",
        http_client=anthropic.DefaultAsyncHttpxClient(transport=transport),
        middleware=[Resumable(clock=upstream.clock)],
    ) as client:
        stream = await client.messages.create(**body, stream=True)

        async def read_on() -> None:
            async for _ in stream:
                pass

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(read_on)
                await anyio.wait_all_tasks_blocked()
                await stream.close()
                assert transport.silent is not None
                assert transport.silent.is_closed
                group.cancel_scope.cancel()


@pytest.mark.parametrize("fault", [Stall(after=9), Stall(after=9, pings=True, ping_every=0.05)], ids=repr)
def test_the_aiohttp_client_is_watched_too(body, fault):
    """With the SDK's aiohttp client a stall of either kind ends at the watchdog's deadline."""
    make: Callable[[], Any] = anthropic.DefaultAioHttpClient
    policy = RetryPolicy(bytes_timeout=LIMIT, progress_timeout=2 * LIMIT, reconnect=AT_ONCE)
    with ScriptedUpstream("text", [fault], vary=False) as upstream:
        outcome = anyio.run(_with_aiohttp, upstream, body, policy, make)
        assert (outcome.text, outcome.requests) == (upstream.expected_text(body), 2)
        assert outcome.stalls == ["progress" if fault.pings else "bytes"]


async def _with_aiohttp(
    upstream: ScriptedUpstream, body: dict[str, Any], policy: RetryPolicy, make: Callable[[], Any]
) -> Outcome:
    return await _read(upstream, body, policy, {"http_client": make()})
