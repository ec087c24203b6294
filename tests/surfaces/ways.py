"""Every way of the SDK to ask for a message, each as two functions that give the text a caller gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import pydantic

from resumable.testing import Reply, Text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WORDS = " ".join(f"No. {number} is worth a look." for number in range(1, 40))
TOOL = "add"
CITY = Reply([Text('{"name": "Kyiv", "people": 2952301, "words": "' + WORDS + '"}')])


class City(pydantic.BaseModel):
    """What structured output is asked for as."""

    name: str
    people: int
    words: str


@anthropic.beta_tool
def add(n: int) -> str:
    """Add one."""
    return str(n + 1)


@anthropic.beta_async_tool(name=TOOL)
async def async_add(n: int) -> str:
    """Add one."""
    return str(n + 1)


def text_of(events: list[Any]) -> str:
    """Join the text deltas of some events."""
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


class NoMessageError(Exception):
    """The SDK returned something else, without a complaint."""


def checked(message: Any) -> Any:
    """Give a message, if it is one."""
    if not isinstance(message, pydantic.BaseModel):
        raise NoMessageError
    return message


def said(message: Any) -> str:
    """Join a message's text."""
    message = checked(message)
    return "".join(block.text for block in message.content if block.type == "text")


def read(lines: list[str]) -> str:
    """Read the text out of the lines of a stream."""
    assert lines.count("event: message_start") == lines.count("event: message_stop") == 1
    told = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    adapter: Any = pydantic.TypeAdapter(anthropic.types.RawMessageStreamEvent)
    return text_of([adapter.validate_json(one) for one in told if '"ping"' not in one])


# With a stream


def create(client: Any, body: dict[str, Any]) -> str:
    """Iterate over raw events."""
    with client.messages.create(**body, stream=True) as stream:
        return text_of(list(stream))


async def acreate(client: Any, body: dict[str, Any]) -> str:
    """Iterate over raw events."""
    async with await client.messages.create(**body, stream=True) as stream:
        return text_of([event async for event in stream])


def text_stream(client: Any, body: dict[str, Any]) -> str:
    """Iterate over the text."""
    with client.messages.stream(**body) as stream:
        return "".join(stream.text_stream)


async def atext_stream(client: Any, body: dict[str, Any]) -> str:
    """Iterate over the text."""
    async with client.messages.stream(**body) as stream:
        return "".join([piece async for piece in stream.text_stream])


def events(client: Any, body: dict[str, Any]) -> str:
    """Iterate over the helper's events."""
    with client.messages.stream(**body) as stream:
        return "".join(event.text for event in stream if event.type == "text")


async def aevents(client: Any, body: dict[str, Any]) -> str:
    """Iterate over the helper's events."""
    async with client.messages.stream(**body) as stream:
        return "".join([event.text async for event in stream if event.type == "text"])


def final_message(client: Any, body: dict[str, Any]) -> str:
    """Wait for the message."""
    with client.messages.stream(**body) as stream:
        return said(stream.get_final_message())


async def afinal_message(client: Any, body: dict[str, Any]) -> str:
    """Wait for the message."""
    async with client.messages.stream(**body) as stream:
        return said(await stream.get_final_message())


def beta_create(client: Any, body: dict[str, Any]) -> str:
    """Iterate over raw events, beta."""
    with client.beta.messages.create(**body, stream=True) as stream:
        return text_of(list(stream))


async def abeta_create(client: Any, body: dict[str, Any]) -> str:
    """Iterate over raw events, beta."""
    async with await client.beta.messages.create(**body, stream=True) as stream:
        return text_of([event async for event in stream])


def beta_stream(client: Any, body: dict[str, Any]) -> str:
    """Iterate over the text, beta."""
    with client.beta.messages.stream(**body) as stream:
        return "".join(stream.text_stream)


async def abeta_stream(client: Any, body: dict[str, Any]) -> str:
    """Iterate over the text, beta."""
    async with client.beta.messages.stream(**body) as stream:
        return "".join([piece async for piece in stream.text_stream])


