"""Which failure is which row, and what the history and the limits make of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.errors import (
    AttemptError,
    ConnectError,
    Exhausted,
    RemoteProtocolError,
    SeamMissedError,
    StreamInterruptedError,
    StreamStalledError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.retry import (
    Again,
    GiveUp,
    History,
    Row,
    decide,
    is_body_refusal,
    is_credential_refusal,
    row_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_LIMITED, OVERLOADED, RECONNECT, SERVER, TERMINAL = Row

Status, Event = UpstreamStatusError, UpstreamEventError


@dataclass(frozen=True)
class FakeLimits:
    """Limits by value, whose wait grows with the failures in a row so that a test sees which number was asked for."""

    max_attempts: int = 10
    max_attempts_without_progress: int = 5
    max_wait: float = 300.0
    retry_after_cap: float = 120.0
    total_timeout: float | None = None
    base: float = 1.0

    def wait(self, row: Row, n: int, failure: AttemptError, chance: Callable[[], float]) -> float:
        """Wait `n` seconds (times base) and up to one more by chance."""
        assert row is row_of(failure)
        return self.base * n + chance()


def never() -> float:
    """Chance that always draws the least."""
    return 0.0


def decisions(failures: list[AttemptError], limits: FakeLimits | None = None) -> list[Again | GiveUp]:
    """Decide on a row of failures without progress in between, on a clock that stands still."""
    history = History(started_at=0.0)
    return [decide(failure, history, limits or FakeLimits(), never, 0.0) for failure in failures]


STATUSES = {
    **dict.fromkeys((400, 401, 402, 403, 404, 405, 410, 412, 413, 418, 422, 424, 431, 499), TERMINAL),
    **dict.fromkeys((500, 501, 502, 503, 504, 507, 520, 522, 524, 599), SERVER),
    **dict.fromkeys((100, 200, 301, 304), TERMINAL),
    408: RECONNECT,
    409: SERVER,
    429: RATE_LIMITED,
    529: OVERLOADED,
}

TYPES = {
    "rate_limit_error": RATE_LIMITED,
    "overloaded_error": OVERLOADED,
    "api_error": SERVER,
    "timeout_error": SERVER,
    "conflict_error": SERVER,
    "invalid_request_error": TERMINAL,
    "authentication_error": TERMINAL,
    "billing_error": TERMINAL,
    "permission_error": TERMINAL,
    "not_found_error": TERMINAL,
    "request_too_large": TERMINAL,
    "memory_precondition_failed_error": TERMINAL,
    "memory_path_conflict_error": TERMINAL,
    "throttlingException": RATE_LIMITED,
    "ThrottlingException": RATE_LIMITED,
    "modelNotReadyException": RATE_LIMITED,
    "internalServerException": SERVER,
    "serviceUnavailableException": SERVER,
    "modelStreamErrorException": SERVER,
    "modelErrorException": SERVER,
    "modelTimeoutException": RECONNECT,
    "validationException": TERMINAL,
    "accessDeniedException": TERMINAL,
    "resourceNotFoundException": TERMINAL,
    "serviceQuotaExceededException": TERMINAL,
}

TERMINAL_CODES = (
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "linked_organization_billing_unavailable",
    "linked_organization_spend_limit_reached",
    "organization_on_hold",
)

FAILURES = [
    # terminal codes, before everything else
    *((Status(429, "rate_limit_error", code), TERMINAL) for code in TERMINAL_CODES),
    *((Status(529, "overloaded_error", code, 1.0, should_retry=True), TERMINAL) for code in TERMINAL_CODES),
    *((Event("rate_limit_error", code), TERMINAL) for code in TERMINAL_CODES),
    # other codes go by type and status
    (Status(429, "rate_limit_error", "ramp_limit_exceeded"), RATE_LIMITED),
    (Status(503, "api_error", "cmek_key_unreachable"), SERVER),
    (Status(503, None, "cmek_context_unavailable"), SERVER),
    (Status(529, "overloaded_error", "compaction_unavailable"), OVERLOADED),
    (Status(400, "invalid_request_error", "thread_continue_in_flight"), TERMINAL),
    (Status(400, "invalid_request_error", "request_body_timeout"), TERMINAL),
    (Status(404, "not_found_error", "thread_not_found"), TERMINAL),
    (Event("overloaded_error", "compaction_unavailable"), OVERLOADED),
    # x-should-retry, before type and status
    (Status(529, "overloaded_error", should_retry=False), TERMINAL),
    (Status(429, should_retry=False), TERMINAL),
    (Status(400, "invalid_request_error", should_retry=True), SERVER),
    (Status(418, should_retry=True), SERVER),
    (Status(401, should_retry=True), SERVER),
    (Status(429, should_retry=True), RATE_LIMITED),
    (Status(529, should_retry=True), OVERLOADED),
    (Status(408, should_retry=True), RECONNECT),
    # type before status
    (Status(429, "overloaded_error"), OVERLOADED),
    (Status(500, "rate_limit_error"), RATE_LIMITED),
    (Status(500, "invalid_request_error"), TERMINAL),
    (Status(400, "throttlingException"), RATE_LIMITED),
    # a type nobody knows: the status decides; under HTTP 200 it is the server's
    (Status(529, "a_type_of_tomorrow"), OVERLOADED),
    (Status(400, "a_type_of_tomorrow"), TERMINAL),
    (Status(500, ""), SERVER),
    (Event("a_type_of_tomorrow"), SERVER),
    (Event(""), SERVER),
    (Event(None), SERVER),
    # lost connections
    (ConnectError("ConnectError"), RECONNECT),
    (ConnectError("ConnectTimeout", is_timeout=True), RECONNECT),
    (ConnectError("ConnectError", is_certificate=True), TERMINAL),
    (StreamInterruptedError("EOF"), RECONNECT),
    (StreamInterruptedError("ReadError", 5), RECONNECT),
    *((StreamStalledError(watchdog, 1.0), RECONNECT) for watchdog in ("bytes", "progress", "first_event")),
    (RemoteProtocolError("no event stream"), RECONNECT),
    (SeamMissedError("diverged"), RECONNECT),
    (AttemptError(), RECONNECT),
]


@pytest.mark.parametrize(("status", "row"), STATUSES.items())
def test_a_status_without_a_body_decides_alone(status: int, row: Row):
    """The row of every HTTP status that comes without `error.type`."""
    assert row_of(Status(status)) is row


@pytest.mark.parametrize(("error_type", "row"), TYPES.items())
def test_an_error_type_has_one_row_wherever_it_stands(error_type: str, row: Row):
    """The same in an event under HTTP 200, in a response's body, and in any case of letters."""
    assert row_of(Event(error_type)) is row
    assert row_of(Status(418, error_type)) is row
    assert row_of(Event(error_type.upper())) is row


