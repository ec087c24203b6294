"""Law L2: with an upstream whose answer is a function of the conversation, nothing is lost and nothing is repeated."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import resumable
from resumable.testing import SCRIPTS
from tests.laws.calls import Outcome, call
from tests.laws.grammar import content_of, ending_of, text_of
from tests.laws.schedules import OTHER_ENDINGS, Schedule, healed, healing, law, outlasts_hold

_CALLS = {"tool_use"}
#: They may lie broken in the answer, unsigned, or be there twice: a new attempt thinks anew.
_THINKING = {"thinking", "redacted_thinking"}


def delivered_whole(outcome: Outcome) -> list[dict[str, Any]]:
    """Give the content of an answer that must have ended well."""
    assert outcome.error is None, repr(outcome.error)
    return content_of(outcome.events)


def others(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the blocks that are neither text nor thinking."""
    return [block for block in content if block["type"] not in {"text", *_THINKING}]


def citations(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give all citations in order."""
    return [citation for block in content for citation in block.get("citations") or ()]


@law(healed(), st.booleans(), sample=80, campaign=6000)
def test_l2_no_loss_no_repeat(schedule: Schedule, is_async) -> None:
    """The text is that of the fault-free answer byte for byte, and so are calls, results and the ending."""
    outcome = call(schedule, is_async=is_async)
    content, expected = delivered_whole(outcome), outcome.expected
    wanted = others(expected["content"])
    if outcome.report.synthesised == "tool_use":
        # A complete call was delivered: the message ends there, with the calls there are.
        wanted = wanted[: len(others(content))]
        assert any(block["type"] in _CALLS for block in wanted)
        assert ending_of(outcome.events)[0] == "tool_use"
    else:
        assert ending_of(outcome.events)[0] == expected["stop_reason"]
    assert text_of(content) == text_of(expected["content"])
    assert others(content) == wanted


@law(healed(replies=("citations",)), sample=30, campaign=2000)
def test_l2_citations(schedule: Schedule) -> None:
    """A citation whose text is delivered whole is delivered once, and none is invented."""
    outcome = call(schedule)
    content, expected = delivered_whole(outcome), outcome.expected["content"]
    there = citations(content)
    assert there == [citation for citation in citations(expected) if citation in there]
    if not outcome.report.seams:
        assert there == citations(expected)


@law(healed(replies=tuple(name for name in SCRIPTS if "thinking" in name)), sample=30, campaign=2000)
def test_l2_thinking(schedule: Schedule) -> None:
    """Signed thinking is whole, whatever was cut; what was cut is unsigned and a beginning of what was thought."""
    outcome = call(schedule)
    content = delivered_whole(outcome)
    variants = range(outcome.variant + 1)
    thoughts = [
        block
        for variant in variants
        for block in outcome.upstream.expected_message(schedule.body, variant)["content"]
        if block["type"] in _THINKING
    ]
    for block in content:
        if block["type"] == "redacted_thinking" or block.get("signature"):
            assert block in thoughts
        elif block["type"] == "thinking":
            assert any(whole.get("thinking", "").startswith(block["thinking"]) for whole in thoughts)


@law(
    st.builds(
        Schedule,
        # Not a pause: its next turn is a new answer to the scripted upstream.
        st.sampled_from(sorted(set(OTHER_ENDINGS) - {"pause_turn"})),
        st.sampled_from(["claude-haiku-4-5", "claude-sonnet-5"]),
        faults=st.lists(healing.map(lambda one: (one,)), max_size=3).map(tuple),
    ).filter(lambda schedule: not outlasts_hold(schedule)),
    sample=30,
    campaign=1500,
)
def test_l2_other_endings(schedule: Schedule) -> None:
    """An answer that does not end by itself loses nothing either; cut right before its ending it may lose only that."""
    outcome = call(schedule)
    text, expected = text_of(content_of(outcome.events)), text_of(outcome.expected["content"])
    if outcome.error is not None:
        assert isinstance(outcome.error, resumable.SeamError)
        assert text == expected.rstrip()  # what waited for the ending went with it
    else:
        assert text == expected
        assert ending_of(outcome.events)[0] == outcome.expected["stop_reason"]