def raw(client: Any, body: dict[str, Any]) -> str:
    """Take the response, then its stream."""
    answer = client.messages.with_raw_response.create(**body, stream=True)
    return text_of(list(answer.parse()))


async def araw(client: Any, body: dict[str, Any]) -> str:
    """Take the response, then its stream."""
    answer = await client.messages.with_raw_response.create(**body, stream=True)
    return text_of([event async for event in await answer.parse()])


def streaming(client: Any, body: dict[str, Any]) -> str:
    """Parse a streaming response."""
    with client.messages.with_streaming_response.create(**body, stream=True) as answer:
        return text_of(list(answer.parse()))


async def astreaming(client: Any, body: dict[str, Any]) -> str:
    """Parse a streaming response."""
    async with client.messages.with_streaming_response.create(**body, stream=True) as answer:
        return text_of([event async for event in await answer.parse()])


def lines(client: Any, body: dict[str, Any]) -> str:
    """Read the lines of a streaming response."""
    with client.messages.with_streaming_response.create(**body, stream=True) as answer:
        return read(list(answer.iter_lines()))


async def alines(client: Any, body: dict[str, Any]) -> str:
    """Read the lines of a streaming response."""
    async with client.messages.with_streaming_response.create(**body, stream=True) as answer:
        return read([line async for line in answer.iter_lines()])


def structured(client: Any, body: dict[str, Any]) -> str:
    """Have the answer parsed."""
    with client.messages.stream(**body, output_format=City) as stream:
        return str(stream.get_final_message().parsed_output)


async def astructured(client: Any, body: dict[str, Any]) -> str:
    """Have the answer parsed."""
    async with client.messages.stream(**body, output_format=City) as stream:
        return str((await stream.get_final_message()).parsed_output)


def runner(client: Any, body: dict[str, Any], **options: Any) -> str:
    """Let tools run; the runner uses a message thread."""
    turns = client.beta.messages.tool_runner(**body, tools=[add], stream=True, **options)
    return "".join(said(stream.get_final_message()) for stream in turns)


async def arunner(client: Any, body: dict[str, Any], **options: Any) -> str:
    """Let tools run; the runner uses a message thread."""
    turns = client.beta.messages.tool_runner(**body, tools=[async_add], stream=True, **options)
    return "".join([said(await stream.get_final_message()) async for stream in turns])


def unthreaded(client: Any, body: dict[str, Any]) -> str:
    """Let tools run, without a thread."""
    return runner(client, body, thread=False)


async def aunthreaded(client: Any, body: dict[str, Any]) -> str:
    """Let tools run, without a thread."""
    return await arunner(client, body, thread=False)


def thread(client: Any, body: dict[str, Any]) -> str:
    """Take two turns of a thread."""
    talk = client.beta.messages.thread(**body)
    texts = []
    for asked in ((), ("And then?",)):
        with talk.stream(*({"role": "user", "content": one} for one in asked)) as stream:
            texts.append(stream.get_final_text())
    return "".join(texts)


async def athread(client: Any, body: dict[str, Any]) -> str:
    """Take two turns of a thread."""
    talk = client.beta.messages.thread(**body)
    texts = []
    for asked in ((), ("And then?",)):
        async with talk.stream(*({"role": "user", "content": one} for one in asked)) as stream:
            texts.append(await stream.get_final_text())
    return "".join(texts)


# Without a stream


def whole(client: Any, body: dict[str, Any]) -> str:
    """Ask for the whole message."""
    return said(client.messages.create(**body))


async def awhole(client: Any, body: dict[str, Any]) -> str:
    """Ask for the whole message."""
    return said(await client.messages.create(**body))


def raw_whole(client: Any, body: dict[str, Any]) -> str:
    """Take the response, then its message."""
    return said(client.messages.with_raw_response.create(**body).parse())


