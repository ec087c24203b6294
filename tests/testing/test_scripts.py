"""Every ready-made script is something the bare SDK understands."""

from __future__ import annotations

import json

import pytest

from resumable.testing import (
    SCRIPTS,
    Raw,
    Reply,
    ScriptedUpstream,
    ServerToolResult,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
)
from tests.testing.turns import joined, plain, without_empty

KNOWN = (
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"
)  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_sdk_assembles_what_the_script_says(caller, body, script):
    """The helper's final message is the expected message, whatever the script and the way."""
    upstream = ScriptedUpstream(script)
    body |= {"stop_sequences": ["END"]} if script == "stop_sequence" else {}
    final = caller.final(upstream, body)
    expected = upstream.expected_message(body)
    assert plain(final.content) == [without_empty(block) for block in expected["content"]]
    assert (final.stop_reason, final.stop_sequence) == (expected["stop_reason"], expected["stop_sequence"])


@pytest.mark.parametrize("script", SCRIPTS)
def test_streams_keep_the_grammar(process, body, script):
    """A stream is one message: a start, blocks in order and one at a time, a delta and a stop."""
    events = process.events(ScriptedUpstream(script), body)
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert set(kinds) <= set(KNOWN)
    steps = [(event.type, event.index) for event in events if hasattr(event, "index")]
    opened = -1
    for kind, index in steps:
        opened += kind == "content_block_start"
        assert index == opened
    assert sum(kind == "content_block_stop" for kind, _ in steps) == opened + 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_whole_message_is_the_streamed_one(process, body, script):
    """A request without streaming gets the same content and usage as one with it."""
    streamed = process.final(ScriptedUpstream(script), body)
    whole = process.create(ScriptedUpstream(script), body)
    assert plain(whole.content) == plain(streamed.content)
    assert whole.usage.output_tokens == streamed.usage.output_tokens
    assert whole.stop_reason == streamed.stop_reason


@pytest.mark.parametrize("script", ["text", "markdown", "unicode", "thinking", "tools", "server_tools", "citations"])
def test_a_plain_retry_gets_other_words(process, body, script):
    """The same request sent again is answered in other words, and the log says which."""
    upstream = ScriptedUpstream(script)
    first, again = process.final(upstream, body), process.final(upstream, body)
    assert plain(first.content) != plain(again.content)
    assert [recorded.variant for recorded in upstream.log] == [0, 1]
    assert upstream.log.strategies == ["original", "retry"]
    assert joined(again.content) == upstream.expected_text(body, 1)


def test_replies_are_a_function_of_the_conversation(process, body):
    """Two upstreams give the same answers in the same order, and another question gets another answer."""
    one, other = ScriptedUpstream("text"), ScriptedUpstream("text")
    for _ in range(2):
        assert plain(process.final(one, body).content) == plain(process.final(other, body).content)
    asked = body | {"messages": [{"role": "user", "content": "And this?"}]}
    assert one.expected_text(asked) != one.expected_text(body)


def test_an_upstream_that_does_not_vary_repeats_itself(process, body):
    """With vary off a retry gets the same words."""
    upstream = ScriptedUpstream("text", vary=False)
    assert plain(process.final(upstream, body).content) == plain(process.final(upstream, body).content)


def test_a_reply_of_ones_own_is_said_word_for_word(process, body):
    """A user's blocks come through as given, in their order."""
    reply = Reply(
        [
            Thinking("Let me see."),
            Text("I look it up."),
            ServerToolUse("web_search", {"query": "rain"}),
            ServerToolResult([]),
            Raw({"type": "redacted_thinking", "data": "x"}),
            ToolUse("get_weather", {"city": "Köln", "days": 3}),
        ]
    )
    final = process.final(ScriptedUpstream(reply), body)
    kinds = ["thinking", "text", "server_tool_use", "web_search_tool_result", "redacted_thinking", "tool_use"]
    assert [block.type for block in final.content] == kinds
    assert final.content[3].tool_use_id == final.content[2].id
    assert final.content[5].input == {"city": "Köln", "days": 3}
    assert final.stop_reason == "tool_use"


def test_a_fixed_reply_is_reworded_on_a_retry_unless_it_is_json(process, body):
    """A fixed text opens differently on a retry; JSON, or a reply that asks for it, stays."""
    texts = []
    for reply in (Reply([Text("Hello.")]), Reply([Text('{"a": 1}')]), Reply([Text("Hello.")], vary=False)):
        upstream = ScriptedUpstream(reply)
        texts.append([process.final(upstream, body).content[0].text for _ in range(2)])
    assert texts[0][0] == "Hello."
    assert texts[0][1] != "Hello."
    assert texts[0][1].endswith("Hello.")
    assert texts[1] == ['{"a": 1}'] * 2
    assert texts[2] == ["Hello."] * 2


def test_replies_for_each_retry_are_taken_in_turn(process, body):
    """A list of replies is one for each plain retry."""
    upstream = ScriptedUpstream([Reply([Text("One.")]), Reply([Text("Two.")])])
    assert [process.final(upstream, body).content[0].text for _ in range(3)] == ["One.", "Two.", "One."]


def test_a_function_sees_the_conversation(process, body):
    """A script of one's own is given the conversation it answers."""
    upstream = ScriptedUpstream(lambda conversation: Reply([Text(f"You said {conversation.last_user_text!r}")]))
    assert process.final(upstream, body).content[0].text == "You said 'Tell me.'"


