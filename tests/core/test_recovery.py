"""What comes after a failure: which attempt, which ending, or which error."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Memory, Plan, Strategy
from resumable._core.errors import (
    ConnectError,
    Exhausted,
    NotContinuableError,
    Obstacle,
    RetriesExhaustedError,
    SeamError,
    SeamMissedError,
    StreamInterruptedError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.recovery import Finish, Next, Recovery, own_words
from resumable._policy import RetryPolicy
from tests.core.rig import ASK, LOST, NEW, OLD
from tests.core.streams import block, start, stop, text, thought, tool_input, transcript_of

TEXT = start() + block(0) + text(0, "The quick brown fox jumps over")
CALL = TEXT + stop(0) + block(1, "tool_use", id="t", name="f", input={})
RESULT = start() + block(0, "web_search_tool_result", tool_use_id="s", content=[]) + stop(0)
JSON = {"output_config": {"format": {"type": "json_schema"}}}
REFUSED = UpstreamStatusError(400, "invalid_request_error")
NO_PREFILL = UpstreamStatusError(400, "invalid_request_error", is_prefill_refusal=True)
MISSED = SeamMissedError("no_anchor")


class Desk:
    """One recovery, asked about one failure after the other."""

    def __init__(self, written=TEXT, *, model=NEW, memory=None, **fields):
        policy = {name: fields.pop(name) for name in list(fields) if name in RetryPolicy.__dataclass_fields__}
        self.body = {"model": model, "max_tokens": 8000, "messages": [ASK]} | fields
        self.memory = memory or Memory()
        self.recovery = Recovery(self.body, RetryPolicy(**policy), self.memory, lambda: 0.5, 0.0)
        self.transcript = transcript_of(written)
        self.tried = Plan(Strategy.ORIGINAL, self.body)

    def ask(self, failure=LOST, now=0.0):
        """Let what was planned fail, and remember what is planned next."""
        outcome = self.recovery.next(failure, self.tried, self.transcript, now)
        if isinstance(outcome, Next):
            self.tried = outcome.plan
        return outcome


def strategy_of(outcome):
    """Name the strategy of the next attempt."""
    assert isinstance(outcome, Next)
    return outcome.plan.strategy.value


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ("restart", {"written": start()}),
        ("restart", {"written": start() + block(0, "thinking") + thought(0) + stop(0)}),
        ("user_turn", {}),
        ("prefill", {"model": OLD}),
        ("user_turn", {"model": OLD, "strategies": ("user_turn",)}),
        ("user_turn", {"written": RESULT, "model": OLD}),
        ("restart_and_verify", JSON),
    ],
)
def test_strategy_fits_what_was_delivered(expected, fields):
    """The first strategy that model, request and policy allow, as soon as a lost connection may be tried again."""
    outcome = Desk(**fields).ask()
    assert strategy_of(outcome) == expected
    assert outcome.delay == 0.0


def test_anchor_is_the_end_of_what_was_delivered():
    """The instruction quotes the last words, in the policy's own words if it has some."""
    outcome = Desk(instruction="Go on: {anchor}").ask()
    assert TEXT.decode().count(outcome.plan.anchor) == 1
    assert outcome.plan.body["messages"][-1]["content"][0]["text"] == f"Go on: {outcome.plan.anchor}"
    assert Desk(RESULT).ask().plan.anchor == ""


def test_failure_is_waited_for():
    """The delay is the policy's."""
    assert Desk().ask(UpstreamStatusError(429)).delay == 5.0
    assert Desk().ask(UpstreamEventError("overloaded_error")).delay == 45.0


@pytest.mark.parametrize("failure", [LOST, REFUSED, UpstreamStatusError(401), UpstreamEventError("overloaded_error")])
def test_complete_call_ends_the_message_whatever_failed(failure):
    """The caller has something to do; asking to go on would be refused."""
    assert Desk(CALL + stop(1)).ask(failure) == Finish("tool_use")


@pytest.mark.parametrize(
    ("written", "reason", "kind"),
    [
        (CALL + tool_input(1, '{"a'), Obstacle.OPEN_BLOCK, "tool_use"),
        (TEXT + stop(0) + block(1, "server_tool_use", id="s") + stop(1), Obstacle.OPEN_BLOCK, "server_tool_use"),
        (TEXT + stop(0) + block(1, "hologram"), Obstacle.UNKNOWN_BLOCK, "hologram"),
    ],
)
def test_unfinished_block_that_was_delivered_is_the_end(written, reason, kind):
    """Nothing can go on inside a call or a block nobody knows."""
    error = Desk(written).ask()
    assert isinstance(error, NotContinuableError)
    assert (error.reason, error.block_type, error.attempts, error.last) == (reason, kind, 1, LOST)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        (Obstacle.THREAD, {"thread": {"type": "continue", "previous_message_id": "m"}}),
        (Obstacle.CREDIT, {"fallback_credit_token": "c"}),
        (Obstacle.STRATEGIES, {"strategies": ("restart",)}),
        (Obstacle.STRATEGIES, JSON | {"strategies": ("user_turn",)}),
    ],
)
def test_request_or_policy_may_stand_in_the_way(reason, fields):
    """The error says which, and after which failure."""
    error = Desk(**fields).ask()
    assert isinstance(error, NotContinuableError)
    assert (error.reason, error.block_type, error.last) == (reason, None, LOST)