async def araw_whole(client: Any, body: dict[str, Any]) -> str:
    """Take the response, then its message."""
    return said(await (await client.messages.with_raw_response.create(**body)).parse())


def parse(client: Any, body: dict[str, Any]) -> str:
    """Have the whole answer parsed."""
    return str(checked(client.messages.parse(**body, output_format=City)).parsed_output)


async def aparse(client: Any, body: dict[str, Any]) -> str:
    """Have the whole answer parsed."""
    return str(checked(await client.messages.parse(**body, output_format=City)).parsed_output)


def whole_runner(client: Any, body: dict[str, Any]) -> str:
    """Let tools run, message by message."""
    return "".join(said(message) for message in client.beta.messages.tool_runner(**body, tools=[add]))


async def awhole_runner(client: Any, body: dict[str, Any]) -> str:
    """Let tools run, message by message."""
    return "".join([said(message) async for message in client.beta.messages.tool_runner(**body, tools=[async_add])])


def send(client: Any, body: dict[str, Any]) -> str:
    """Take two turns of a thread, message by message."""
    talk = client.beta.messages.thread(**body)
    return said(talk.send()) + said(talk.send({"role": "user", "content": "And then?"}))


async def async_send(client: Any, body: dict[str, Any]) -> str:
    """Take two turns of a thread, message by message."""
    talk = client.beta.messages.thread(**body)
    return said(await talk.send()) + said(await talk.send({"role": "user", "content": "And then?"}))


@dataclass(frozen=True)
class Surface:
    """
    One way to ask.

    Attributes:
        title: What the page calls it.
        call: What a sync client does; `None` where there is none.
        acall: What an async client does.
        reply: What upstream answers: the name of a ready-made script, or replies in turn.
        is_stream: Whether it streams, and so is recovered.
        transport: `httpx`, the SDK's default, or `aiohttp`.
    """

    title: str
    call: Callable[[Any, dict[str, Any]], str] | None
    acall: Callable[[Any, dict[str, Any]], Awaitable[str]]
    reply: Any = "text"
    is_stream: bool = True
    transport: str = "httpx"


SURFACES = (
    Surface("`messages.create(stream=True)`", create, acreate),
    Surface("`messages.stream()`, `text_stream`", text_stream, atext_stream),
    Surface("`messages.stream()`, its events", events, aevents),
    Surface("`messages.stream()`, `get_final_message()`", final_message, afinal_message),
    Surface("`messages.stream(output_format=…)`", structured, astructured, CITY),
    Surface("`beta.messages.create(stream=True)`", beta_create, abeta_create),
    Surface("`beta.messages.stream()`", beta_stream, abeta_stream),
    Surface("`with_raw_response`, `parse()`", raw, araw),
    Surface("`with_streaming_response`, `parse()`", streaming, astreaming),
    Surface("`with_streaming_response`, `iter_lines()`", lines, alines),
    Surface("`beta.messages.tool_runner(stream=True)`", runner, arunner, "tools"),
    Surface("the same with `thread=False`", unthreaded, aunthreaded, "tools"),
    Surface("`beta.messages.thread().stream()`", thread, athread),
    Surface("`DefaultAioHttpClient`, `create(stream=True)`", None, acreate, transport="aiohttp"),
    Surface("`DefaultAioHttpClient`, `messages.stream()`", None, atext_stream, transport="aiohttp"),
    Surface("`DefaultAioHttpClient`, `tool_runner(stream=True)`", None, arunner, "tools", transport="aiohttp"),
    Surface("`messages.create()`", whole, awhole, is_stream=False),
    Surface("`with_raw_response`, without a stream", raw_whole, araw_whole, is_stream=False),
    Surface("`messages.parse()`", parse, aparse, CITY, is_stream=False),
    Surface("`beta.messages.tool_runner()`", whole_runner, awhole_runner, "tools", is_stream=False),
    Surface("`beta.messages.thread().send()`", send, async_send, is_stream=False),
)