def test_structured_output_follows_the_schema(process, body):
    """With a schema in the request the text is JSON of that shape."""
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "flags": {"type": "array", "items": {"type": "boolean"}},
            "inner": {"$ref": "#/$defs/Inner"},
            "nothing": {"type": "null"},
            "either": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "$defs": {"Inner": {"type": "object", "properties": {"n": {"type": "integer"}, "c": {"const": 7}}}},
    }
    asked = body | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    made = json.loads(process.final(ScriptedUpstream(), asked).content[0].text)
    assert made["kind"] in {"a", "b"}
    assert all(isinstance(flag, bool) for flag in made["flags"])
    assert isinstance(made["inner"]["n"], int)
    assert (made["inner"]["c"], made["nothing"]) == (7, None)
    assert isinstance(made["either"], float)


def test_the_default_answers_as_the_request_suggests(process, body):
    """Tools are called until their results are there, and thinking comes first when it is on."""
    tool = {"name": "add", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    asked = body | {"tools": [tool], "thinking": {"type": "adaptive"}}
    upstream = ScriptedUpstream()
    first = process.final(upstream, asked)
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]
    assert isinstance(first.content[2].input["n"], int)
    answered = {"type": "tool_result", "tool_use_id": first.content[2].id, "content": "4"}
    turns = [{"role": "assistant", "content": plain(first.content)}, {"role": "user", "content": [answered]}]
    second = process.final(upstream, asked | {"messages": [*asked["messages"], *turns]})
    assert [block.type for block in second.content] == ["text"]
    assert upstream.log.strategies == ["original", "original"]


def test_an_unknown_script_is_named_with_the_known_ones():
    """A misspelt script fails at once and lists what there is."""
    with pytest.raises(ValueError, match=r"'txt' is not a ready-made script: auto, text"):
        ScriptedUpstream("txt")


def test_max_tokens_counts_deltas(process, body):
    """So many deltas arrive, and the stop reason says why no more."""
    upstream = ScriptedUpstream("text")
    final = process.final(upstream, body | {"max_tokens": 5})
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 5
    assert upstream.expected_text(body).startswith(final.content[0].text)


def test_max_tokens_can_end_in_the_middle_of_a_tool_call(process, body):
    """A call cut by the limit keeps its block, and its input is not invented."""
    upstream = ScriptedUpstream(Reply([ToolUse("f", {"text": "x" * 100})]))
    events = process.events(upstream, body | {"max_tokens": 3})
    pieces = [event.delta.partial_json for event in events if event.type == "content_block_delta"]
    assert len([piece for piece in pieces if piece]) == 3
    assert events[-2].delta.stop_reason == "max_tokens"
    assert process.create(upstream, body | {"max_tokens": 3}).content[0].input == {}


@pytest.mark.parametrize("limit", [{"max_tokens": 1}, {"stop_sequences": ["one"]}])
def test_a_limit_met_between_blocks_opens_no_other(process, body, limit):
    """When the limit is met at a block's end the next block is not begun."""
    upstream = ScriptedUpstream(Reply([Text("one"), Text("two")]))
    final = process.final(upstream, body | limit)
    assert len(final.content) == 1
    assert final.stop_reason == ("max_tokens" if "max_tokens" in limit else "stop_sequence")


def test_a_question_alone_is_enough_to_expect_its_answer(process, body):
    """The text of the only user message stands for the whole request."""
    upstream = ScriptedUpstream("text")
    assert upstream.expected_text("Tell me.") == joined(process.final(upstream, body).content)


def test_a_reply_knows_its_text_and_ending():
    """The joined text and the stop reason of a reply follow from its blocks."""
    reply = Reply([Text("a"), ToolUse("f"), Text("b")])
    assert (reply.text, reply.ending, Reply([Text("a")]).ending) == ("ab", "tool_use", "end_turn")


def test_a_call_may_be_of_a_connected_server(process, body):
    """An mcp_tool_use has its own kind of result."""
    reply = Reply([ServerToolUse("look", {}, type="mcp_tool_use"), ServerToolResult([]), Text("Done.")])
    blocks = process.events(ScriptedUpstream(reply), body)
    kinds = [event.content_block.type for event in blocks if event.type == "content_block_start"]
    assert kinds == ["mcp_tool_use", "mcp_tool_result", "text"]


def test_what_is_no_block_is_refused(body):
    """A reply of something else fails where it is made into a message."""
    with pytest.raises(TypeError):
        ScriptedUpstream(Reply(["text"])).expected_text(body)  # type: ignore[list-item]


def test_stop_sequences_end_the_text_before_them(process, body):
    """The text stops before the first stop sequence met."""
    upstream = ScriptedUpstream(Reply([Text("one STOP two END three")]))
    final = process.final(upstream, body | {"stop_sequences": ["END", "STOP"]})
    assert (final.content[0].text, final.stop_reason, final.stop_sequence) == ("one ", "stop_sequence", "STOP")


def test_a_marked_prefix_is_read_from_the_cache_the_second_time(process, body):
    """The first request writes what cache_control marks and the second reads it."""
    system = [{"type": "text", "text": "word " * 500, "cache_control": {"type": "ephemeral"}}]
    upstream = ScriptedUpstream("text")
    first, second = (process.final(upstream, body | {"system": system}).usage for _ in range(2))
    assert first.cache_read_input_tokens == 0
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens > 500
    assert second.cache_creation_input_tokens == 0


def test_pings_are_sent_as_often_as_told(body):
    """The distance between pings is that of the upstream, and 0 sends none."""
    counts = []
    for every in (0, 5):
        upstream = ScriptedUpstream("text", ping_every=every)
        exchange = upstream.exchange(
            "POST", "/v1/messages", {"x-api-key": "k"}, json.dumps(body | {"stream": True}).encode()
        )
        counts.append(exchange.answer.body.count(b"event: ping"))
    assert counts[0] == 0
    assert counts[1] > 3