def test_request_bound_byte_for_byte_may_still_be_restarted():
    """The very same body is sent again as long as nothing was delivered."""
    desk = Desk(start(), fallback_credit_token="c")
    assert desk.ask().plan.body is desk.body


def test_policy_without_a_restart_gives_up_before_anything_was_delivered():
    """What a policy rules out is not done."""
    assert Desk(start(), strategies=("user_turn",)).ask().reason is Obstacle.STRATEGIES


def test_used_up_tokens_end_the_message():
    """Where the caller's limit was reached beyond doubt, the message ends as upstream would have ended it."""
    assert Desk(start() + block(0) + text(0, "x" * 4000), max_tokens=600).ask() == Finish("max_tokens")


@pytest.mark.parametrize("failure", [REFUSED, NO_PREFILL, UpstreamStatusError(413), UpstreamStatusError(422)])
def test_refused_body_of_ours_makes_way_for_the_next_strategy_at_once(failure):
    """The caller did not write that body; whatever upstream has against it, there is another form."""
    desk = Desk(model=OLD)
    assert strategy_of(desk.ask()) == "prefill"
    outcome = desk.ask(failure)
    assert strategy_of(outcome) == "user_turn"
    assert outcome.delay == 0.0
    assert strategy_of(desk.ask()) == "user_turn"  # and it stays with that


def test_refusal_inside_a_stream_counts_too():
    """An error event under HTTP 200 says the same."""
    desk = Desk(model=OLD)
    desk.ask()
    assert strategy_of(desk.ask(UpstreamEventError("invalid_request_error"))) == "user_turn"


@pytest.mark.parametrize(("failure", "learned"), [(NO_PREFILL, True), (REFUSED, False)])
def test_only_a_refused_prefill_is_learned(failure, learned):
    """Other refusals are about this request, and say nothing about the model."""
    desk = Desk(model=OLD)
    desk.ask()
    desk.ask(failure)
    assert desk.memory.takes_prefill(OLD, 0.0) is not learned
    assert strategy_of(Desk(model=OLD, memory=desk.memory).ask()) == ("user_turn" if learned else "prefill")


@pytest.mark.parametrize("fields", [{}, {"model": OLD}, {"model": OLD, "strategies": ("prefill",)}])
def test_last_refusal_ends_it_with_the_first_failure(fields):
    """Nobody hears of an error about a body they did not write."""
    desk = Desk(**fields)
    desk.ask()
    outcome = desk.ask(NO_PREFILL)
    if isinstance(outcome, Next):
        outcome = desk.ask(REFUSED)
    assert isinstance(outcome, NotContinuableError)
    assert (outcome.reason, outcome.last) == (Obstacle.REFUSED, LOST)
    assert outcome.attempts == desk.recovery.history.attempts


def test_refusal_of_the_caller_s_own_body_is_theirs():
    """A restart that is refused ends the session with that refusal."""
    desk = Desk(start())
    assert strategy_of(desk.ask()) == "restart"
    error = desk.ask(REFUSED)
    assert isinstance(error, RetriesExhaustedError)
    assert (error.limit, error.last, error.attempts) == (Exhausted.TERMINAL, REFUSED, 2)


def test_missed_seam_is_asked_for_once_more_then_raised():
    """Without certainty nothing is joined; the caller decides what to do with the partial."""
    desk = Desk()
    desk.ask()
    assert strategy_of(desk.ask(MISSED)) == "user_turn"
    error = desk.ask(MISSED)
    assert isinstance(error, SeamError)
    assert (error.attempts, error.last) == (3, MISSED)


def test_missed_seam_is_remembered_over_a_lost_connection():
    """What failed in between does not make a second miss the first."""
    desk = Desk()
    desk.ask()
    desk.ask(MISSED)
    assert strategy_of(desk.ask()) == "user_turn"
    assert isinstance(desk.ask(MISSED), SeamError)


def test_new_seam_has_its_own_misses():
    """A continuation that joined starts afresh."""
    desk = Desk()
    desk.ask()
    desk.ask(MISSED)
    desk.recovery.join()
    assert strategy_of(desk.ask(MISSED)) == "user_turn"


@pytest.mark.parametrize(
    ("policy", "misses", "was_stopped", "surfaced", "accepted"),
    [
        ("raise", [], False, 9, set()),
        ("join", [], False, 9, set()),
        ("raise", [], True, 9, {"ended"}),
        ("raise", ["no_anchor"], False, 9, set()),
        ("join", ["no_anchor"], False, 9, {"anything"}),
        ("raise", ["anchor_only"], False, 9, {"ended"}),
        ("join", ["anchor_only"], False, 9, {"ended", "anything"}),
        ("raise", [], False, 5925, set()),
        ("raise", [], False, 5926, {"spent"}),  # 35 % more would be the caller's 8000
    ],
)
def test_what_an_answer_may_be(policy, misses, was_stopped, surfaced, accepted):
    """Twice a bare anchor is an ending; a limit is spent within its error; the policy may join anything at last."""
    desk = Desk(on_uncertain=policy)
    for reason in misses:
        desk.ask(SeamMissedError(reason))
    assert desk.recovery._accepted(surfaced, was_stopped=was_stopped) == accepted


