"""The SDK's own middleware, which asks another model after a refusal, beside ours, in either order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

from resumable import Resumable
from resumable.testing import Drop, ErrorEvent, Reject, Reply, ScriptedUpstream, Text, Truncate
from tests.middleware.conftest import half, text_of

if TYPE_CHECKING:
    from resumable.testing import Conversation, Recorded

PRIMARY, OTHER = "claude-opus-5", "claude-opus-4-8"
ANSWER = "The keeper lit the lamp at dusk, and by midnight the whole bay was bright with small and patient boats."
BODY: dict[str, Any] = {
    "model": PRIMARY,
    "max_tokens": 5000,
    "messages": [{"role": "user", "content": "Tell me a story."}],
}
ORDERS = ["theirs, ours", "ours, theirs"]
FAULTS: dict[str, Any] = {
    "none": None,
    "rst": Drop(after=6),
    "fin": Drop(after=6, how="fin"),
    "clean end": Truncate(after=6),
    "overloaded_error": ErrorEvent(after=6),
}


def spoken(conversation: Conversation) -> Reply:
    """Let one model refuse before it says anything, and the other answer."""
    if conversation.body["model"] == PRIMARY:
        return Reply([], stop_reason="refusal", vary=False)
    return Reply([Text(ANSWER)], vary=False)


def only(model: str, fault: Any) -> Any:
    """Let the first request to a model suffer a fault."""
    met: list[Recorded] = []

    def plan(_: int, request: Recorded) -> Any:
        if (request.body or {})["model"] != model or met:
            return None
        met.append(request)
        return fault

    return plan


def middlewares(order: str, upstream: ScriptedUpstream, **ours_too: Any) -> list[Any]:
    """Make the two, outermost first."""
    # The scripted upstream knows a conversation by its words: with others it is another one.
    hop: Any = {"model": OTHER, "system": "Be kind."}
    theirs = anthropic.BetaRefusalFallbackMiddleware([hop])
    ours = Resumable(clock=upstream.clock, chance=half, **ours_too)
    return [theirs, ours] if order == ORDERS[0] else [ours, theirs]


def asked(colour: str, order: str, upstream: ScriptedUpstream, **ours: Any) -> list[Any]:
    """Read an answer to its end, through both."""
    options: dict[str, Any] = {"api_key": "k", "base_url": "http://upstream.test", "max_retries": 0}
    options["middleware"] = middlewares(order, upstream, **ours)
    with anthropic.BetaFallbackState():
        if colour == "async":
            return anyio.run(aasked, options, upstream)
        http_client = anthropic.DefaultHttpxClient(transport=upstream.transport())
        with (
            anthropic.Anthropic(http_client=http_client, **options) as client,
            client.beta.messages.create(**BODY, stream=True) as stream,
        ):
            return list(stream)


async def aasked(options: dict[str, Any], upstream: ScriptedUpstream) -> list[Any]:
    """Do the same in a task."""
    http_client = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
    async with anthropic.AsyncAnthropic(http_client=http_client, **options) as client:
        stream = await client.beta.messages.create(**BODY, stream=True)
        async with stream:
            return [event async for event in stream]


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("model", [PRIMARY, OTHER])
def test_a_refused_answer_is_recovered_too(colour: str, order: str, fault: Any, model: str):
    """Whichever model's stream breaks, the caller reads the other model's answer, whole and once."""
    upstream = ScriptedUpstream(spoken, only(model, fault), vary=False)
    events = asked(colour, order, upstream)
    assert text_of(events) == ANSWER
    assert [event.type for event in events].count("message_start") == 1
    assert events[-1].type == "message_stop"
    starts = [event.index for event in events if event.type == "content_block_start"]
    assert starts == list(range(len(starts)))


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize(("order", "text"), [(ORDERS[0], ANSWER), (ORDERS[1], "")])
def test_only_next_to_the_network_the_other_model_is_waited_for(colour: str, order: str, text: str):
    """Theirs takes an error status of the other model for its refusal, unless ours is behind it and never shows one."""
    upstream = ScriptedUpstream(spoken, only(OTHER, Reject(529)), vary=False)
    events = asked(colour, order, upstream)
    assert text_of(events) == text
    assert events[-2].delta.stop_reason == ("end_turn" if text else "refusal")


@pytest.mark.parametrize("order", ORDERS)
def test_recovery_is_told_in_either_order(order: str):
    """Theirs makes a response of its own, so a report may not be on it; the callback is told of every failure."""
    upstream = ScriptedUpstream(spoken, only(OTHER, Drop(after=6)), vary=False)
    told: list[Any] = []
    asked("sync", order, upstream, on_recovery=told.append)
    assert [notice.verdict for notice in told] == ["continue"]
