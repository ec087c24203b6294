"""How the answer of an attempt joins on to what was delivered, and what people are told about a decision."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Memory, Plan, Strategy
from resumable._core.errors import NotContinuableError
from resumable._core.events import decode
from resumable._core.hold import DEFAULT_HOLD, Gate
from resumable._core.recovery import Finish, Next, Recovery, notice_of
from resumable._core.report import Notice
from resumable._core.splice import Splice
from resumable._core.verify import Verifier
from resumable._policy import RetryPolicy
from tests.core.rig import LOST, OLD
from tests.core.seams import ANCHOR, CLOSED, OPEN, shown
from tests.core.streams import block, ending, frames, read_back, start, stop, text, transcript_of

RESULT = start() + block(0, "web_search_tool_result", tool_use_id="s", content=[]) + stop(0)


def mapper_of(strategy, delivered, *, anchor="", limit=None, was_stopped=False, **body):
    """Make the mapper of one attempt, and the gate it opens."""
    transcript = transcript_of(delivered)
    gate = Gate(transcript, DEFAULT_HOLD, 120.0)
    recovery = Recovery({"model": OLD} | body, RetryPolicy(), Memory(), lambda: 0.5, 0.0)
    mapper = recovery.mapper(Plan(strategy, {}, anchor, limit), transcript, gate, was_stopped=was_stopped)
    return mapper, gate


def said(mapper, *written):
    """Feed an attempt to a mapper and list what surfaces."""
    pairs = []
    for frame in frames(start(), *written):
        pairs += mapper.feed(decode(frame), frame)
    return shown(read_back(pairs))


def test_open_block_goes_on():
    """The continuation's text is in the same block, whose edges are held again."""
    mapper, gate = mapper_of(Strategy.PREFILL, OPEN)
    assert said(mapper, block(0), text(0, " the")) == [(0, " the")]
    [(end, frame)] = mapper.feed(decode(*frames(stop(0))), *frames(stop(0)))
    assert gate.push(end, frame, 0.0) == []


def test_closed_block_is_followed():
    """Whitespace it ended in is not sent twice."""
    mapper, _ = mapper_of(Strategy.USER_TURN, OPEN + text(0, " ") + stop(0), anchor=ANCHOR)
    assert said(mapper, block(0), text(0, ANCHOR + " the")) == [("start", 1, "text"), (1, "the")]


def test_whitespace_that_was_delivered_live_is_not_sent_twice():
    """The request could not end in it, so the model may write it again."""
    mapper, _ = mapper_of(Strategy.PREFILL, OPEN + text(0, " "))
    assert said(mapper, block(0), text(0, " the")) == [(0, "the")]


@pytest.mark.parametrize("strategy", [Strategy.RESTART, Strategy.USER_TURN])
def test_without_an_anchor_blocks_follow(strategy):
    """There is no seam to find; a limit holds all the same."""
    mapper, _ = mapper_of(strategy, RESULT, limit=1)
    assert isinstance(mapper, Splice)
    assert said(mapper, block(0), text(0, "So it goes", " on")) == [("start", 1, "text"), (1, "So it goes")]
    assert mapper.ended is not None


def test_live_json_is_verified():
    """Its block goes on with its edges held, once everything was repeated."""
    mapper, gate = mapper_of(Strategy.RESTART_AND_VERIFY, start() + block(0) + text(0, '{"a"'))
    assert isinstance(mapper, Verifier)
    assert said(mapper, block(0), text(0, '{"a": 1')) == [(0, ": 1")]
    [(end, frame)] = mapper.feed(decode(*frames(stop(0))), *frames(stop(0)))
    assert gate.push(end, frame, 0.0) == []


@pytest.mark.parametrize(
    ("stops", "splits"),
    [(["over!"], True), (["over!", None], True), ("over!", False), (None, False), ([7], False)],
)
def test_stop_sequences_are_the_caller_s(stops, splits):
    """What is no list of strings is upstream's to judge."""
    mapper, _ = mapper_of(Strategy.PREFILL, OPEN, stop_sequences=stops)
    said(mapper, block(0), text(0, "!"))
    assert (mapper.ended is not None) is splits


def test_bare_anchor_may_end_what_was_stopped():
    """The delivered text's own stop had come before the attempt died."""
    mapper, _ = mapper_of(Strategy.USER_TURN, CLOSED, anchor=ANCHOR, was_stopped=True)
    assert said(mapper, block(0), text(0, ANCHOR), stop(0), ending()) == ["end_turn"]


def test_citing_request_has_its_text_held_to_the_block_s_stop():
    """Whether citations may come is the request's to say."""
    mapper, _ = mapper_of(Strategy.PREFILL, OPEN, tools=[{"type": "web_search_20260209"}])
    assert said(mapper, block(0), text(0, " the")) == []


@pytest.mark.parametrize(
    ("outcome", "verdict", "strategy", "delay"),
    [
        (Next(Plan(Strategy.RESTART, {}), 0.5), "retry", Strategy.RESTART, 0.5),
        (Next(Plan(Strategy.USER_TURN, {}), 30.0), "continue", Strategy.USER_TURN, 30.0),
        (Next(Plan(Strategy.RESTART_AND_VERIFY, {}), 0.0), "continue", Strategy.RESTART_AND_VERIFY, 0.0),
        (Finish("tool_use"), "finish", None, 0.0),
        (NotContinuableError(1, LOST), "give_up", None, 0.0),
    ],
)
def test_notice_says_what_was_decided(outcome, verdict, strategy, delay):
    """In one word, with the facts that go with it."""
    assert notice_of("s1", 3, LOST, outcome) == Notice("s1", 3, LOST, verdict, strategy, delay)
