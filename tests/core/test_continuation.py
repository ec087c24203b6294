"""What is to be done with what was delivered, and which strategy a model and a request allow."""

from __future__ import annotations

import pytest

from resumable._core.continuation import (
    Memory,
    Situation,
    Strategy,
    obstacle,
    request_obstacle,
    strategies,
    survey,
    tail_text,
    takes_prefill,
)
from resumable._core.errors import Obstacle
from tests.core.streams import block, citation, ending, start, stop, text, thought, tool_input, transcript_of

FINISHED, TOOL_USE, STUCK, RESTART, ANCHORED, AFTER_BLOCK = Situation

TEXT = block(0) + text(0, "Hello")
THINKING = block(0, "thinking") + thought(0, signature="s") + stop(0)
CALL = block(1, "tool_use", id="t", name="f", input={})
RESULT = block(2, "web_search_tool_result", tool_use_id="s", content=[])
SEARCH = block(1, "server_tool_use", id="s", name="web_search", input={}) + tool_input(1, "{}") + stop(1)

# The rows of the table, in its order.
ROWS = {
    **{
        f"ended: {reason}": (FINISHED, TEXT + stop(0) + ending(reason))
        for reason in (
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
            "compaction",
            "a_reason_of_tomorrow",
        )
    },
    "no reason is no ending": (ANCHORED, TEXT + ending(None)),
    "a complete call": (TOOL_USE, TEXT + stop(0) + CALL + tool_input(1, '{"a": 1}') + stop(1)),
    "a call without deltas": (TOOL_USE, TEXT + stop(0) + CALL + stop(1)),
    "a complete call, then open text": (TOOL_USE, TEXT + stop(0) + CALL + stop(1) + block(2) + text(2, "And")),
    "a complete call, then an open unknown block": (TOOL_USE, TEXT + stop(0) + CALL + stop(1) + block(2, "hologram")),
    "a complete call beside an unpaired server call": (
        TOOL_USE,
        TEXT + stop(0) + SEARCH + block(2, "tool_use", id="t", name="f") + stop(2),
    ),
    "a complete call, then one that was cut": (
        STUCK,
        TEXT + stop(0) + CALL + stop(1) + block(2, "tool_use", id="u", name="f") + tool_input(2, '{"a": '),
    ),
    "an open call": (STUCK, TEXT + stop(0) + CALL + tool_input(1, "{}")),
    "a stopped call whose input is torn": (STUCK, TEXT + stop(0) + CALL + tool_input(1, '{"a": ') + stop(1)),
    "a stopped call whose input is no object": (STUCK, TEXT + stop(0) + CALL + tool_input(1, "[1]") + stop(1)),
    "an unpaired server call": (STUCK, TEXT + stop(0) + SEARCH),
    "an open unknown block": (STUCK, TEXT + stop(0) + block(1, "hologram")),
    "an open unknown block before text": (STUCK, block(0, "hologram") + block(1) + text(1, "Hello")),
    "nothing": (RESTART, b""),
    "only whitespace": (RESTART, block(0) + text(0, " \n\u200b")),
    "an empty block": (RESTART, block(0) + stop(0)),
    "only thinking": (RESTART, THINKING),
    "only open thinking": (RESTART, block(0, "thinking") + thought(0)),
    "only redacted thinking": (RESTART, block(0, "redacted_thinking", data="x")),
    "thinking and whitespace": (RESTART, THINKING + block(1) + text(1, "\n")),
    "open text": (ANCHORED, TEXT),
    "closed text": (ANCHORED, TEXT + stop(0)),
    "text whose start carried it": (ANCHORED, block(0, text="Hello")),
    "text after thinking": (ANCHORED, THINKING + block(1) + text(1, "Hello")),
    "text, then thinking": (ANCHORED, TEXT + stop(0) + block(1, "thinking") + thought(1)),
    "text, then an empty block": (ANCHORED, TEXT + stop(0) + block(1)),
    "a result": (AFTER_BLOCK, TEXT + stop(0) + SEARCH + RESULT + stop(2)),
    "a result that was not stopped": (AFTER_BLOCK, TEXT + stop(0) + SEARCH + RESULT),
    "a result, then thinking": (AFTER_BLOCK, TEXT + stop(0) + SEARCH + RESULT + stop(2) + block(3, "thinking")),
    "a closed unknown block": (AFTER_BLOCK, TEXT + stop(0) + block(1, "hologram") + stop(1)),
    "an upload that arrived whole": (AFTER_BLOCK, TEXT + stop(0) + block(1, "container_upload", file_id="f")),
}


