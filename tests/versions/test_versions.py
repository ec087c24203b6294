"""A small suite for every version of the SDK that is supported; `.ci/versions` runs it with older ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

import resumable
from resumable import RecoveryError, RetryPolicy
from resumable.middleware import Resumable
from resumable.testing import Drop, ErrorEvent, Refuse, Reject, ScriptedUpstream, Stall, Truncate
from tests.middleware.conftest import half, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

BODY: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 20_000,
    "messages": [{"role": "user", "content": "Tell me."}],
}
FAULTS: dict[str, Any] = {
    "rst": Drop(after=9),
    "fin": Drop(after=9, how="fin"),
    "clean end": Truncate(after=9),
    "stall": Stall(after=9),
    "overloaded_error": ErrorEvent(after=9),
    "529": Reject(529),
    "refused": Refuse(),
}


def created(client: anthropic.Anthropic) -> tuple[str, Any]:
    """Use `create(stream=True)`."""
    with client.messages.create(**BODY, stream=True) as stream:
        return text_of(list(stream)), stream


def streamed(client: anthropic.Anthropic) -> tuple[str, Any]:
    """Use `messages.stream()`."""
    with client.messages.stream(**BODY) as stream:
        return stream.get_final_text(), stream


def beta_streamed(client: anthropic.Anthropic) -> tuple[str, Any]:
    """Use `beta.messages.stream()`."""
    with client.beta.messages.stream(**BODY) as stream:
        return "".join(stream.text_stream), stream


async def acreated(client: anthropic.AsyncAnthropic) -> tuple[str, Any]:
    """Use `create(stream=True)` in a task."""
    stream = await client.messages.create(**BODY, stream=True)
    async with stream:
        return text_of([event async for event in stream]), stream


async def astreamed(client: anthropic.AsyncAnthropic) -> tuple[str, Any]:
    """Use `messages.stream()` in a task."""
    async with client.messages.stream(**BODY) as stream:
        return await stream.get_final_text(), stream


def asked(upstream: ScriptedUpstream, call: Callable[..., Any], **ours: Any) -> tuple[str, Any]:
    """Call through a wrapped client, in process."""
    middleware = [Resumable(clock=upstream.clock, chance=half, **ours)]
    options: dict[str, Any] = {"api_key": "k", "base_url": "http://upstream.test", "middleware": middleware}
    if call not in {acreated, astreamed}:
        http_client = anthropic.DefaultHttpxClient(transport=upstream.transport())
        with anthropic.Anthropic(http_client=http_client, **options) as client:
            answer: tuple[str, Any] = call(client)
            return answer

    async def run() -> tuple[str, Any]:
        http_client = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
        async with anthropic.AsyncAnthropic(http_client=http_client, **options) as client:
            answer: tuple[str, Any] = await call(client)
            return answer

    return anyio.run(run)


@pytest.mark.parametrize("call", [created, streamed, beta_streamed, acreated, astreamed])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_text_is_whole(call: Callable[..., Any], fault: Any):
    """Two requests, one message, every letter once."""
    upstream = ScriptedUpstream("text", [fault], vary=False)
    text, stream = asked(upstream, call)
    assert text == upstream.expected_text(BODY)
    assert len(resumable.report(stream).attempts) == len(upstream.log.messages) == 2


@pytest.mark.parametrize("call", [created, acreated])
@pytest.mark.parametrize(
    ("fault", "theirs"),
    [
        (Reject(401), anthropic.AuthenticationError),
        (Reject(529), anthropic.OverloadedError),
        (ErrorEvent("rate_limit_error", after=0), anthropic.RateLimitError),
        (Drop(after=0), anthropic.APIConnectionError),
        (Stall(after=0), anthropic.APITimeoutError),
    ],
    ids=str,
)
def test_what_is_left_is_an_error_of_both(call: Callable[..., Any], fault: Any, theirs: type[Exception]):
    """Handlers written for the SDK catch it, whichever of its classes this version has."""
    upstream = ScriptedUpstream("text", lambda number, _: Drop(after=9) if number == 1 else fault)
    with pytest.raises(RecoveryError) as raised:
        asked(upstream, call, policy=RetryPolicy(max_attempts=3))
    assert isinstance(raised.value, theirs)
    assert raised.value.partial is not None


@pytest.mark.parametrize("call", [created, acreated])
def test_nothing_delivered_is_the_sdk_s_own_error(call: Callable[..., Any]):
    """Our attempts are all there are: the SDK's own retries do not multiply them."""
    upstream = ScriptedUpstream("text", lambda *_: Reject(529))
    with pytest.raises(anthropic.OverloadedError) as raised:
        asked(upstream, call, policy=RetryPolicy(max_attempts=3))
    assert raised.value.status_code == 529
    assert len(upstream.log.messages) == 3


@pytest.mark.parametrize("fault", [Drop(after=9), Truncate(after=9), Drop(after=9, how="fin")], ids=str)
def test_it_holds_over_sockets(fault: Any):
    """The transport of this version's own HTTP client."""
    with ScriptedUpstream("text", [fault, None, fault], vary=False) as upstream:
        with resumable.wrap(anthropic.Anthropic(base_url=upstream.url, api_key="k")) as client:
            assert streamed(client)[0] == upstream.expected_text(BODY)

        async def run() -> str:
            async with resumable.wrap(anthropic.AsyncAnthropic(base_url=upstream.url, api_key="k")) as client:
                return (await astreamed(client))[0]

        assert anyio.run(run) == upstream.expected_text(BODY)


def test_a_silent_socket_is_left():
    """The byte watchdog breaks a blocked read of this version's transport, in both colours."""
    policy = RetryPolicy(bytes_timeout=0.2)
    with ScriptedUpstream("text", [Stall(after=9), None, Stall(after=9)], vary=False) as upstream:
        with resumable.wrap(anthropic.Anthropic(base_url=upstream.url, api_key="k"), policy=policy) as client:
            assert streamed(client)[0] == upstream.expected_text(BODY)

        async def run() -> str:
            bare = anthropic.AsyncAnthropic(base_url=upstream.url, api_key="k")
            async with resumable.wrap(bare, policy=policy) as client:
                return (await astreamed(client))[0]

        assert anyio.run(run) == upstream.expected_text(BODY)
        assert len(upstream.log.messages) == 4
