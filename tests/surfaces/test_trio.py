"""Trio's own words around a wrapped client: nurseries, cancel scopes, deadlines; the same outcomes as asyncio's."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import anthropic
import anyio
import pytest
import trio
import trio.testing
from tenacity import wait_fixed

import resumable
from resumable import Resumable, RetryPolicy
from resumable.testing import Drop, ErrorEvent, Fault, Reject, ScriptedUpstream, Stall, Truncate
from tests.surfaces.table import BODY, LIMIT
from tests.surfaces.ways import text_of

# Generators that the SDK and httpcore leave behind under trio are theirs.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpcore|anthropic):ResourceWarning")

NOW = wait_fixed(0)
QUICK = RetryPolicy(overloaded=NOW, rate_limited=NOW, server=NOW, reconnect=NOW)
#: An hour between attempts: who leaves meanwhile does not wait for it.
SLOW = RetryPolicy(overloaded=wait_fixed(200), max_wait=10_000)
#: [s] Far more than anything here takes.
HANG = 30.0
STORM: list[Fault | None] = [
    Reject(529),
    Drop(after=9),
    Truncate(after=7),
    ErrorEvent(after=9),
    Drop(after=8, how="fin"),
]


def client_of(upstream: ScriptedUpstream, policy: RetryPolicy) -> anthropic.AsyncAnthropic:
    """Make a wrapped client that keeps real time."""
    bare = anthropic.AsyncAnthropic(base_url=upstream.url, api_key="any", max_retries=2)
    return resumable.wrap(bare, policy=policy)


async def told(upstream: ScriptedUpstream, policy: RetryPolicy) -> tuple[Any, ...]:
    """Read a stream to its end; give its text, and what recovery did."""
    async with client_of(upstream, policy) as client:
        stream: Any = await client.messages.create(**BODY, stream=True)  # type: ignore[call-overload]  # Reason: a dict
        text = text_of([event async for event in stream])
        report = resumable.report(stream)
    failures = [type(attempt.failure).__name__ for attempt in report.attempts]
    return text, failures, [attempt.strategy.value for attempt in report.attempts], [seam.at for seam in report.seams]


@pytest.mark.parametrize(
    ("faults", "policy"),
    [
        pytest.param(STORM, QUICK, id="storm"),
        pytest.param([Stall(after=9)], RetryPolicy(bytes_timeout=LIMIT, reconnect=NOW), id="silence"),
        pytest.param([Stall(after=9, pings=True, ping_every=0.05)], RetryPolicy(progress_timeout=LIMIT), id="pings"),
    ],
)
def test_trio_comes_to_what_asyncio_comes_to(faults: Any, policy: RetryPolicy):
    """Text, failures, strategies and seams are the same; and the text is all of it."""

    async def call(upstream: ScriptedUpstream) -> tuple[Any, ...]:
        with anyio.fail_after(HANG):
            return await told(upstream, policy)

    came = []
    for backend in ("asyncio", "trio"):
        with ScriptedUpstream("text", faults, vary=False) as upstream:
            came.append(anyio.run(call, upstream, backend=backend))
            assert came[-1][0] == upstream.expected_text(BODY)
    assert came[0] == came[1]


def test_streams_of_one_nursery_do_not_mix():
    """One client, many tasks, a fault for each: every text is whole."""
    texts: list[str] = []

    async def one(client: Any) -> None:
        async with client.messages.stream(**BODY) as stream:
            texts.append("".join([piece async for piece in stream.text_stream]))

    async def main(upstream: ScriptedUpstream) -> None:
        with trio.fail_after(HANG):
            async with client_of(upstream, QUICK) as client, trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(one, client)

    faults = [Drop(after=4 + number) for number in range(8)]
    with ScriptedUpstream("text", faults, vary=False) as upstream:
        trio.run(main, upstream)
        assert texts == [upstream.expected_text(BODY)] * 8
        assert len(upstream.log) == 16


@pytest.mark.parametrize("faults", [[ErrorEvent(after=9)], [Truncate(after=7)], []], ids=repr)
@pytest.mark.parametrize("until", [3, None], ids=["left early", "read to the end"])
def test_no_body_is_left_to_the_garbage_collector(faults: Any, until: int | None):
    """The generator that reads an attempt's body ends with the attempt, also where an `error` event ends it early."""
    upstream = ScriptedUpstream("text", faults, vary=False)
    http = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
    ours = Resumable(clock=upstream.clock)

    async def main() -> None:
        async with anthropic.AsyncAnthropic(api_key="any", http_client=http, middleware=[ours]) as client:
            stream: Any = await client.messages.create(**BODY, stream=True)  # type: ignore[call-overload]  # Reason: a dict
            body = stream.response.stream  # Read without the SDK, which leaves generators of its own.
            seen = 0
            async for _ in body:
                if (seen := seen + 1) == until:
                    break
            await body.aclose()

    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        trio.run(main)
        gc.collect()
    assert [str(warning.message) for warning in left] == []


@pytest.mark.parametrize(
    ("faults", "policy"),
    [
        pytest.param([Stall(phase="headers")], QUICK, id="before the headers"),
        pytest.param([Stall(after=9)], QUICK, id="in a silence"),
        pytest.param([Reject(529)], SLOW, id="in a wait"),
        pytest.param([ErrorEvent(after=9)], SLOW, id="in a wait after text"),
    ],
)
def test_a_cancel_scope_leaves_at_once(faults: Any, policy: RetryPolicy):
    """The scope is cancelled when nothing more comes; nothing is sent again, and no connection stays behind."""

    async def read(upstream: ScriptedUpstream, scope: trio.CancelScope) -> None:
        with scope:
            await told(upstream, policy)

    async def main(upstream: ScriptedUpstream) -> None:
        scope = trio.CancelScope()
        with trio.fail_after(HANG):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, upstream, scope)
                await trio.to_thread.run_sync(upstream.log.wait_for, lambda log: len(log) == 1)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert scope.cancelled_caught

    with ScriptedUpstream("text", faults) as upstream:
        trio.run(main, upstream)
        upstream.log.wait_closed()
        assert len(upstream.log) == 1


def test_a_deadline_of_trios_is_its_own_error():
    """Who gives a stream so much time gets trio's error when it is over, not one of ours."""

    async def main(upstream: ScriptedUpstream) -> None:
        with pytest.raises(trio.TooSlowError), trio.fail_after(LIMIT):
            await told(upstream, QUICK)

    with ScriptedUpstream("text", [Stall(after=9)]) as upstream:
        trio.run(main, upstream)
        upstream.log.wait_closed()
