"""What the caller gets where two attempts join, and what the session tells people about it."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Memory, Strategy
from resumable._core.errors import (
    Exhausted,
    NotContinuableError,
    Obstacle,
    RetriesExhaustedError,
    SeamError,
    SeamMissedError,
    UpstreamStatusError,
)
from resumable._core.hold import DEFAULT_HOLD
from resumable._core.report import Notice
from resumable._core.seam import Seam
from resumable._core.states import Stop
from tests.core.rig import LOST, NEW, OLD, Rig
from tests.core.streams import OVER, block, ending, error, start, stop, text, thought, tool_input

HEAD = "The quick brown fox jumps over"
TAIL = " the lazy dog and runs."
BEGUN = start(usage={"input_tokens": 10, "cache_read_input_tokens": 4}) + block(0) + text(0, HEAD)
CALL = block(1, "tool_use", id="t", name="f", input={}) + tool_input(1, '{"a": 1}')


def answer(*pieces, reason="end_turn", output=7):
    """Write an attempt of one text block, with a message of its own around it."""
    own = start(id="msg_2", model="m2", usage={"input_tokens": 99})
    return own + block(0) + text(0, *pieces) + stop(0) + ending(reason, output) + OVER


@pytest.mark.parametrize("model", [NEW, OLD])
def test_caller_sees_one_message(model):
    """The second message_start is swallowed, the block goes on, the first message's id and model stay."""
    rig = Rig(model=model)
    rig.begin(BEGUN)
    rig.lose()
    plan = rig.open()
    assert plan.strategy is (Strategy.PREFILL if model == OLD else Strategy.USER_TURN)
    rig.session.receive_response(rig.now)
    rig.read(answer(plan.anchor + TAIL))
    assert rig.text == HEAD + TAIL
    assert len(rig.message.blocks) == 1
    assert rig.message.message["id"] == "msg_1"
    assert rig.message.stop_reason == "end_turn"


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_joined_text_is_the_whole_text_wherever_it_was_cut(cut):
    """Also inside a word and beside whitespace, by words or by prefill (law L2)."""
    for model in (NEW, OLD):
        rig = Rig(model=model)
        rig.begin(start(), block(0), text(0, HEAD[:cut]))
        rig.lose()
        plan = rig.begin(start(), block(0))
        rest = HEAD[len(HEAD[:cut].rstrip()) :] + TAIL
        rig.read(text(0, *(plan.anchor + rest)), stop(0), ending())
        assert rig.text == HEAD + TAIL


def test_three_attempts_make_one_message():
    """Each seam lies where the one before left off, and each attempt has its books."""
    rig = Rig(model=OLD)
    rig.begin(BEGUN)
    rig.lose()
    rig.begin(start(id="msg_2"), block(0), text(0, " the"))
    rig.lose()
    rig.begin(answer(" lazy dog and runs.", output=5))
    assert rig.text == HEAD + TAIL
    report = rig.session.report
    assert [attempt.strategy for attempt in report.attempts] == [Strategy.ORIGINAL, Strategy.PREFILL, Strategy.PREFILL]
    assert report.seams == [Seam(2, "prefill", 30, "exact", 0), Seam(3, "prefill", 34, "exact", 0)]
    assert [attempt.failure for attempt in report.attempts] == [LOST, LOST, None]
    assert [attempt.is_estimated for attempt in report.attempts] == [True, True, False]
    assert report.saved_tokens == 8 + 9


def test_prefill_that_brought_nothing_is_no_seam():
    """A join is counted when something follows it, not when it is asked for."""
    rig = Rig(model=OLD)
    rig.begin(BEGUN)
    rig.lose()
    rig.begin(start(), block(0))
    rig.lose()
    assert (rig.session.report.seams, rig.session.report.saved_tokens) == ([], 0)
    rig.begin(answer(reason="end_turn"))
    assert [seam.attempt for seam in rig.session.report.seams] == [3]


