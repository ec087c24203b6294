"""Message threads: what is held upstream is continued, what may not be is told again, by us or by the SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import anyio
import pytest

from resumable import NotContinuableError, Obstacle, UpstreamEventError
from resumable._core.threads import TTL
from resumable.middleware._threads import SharedThreads
from resumable.testing import (
    Answer,
    Drop,
    Ending,
    ErrorEvent,
    Fault,
    ManualClock,
    Reject,
    Reply,
    ScriptedUpstream,
    Text,
    ToolUse,
    Truncate,
)
from tests.middleware.conftest import COLOURS, aclient_of, client_of

BETA: Any = ["message-threads-2026-08-12"]
MORE = {"role": "user", "content": "And then?"}
CREATE: Any = {"type": "create"}
CUT = Drop(after=9)

colours = pytest.mark.parametrize("colour", COLOURS)


class Talk:
    """A thread of the SDK's over a wrapped client of one colour, turn by turn."""

    def __init__(self, colour: str, upstream: ScriptedUpstream, body: dict[str, Any]) -> None:
        self.colour = colour
        self.upstream = upstream
        self.body = body
        self.told: list[str] = []
        self.before: Any = lambda _turn: None

    def run(self, *ways: str) -> list[str]:
        """Take a turn for each way, `stream` or `send`; give the texts of the replies."""
        if self.colour != "sync":
            anyio.run(self._arun, ways, backend=self.colour)
            return self.told
        with client_of(self.upstream) as client:
            thread = client.beta.messages.thread(**self.body)
            for number, way in enumerate(ways):
                self.before(number)
                asked = () if number == 0 else (MORE,)
                if way == "send":
                    self.told.append(said(thread.send(*asked)))
                else:
                    with thread.stream(*asked) as stream:
                        self.told.append(said(stream.get_final_message()))
        return self.told

    async def _arun(self, ways: tuple[str, ...]) -> None:
        async with aclient_of(self.upstream) as client:
            thread = client.beta.messages.thread(**self.body)
            for number, way in enumerate(ways):
                self.before(number)
                asked = () if number == 0 else (MORE,)
                if way == "send":
                    self.told.append(said(await thread.send(*asked)))
                else:
                    async with thread.stream(*asked) as stream:
                        self.told.append(said(await stream.get_final_message()))

    @property
    def expected(self) -> list[str]:
        """The texts of the same conversation without a fault and without threads."""
        body, texts = dict(self.body), []
        for _ in self.told:
            text = self.upstream.expected_text(body)
            reply = {"role": "assistant", "content": self.upstream.expected_message(body)["content"]}
            body["messages"] = [*body["messages"], reply, MORE]
            texts.append(text)
        return texts


def said(message: Any) -> str:
    """Join a message's text."""
    return "".join(block.text for block in message.content if block.type == "text")


def sent(upstream: ScriptedUpstream) -> list[tuple[str, int]]:
    """List the requests that reached upstream: how the thread was asked for, and with how many messages."""
    bodies: list[Any] = [recorded.body for recorded in upstream.log]
    return [(body["thread"]["type"], len(body["messages"])) for body in bodies]


