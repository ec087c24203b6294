"""Every way of the SDK to ask for a message: what streams is recovered, what does not is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pydantic
import pytest

import resumable
from resumable import RetryPolicy
from resumable.testing import (
    Drop,
    Refuse,
    Reject,
    Reply,
    ScriptedUpstream,
    Split,
    Text,
    Thinking,
    ToolUse,
    Truncate,
)
from tests.middleware.conftest import aclient_of, client_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.middleware.conftest import Caller

BREAKS = (Drop(after=9), Truncate(after=6))
QUICKLY = {"retry-after-ms": "1"}
TOOLS = [{"name": "look", "description": "Look it up.", "input_schema": {"type": "object"}}]


def created(client: Any, body: dict[str, Any]) -> str:
    """Use `messages.create(stream=True)`."""
    with client.messages.create(**body, stream=True) as stream:
        return text_of(list(stream))


def text_stream(client: Any, body: dict[str, Any]) -> str:
    """Use `text_stream`."""
    with client.messages.stream(**body) as stream:
        return "".join(stream.text_stream)


def final_message(client: Any, body: dict[str, Any]) -> str:
    """Use `get_final_message`."""
    with client.messages.stream(**body) as stream:
        return "".join(block.text for block in stream.get_final_message().content)


def final_text(client: Any, body: dict[str, Any]) -> str:
    """Use `get_final_text`."""
    with client.messages.stream(**body) as stream:
        return str(stream.get_final_text())


def beta_created(client: Any, body: dict[str, Any]) -> str:
    """Use `beta.messages.create(stream=True)`."""
    with client.beta.messages.create(**body, stream=True, betas=["some-beta-2026-01-01"]) as stream:
        return text_of(list(stream))


def beta_streamed(client: Any, body: dict[str, Any]) -> str:
    """Use `beta.messages.stream`."""
    with client.beta.messages.stream(**body) as stream:
        return "".join(stream.text_stream)


def raw(client: Any, body: dict[str, Any]) -> str:
    """Use `with_raw_response`."""
    answer = client.messages.with_raw_response.create(**body, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return text_of(list(answer.parse()))


def streaming(client: Any, body: dict[str, Any]) -> str:
    """Use `with_streaming_response` and parse."""
    with client.messages.with_streaming_response.create(**body, stream=True) as answer:
        return text_of(list(answer.parse()))


def events(client: Any, body: dict[str, Any]) -> str:
    """Use the helper's own events."""
    with client.messages.stream(**body) as stream:
        return "".join(event.text for event in stream if event.type == "text")


SURFACES = [
    created,
    text_stream,
    final_message,
    final_text,
    beta_created,
    beta_streamed,
    raw,
    streaming,
    events,
]


async def acreated(client: Any, body: dict[str, Any]) -> str:
    """Use `messages.create(stream=True)`."""
    async with await client.messages.create(**body, stream=True) as stream:
        return text_of([event async for event in stream])


async def atext_stream(client: Any, body: dict[str, Any]) -> str:
    """Use `text_stream`."""
    async with client.messages.stream(**body) as stream:
        return "".join([piece async for piece in stream.text_stream])


async def afinal_message(client: Any, body: dict[str, Any]) -> str:
    """Use `get_final_message`."""
    async with client.messages.stream(**body) as stream:
        return "".join(block.text for block in (await stream.get_final_message()).content)


async def abeta_created(client: Any, body: dict[str, Any]) -> str:
    """Use `beta.messages.create(stream=True)`."""
    async with await client.beta.messages.create(**body, stream=True) as stream:
        return text_of([event async for event in stream])


async def abeta_streamed(client: Any, body: dict[str, Any]) -> str:
    """Use `beta.messages.stream`."""
    async with client.beta.messages.stream(**body) as stream:
        return "".join([piece async for piece in stream.text_stream])


async def araw(client: Any, body: dict[str, Any]) -> str:
    """Use `with_raw_response`."""
    answer = await client.messages.with_raw_response.create(**body, stream=True)
    return text_of([event async for event in await answer.parse()])


async def astreaming(client: Any, body: dict[str, Any]) -> str:
    """Use `with_streaming_response`."""
    async with client.messages.with_streaming_response.create(**body, stream=True) as answer:
        return text_of([event async for event in await answer.parse()])