def test_usage_is_merged():
    """Output is the sum of all attempts, lost ones estimated; input counts stay those of the first."""
    rig = Rig(model=OLD)
    rig.begin(BEGUN)
    rig.lose()
    rig.begin(start() + block(0) + text(0, TAIL) + stop(0))
    usage = {"input_tokens": 99, "cache_read_input_tokens": 0, "output_tokens": 20}
    final = rig.read(ending(output=20).replace(b'{"output_tokens":20}', str(usage).replace("'", '"').encode()))
    assert b'"output_tokens":28' in final
    assert b'"input_tokens":10' in final
    assert b'"cache_read_input_tokens":4' in final
    assert rig.session.report.attempts[1].usage["input_tokens"] == 99


@pytest.mark.parametrize("usage", [None, "input_tokens", ["input_tokens"], 3])
def test_usage_that_is_none_of_the_api_s_is_passed_over(usage):
    """Nonsense from upstream never raises (law L7)."""
    rig = Rig(model=OLD)
    rig.begin(start(usage=usage), block(0), text(0, HEAD))
    rig.lose()
    rig.begin(answer(TAIL))
    assert rig.message.stop_reason == "end_turn"


def test_thinking_that_was_cut_is_closed_without_a_signature():
    """Nothing can continue it; the restart's thinking follows, whole."""
    rig = Rig()
    rig.begin(start(), block(0, "thinking"), thought(0, "hm", signature="s"))
    rig.lose()
    plan = rig.begin(start(), block(0, "thinking"), thought(0, "well", signature="t"), stop(0), block(1), text(1, "Hi"))
    assert plan.strategy is Strategy.RESTART
    rig.read(stop(1), ending())
    first, second, said = rig.message.blocks
    assert (first.type, first.signature, first.closed) == ("thinking", "", True)
    assert (second.signature, said.text) == ("t", "Hi")


def test_call_that_was_held_is_dropped():
    """What was delivered is then exactly what can be continued."""
    rig = Rig()
    rig.begin(BEGUN, stop(0), CALL)
    rig.lose()
    assert rig.session.report.discarded == ["tool_use"]
    assert rig.open().strategy is Strategy.USER_TURN
    assert [part.type for part in rig.message.blocks] == ["text"]


def test_complete_call_is_an_ending():
    """The message ends with stop_reason tool_use, in upstream's place."""
    rig = Rig()
    rig.begin(BEGUN, stop(0), CALL, stop(1))
    rig.lose()
    assert rig.message.stop_reason == "tool_use"
    assert rig.session.report.synthesised == "tool_use"
    assert rig.ask() == Stop(None)
    assert [notice.verdict for notice in rig.session.notices] == ["finish"]


def test_torn_call_that_was_delivered_is_the_end():
    """It stays open in the partial, and no ending makes it look whole."""
    rig = Rig(hold=DEFAULT_HOLD - {"tool_use"})
    rig.begin(BEGUN, stop(0), CALL)
    rig.lose()
    assert isinstance(rig.error, NotContinuableError)
    assert (rig.error.reason, rig.error.block_type) == (Obstacle.OPEN_BLOCK, "tool_use")
    assert rig.message.open_indices == [1]


def test_live_json_is_repeated_and_skipped():
    """Structured output that flowed live goes on only behind a literal repetition of it."""
    config = {"format": {"type": "json_schema"}}
    rig = Rig(output_config=config)
    rig.begin(start(), block(0), text(0, '{"a": 1'))
    rig.lose()
    plan = rig.begin(answer('{"a"', ": 1, ", '"b": 2}'))
    assert plan.strategy is Strategy.RESTART_AND_VERIFY
    assert rig.text == '{"a": 1, "b": 2}'
    rig = Rig(output_config=config)
    rig.begin(start(), block(0), text(0, '{"a": 1'))
    rig.lose()
    rig.begin(answer('{"a": 2}'))
    assert isinstance(rig.error, NotContinuableError)
    assert rig.error.reason is Obstacle.DIVERGED


@pytest.mark.parametrize("hold", [DEFAULT_HOLD, DEFAULT_HOLD - {"text_edge"}, frozenset()])
def test_whitespace_at_the_cut_is_neither_lost_nor_doubled(hold):
    """Held or delivered live, the space between two words is there once."""
    for model in (NEW, OLD):
        rig = Rig(model=model, hold=frozenset(hold))
        rig.begin(start(), block(0), text(0, HEAD, " "))
        rig.lose()
        plan = rig.begin(start(), block(0))
        rig.read(text(0, plan.anchor + TAIL), stop(0), ending())
        assert rig.text == HEAD + TAIL