@colours
def test_what_upstream_holds_is_continued(body, colour: str):
    """Without a fault a thread is what it is without us: each request carries what is new."""
    talk = Talk(colour, ScriptedUpstream("text"), body)
    assert talk.run("stream", "stream", "send", "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), ("continue", 1), ("continue", 1), ("continue", 1)]


@colours
@pytest.mark.parametrize("way", ["stream", "send"])
def test_the_sdk_tells_all_of_it_again_after_a_stitched_reply(body, colour: str, way: str):
    """Upstream may hold the broken reply in other words: the next turn gets the API's 404, and is a create."""
    talk = Talk(colour, ScriptedUpstream("text", [CUT], vary=False), body)
    assert talk.run("stream", way, "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), ("create", 3), ("create", 3), ("continue", 1)]
    assert talk.upstream.log.strategies == ["original", "user_turn", "original", "original"]


@anthropic.beta_tool
def look(topic: str) -> str:
    """Look."""
    return topic


@anthropic.beta_async_tool(name="look")
async def alook(topic: str) -> str:
    """Look."""
    return topic


class BeforeTheEnd(Fault):
    """The connection ends when all blocks are there, before upstream says why the message ends."""

    def apply(self, answer: Answer) -> Answer:
        """Cut the answer."""
        at = next(number for number, part in enumerate(answer.frames) if part.phase == "message_delta")
        return answer.cut_to(answer.frames[:at], Ending("rst"))


@colours
def test_a_reply_that_we_ended_is_told_again_too(body, colour: str):
    """Upstream did not say that the message ends with its tool call."""
    calls = [ToolUse("look", {"topic": "keys"}), ToolUse("look", {"topic": "locks"})]
    upstream = ScriptedUpstream(Reply([Text("Let me look."), *calls]), [BeforeTheEnd()])
    options: dict[str, Any] = body | {"stream": True, "max_iterations": 2}

    async def run() -> list[int]:
        async with aclient_of(upstream) as client:
            turns = client.beta.messages.tool_runner(**options, tools=[alook])
            return [len((await stream.get_final_message()).content) async for stream in turns]

    if colour == "sync":
        with client_of(upstream) as client:
            turns = client.beta.messages.tool_runner(**options, tools=[look])
            sizes = [len(stream.get_final_message().content) for stream in turns]
    else:
        sizes = anyio.run(run, backend=colour)
    assert sizes == [3, 3]
    assert sent(upstream) == [("create", 1), ("create", 3)]


@colours
@pytest.mark.parametrize("fault", [CUT, Truncate(after=9), ErrorEvent(after=9)], ids=["rst", "eof", "error"])
def test_a_broken_continue_goes_on_as_a_create(body, colour: str, fault: Any):
    """What was said before is known here, so the request that goes on carries it."""
    talk = Talk(colour, ScriptedUpstream("text", [None, fault], vary=False), body)
    assert talk.run("stream", "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), ("continue", 1), ("create", 5)]


@colours
def test_a_continue_that_broke_before_its_text_starts_again_as_a_create(body, colour: str):
    """Upstream may hold a reply to it or not; a create does not ask."""
    talk = Talk(colour, ScriptedUpstream("text", [None, Drop(after=1)], vary=False), body)
    assert talk.run("stream", "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), ("continue", 1), ("create", 3)]


@colours
def test_a_continue_that_was_refused_is_sent_again_as_it_is(body, colour: str):
    """Nothing was held of it, so the thread goes on."""
    talk = Talk(colour, ScriptedUpstream("text", [None, Reject(529), Reject(500)]), body)
    assert talk.run("stream", "stream", "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), *[("continue", 1)] * 4]


@colours
def test_a_turn_without_a_stream_is_remembered(body, colour: str):
    """What the SDK has read of a reply is known, so the stream after it can be told whole."""
    talk = Talk(colour, ScriptedUpstream("text", [None, None, CUT], vary=False), body)
    assert talk.run("send", "send", "stream") == talk.expected
    assert sent(talk.upstream)[-1] == ("create", 7)


@colours
@pytest.mark.parametrize(
    "fault", [ErrorEvent(after=0), Drop(after=1), Truncate(at_byte=0)], ids=["error", "rst", "eof"]
)
def test_a_thread_that_nobody_here_knows_is_told_again_by_the_sdk(body, colour: str, fault: Any):
    """After an hour what was said is forgotten: a reply that broke before its text gets the API's 404."""
    talk = Talk(colour, ScriptedUpstream("text", [None, fault], vary=False), body)
    talk.before = lambda turn: talk.upstream.clock.advance(TTL) if turn else None
    assert talk.run("stream", "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), ("continue", 1), ("create", 3)]


@colours
def test_a_thread_that_nobody_here_knows_streams_as_ever(body, colour: str):
    """Its beginning is read ahead, and comes all the same."""
    talk = Talk(colour, ScriptedUpstream("text", [None, Reject(529)]), body)
    talk.before = lambda turn: talk.upstream.clock.advance(TTL) if turn else None
    assert talk.run("stream", "stream", "stream") == talk.expected
    assert sent(talk.upstream) == [("create", 1), *[("continue", 1)] * 3]


@colours
def test_a_thread_that_nobody_here_knows_ends_with_its_text(body, colour: str):
    """What was delivered cannot be taken back, and nothing can go on from it."""
    talk = Talk(colour, ScriptedUpstream("text", [None, CUT]), body)
    talk.before = lambda turn: talk.upstream.clock.advance(TTL) if turn else None
    with pytest.raises(NotContinuableError) as raised:
        talk.run("stream", "stream")
    assert raised.value.reason is Obstacle.THREAD


def going_on(message_id: str) -> dict[str, Any]:
    """Name a thread by its last message."""
    return {"thread": {"type": "continue", "previous_message_id": message_id}, "betas": BETA}


def test_a_lost_thread_is_the_apis_own_error(body):
    """Who uses threads without the SDK's helper gets what the API answers, with the report of what was tried."""
    upstream = ScriptedUpstream("text", [None, Drop(after=1)])
    with client_of(upstream) as other:
        first = other.beta.messages.create(**body, thread=CREATE, betas=BETA)
    with client_of(upstream, max_retries=2) as client, pytest.raises(anthropic.NotFoundError) as raised:
        client.beta.messages.create(**body | going_on(first.id), stream=True)
    error: Any = raised.value
    assert (error.error_code, error.type) == ("thread_not_found", "not_found_error")
    assert error.response.headers["resumable-attempts"] == "1"
    assert len(upstream.log) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_error_before_the_text_stays_what_it_is(body):
    """Upstream's own refusal inside the stream is no lost thread."""
    fault = ErrorEvent("invalid_request_error", after=0)
    upstream = ScriptedUpstream("text", [None, fault, None, fault])
    with client_of(upstream) as client:
        first = client.beta.messages.create(**body, thread=CREATE, betas=BETA)
        upstream.clock.advance(TTL)
        stream = client.beta.messages.create(**body | going_on(first.id), stream=True)
        with pytest.raises(anthropic.APIStatusError) as raised:
            list(stream)
    assert raised.value.type == "invalid_request_error"
    async with aclient_of(upstream) as aclient:
        first = await aclient.beta.messages.create(**body, thread=CREATE, betas=BETA)
        upstream.clock.advance(TTL)
        astream = await aclient.beta.messages.create(**body | going_on(first.id), stream=True)
        with pytest.raises(anthropic.APIStatusError) as araised:
            await astream.__anext__()
    assert araised.value.type == "invalid_request_error"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_error_with_a_beginning_comes_after_it(body):
    """What was read ahead is delivered first, then the error; in a task as in a thread."""
    fault = ErrorEvent("invalid_request_error", after=1)
    upstream = ScriptedUpstream("text", [None, fault, None, fault])
    seen: list[str] = []
    with client_of(upstream) as client:
        first = client.beta.messages.create(**body, thread=CREATE, betas=BETA)
        upstream.clock.advance(TTL)
        stream = client.beta.messages.create(**body | going_on(first.id), stream=True)
        with pytest.raises(anthropic.BadRequestError) as raised:
            seen.extend(event.type for event in stream)
    assert isinstance(raised.value.__dict__["last"], UpstreamEventError)
    async with aclient_of(upstream) as aclient:
        first = await aclient.beta.messages.create(**body, thread=CREATE, betas=BETA)
        upstream.clock.advance(TTL)
        astream = await aclient.beta.messages.create(**body | going_on(first.id), stream=True)
        with pytest.raises(anthropic.BadRequestError):
            seen.extend([event.type async for event in astream])
    assert seen[:1] == ["message_start"]


def test_a_conversation_that_cannot_be_written_down_is_not_known():
    """It goes on all the same, as one that began elsewhere."""
    threads = SharedThreads(ManualClock())
    threads.keep("m1", None, None)
    turn = threads.turn(going_on("m1"))
    assert turn is not None
    assert turn.is_blind


def test_a_reply_that_was_not_read_is_not_remembered(body):
    """What the caller reads himself, or is no message, passes as it is."""
    upstream = ScriptedUpstream("text", [None, Truncate(at_byte=30)])
    with client_of(upstream) as client:
        with client.beta.messages.with_streaming_response.create(**body, thread=CREATE, betas=BETA) as answer:
            assert answer.parse().type == "message"
        with pytest.raises(ValueError, match="Unterminated"):
            client.beta.messages.create(**body, thread=CREATE, betas=BETA)


def test_a_forked_child_is_not_held_up(monkeypatch):
    """Whoever held the lock in the parent does not exist in the child."""
    threads = SharedThreads(ManualClock())
    with threads._locked():
        monkeypatch.setattr("os.getpid", lambda: -1)
        assert threads.turn(going_on("m1")) is not None