@pytest.mark.parametrize(("failure", "row"), FAILURES, ids=repr)
def test_the_first_of_code_header_type_and_status_decides(failure: AttemptError, row: Row):
    """Each failure has its row, in the order: terminal code, `x-should-retry`, type, status."""
    assert row_of(failure) is row


def test_the_wait_grows_by_row_and_not_by_what_else_failed():
    """Each row counts its own failures since the last progress, also when two take turns."""
    lost, down = StreamInterruptedError("EOF"), Status(503)
    assert decisions([lost, down, lost, down]) == [Again(1.0), Again(1.0), Again(2.0), Again(2.0)]


def test_five_attempts_in_a_row_without_progress_are_the_end():
    """The fifth failure in a row gives up, and says which limit it was."""
    *before, last = decisions([Status(500)] * 5)
    assert before == [Again(1.0), Again(2.0), Again(3.0), Again(4.0)]
    assert last == GiveUp(Exhausted.NO_PROGRESS)


def test_progress_refills_the_budget_in_a_row_and_nothing_else():
    """With progress in every attempt the waits start afresh, and the tenth failure still ends it."""
    history = History(started_at=0.0)
    verdicts = []
    for _ in range(10):
        history.progress()
        verdicts.append(decide(Status(500), history, FakeLimits(), never, 0.0))
    assert verdicts == [*[Again(1.0)] * 9, GiveUp(Exhausted.ATTEMPTS)]
    assert history.waited == 9.0


def test_progress_counts_for_its_own_attempt_only():
    """An attempt that made progress is none without; the next one, if it makes none, is the first."""
    history, limits = History(started_at=0.0), FakeLimits(max_attempts_without_progress=2)
    decide(Status(500), history, limits, never, 0.0)
    history.progress()
    assert decide(Status(500), history, limits, never, 0.0) == Again(1.0)
    assert history.attempts_without_progress == 0
    assert decide(Status(500), history, limits, never, 0.0) == Again(2.0)
    assert decide(Status(500), history, limits, never, 0.0) == GiveUp(Exhausted.NO_PROGRESS)


