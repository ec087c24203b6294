"""Message threads: what the upstream holds of a conversation, and when it says that it holds nothing."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest

from resumable.testing import Drop, Reject, ScriptedUpstream, Truncate
from tests.testing.turns import ASK, joined, plain, said

BETA = ["message-threads-2026-08-12"]
CREATE = {"type": "create"}


def create(process, upstream, body, thread, **changes):
    """Ask within a thread."""
    with process.client(upstream, {}) as client:
        return client.beta.messages.create(**body | changes, thread=thread, betas=BETA)


def bodies(upstream) -> Any:
    """Give what was sent."""
    return [recorded.body for recorded in upstream.log]


def going_on(message_id):
    """Name a thread by its last message."""
    return {"type": "continue", "previous_message_id": message_id}


def test_a_thread_goes_on_where_it_was(process, body):
    """A continue sends only what is new and is answered as the whole conversation would be."""
    upstream = ScriptedUpstream("text")
    first = create(process, upstream, body | {"system": "Be kind."}, CREATE)
    second = create(process, upstream, body, going_on(first.id))
    whole = body | {
        "system": "Be kind.",
        "messages": [*body["messages"], said(*plain(first.content)), *body["messages"]],
    }
    assert joined(second.content) == upstream.expected_text(whole)


def test_a_thread_needs_its_beta(process, body):
    """Without the beta the field is unknown."""
    with process.client(ScriptedUpstream(), {}) as client, pytest.raises(anthropic.BadRequestError, match="thread"):
        client.post("/v1/messages", body=body | {"thread": CREATE}, cast_to=object)


def test_a_thread_is_an_object(process, body):
    """Anything else is refused like any field of the wrong type."""
    with process.client(ScriptedUpstream(), {}) as client, pytest.raises(anthropic.BadRequestError, match="an object"):
        client.beta.messages.create(**body, thread="create", betas=BETA)


@pytest.mark.parametrize("how", ["rst", "fin", "eof"])
def test_an_interrupted_reply_is_not_held(process, body, how):
    """After an interruption the id is unknown: 404 thread_not_found."""
    upstream = ScriptedUpstream("text", [Drop(phase="message_delta", how=how)])
    seen = []
    with process.client(upstream, {}) as client:
        stream = client.beta.messages.create(**body, thread=CREATE, betas=BETA, stream=True)
        try:
            seen.extend(stream)
        except (httpx2.ReadError, httpx2.RemoteProtocolError):
            assert how != "eof"
    with pytest.raises(anthropic.NotFoundError) as caught:
        create(process, upstream, body, going_on(seen[0].message.id))
    assert caught.value.error_code == "thread_not_found"


@pytest.mark.parametrize("fault", [Reject(529), Truncate(at_byte=20), Drop(at_byte=20)])
def test_an_interrupted_continue_can_be_sent_again(process, body, fault):
    """The message that was continued from is still held, because the reply to it is not."""
    upstream = ScriptedUpstream("text", [None, fault])
    first = create(process, upstream, body, CREATE)
    with pytest.raises((anthropic.OverloadedError, anthropic.APIConnectionError, json.JSONDecodeError)):
        create(process, upstream, body, going_on(first.id))
    assert create(process, upstream, body, going_on(first.id)).stop_reason == "end_turn"


def test_a_message_is_continued_once(process, body):
    """A second continue of one message: 400 thread_already_continued."""
    upstream = ScriptedUpstream("text")
    first = create(process, upstream, body, CREATE)
    create(process, upstream, body, going_on(first.id))
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(process, upstream, body, going_on(first.id))
    assert caught.value.error_code == "thread_already_continued"


def test_two_cannot_continue_at_once(process, body):
    """While a continue is going on another is refused: 400 thread_continue_in_flight."""
    upstream = ScriptedUpstream("text")
    first = create(process, upstream, body, CREATE)
    with process.client(upstream, {}) as client:
        stream = client.beta.messages.create(**body, thread=going_on(first.id), betas=BETA, stream=True)
        with pytest.raises(anthropic.BadRequestError) as caught:
            create(process, upstream, body, going_on(first.id))
        stream.close()
    assert caught.value.error_code == "thread_continue_in_flight"
    create(process, upstream, body, going_on(first.id))


def test_a_thread_keeps_its_model(process, body):
    """A field that must stay the same and does not: 400 thread_fingerprint_mismatch."""
    upstream = ScriptedUpstream("text")
    first = create(process, upstream, body, CREATE)
    with pytest.raises(anthropic.BadRequestError, match="model") as caught:
        create(process, upstream, body, going_on(first.id), model="claude-opus-5-5")
    assert caught.value.error_code == "thread_fingerprint_mismatch"


def test_the_sdks_thread_replays_what_is_not_held(process, body):
    """The SDK's own helper meets the 404 and sends the whole conversation again."""
    upstream = ScriptedUpstream("text", forgets_threads=True)
    with process.client(upstream, {}) as client:
        thread = client.beta.messages.thread(model=body["model"], max_tokens=body["max_tokens"], messages=[ASK])
        thread.send()
        thread.send(ASK)
    assert [recorded.status for recorded in upstream.log] == [200, 404, 200]
    assert len(bodies(upstream)[2]["messages"]) == 3


def test_the_sdks_tool_runner_uses_a_thread(process, body):
    """The tool runner's second request is a continue, and is accepted."""
    upstream = ScriptedUpstream("tools")

    @anthropic.beta_tool
    def add(n: int) -> str:
        """Add one."""
        return str(n + 1)

    with process.client(upstream, {}) as client:
        final = client.beta.messages.tool_runner(**body, tools=[add]).until_done()
    assert final.stop_reason == "end_turn"
    assert [sent["thread"]["type"] for sent in bodies(upstream)] == ["create", "continue"]