ASURFACES = [acreated, atext_stream, afinal_message, abeta_created, abeta_streamed, araw, astreaming]


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.__name__)
def test_every_surface_is_recovered(body, surface: Callable[..., str], gzip: bool):  # noqa: FBT001  # Reason: a parameter
    """Two breaks later the text is the one that a call without faults gives, compressed or not."""
    with ScriptedUpstream("text", BREAKS, gzip=gzip, vary=False) as upstream, client_of(upstream) as client:
        assert surface(client, body) == upstream.expected_text(body)
        assert upstream.log.strategies == ["original", "user_turn", "user_turn"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("surface", ASURFACES, ids=lambda surface: surface.__name__)
async def test_every_async_surface_is_recovered(body, surface: Any, gzip: bool):  # noqa: FBT001  # Reason: a parameter
    """The same in a task, on both loops."""
    with ScriptedUpstream("text", BREAKS, gzip=gzip, vary=False) as upstream:
        async with aclient_of(upstream) as client:
            assert await surface(client, body) == upstream.expected_text(body)
        assert upstream.log.strategies == ["original", "user_turn", "user_turn"]


def test_the_lines_of_a_streaming_response_are_whole(body):
    """Who reads lines instead of events reads one message: one start, one stop."""
    upstream = ScriptedUpstream("text", BREAKS)
    with (
        client_of(upstream) as client,
        client.messages.with_streaming_response.create(**body, stream=True) as answer,
    ):
        lines = list(answer.iter_lines())
    assert lines.count("event: message_start") == lines.count("event: message_stop") == 1


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_any_split_of_the_body_gives_the_same(caller: Caller, body, size: int):
    """How the network cuts the bytes is nobody's business."""
    upstream = ScriptedUpstream(
        "unicode", lambda number, _: [Drop(after=9), Split(size)] if number == 1 else Split(size)
    )
    assert caller.text(upstream, body) == upstream.expected_text(body)


def test_an_extra_body_goes_into_every_attempt(caller: Caller, body):
    """What the caller adds with `extra_body` is part of the request that is continued."""
    upstream = ScriptedUpstream("text", BREAKS)
    caller.events(upstream, body | {"extra_body": {"metadata": {"user_id": "u"}, "max_tokens": 9_999}})
    sent: list[Any] = [recorded.body for recorded in upstream.log]
    assert [asked["metadata"] for asked in sent] == [{"user_id": "u"}] * 3
    assert sent[0]["max_tokens"] == 9_999
    assert all(asked["max_tokens"] < 20_000 for asked in sent)
    assert not [asked for asked in sent if "extra_body" in asked]


def test_tools_arrive_whole(caller: Caller, body):
    """A tool call cut in half is asked for again, and parses."""
    body["tools"] = TOOLS
    reply = Reply([Text("Let me look."), ToolUse("look", {"for": ["keys", "and locks"] * 20})], stop_reason="tool_use")
    upstream = ScriptedUpstream(reply, [Drop(phase="tool_json")])
    message = caller.final(upstream, body)
    assert message.stop_reason == "tool_use"
    assert message.content[-1].input == {"for": ["keys", "and locks"] * 20}
    assert len(upstream.log.messages) == 2


def test_structured_output_parses(body):
    """The SDK's parser accepts a stitched answer."""

    class City(pydantic.BaseModel):
        name: str
        people: int

    reply = Reply([Text('{"name": "Kyiv", "people": 2952301}')])
    upstream = ScriptedUpstream(reply, [Drop(after=5), Truncate(after=4)])
    with client_of(upstream) as client, client.messages.stream(**body, output_format=City) as stream:
        parsed = stream.get_final_message().parsed_output
    assert parsed == City(name="Kyiv", people=2952301)
    assert len(upstream.log.messages) == 3


# What does not stream is left alone.


@pytest.mark.parametrize("max_retries", [0, 2])
def test_calls_without_a_stream_keep_the_sdks_retries(body, max_retries: int):
    """Without `stream=True` the requests and the error are those of the bare SDK."""
    upstream = ScriptedUpstream("text", lambda *_: Reject(529, headers=QUICKLY))
    with client_of(upstream, max_retries=max_retries) as client:
        with pytest.raises(anthropic.OverloadedError) as raised:
            client.messages.create(**body)
        with pytest.raises(resumable.ConfigurationError):
            resumable.report(raised.value)
    assert len(upstream.log.messages) == 1 + max_retries


async def test_async_calls_without_a_stream_keep_the_sdks_retries(body):
    """The same in a task; and what comes back is what upstream said."""
    upstream = ScriptedUpstream("text", [Reject(529, headers=QUICKLY), Reject(500, headers=QUICKLY)])
    async with aclient_of(upstream, max_retries=2) as client:
        message: Any = await client.messages.create(**body)
    assert message.content[0].text == upstream.expected_text(body)
    sent: list[Any] = [recorded.body for recorded in upstream.log]
    assert ["stream" in asked for asked in sent] == [False] * 3


def test_other_endpoints_pass_untouched(body):
    """Counting tokens, and whatever else is no message, goes up and comes down as it is."""
    upstream = ScriptedUpstream("text")
    del body["max_tokens"]
    with client_of(upstream) as client:
        assert client.messages.count_tokens(**body).input_tokens > 0
        answer = client.messages.with_raw_response.count_tokens(**body)
        assert not [name for name in answer.headers if name.startswith("resumable")]
    assert [recorded.path for recorded in upstream.log] == ["/v1/messages/count_tokens"] * 2


# Other middlewares.


class Spy(anthropic.Middleware):
    """A middleware that notes what passes."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.retries: list[int] = []
        self.statuses: list[int] = []

    def handle(self, request: anthropic.APIRequest, call_next: anthropic.CallNext) -> anthropic.APIResponse[Any]:
        """Note a request and its answer."""
        self._note(request)
        answer = call_next(request)
        self.statuses.append(answer.http_response.status_code)
        return answer

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Note a request and its answer."""
        self._note(request)
        answer = await call_next(request)
        self.statuses.append(answer.http_response.status_code)
        return answer

    def _note(self, request: anthropic.APIRequest) -> None:
        self.bodies.append(request.json)
        self.retries.append(request.retries_taken)


def test_outer_middlewares_see_one_call_and_inner_ones_each_attempt(caller: Caller, body):
    """Who stands outside sees what the caller sees, who stands inside what upstream sees."""
    outer, inner = Spy(), Spy()
    upstream = ScriptedUpstream("text", [Reject(529), *BREAKS], vary=False)
    assert caller.text(upstream, body, outer=[outer], inner=[inner]) == upstream.expected_text(body)
    assert [len(spy.bodies) for spy in (outer, inner)] == [1, 4]
    assert (outer.statuses, inner.statuses) == ([200], [529, 200, 200, 200])
    assert inner.retries == [0, 1, 2, 3]
    assert outer.bodies[0]["messages"] == body["messages"]


def test_an_outer_middleware_sees_a_final_refusal_as_a_status(caller: Caller, body):
    """A final error comes out as a response: upstream's own, or 599 where there was none."""
    for fault, status in ((Reject(403), 403), (Refuse(), 599)):
        outer = Spy()
        upstream = ScriptedUpstream("text", lambda *_, fault=fault: fault)
        caller.error(upstream, body, outer=[outer], max_retries=2, policy=RetryPolicy(max_attempts=2))
        assert outer.statuses == [status]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_the_sdk_counts_attempts_upstream(body, colour: str):
    """Each attempt says in the SDK's own header which it is."""
    upstream = ScriptedUpstream("text", BREAKS)
    if colour == "sync":
        with client_of(upstream) as client:
            created(client, body)
    else:

        async def run() -> None:
            async with aclient_of(upstream) as client:
                await acreated(client, body)

        anyio.run(run)
    counts = [recorded.headers["x-stainless-retry-count"] for recorded in upstream.log]
    assert counts == ["0", "1", "2"]


# Thinking that is ours.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
def test_unsigned_thinking_leaves_the_history(body, stream: bool):  # noqa: FBT001  # Reason: a parameter
    """A turn cut inside its thinking can be replayed: what has no signature is ours, and never goes upstream."""
    kept = {"type": "text", "text": "So it is."}
    turn = [{"type": "thinking", "thinking": "Hmm", "signature": ""}, kept]
    body["messages"] += [{"role": "assistant", "content": turn}, {"role": "user", "content": "And then?"}]
    upstream = ScriptedUpstream("text")
    with client_of(upstream) as client:
        if stream:
            created(client, body)
        else:
            client.messages.create(**body)
    sent: Any = upstream.log[0].body
    assert sent["messages"][1]["content"] == [kept]
    assert body["messages"][1]["content"] == turn


def test_the_next_turn_is_accepted_after_a_cut_in_thinking(caller: Caller, body):
    """The stitched answer, put back into the history as it came, is no reason for a 400."""
    body |= {"model": "claude-sonnet-5", "thinking": {"type": "adaptive"}}
    reply = Reply([Thinking("Let me think about it. " * 9), Text("It is so. " * 9)])
    upstream = ScriptedUpstream(reply, [Drop(phase="thinking"), Drop(phase="text")])
    message = caller.final(upstream, body)
    assert text_of(caller.seen) == ""
    content = [block.model_dump(exclude_none=True) for block in message.content]
    body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": "And then?"}]
    caller.final(upstream, body)
    assert [recorded.status for recorded in upstream.log] == [200] * len(upstream.log)
