"""Law L10: with no fault, events and their timing are the bare SDK's, except held edges and blocks."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import strategies as st

from resumable.testing import SCRIPTS, ScriptedUpstream
from tests.laws.calls import call
from tests.laws.grammar import content_of, ending_of, events_of
from tests.laws.schedules import MODELS, Schedule, law

_CLIENT_CALLS = {"tool_use"}
_SERVER_CALLS = {"server_tool_use", "mcp_tool_use"}
#: What the library takes for whitespace that this reply holds.
_BLANK = string.whitespace + "\u00a0\u0085\u2028\u2029\u200d"
_Event = dict[str, Any]


def _is_strong(event: _Event, types: dict[int, str]) -> bool:
    """Whether nothing may hold an event back but a call before it."""
    kind, block = event["type"], types.get(event.get("index", -1), "")
    if kind == "content_block_start":
        return block not in {"text", "redacted_thinking", *_CLIENT_CALLS, *_SERVER_CALLS}
    if kind == "content_block_stop":
        return block in _CLIENT_CALLS or block.endswith("_tool_result")
    if kind == "content_block_delta":
        delta = event["delta"]
        return delta["type"] == "thinking_delta" or bool(delta.get("text", "").strip(_BLANK))
    return True


def due(events: list[_Event]) -> int:
    """
    Say how many of upstream's events a caller must have been given, once these have arrived.

    Everything up to the last strong one, and of that nothing from the first incomplete call on.
    """
    types = {one["index"]: one["content_block"]["type"] for one in events if one["type"] == "content_block_start"}
    cut = next((at for at in range(len(events)) if _waits(events[at], events)), len(events))
    return max((at + 1 for at in range(cut) if _is_strong(events[at], types)), default=0)


def _waits(event: _Event, events: list[_Event]) -> bool:
    """Whether an event opens a call that is not complete, as far as these events go."""
    if event["type"] != "content_block_start" or "message_delta" in {one["type"] for one in events}:
        return False
    stopped = {one["index"] for one in events if one["type"] == "content_block_stop"}
    blocks = {one["index"]: one["content_block"] for one in events if one["type"] == "content_block_start"}
    answered = {blocks[index].get("tool_use_id") for index in stopped}
    block = event["content_block"]
    if block["type"] in _CLIENT_CALLS:
        return event["index"] not in stopped
    return block["type"] in _SERVER_CALLS and block["id"] not in answered


def _amount(events: list[_Event], *, solid: bool) -> list[tuple[int, str, int]]:
    """Measure what events hold, block by block: its text (without a blank end, if *solid*) and how far it is."""
    blocks = content_of(events, strict=False)
    stops = {one["index"] for one in events if one["type"] == "content_block_stop"}
    amount = []
    for index, block in enumerate(blocks):
        text = str(block.get("text", block.get("thinking", "")))
        amount.append((index, text.rstrip(_BLANK) if solid and index not in stops else text, int(index in stops)))
    return amount


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reply", sorted(SCRIPTS))
def test_l10_same_content_and_ending(reply: str, model: str, is_async) -> None:
    """Content, ending, usage, ids and the order of blocks are those of the bare SDK."""
    schedule = Schedule(reply, model)
    bare, ours = (call(schedule, wraps=wraps, is_async=is_async) for wraps in (False, True))
    assert ours.error is None
    assert content_of(ours.events) == content_of(bare.events)
    assert ending_of(ours.events) == ending_of(bare.events)
    assert ours.events[0] == bare.events[0]
    kinds = [(one["type"], one.get("index")) for one in bare.events if one["type"] != "content_block_delta"]
    assert [(one["type"], one.get("index")) for one in ours.events if one["type"] != "content_block_delta"] == kinds
    assert len(ours.upstream.log) == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("reply", sorted(set(SCRIPTS) - {"json", "citations"}))
def test_l10_nothing_is_late(reply: str, is_async) -> None:
    """Each event arrives with the record it came in, unless it is an edge or part of a call that is not complete."""
    schedule = Schedule(reply, "claude-haiku-4-5")
    bare, ours = (call(schedule, wraps=wraps, is_async=is_async) for wraps in (False, True))
    for at, sent in enumerate(bare.sent, start=1):
        if at < len(bare.sent) and bare.sent[at] == sent:
            continue
        owed = _amount(bare.events[: due(bare.events[:at])], solid=True)
        there = [event for event, when in zip(ours.events, ours.sent, strict=True) if when <= sent]
        given = _amount(there, solid=False)
        assert len(given) >= len(owed), f"a block is late after {at} events"
        for (_, wanted, is_stopped), (_, text, was_stopped) in zip(owed, given, strict=False):
            assert text.startswith(wanted), f"text is late after {at} events"
            assert was_stopped >= is_stopped, f"a stop is late after {at} events"


@law(st.sampled_from(["text", "unicode", "markdown"]), st.booleans(), sample=15, campaign=300)
def test_l10_text_that_ends_in_no_whitespace_is_passed_on_in_its_own_bytes(reply: str, is_async) -> None:
    """A delta that need not change is not changed: the same bytes, in the read it came in."""
    bare, ours = (call(Schedule(reply), way="bytes", wraps=wraps, is_async=is_async) for wraps in (False, True))
    given = list(zip(ours.items, ours.sent, strict=True))
    has_held = True  # a block's start waits for its first text
    for piece, sent in zip(bare.items, bare.sent, strict=True):
        for event in events_of(piece):
            text = event.get("delta", {}).get("text", " ")
            if not has_held and text[-1:] not in _BLANK:
                assert any(piece in one and when == sent for one, when in given), piece
            has_held = text[-1:] in _BLANK


def test_l10_a_long_text_is_one_request() -> None:
    """With no fault there is one request and not one wait."""
    outcome = call(Schedule("markdown"))
    assert isinstance(outcome.upstream, ScriptedUpstream)
    assert [one.strategy for one in outcome.upstream.log] == ["original"]
    assert outcome.clock.waits == []
