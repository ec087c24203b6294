"""The four ways to reach the scripted upstream: over HTTP and in process, sync and async, as one object."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable.testing import ScriptedUpstream

WAYS = ("http-sync", "http-async", "process-sync", "process-async")


class Caller:
    """The bare SDK, by one of the four ways; it keeps the events it saw before a failure."""

    def __init__(self, way: str) -> None:
        carrier, colour = way.split("-")
        self.over_http = carrier == "http"
        self.is_async = colour == "async"
        self.started: list[ScriptedUpstream] = []
        self.seen: list[Any] = []

    def events(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> list[Any]:
        """Read `create(stream=True)` to its end."""
        self.seen = []
        if self.is_async:
            anyio.run(self._aevents, upstream, body, options)
        else:
            with (
                self.client(upstream, options) as client,
                client.messages.create(**body, stream=True) as stream,
            ):
                self.seen.extend(stream)
        return self.seen

    def final(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> Any:
        """Read `messages.stream()` and give its final message."""
        if self.is_async:
            return anyio.run(self._afinal, upstream, body, options)
        with self.client(upstream, options) as client, client.messages.stream(**body) as stream:
            return stream.get_final_message()

    def create(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> Any:
        """Ask without streaming."""
        if self.is_async:
            return anyio.run(self._acreate, upstream, body, options)
        with self.client(upstream, options) as client:
            return client.messages.create(**body)

    def client(self, upstream: ScriptedUpstream, options: dict[str, Any]) -> anthropic.Anthropic:
        """Make a sync client."""
        return anthropic.Anthropic(**self._settings(upstream, options))

    def aclient(self, upstream: ScriptedUpstream, options: dict[str, Any]) -> anthropic.AsyncAnthropic:
        """Make an async client."""
        return anthropic.AsyncAnthropic(**self._settings(upstream, options))

    def _settings(self, upstream: ScriptedUpstream, options: dict[str, Any]) -> dict[str, Any]:
        settings = {"base_url": "http://upstream.test", "api_key": "test", "max_retries": 0, **options}
        if self.over_http:
            self.started.append(upstream)
            upstream.start()
            return settings | {"base_url": upstream.url}
        if self.is_async:
            return settings | {"http_client": anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())}
        return settings | {"http_client": anthropic.DefaultHttpxClient(transport=upstream.transport())}

    async def _aevents(self, upstream: ScriptedUpstream, body: dict[str, Any], options: dict[str, Any]) -> None:
        async with self.aclient(upstream, options) as client:
            stream = await client.messages.create(**body, stream=True)
            async with stream:
                async for event in stream:
                    self.seen.append(event)

    async def _afinal(self, upstream: ScriptedUpstream, body: dict[str, Any], options: dict[str, Any]) -> Any:
        async with self.aclient(upstream, options) as client, client.messages.stream(**body) as stream:
            return await stream.get_final_message()

    async def _acreate(self, upstream: ScriptedUpstream, body: dict[str, Any], options: dict[str, Any]) -> Any:
        async with self.aclient(upstream, options) as client:
            return await client.messages.create(**body)


@contextlib.contextmanager
def calling(way: str) -> Iterator[Caller]:
    """Make a caller and stop every upstream it started."""
    caller = Caller(way)
    try:
        yield caller
    finally:
        for upstream in caller.started:
            upstream.stop()


@pytest.fixture(params=WAYS)
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    """Call by each of the four ways."""
    with calling(request.param) as made:
        yield made


@pytest.fixture
def process() -> Iterator[Caller]:
    """Call in process, sync: where the way makes no difference."""
    with calling("process-sync") as made:
        yield made


@pytest.fixture(params=["process-sync", "process-async"])
def virtual(request: pytest.FixtureRequest) -> Iterator[Caller]:
    """Call in process in both colours: where time has to be virtual."""
    with calling(request.param) as made:
        yield made


@pytest.fixture
def body() -> dict[str, Any]:
    """Ask a model without prefill something."""
    return {"model": "claude-haiku-5-5", "max_tokens": 20_000, "messages": [{"role": "user", "content": "Tell me."}]}