def test_two_histories_share_nothing():
    """A session's history is its own."""
    history = History(started_at=0.0)
    decide(Status(500), history, FakeLimits(), never, 0.0)
    assert History(started_at=0.0) == History(0.0, 0, 0, False, {}, 0.0)  # noqa: FBT003  # Reason: the fields in order


@pytest.mark.parametrize(
    "failure", [Status(401), Status(429, None, "enforced_spend_limit_reached"), Event("billing_error")]
)
def test_what_never_heals_ends_at_once(failure: AttemptError):
    """The first terminal failure is the last attempt."""
    assert decisions([failure]) == [GiveUp(Exhausted.TERMINAL)]


def test_retry_after_wins_over_our_own_wait_and_is_counted():
    """What upstream asks for is waited for exactly, on any row."""
    history = History(started_at=0.0)
    for seconds, status in ((7.5, 429), (0.25, 529), (120.0, 503)):
        assert decide(Status(status, None, None, seconds), history, FakeLimits(), never, 0.0) == Again(seconds)
    assert history.waited == 127.75


def test_a_retry_after_beyond_the_cap_ends_it_and_says_when_to_come_back():
    """Hours are not waited for; they are reported."""
    assert decisions([Status(429, None, None, 120.5)]) == [GiveUp(Exhausted.RETRY_AFTER, 120.5)]
    assert decisions([Status(429, None, None, math.inf)]) == [GiveUp(Exhausted.RETRY_AFTER, math.inf)]


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan])
def test_a_retry_after_that_says_nothing_is_passed_over(nothing: float):
    """Zero, the past and no number leave our own wait in force."""
    assert decisions([Status(429, None, None, nothing)]) == [Again(1.0)]


@pytest.mark.parametrize(
    ("failure", "limits", "limit"),
    [
        (Status(401, None, None, 9.0), FakeLimits(), Exhausted.TERMINAL),
        (Status(429, None, None, 9.0, should_retry=False), FakeLimits(), Exhausted.TERMINAL),
        (Status(429, None, None, 9.0), FakeLimits(max_attempts=1), Exhausted.ATTEMPTS),
        (Status(429, None, None, 9.0), FakeLimits(max_attempts_without_progress=1), Exhausted.NO_PROGRESS),
        (Status(429, None, None, 9.0), FakeLimits(max_wait=8.9), Exhausted.WAITING),
        (Status(429, None, None, 9.0), FakeLimits(total_timeout=9.0), Exhausted.TOTAL),
    ],
)
def test_every_way_of_giving_up_says_when_to_come_back(failure: AttemptError, limits: FakeLimits, limit: Exhausted):
    """Whichever limit it was, a `retry-after` reaches the caller."""
    assert decisions([failure], limits) == [GiveUp(limit, 9.0)]


def test_a_wait_beyond_the_budget_is_not_begun_nor_shortened():
    """The budget may be used up to the last second, and not one more."""
    assert decisions([Status(500)] * 3, FakeLimits(max_wait=3.0)) == [Again(1.0), Again(2.0), GiveUp(Exhausted.WAITING)]
    assert decisions([Status(500)] * 2, FakeLimits(max_wait=2.9)) == [Again(1.0), GiveUp(Exhausted.WAITING)]


@pytest.mark.parametrize(
    ("base", "verdict"),
    [(-5.0, Again(0.0)), (math.nan, GiveUp(Exhausted.WAITING)), (math.inf, GiveUp(Exhausted.WAITING))],
)
def test_a_wait_that_is_no_duration_does_no_harm(base: float, verdict: Again | GiveUp):
    """Negative is at once; what is no number, or never over, is beyond the budget."""
    assert decisions([Status(500)], FakeLimits(base=base)) == [verdict]


@pytest.mark.parametrize(
    ("now", "verdict"),
    [(100.0, Again(1.0)), (108.5, Again(1.0)), (109.0, GiveUp(Exhausted.TOTAL)), (200.0, GiveUp(Exhausted.TOTAL))],
)
def test_an_attempt_that_could_not_begin_in_time_is_not_waited_for(now: float, verdict: Again | GiveUp):
    """The total deadline counts from the session's start and includes the wait that is considered."""
    assert decide(Status(500), History(started_at=100.0), FakeLimits(total_timeout=10.0), never, now) == verdict