@pytest.mark.parametrize(("hold", "blocks"), [(DEFAULT_HOLD, [TAIL]), (DEFAULT_HOLD - {"text_edge"}, ["", TAIL])])
def test_a_text_block_without_text_is_delivered_only_to_who_asks_for_it(hold, blocks):
    """Cut right behind its start, a block that was held leaves nothing; one that was delivered stays, and is empty."""
    rig = Rig(hold=frozenset(hold))
    rig.begin(start(), block(0))
    rig.lose()
    rig.begin(answer(TAIL))
    assert [one.text for one in rig.message.blocks] == blocks


def test_surfaced_text_is_cut_at_the_caller_s_limit():
    """An allowance for unseen thinking must not become text beyond the limit, the error of the estimate apart."""
    rig = Rig(max_tokens=10, thinking={"type": "adaptive"})
    rig.begin(start(), block(0), text(0, HEAD))  # 8 tokens
    rig.lose()
    plan = rig.begin(start(), block(0))
    rig.read(text(0, plan.anchor, " the", " lazy", " dog", " and runs."))
    assert rig.text == HEAD + " the lazy dog"
    assert (rig.message.stop_reason, rig.session.report.synthesised) == ("max_tokens", "max_tokens")
    assert rig.ask() == Stop(None)


def test_limit_is_kept_after_a_block_too():
    """Where no words are repeated, what surfaces is counted from the first one on."""
    result = block(0, "web_search_tool_result", tool_use_id="s", content=[]) + stop(0)
    rig = Rig(max_tokens=2, thinking={"type": "adaptive"})
    rig.begin(start(), result)
    rig.lose()
    rig.begin(start(), block(0), text(0, "So it goes on", " and on"))
    assert (rig.text, rig.message.stop_reason) == ("So it goes on", "max_tokens")


@pytest.mark.parametrize("stops", [["over the hill"], ["over the hill", 7], "over the hill", None])
def test_stop_sequence_split_by_the_seam(stops):
    """The message ends before the rest of it, and says which sequence it was."""
    rig = Rig(model=OLD, stop_sequences=stops)
    rig.begin(start(), block(0), text(0, HEAD))
    rig.lose()
    rig.begin(start(), block(0), text(0, " the hill", " and on"))
    if isinstance(stops, list):
        assert (rig.message.stop_reason, rig.message.ending["stop_sequence"]) == ("stop_sequence", "over the hill")
    else:
        assert rig.text == HEAD + " the hill and on"


def test_limit_in_a_last_frame_without_its_blank_line():
    """The end of the body brings the limit to light, and nothing fails after it."""
    rig = Rig(model=OLD, stop_sequences=["over!"])
    rig.begin(start(), block(0), text(0, HEAD))
    rig.lose()
    rig.begin(start(), block(0), text(0, "!").removesuffix(b"\n\n"))
    rig.end()
    assert rig.message.stop_reason == "stop_sequence"
    assert rig.ask() == Stop(None)


def test_used_up_limit_ends_the_message():
    """Where nothing remains beyond doubt, no request is sent."""
    rig = Rig(max_tokens=5)
    rig.begin(start(), block(0), text(0, "x" * 400))
    rig.lose()
    assert (rig.message.stop_reason, rig.session.report.synthesised) == ("max_tokens", "max_tokens")


@pytest.mark.parametrize("reason", ["end_turn", "refusal", "max_tokens"])
def test_second_miss_is_raised_with_the_partial(reason):
    """Nothing that did not join is delivered, and a refusal of the instruction is no answer to the caller."""
    rig = Rig()
    rig.begin(BEGUN)
    rig.lose()
    for _ in range(2):
        rig.begin(answer("I can't help with that.", reason=reason))
    assert isinstance(rig.error, SeamError)
    assert isinstance(rig.error.last, SeamMissedError)
    assert rig.error.attempts == len(rig.session.report.attempts) == 3
    assert rig.error.partial is not None
    assert rig.error.partial["content"] == [{"type": "text", "text": HEAD}]
    assert rig.message.stop_reason is None