@pytest.mark.parametrize("name", ROWS)
def test_first_row_that_matches_wins(name):
    """Each row of the table, and what stands at its edges."""
    situation, written = ROWS[name]
    assert survey(transcript_of(start(), written)) is situation


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (None, TEXT),
        (None, TEXT + stop(0) + SEARCH + RESULT),
        ("tool_use", TEXT + stop(0) + CALL),
        ("tool_use", TEXT + stop(0) + CALL + tool_input(1, "[]") + stop(1)),
        ("server_tool_use", TEXT + stop(0) + SEARCH),
        ("mcp_tool_use", TEXT + stop(0) + block(1, "mcp_tool_use", id="m") + stop(1) + RESULT),
        ("hologram", block(0, "hologram")),
    ],
)
def test_obstacle_is_the_block_in_the_way(kind, written):
    """What stands in the way of a continuation is named by its type; a pair is told by its id."""
    assert obstacle(transcript_of(start(), written).blocks) == kind


@pytest.mark.parametrize(
    ("written", "tail", "blank"),
    [
        (TEXT, "Hello", ""),
        (block(0) + text(0, "Hello", " \n") + stop(0), "Hello", " \n"),
        (TEXT + stop(0) + block(1, "thinking") + thought(1), "Hello", ""),
    ],
)
def test_tail_is_text_without_its_blank_end(written, tail, blank):
    """A seam joins on to words; the whitespace the caller has after them is known apart."""
    assert tail_text(transcript_of(start(), written)) == (tail, blank)


PREFILLED = [
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
    "claude-sonnet-4-5-20250929",
    "claude-opus-4-5@20251101",
    "anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-opus-4-5-v1",
    "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    "anthropic/claude-sonnet-4-5",
    "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "publishers/anthropic/models/claude-haiku-4-5@20251001",
]
NOT_PREFILLED = [
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-fable-5-2",
    "claude-mythos-preview",
    "claude-sonnet-4-6-20260205",
    "anthropic.claude-opus-4-6-v1",
    "claude-sonnet-5@20260601",
    "claude-sonnet-4-50",
    "claude-sonnet-4-5x",
    "claude-sonnet-4-5-fast",
    "my-alias",
    "gpt-9",
    "sonnet-4-5",
    "notclaude-sonnet-4-5",
    "claude-sonnet-4-5-2025",
    "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
]


@pytest.mark.parametrize("model", PREFILLED)
def test_models_of_the_last_family_take_a_prefill(model):
    """The 4.5 family is known in the spelling of every platform, dated or not."""
    assert Memory().takes_prefill(model, 0.0)


@pytest.mark.parametrize("model", [*NOT_PREFILLED, ""])
def test_every_other_model_takes_none(model):
    """Newer models refuse a prefill, and a name nobody knows is not tried."""
    assert not Memory().takes_prefill(model, 0.0)


def test_refusal_is_remembered_for_a_time():
    """A model that refused is not asked again until the memory of it has aged; others are."""
    memory = Memory(ttl=60.0)
    memory.refuse_prefill("claude-haiku-4-5", 100.0)
    assert not memory.takes_prefill("claude-haiku-4-5", 159.9)
    assert memory.takes_prefill("claude-haiku-4-5", 160.0)
    assert memory.takes_prefill("claude-opus-4-5", 100.0)


