"""What the API refuses: each rule's own request, its status and its words."""

from __future__ import annotations

import anthropic
import pytest

from resumable.testing import Reply, ScriptedUpstream, ServerToolUse, Text, Thinking, accepts_prefill, binds_thinking
from tests.testing.turns import ASK, asked, facts, plain, result, said, text, use

OLD = {"anthropic-version": "2023-06-01"}
PREFILL = "claude-haiku-4-5"
THINK = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
CITED = {"type": "document", "source": {"type": "text"}, "citations": {"enabled": True}}
CITATION = {"type": "char_location", "cited_text": "x"}
SYSTEM_TURN = [ASK, {"role": "system", "content": "x"}]


REFUSED = {
    "no model": ({"model": None}, "model: Field required"),
    "no max_tokens": ({"max_tokens": None}, "max_tokens: Field required"),
    "no messages": ({"messages": []}, "at least one message"),
    "messages no list": ({"messages": "hi"}, "valid list"),
    "first not user": ({"messages": [said(text("x")), ASK]}, 'first message must use the "user" role'),
    "unknown role": ({"messages": [ASK, {"role": "tool", "content": "x"}]}, "messages.1.role"),
    "system turn, older": ({"model": PREFILL, "messages": SYSTEM_TURN}, "role"),
    "role no string": ({"messages": [ASK, {"role": ["user"], "content": "x"}]}, "messages.1.role: Input should be a"),
    "type no string": ({"messages": [said({"type": {}, "text": "x"})]}, "messages.0.content.0.type: Input should be a"),
    "no type": ({"messages": [asked({"text": "x"})]}, "messages.0.content.0.type: Field required"),
    "zero tokens": ({"max_tokens": 0}, "greater than or equal to 1"),
    "blank stop sequence": ({"stop_sequences": [" "]}, "non-whitespace"),
    "temperature": ({"temperature": 1}, "temperature: Extra inputs"),
    "top_p": ({"top_p": 1}, "top_p"),
    "top_k": ({"top_k": 1}, "top_k"),
    "document said": ({"messages": [ASK, said(CITED), ASK]}, "`document` blocks"),
    "citations asked": (
        {"messages": [asked({"type": "text", "text": "x", "citations": [CITATION]})]},
        "cannot have citations",
    ),
    "empty message": ({"messages": [ASK, said(), ASK]}, "must have non-empty content"),
    "empty text": ({"messages": [asked(text(""))]}, "text content blocks must be non-empty"),
    "blank text": ({"messages": [asked(text(" \n"))]}, "must contain non-whitespace"),
    "small budget": ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "greater than or equal to 1024"),
    "budget over max_tokens": (THINK | {"max_tokens": 2000}, "must be greater than `thinking.budget_tokens`"),
    "forced tool, thinking": (THINK | {"tool_choice": {"type": "any"}}, "tool_choice forces tool use"),
    "forced tool, model": (
        {"model": "claude-opus-5-5", "tool_choice": {"type": "tool", "name": "f"}},
        "not supported for claude-opus-5-5",
    ),
    "prefill, newer": ({"messages": [ASK, said(text("x"))]}, "does not support assistant message prefill"),
    "prefill, unknown": ({"model": "my-alias", "messages": [ASK, said(text("x"))]}, "prefill"),
    "prefill, trailing space": (
        {"model": PREFILL, "messages": [ASK, said(text("x "))]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "prefill, thinking": (
        THINK | {"model": PREFILL, "messages": [ASK, said(text("x"))]},
        "Expected `thinking` or `redacted_thinking`, but found `text`",
    ),
    "prefill, adaptive thinking": (
        {"thinking": {"type": "adaptive"}, "model": PREFILL, "messages": [ASK, said(text("x"))]},
        "Expected `thinking`",
    ),
    "prefill with thinking, on": (
        THINK | {"model": PREFILL, "messages": [ASK, said({"type": "redacted_thinking", "data": "x"}, text("x"))]},
        "not supported when `thinking` is enabled",
    ),
    "prefill with thinking, off": (
        {"model": PREFILL, "messages": [ASK, said({"type": "redacted_thinking", "data": "x"}, text("x"))]},
        "in the final position cannot contain `thinking`",
    ),
    "prefill, forced tool": (
        {"model": PREFILL, "tool_choice": {"type": "any"}, "messages": [ASK, said(text("x"))]},
        "tool_choice",
    ),
    "prefill, structured": (FORMAT | {"model": PREFILL, "messages": [ASK, said(text("x"))]}, "structured outputs"),
    "prefill, citations": ({"model": PREFILL, "messages": [asked(CITED), said(text("x"))]}, "citations"),
    "ends in thinking": (
        {"messages": [ASK, said(text("x"), {"type": "redacted_thinking", "data": "x"}), ASK]},
        "The final block in an assistant message cannot be `thinking`",
    ),
    "no signature": (
        {"messages": [ASK, said({"type": "thinking", "thinking": "x"}, text("x")), ASK]},
        "messages.1.content.0.thinking.signature: Field required",
    ),
    "empty signature": (
        {"messages": [ASK, said({"type": "thinking", "thinking": "x", "signature": ""}, text("x")), ASK]},
        "Invalid `signature` in `thinking` block",
    ),
    "call without result": (
        {"messages": [ASK, said(use("t1")), ASK]},
        "without `tool_result` blocks immediately after: t1",
    ),
    "call at the end": ({"model": PREFILL, "messages": [ASK, said(use("t1"))]}, "without `tool_result`"),
    "one of two results": ({"messages": [ASK, said(use("a"), use("b")), asked(result("a"))]}, "immediately after: b"),
    "result after text": ({"messages": [ASK, said(use("a")), asked(text("x"), result("a"))]}, "immediately after: a"),
    "result without call": ({"messages": [asked(result("t9"))]}, "unexpected `tool_use_id`"),
    "call twice": (
        {"messages": [ASK, said(use("a")), asked(result("a")), said(use("a")), asked(result("a"))]},
        "ids must be unique",
    ),
    "server call alone": (
        {"messages": [ASK, said(text("x"), use("s1", "server_tool_use", "web_search")), ASK]},
        "`web_search` tool use with id `s1` was found without a corresponding `web_search_tool_result` block",
    ),
    "server result alone": (
        {"messages": [ASK, said(text("x"), result("s1", "web_search_tool_result")), ASK]},
        "server tool's result: s1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_rule_is_a_400_in_the_apis_words(process, body, case):
    """Each rule is refused with its own sentence, in the API's error shape, and no model is reached."""
    changes, words = REFUSED[case]
    upstream = ScriptedUpstream()
    asked_for = {name: value for name, value in (body | changes).items() if value is not None}
    with process.client(upstream, {}) as client, pytest.raises(anthropic.BadRequestError) as caught:
        client.post("/v1/messages", body=asked_for, cast_to=object)
    assert words in facts(caught).api_message
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == facts(caught).body["request_id"]
    assert upstream.log[0].status == 400


ACCEPTED = {
    "prefill": {"model": PREFILL, "messages": [ASK, said(text("x"))]},
    "dated prefill": {"model": "claude-sonnet-4-5-20250929", "messages": [ASK, said(text("x"))]},
    "system turn": {"messages": SYSTEM_TURN},
    "paired call": {"messages": [ASK, said(use("a")), asked(result("a"), text("x"))]},
    "paired server call": {
        "messages": [ASK, said(use("s", "server_tool_use", "web_search"), result("s", "web_search_tool_result")), ASK]
    },
    "same role twice": {"messages": [ASK, ASK]},
    "citations said": {"messages": [ASK, said({"type": "text", "text": "x", "citations": [CITATION]}), ASK]},
    "forced tool": {"tool_choice": {"type": "any"}},
    "thinking": THINK,
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_api_accepts_is_accepted(process, body, case):
    """The neighbours of the rules pass."""
    upstream = ScriptedUpstream()
    with process.client(upstream, {}) as client:
        client.post("/v1/messages", body=body | ACCEPTED[case], cast_to=object)
    assert upstream.log[0].status == 200


@pytest.mark.parametrize("case", ["temperature", "document said", "citations asked"])
def test_the_older_version_allows_more(process, body, case):
    """What 2026-10-21 turned into a 400 passes with the older version."""
    upstream = ScriptedUpstream()
    with process.client(upstream, {"default_headers": OLD}) as client:
        client.post("/v1/messages", body=body | REFUSED[case][0], cast_to=object)
    assert upstream.log[0].status == 200


def test_only_the_4_5_family_accepts_prefill():
    """The table of models, with ids that look like them."""
    yes = ["claude-sonnet-4-5", "claude-haiku-4-5-20251001", "claude-opus-4-5"]
    no = [
        "claude-sonnet-4-6",
        "claude-opus-5",
        "claude-haiku-5-5",
        "claude-haiku-4-5-fast",
        "anthropic.claude-haiku-4-5",
    ]
    assert all(accepts_prefill(model) for model in yes)
    assert not any(accepts_prefill(model) for model in [*no, "claude-mythos-preview", "gpt", ""])


def test_which_models_bind_their_thinking():
    """The table of models with preserved thinking."""
    yes = ["claude-fable-5-1", "claude-mythos-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"]
    assert all(binds_thinking(model) for model in yes)
    assert not any(binds_thinking(model) for model in ["claude-opus-5", "claude-fable-5", "claude-haiku-4-5", "x"])


def test_prefill_can_be_allowed_to_any_model(process, body):
    """Which models accept prefill is the test's to say."""
    upstream = ScriptedUpstream(prefill=lambda model: model == "my-alias")
    process.create(upstream, body | {"model": "my-alias", "messages": [ASK, said(text("x"))]})
    assert upstream.log[0].status == 200


def next_turn(body, content):
    """Give the request that follows a reply."""
    return body | {"messages": [*body["messages"], {"role": "assistant", "content": content}, ASK]}


@pytest.mark.parametrize("script", ["thinking", "thinking_omitted", "redacted_thinking", "server_tools", "citations"])
@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-opus-4-6", PREFILL])
def test_the_next_turn_is_accepted(process, body, script, model):
    """A reply sent back unchanged is a history the upstream accepts."""
    upstream = ScriptedUpstream(script)
    body |= {"model": model}
    first = process.final(upstream, body)
    process.final(upstream, next_turn(body, plain(first.content)))
    assert upstream.log.strategies == ["original", "original"]


def tampered(content):
    """Change a thought but keep its signature."""
    return [{**content[0], "thinking": "something else"}, *content[1:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda request, content: next_turn(request, tampered(content)), "Invalid `signature`"),
        (
            lambda request, content: next_turn(request | {"system": "New."}, content),
            "bound to a different conversation",
        ),
        (
            lambda request, content: next_turn(request | {"messages": [asked(text("Other?"))]}, content),
            "bound to a different conversation",
        ),
    ],
    ids=["text", "system", "messages"],
)
def test_thinking_is_bound_to_its_text_and_prefix(process, body, change, words):
    """A thought changed, or moved to another conversation, is refused."""
    upstream = ScriptedUpstream("thinking")
    content = plain(process.final(upstream, body).content)
    with pytest.raises(anthropic.BadRequestError, match="signature") as caught:
        process.final(upstream, change(body, content))
    assert words in facts(caught).api_message


def test_thinking_may_move_where_the_model_does_not_bind_it(process, body):
    """Older models check the thought alone, and another model's thought is not checked."""
    upstream = ScriptedUpstream("thinking")
    body |= {"model": "claude-opus-4-6"}
    content = plain(process.final(upstream, body).content)
    process.final(upstream, next_turn(body | {"system": "New."}, content))
    process.final(upstream, next_turn(body | {"model": "claude-haiku-5-5"}, tampered(content)))
    with pytest.raises(anthropic.BadRequestError):
        process.final(upstream, next_turn(body, tampered(content)))


def test_what_is_not_part_of_the_prefix_may_change(process, body):
    """Limits, cache marks and dropped thinking of earlier turns leave later thinking valid."""
    upstream = ScriptedUpstream("thinking")
    first = plain(process.final(upstream, body).content)
    second_body = next_turn(body, first)
    second = plain(process.final(upstream, second_body).content)
    marked = {"role": "user", "content": [{**text("Tell me."), "cache_control": {"type": "ephemeral"}}]}
    dropped = {"role": "assistant", "content": first[1:]}
    history = [marked, dropped, ASK, {"role": "assistant", "content": second}, ASK]
    process.final(upstream, body | {"max_tokens": 99, "messages": history})
    assert upstream.log[-1].status == 200


def test_a_gap_in_a_run_of_thinking_is_refused(process, body):
    """A run of thoughts may lose its ends but not its middle."""
    upstream = ScriptedUpstream(Reply([Thinking("One."), Thinking("Two."), Thinking("Three."), Text("Done.")]))
    one, two, three, done = plain(process.final(upstream, body).content)
    for kept in ([two, three, done], [one, two, done], [done]):
        process.final(upstream, next_turn(body, kept))
    with pytest.raises(anthropic.BadRequestError):
        process.final(upstream, next_turn(body, [one, three, done]))


@pytest.mark.parametrize("model", ["claude-haiku-5-5", PREFILL])
def test_a_paused_turn_sent_back_goes_on(process, body, model):
    """A paused turn is no prefill: any model takes it and goes on, also with its call unanswered."""
    paused = Reply([Text("I look."), ServerToolUse("web_search", {"query": "x"})], stop_reason="pause_turn")
    for script in ("pause_turn", lambda c: paused if c.messages[-1]["role"] == "user" else Reply([Text("Found.")])):
        upstream = ScriptedUpstream(script)
        body |= {"model": model}
        first = process.final(upstream, body)
        assert first.stop_reason == "pause_turn"
        back = {"role": "assistant", "content": plain(first.content)}
        second = process.final(upstream, body | {"messages": [*body["messages"], back]})
        assert second.stop_reason == "end_turn"
        assert upstream.log.strategies == ["original", "pause"]


def test_a_key_is_needed_in_either_header(process, body):
    """No key and a wrong key are 401; a right one is taken as a bearer token and as x-api-key."""
    upstream = ScriptedUpstream(keys=["right"])
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        process.create(upstream, body, api_key="wrong")
    process.create(upstream, body, api_key="right")
    assert upstream.log[-1].headers["authorization"] == "Bearer right"
    for headers, status in (({"x-api-key": "right"}, 200), ({}, 401)):
        assert upstream.exchange("GET", "/v1/models", headers, b"").answer.status == status


def test_a_key_is_not_shown(process, body):
    """A log entry shows neither key nor content."""
    upstream = ScriptedUpstream()
    process.create(upstream, body, api_key="secret-key")
    shown = repr(upstream.log[0]) + repr(upstream.log) + repr(upstream)
    assert "secret-key" not in shown
    assert "Tell me" not in shown


def test_a_body_that_is_too_large_is_a_413(caller, body):
    """Over the limit the request is refused as too large."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        caller.create(ScriptedUpstream(max_body_bytes=50), body)
    assert (caught.value.status_code, facts(caught).body["error"]["type"]) == (413, "request_too_large")


@pytest.mark.parametrize("payload", [b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_object_is_a_400(payload):
    """What is no JSON object is refused, not crashed on."""
    exchange = ScriptedUpstream().exchange("POST", "/v1/messages", {"x-api-key": "k"}, payload)
    assert exchange.answer.status == 400
    assert b"not valid JSON" in exchange.answer.body


def test_the_paths_beside_messages(caller, body):
    """Tokens are counted, models listed, probes answered, anything else is not found."""
    upstream = ScriptedUpstream()
    with calling_client(caller, upstream) as client:
        counted = client.messages.count_tokens(model=body["model"], messages=body["messages"])
        assert counted.input_tokens > 0
        assert "claude-haiku-5-5" in [model.id for model in client.models.list()]
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("x")
        assert client._client.head("/").status_code == 200
    assert upstream.log.messages == []


def calling_client(caller, upstream):
    """Make a sync client whatever the caller's colour."""
    caller.is_async = False
    return caller.client(upstream, {})