def test_the_total_watchdog_ends_the_session_whatever_the_clock_says():
    """A stall against the total deadline is never waited on, not even for a rounding error."""
    assert decisions([StreamStalledError("total", 10.0)], FakeLimits(total_timeout=11.0)) == [GiveUp(Exhausted.TOTAL)]
    assert decisions([StreamStalledError("progress", 10.0)], FakeLimits(total_timeout=11.0)) == [Again(1.0)]


# ------------------------------------------------------------------------------------------ generated

numbers = st.none() | st.floats()
texts = st.none() | st.text(max_size=8) | st.sampled_from([*TYPES, *TERMINAL_CODES, "ramp_limit_exceeded"])
anything = st.one_of(
    st.builds(Status, st.integers(), texts, texts, numbers, st.none() | st.booleans(), st.booleans()),
    st.builds(Event, texts, texts, st.binary(max_size=8)),
    st.builds(ConnectError, st.text(max_size=8), st.booleans(), st.booleans()),
    st.builds(StreamInterruptedError, st.text(max_size=8), st.integers(0)),
    st.builds(StreamStalledError, st.sampled_from(["bytes", "progress", "first_event", "total"]), st.floats(0)),
    st.builds(RemoteProtocolError, st.text(max_size=8)),
    st.builds(SeamMissedError, st.text(max_size=8)),
)
chances = st.floats(0, 1, exclude_max=True)
limits_of_any_size = st.builds(
    FakeLimits,
    max_attempts=st.integers(1, 20),
    max_attempts_without_progress=st.integers(1, 20),
    max_wait=st.floats(0.001, 1e4),
    retry_after_cap=st.floats(0.001, 1e4),
    total_timeout=st.none() | st.floats(0.001, 1e4),
    base=st.floats(0, 1e3),
)
steps = st.lists(st.tuples(anything, st.booleans(), chances, st.floats(0, 1e3)), min_size=1, max_size=30)


def play(script: list[tuple[AttemptError, bool, float, float]], limits: FakeLimits) -> list[Again | GiveUp]:
    """Decide on one failure after the other, as a session would, until the first that gives up."""
    history, now, verdicts = History(started_at=0.0), 0.0, list[Again | GiveUp]()
    for failure, has_progress, drawn, elapsed in script:
        if has_progress:
            history.progress()
        now += elapsed
        verdict = decide(failure, history, limits, repeat(drawn).__next__, now)
        verdicts.append(verdict)
        if isinstance(verdict, GiveUp):
            break
        now += verdict.delay
        assert limits.total_timeout is None or now < limits.total_timeout
    assert history.attempts == len(verdicts)
    assert history.waited == total_delay(verdicts)
    return verdicts


def total_delay(verdicts: list[Again | GiveUp]) -> float:
    """Add up in order; `sum` rounds differently from Python 3.12 on."""
    delays = [verdict.delay for verdict in verdicts if isinstance(verdict, Again)]
    return list(accumulate(delays, initial=0.0))[-1]


@given(script=steps, limits=limits_of_any_size)
def test_no_budget_is_ever_exceeded(script: list[tuple[AttemptError, bool, float, float]], limits: FakeLimits):
    """L4: whatever fails and however, the attempts and the waiting stay within the limits, and the session ends."""
    verdicts = play(script, limits)
    assert len(verdicts) <= limits.max_attempts
    assert total_delay(verdicts) <= limits.max_wait
    assert all(0 <= verdict.delay < math.inf for verdict in verdicts if isinstance(verdict, Again))


@given(script=steps, limits=limits_of_any_size)
def test_the_same_chance_gives_the_same_verdicts(
    script: list[tuple[AttemptError, bool, float, float]], limits: FakeLimits
):
    """L8: nothing but the arguments decides."""
    assert play(script, limits) == play(script, limits)


@given(failure=anything)
def test_every_failure_has_a_row(failure: AttemptError):
    """L7: whatever upstream wrote into its error, classifying it raises nothing."""
    assert row_of(failure) in Row
    assert is_body_refusal(failure) in {True, False}
    assert is_credential_refusal(failure) in {True, False}