def test_second_miss_may_be_joined():
    """Where the policy says so; the report says that nobody verified it."""
    rig = Rig(on_uncertain="join")
    rig.begin(BEGUN)
    rig.lose()
    rig.begin(answer("Once upon a time."))
    rig.begin(answer(" the lazy dog."))
    assert rig.text == HEAD + " the lazy dog."
    assert [seam.quality for seam in rig.session.report.seams] == ["unverified"]


@pytest.mark.parametrize(("was_stopped", "attempts"), [(True, 2), (False, 3)])
def test_bare_anchor_says_that_the_text_was_complete(was_stopped, attempts):
    """At once where the text's own stop had come, otherwise when it is said twice."""
    rig = Rig()
    rig.begin(BEGUN, stop(0) if was_stopped else b"")
    rig.lose()
    for _ in range(attempts - 1):
        plan = rig.begin()
        rig.read(answer(plan.anchor))
    assert (rig.text, rig.message.stop_reason) == (HEAD, "end_turn")
    assert len(rig.session.report.attempts) == attempts


def test_stop_that_came_is_remembered_while_nothing_is_added():
    """An attempt that brought nothing leaves the text where it was; one that did makes it another text."""
    rig = Rig()
    rig.begin(BEGUN, stop(0))
    rig.lose()
    rig.begin()
    rig.lose()
    plan = rig.begin()
    rig.read(answer(plan.anchor))
    assert rig.message.stop_reason == "end_turn"
    rig = Rig()
    rig.begin(BEGUN, stop(0))
    rig.lose()
    plan = rig.begin(start(), block(0))
    rig.lose(text(0, plan.anchor + TAIL))
    plan = rig.begin()
    rig.read(answer(plan.anchor))
    assert rig.message.stop_reason is None


def test_refused_prefill_is_learned_for_all():
    """The next strategy is tried at once, and another session does not ask again."""
    memory = Memory()
    rig = Rig(model=OLD, memory=memory)
    rig.begin(BEGUN)
    rig.lose()
    rig.open()
    rig.lose(failure=UpstreamStatusError(400, "invalid_request_error", is_prefill_refusal=True))
    plan = rig.begin()
    assert plan.strategy is Strategy.USER_TURN
    other = Rig(model=OLD, memory=memory)
    other.begin(BEGUN)
    other.lose()
    assert other.open().strategy is Strategy.USER_TURN


def test_each_decision_is_told_once():
    """Attempt, failure, verdict, strategy and delay, and nothing of what was said."""
    rig = Rig(max_attempts=3)
    rig.begin(start())
    rig.lose()
    rig.begin(start(), block(0), text(0, HEAD), error())
    overloaded = rig.session.report.attempts[1].failure
    rig.open()
    rig.lose()
    assert overloaded is not None
    assert rig.session.notices == [
        Notice("s1", 1, LOST, "retry", Strategy.RESTART, 0.0),
        Notice("s1", 2, overloaded, "continue", Strategy.USER_TURN, 45.0),
        Notice("s1", 3, LOST, "give_up", None, 0.0),
    ]
    assert [attempt.delay for attempt in rig.session.report.attempts] == [0.0, 45.0, 0.0]
    assert HEAD not in repr(rig.session.notices)
    assert isinstance(rig.error, RetriesExhaustedError)
    assert (rig.error.limit, rig.error.last, rig.error.attempts) == (Exhausted.ATTEMPTS, LOST, 3)
    assert (rig.error.session_id, rig.error.partial) == ("s1", rig.message.partial())


def test_connection_that_was_never_made_leaves_no_message_in_the_books():
    """An attempt without a response has a failure and an end, and used nothing."""
    rig = Rig()
    rig.open()
    rig.lose(after=2.0)
    [attempt] = rig.session.report.attempts
    assert (attempt.ended_at, attempt.failure, attempt.message_id, attempt.output_tokens) == (1002.0, LOST, None, 0)
    assert not rig.session.has_delivered
    rig.begin(BEGUN)
    assert rig.message.message["id"] == "msg_1"
