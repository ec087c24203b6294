"""A wrapped client in every colour, so that a behaviour is written down once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

import resumable
from resumable.middleware import Resumable

if TYPE_CHECKING:
    from resumable import RetryPolicy
    from resumable.testing import ScriptedUpstream

#: The sync client, and the async one on both of its event loops.
COLOURS = ("sync", "asyncio", "trio")
_OURS = ("policy", "hold", "on_recovery")


def half() -> float:
    """Draw the middle of every range."""
    return 0.5


def settings(upstream: ScriptedUpstream, options: dict[str, Any], *, is_async: bool) -> dict[str, Any]:
    """Give a client's arguments: over HTTP where *upstream* is started, in process elsewhere; waits take no time."""
    ours = {name: options.pop(name) for name in _OURS if name in options}
    inner, outer = options.pop("inner", ()), options.pop("outer", ())
    own = Resumable(clock=upstream.clock, chance=half, **ours)
    chosen = {"api_key": "sk-secret", "middleware": [*outer, own, *inner], "max_retries": 0, **options}
    try:
        return {"base_url": upstream.url, **chosen}
    except RuntimeError:  # It is not started.
        chosen = {"base_url": "http://upstream.test", **chosen}
    if is_async:
        return {"http_client": anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport()), **chosen}
    return {"http_client": anthropic.DefaultHttpxClient(transport=upstream.transport()), **chosen}


def client_of(upstream: ScriptedUpstream, **options: Any) -> anthropic.Anthropic:
    """Make a wrapped sync client."""
    return anthropic.Anthropic(**settings(upstream, options, is_async=False))


def aclient_of(upstream: ScriptedUpstream, **options: Any) -> anthropic.AsyncAnthropic:
    """Make a wrapped async client."""
    return anthropic.AsyncAnthropic(**settings(upstream, options, is_async=True))


class Caller:
    """Calls through a wrapped client of one colour; it keeps what it saw before a failure."""

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.seen: list[Any] = []
        self.stream: Any = None

    def events(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> list[Any]:
        """Read `create(stream=True)` to its end."""
        self.seen = []
        if self.colour != "sync":
            anyio.run(self._aevents, upstream, body, options, backend=self.colour)
            return self.seen
        with client_of(upstream, **options) as client:
            self.stream = client.messages.create(**body, stream=True)
            with self.stream:
                self.seen.extend(self.stream)
        return self.seen

    def text(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> str:
        """Read `create(stream=True)` to its end and join its text."""
        self.events(upstream, body, **options)
        return text_of(self.seen)

    def error(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> Exception:
        """Read `create(stream=True)` and give the error it ends with."""
        with pytest.raises(Exception) as raised:  # noqa: PT011  # Reason: whatever it is is what is tested
            self.events(upstream, body, **options)
        return raised.value

    def final(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> Any:
        """Read `messages.stream()` and give its final message."""
        if self.colour != "sync":
            return anyio.run(self._afinal, upstream, body, options, backend=self.colour)
        with client_of(upstream, **options) as client, client.messages.stream(**body) as self.stream:
            return self.stream.get_final_message()

    async def _aevents(self, upstream: ScriptedUpstream, body: dict[str, Any], options: dict[str, Any]) -> None:
        async with aclient_of(upstream, **options) as client:
            self.stream = await client.messages.create(**body, stream=True)
            async with self.stream:
                async for event in self.stream:
                    self.seen.append(event)  # Reason: what came before a failure is kept

    async def _afinal(self, upstream: ScriptedUpstream, body: dict[str, Any], options: dict[str, Any]) -> Any:
        async with aclient_of(upstream, **options) as client, client.messages.stream(**body) as self.stream:
            return await self.stream.get_final_message()


def text_of(events: list[Any]) -> str:
    """Join the text deltas of some events."""
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under trio, pass over generators of the SDK and its transport that were left before their end."""
    for item in items:
        if "trio" in item.name:
            item.add_marker(pytest.mark.filterwarnings("ignore:Async generator '(httpcore|anthropic):ResourceWarning"))


@pytest.fixture(params=COLOURS)
def caller(request: pytest.FixtureRequest) -> Caller:
    """Call in every colour."""
    return Caller(request.param)


@pytest.fixture
def body() -> dict[str, Any]:
    """Ask a model without prefill something."""
    return {"model": "claude-sonnet-5", "max_tokens": 20_000, "messages": [{"role": "user", "content": "Tell me."}]}


def real_client(upstream: ScriptedUpstream, policy: RetryPolicy | None = None, **options: Any) -> anthropic.Anthropic:
    """Make a wrapped sync client that keeps real time, to a served upstream."""
    chosen: dict[str, Any] = {"base_url": upstream.url, "api_key": "sk-secret", "max_retries": 2, **options}
    return resumable.wrap(anthropic.Anthropic(**chosen), policy=policy)


def real_aclient(
    upstream: ScriptedUpstream, policy: RetryPolicy | None = None, **options: Any
) -> anthropic.AsyncAnthropic:
    """Make a wrapped async client that keeps real time, to a served upstream."""
    chosen: dict[str, Any] = {"base_url": upstream.url, "api_key": "sk-secret", "max_retries": 2, **options}
    return resumable.wrap(anthropic.AsyncAnthropic(**chosen), policy=policy)