@pytest.mark.parametrize("limit", [None, "8000"])
def test_limit_that_is_none_is_never_spent(limit):
    """What upstream will not take is upstream's to judge."""
    assert Desk(max_tokens=limit).recovery._accepted(10**6, was_stopped=False) == set()


def test_repeated_answer_that_differs_is_the_end():
    """JSON is not asked for a third time: another answer will differ as well."""
    desk = Desk(**JSON)
    desk.ask()
    error = desk.ask(SeamMissedError("diverged"))
    assert isinstance(error, NotContinuableError)
    assert (error.reason, error.attempts, error.last) == (Obstacle.DIVERGED, 2, LOST)


@pytest.mark.parametrize("failure", [MISSED, REFUSED])
@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"max_attempts": 2}, Exhausted.ATTEMPTS),
        ({"max_attempts_without_progress": 2}, Exhausted.NO_PROGRESS),
        ({"total_timeout": 60.0}, Exhausted.TOTAL),
    ],
)
def test_attempts_made_at_once_are_within_the_limits(failure, limits, limit):
    """A limit that is reached ends the session with the failure that began it."""
    desk = Desk(model=OLD, **limits)
    desk.ask()
    error = desk.ask(failure, now=60.0)
    assert isinstance(error, RetriesExhaustedError)
    assert (error.limit, error.last, error.attempts) == (limit, LOST, 2)


def test_spent_budget_says_when_to_come_back():
    """Limit, last failure and upstream's own time are facts of the error."""
    hours = UpstreamStatusError(429, "rate_limit_error", retry_after=3600.0)
    error = Desk().ask(hours)
    assert isinstance(error, RetriesExhaustedError)
    assert (error.limit, error.retry_after, error.last) == (Exhausted.RETRY_AFTER, 3600.0, hours)


def test_first_failure_is_kept():
    """It is what the caller hears when all else was about our own requests."""
    desk = Desk()
    first = StreamInterruptedError("EOF")
    desk.ask(first)
    desk.ask(LOST)
    assert desk.recovery.first_failure is first


CONTINUE = {"thread": {"type": "continue", "previous_message_id": "m"}}
WHOLE = {"model": NEW, "max_tokens": 8000, "messages": [ASK, ASK], "thread": {"type": "create"}}
REFUSALS = [UpstreamStatusError(529, "overloaded_error"), ConnectError("ConnectError")]


def threaded(written):
    """Make a desk whose request continues a conversation that is known."""
    desk = Desk(written, **CONTINUE)
    desk.recovery = Recovery(desk.body, RetryPolicy(), desk.memory, lambda: 0.5, 0.0, lambda: WHOLE)
    return desk


@pytest.mark.parametrize("refusal", REFUSALS, ids=["status", "connect"])
def test_a_continue_is_sent_again_until_a_stream_of_it_broke(refusal):
    """Before a stream upstream holds nothing of a reply; from then on nobody knows, so all of it is told."""
    desk = threaded(start())
    assert desk.ask(refusal).plan.body is desk.body
    assert desk.ask(LOST).plan.body is WHOLE
    assert desk.ask(refusal).plan.body is WHOLE


def test_a_continue_that_broke_in_its_text_goes_on_with_the_whole_conversation():
    """The transcript is added to all that was said before."""
    plan = threaded(TEXT).ask().plan
    assert plan.strategy is Strategy.USER_TURN
    assert plan.body["messages"][:2] == WHOLE["messages"]
    assert plan.body["thread"] == {"type": "create"}


def test_a_continue_of_something_unknown_is_lost_when_its_stream_breaks():
    """With nothing delivered the error says so, and who asked can tell all of it; thinking alone is asked for again."""
    desk = Desk(start(), **CONTINUE)
    assert desk.ask(REFUSALS[0]).plan.strategy is Strategy.RESTART
    lost = desk.ask()
    assert isinstance(lost, NotContinuableError)
    assert lost.reason is Obstacle.THREAD
    assert Desk(start() + block(0, "thinking"), **CONTINUE).ask().plan.strategy is Strategy.RESTART


def test_upstream_says_itself_why_it_is_over_but_for_a_lost_thread():
    """Its own event is what a caller gets who received nothing; where he may tell all of it again, he hears that."""
    failure = UpstreamEventError("overloaded_error", None, b"event: error\n\n")
    over = RetriesExhaustedError(5, failure, limit=Exhausted.NO_PROGRESS)
    assert own_words(failure, over) == failure.frame
    assert own_words(LOST, over) == b""
    assert own_words(failure, NotContinuableError(1, failure, reason=Obstacle.REFUSED)) == failure.frame
    assert own_words(failure, NotContinuableError(1, failure, reason=Obstacle.THREAD)) == b""
