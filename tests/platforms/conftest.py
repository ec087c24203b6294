"""Every client of the SDK's for another platform, pointed at the scripted upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

from resumable.middleware import Resumable
from tests.middleware.conftest import half, text_of

if TYPE_CHECKING:
    from resumable.testing import ScriptedUpstream

AWS_KEYS = {"aws_access_key": "AKIAEXAMPLE", "aws_secret_key": "secret", "aws_region": "us-east-1"}
#: What each client needs besides its address, by the end of its class's name.
PLATFORMS: dict[str, dict[str, Any]] = {
    "Bedrock": AWS_KEYS,
    "BedrockMantle": AWS_KEYS,
    "Vertex": {"region": "us-east5", "project_id": "project", "access_token": "token"},
    "Foundry": {"api_key": "key"},
    "AWS": {**AWS_KEYS, "workspace_id": "workspace"},
    "GoogleCloud": {"token_provider": lambda: "token", "workspace_id": "workspace", "project": "project"},
}
#: Where each client's own prefix ends, which a test's address must have too.
PREFIXES = {"Vertex": "/v1", "Foundry": "/anthropic", "BedrockMantle": "/anthropic"}


class PlatformCaller:
    """
    Calls through one platform's client, in one colour, in process.

    Attributes:
        platform: The end of its class's name.
        stream: The last one.
        seen: Its events so far.
    """

    def __init__(self, platform: str, colour: str) -> None:
        self.platform = platform
        self.colour = colour
        self.seen: list[Any] = []
        self.stream: Any = None

    def client(self, upstream: ScriptedUpstream, *, bare: bool = False, **options: Any) -> Any:
        """Make a client; it is wrapped but where *bare*, and serves HTTP where *upstream* does."""
        policy = options.pop("policy", None)
        middleware = [] if bare else [Resumable(clock=upstream.clock, chance=half, policy=policy)]
        is_async = self.colour != "sync"
        kind = getattr(anthropic, ("Async" if is_async else "") + "Anthropic" + self.platform)
        chosen = {**PLATFORMS[self.platform], "middleware": middleware, "max_retries": 0, **options}
        prefix = PREFIXES.get(self.platform, "")
        try:
            return kind(base_url=upstream.url + prefix, **chosen)
        except RuntimeError:  # It is not started.
            chosen["base_url"] = "http://upstream.test" + prefix
        if is_async:
            chosen["http_client"] = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
        else:
            chosen["http_client"] = anthropic.DefaultHttpxClient(transport=upstream.transport())
        return kind(**chosen)

    def events(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> list[Any]:
        """Read `create(stream=True)` to its end."""
        self.seen = []
        if self.colour == "sync":
            with self.client(upstream, **options) as client:
                self.stream = client.messages.create(**body, stream=True)
                with self.stream:
                    self.seen.extend(self.stream)
        else:
            anyio.run(self._aevents, upstream, body, options)
        return self.seen

    def text(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> str:
        """Read `create(stream=True)` to its end and join its text."""
        return text_of(self.events(upstream, body, **options))

    def error(self, upstream: ScriptedUpstream, body: dict[str, Any], **options: Any) -> Any:
        """Read `create(stream=True)` and give the error it ends with."""
        with pytest.raises(Exception) as raised:  # noqa: PT011  # Reason: whatever it is is what is tested
            self.events(upstream, body, **options)
        return raised.value

    async def _aevents(self, upstream: ScriptedUpstream, body: dict[str, Any], options: dict[str, Any]) -> None:
        async with self.client(upstream, **options) as client:
            self.stream = await client.messages.create(**body, stream=True)
            async with self.stream:
                async for event in self.stream:
                    self.seen.append(event)  # Reason: what came before a failure is kept


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    """Call in both colours."""
    return str(request.param)


@pytest.fixture(params=PLATFORMS)
def caller(request: pytest.FixtureRequest, colour: str) -> PlatformCaller:
    """Call by every platform."""
    return PlatformCaller(request.param, colour)


@pytest.fixture
def bedrock(colour: str) -> PlatformCaller:
    """Call by the platform that frames in binary."""
    return PlatformCaller("Bedrock", colour)


@pytest.fixture
def body() -> dict[str, Any]:
    """Ask a model without prefill something."""
    return {"model": "claude-sonnet-5", "max_tokens": 20_000, "messages": [{"role": "user", "content": "Tell me."}]}