DOCUMENT = {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}}


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({}, True),
        ({"model": "claude-sonnet-5"}, False),
        ({"model": None}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, False),
        ({"thinking": {"type": "adaptive"}}, False),
        ({"thinking": {"type": "disabled"}}, True),
        ({"thinking": None}, True),
        ({"tool_choice": {"type": "auto"}}, True),
        ({"tool_choice": {"type": "none"}}, True),
        ({"tool_choice": {"type": "any"}}, False),
        ({"tool_choice": {"type": "tool", "name": "f"}}, False),
        ({"output_config": {"format": {"type": "json_schema"}}}, False),
        ({"output_config": {"effort": "low"}}, True),
        ({"output_format": {"type": "json_schema"}}, False),
        ({"messages": [{"role": "user", "content": [DOCUMENT]}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [DOCUMENT]}]}]}, False),
        ({"messages": [{"role": "user", "content": [DOCUMENT | {"citations": {"enabled": False}}]}]}, True),
        ({"messages": [{"role": "assistant", "content": [{"type": "text", "text": "x", "citations": []}]}]}, True),
        ({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}, False),
        ({"tools": [{"type": "web_fetch_20260209", "name": "web_fetch"}]}, False),
        ({"tools": [{"name": "f", "input_schema": {}}]}, True),
    ],
)
def test_request_may_rule_a_prefill_out(request_fields, expected):
    """Thinking, forced tools, structured output and citations each do; their neutral settings do not."""
    body = {"model": "claude-haiku-4-5", "messages": [], **request_fields}
    assert takes_prefill(body, Memory(), 0.0) is expected


ALL = frozenset(strategy.value for strategy in Strategy)
OLD, NEW = {"model": "claude-haiku-4-5"}, {"model": "claude-sonnet-5"}
JSON = {"output_config": {"format": {"type": "json_schema"}}}


@pytest.mark.parametrize(
    ("situation", "body", "expected"),
    [
        (RESTART, OLD, ["restart"]),
        (RESTART, NEW | JSON, ["restart"]),
        (ANCHORED, OLD, ["prefill", "user_turn"]),
        (ANCHORED, NEW, ["user_turn"]),
        (ANCHORED, {}, ["user_turn"]),
        (ANCHORED, OLD | JSON, ["restart_and_verify"]),
        (AFTER_BLOCK, OLD, ["user_turn"]),
        (AFTER_BLOCK, NEW | JSON, ["user_turn"]),
    ],
)
def test_strategies_worth_trying_best_first(situation, body, expected):
    """A prefill is exact and comes first where it works; JSON is never joined by its words."""
    assert [strategy.value for strategy in strategies(situation, body, ALL, Memory(), 0.0)] == expected


def test_policy_may_rule_strategies_out():
    """Only what the policy allows is listed, in the model's order; nothing may be left."""
    assert strategies(ANCHORED, OLD, frozenset({"user_turn"}), Memory(), 0.0) == [Strategy.USER_TURN]
    assert strategies(RESTART, OLD, frozenset({"user_turn"}), Memory(), 0.0) == []


def test_refused_prefill_is_not_listed_again():
    """What one session learns serves the others."""
    memory = Memory()
    memory.refuse_prefill("claude-haiku-4-5", 0.0)
    assert strategies(ANCHORED, OLD, ALL, memory, 1.0) == [Strategy.USER_TURN]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, None),
        ({"thread": {"type": "create"}}, None),
        ({"thread": "continue"}, None),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, Obstacle.THREAD),
        ({"fallback_credit_token": "c"}, Obstacle.CREDIT),
        ({"fallback_credit_token": None}, None),
    ],
)
def test_requests_that_nothing_can_continue(body, expected):
    """A conversation the server holds and a body bound byte for byte are not ours to rewrite."""
    assert request_obstacle(body) is expected


def test_cited_text_is_text():
    """Citations do not change what a transcript calls for."""
    assert survey(transcript_of(start(), TEXT, citation(0, "x"))) is ANCHORED
