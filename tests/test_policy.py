"""What the policy's defaults are, how tenacity's strategies work inside it, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import math
import pickle
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st
from tenacity.wait import wait_base

from resumable._core.errors import (
    ConfigurationError,
    Exhausted,
    StreamInterruptedError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.retry import Again, GiveUp, History, Row, decide
from resumable._policy import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.errors import AttemptError

LOST = StreamInterruptedError("EOF")
DOWN = UpstreamStatusError(503)
LIMITED = UpstreamStatusError(429, "rate_limit_error")
OVERLOADED = UpstreamEventError("overloaded_error")
ROWS = [Row.RATE_LIMITED, Row.OVERLOADED, Row.RECONNECT, Row.SERVER]
FIELDS = ["rate_limited", "overloaded", "reconnect", "server"]


def draws(value: float) -> Callable[[], float]:
    """Chance that always draws the same."""
    return repeat(value).__next__


def make(arguments: dict[str, Any]) -> RetryPolicy:
    """Make a policy of arguments that no type checker has seen."""
    return RetryPolicy(**arguments)


def waits(policy: RetryPolicy, row: Row, chance: float = 0.5, times: int = 8) -> list[float]:
    """Ask for the waits of the first failures of a row."""
    return [policy.wait(row, n, LOST, draws(chance)) for n in range(1, times + 1)]


# ------------------------------------------------------------------------------------------ defaults


def test_the_defaults_are_the_documented_ones():
    """Changing a default is a change of the promise: it has to be made here too."""
    shown = {field.name: field.default for field in dataclasses.fields(RetryPolicy) if field.name not in FIELDS}
    assert shown == {
        "max_attempts": 10,
        "max_attempts_without_progress": 5,
        "max_wait": 300.0,
        "retry_after_cap": 120.0,
        "bytes_timeout": 180.0,
        "progress_timeout": 300.0,
        "thinking_timeout": 900.0,
        "first_event_timeout": None,
        "total_timeout": None,
        "max_hold": 120.0,
        "on_uncertain": "raise",
        "strategies": None,
        "instruction": None,
        "seam_window": 1000,
    }


@pytest.mark.parametrize(
    ("row", "chance", "expected"),
    [
        (Row.RATE_LIMITED, 0.0, [5, 10, 20, 20, 20, 20, 20, 20]),
        (Row.RATE_LIMITED, 0.9, [5, 10, 20, 20, 20, 20, 20, 20]),
        (Row.OVERLOADED, 0.0, [30] * 8),
        (Row.OVERLOADED, 0.5, [45] * 8),
        (Row.RECONNECT, 0.5, [0, 0.5, 1, 2, 4, 8, 8, 8]),
        (Row.RECONNECT, 0.0, [0, 0.375, 0.75, 1.5, 3, 6, 6, 6]),
        (Row.SERVER, 0.5, [0.5, 1, 2, 4, 8, 8, 8, 8]),
        (Row.SERVER, 0.75, [0.5625, 1.125, 2.25, 4.5, 9, 9, 9, 9]),
    ],
)
def test_each_row_waits_as_the_table_says(row: Row, chance: float, expected: list[float]):
    """The schedule of every row, at chosen chances."""
    assert waits(RetryPolicy(), row, chance) == expected


@given(
    row=st.sampled_from(ROWS),
    n=st.integers(1, 10**6),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_wait_is_within_its_rows_bounds_and_repeats(row: Row, n: int, chance: float):
    """L8: no chance and no number leads out of the table, and the same chance gives the same wait."""
    least, most = {
        Row.RATE_LIMITED: (5.0, 20.0),
        Row.OVERLOADED: (30.0, 60.0),
        Row.RECONNECT: (0.0, 10.0),
        Row.SERVER: (0.375, 10.0),
    }[row]
    delay = RetryPolicy().wait(row, n, LOST, draws(chance))
    assert least <= delay <= most
    assert delay == RetryPolicy().wait(row, n, LOST, draws(chance))


@pytest.mark.parametrize(
    ("failure", "delays", "limit"),
    [
        (LOST, [0, 0.5, 1, 2], Exhausted.NO_PROGRESS),
        (DOWN, [0.5, 1, 2, 4], Exhausted.NO_PROGRESS),
        (LIMITED, [5, 10, 20, 20], Exhausted.NO_PROGRESS),
        (OVERLOADED, [45, 45, 45, 45], Exhausted.NO_PROGRESS),
        (UpstreamStatusError(429, None, None, 110.0), [110, 110], Exhausted.WAITING),
        (UpstreamStatusError(429, None, None, 121.0), [], Exhausted.RETRY_AFTER),
        (UpstreamStatusError(401), [], Exhausted.TERMINAL),
    ],
    ids=repr,
)
def test_a_failure_that_stays_is_followed_to_its_end(failure: AttemptError, delays: list[float], limit: Exhausted):
    """With the default policy, the whole series of verdicts on one failure that never heals."""
    history, verdicts = History(started_at=0.0), list[Again | GiveUp]()
    while not verdicts or isinstance(verdicts[-1], Again):
        verdicts.append(decide(failure, history, RetryPolicy(), draws(0.5), 0.0))
    retry_after = failure.retry_after if isinstance(failure, UpstreamStatusError) else None
    assert verdicts == [*map(Again, delays), GiveUp(limit, retry_after)]


# ------------------------------------------------------------------------------------------ tenacity


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (tenacity.wait_none(), [0, 0, 0, 0]),
        (tenacity.wait_fixed(3), [3, 3, 3, 3]),
        (tenacity.wait_fixed(dt.timedelta(seconds=3)), [3, 3, 3, 3]),
        (tenacity.wait_incrementing(start=1, increment=2), [1, 3, 5, 7]),
        (tenacity.wait_exponential(multiplier=2, max=9), [2, 4, 8, 9]),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(4)), [1, 4, 4, 4]),
        (tenacity.wait_fixed(1) + tenacity.wait_incrementing(start=0, increment=1), [1, 2, 3, 4]),
        (tenacity.wait_combine(tenacity.wait_fixed(1), tenacity.wait_fixed(2)), [3, 3, 3, 3]),
        (sum([tenacity.wait_fixed(1), tenacity.wait_fixed(2)]), [3, 3, 3, 3]),
        (tenacity.wait_exception(lambda failure: 7 if failure is LOST else 1), [7, 7, 7, 7]),
        (tenacity.wait_fixed(1) + RetryPolicy().reconnect, [1, 1.5, 2, 3]),
        (tenacity.wait_chain(tenacity.wait_fixed(9), RetryPolicy().overloaded), [9, 45, 45, 45]),
    ],
)
def test_a_strategy_of_tenacitys_own_works_alone_and_combined(strategy: wait_base, expected: list[float]):
    """What a strategy reads of its state is there: the number, the failure, and the chance for ours."""
    assert waits(RetryPolicy(server=strategy), Row.SERVER, times=4) == expected


@pytest.mark.parametrize(
    "strategy",
    [
        tenacity.wait_random(2, 4),
        tenacity.wait_random_exponential(multiplier=4, max=4, min=2),
        tenacity.wait_exponential_jitter(multiplier=2, max=4, jitter=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tenacitys_random_strategies_keep_their_own_bounds(strategy: wait_base):
    """They draw from the process's chance, not from ours, and stay where they were told."""
    assert all(2 <= delay <= 4 for delay in waits(RetryPolicy(overloaded=strategy), Row.OVERLOADED))


class Described(wait_base):
    """A strategy that looks at everything tenacity documents of a retry state."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:  # noqa: D102  # Reason: the class says it
        outcome = retry_state.outcome
        assert outcome is not None
        assert outcome.failed
        assert outcome.attempt_number == retry_state.attempt_number
        assert retry_state.fn is None
        assert retry_state.args == ()
        assert retry_state.kwargs == {}
        assert retry_state.idle_for == 0
        assert isinstance(retry_state.retry_object, tenacity.BaseRetrying)
        assert retry_state.seconds_since_start is not None
        assert "failed" in repr(retry_state)
        assert retry_state.get_fn_name()
        return 11.0


def test_a_strategy_finds_a_whole_retry_state():
    """A strategy written for tenacity finds every field that tenacity documents."""
    assert RetryPolicy(rate_limited=Described()).wait(Row.RATE_LIMITED, 2, LIMITED, draws(0.0)) == 11


def broken(failure: BaseException) -> float:
    """Work on the sample, fail on the real failure."""
    if failure is LOST:
        raise ZeroDivisionError
    return 1.0


def test_a_strategy_that_fails_midway_is_named():
    """The caller's own mistake is a configuration error, with its cause, and not a stray exception."""
    policy = RetryPolicy(reconnect=tenacity.wait_exception(broken))
    with pytest.raises(ConfigurationError) as caught:
        policy.wait(Row.RECONNECT, 1, LOST, draws(0.0))
    assert caught.value.argument == "reconnect"
    assert caught.value.problem == "the strategy failed with ZeroDivisionError"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("name", FIELDS)
def test_each_row_asks_its_own_strategy(name: str):
    """The four fields are not mixed up."""
    policy = make({name: tenacity.wait_fixed(77)})
    asked = [field for field, row in zip(FIELDS, ROWS, strict=True) if waits(policy, row, times=1) == [77.0]]
    assert asked == [name]


# ------------------------------------------------------------------------------------------ scaled


def test_scaling_multiplies_the_four_waits_and_nothing_else():
    """Every wait shrinks; what is held against upstream's clock stays."""
    policy = RetryPolicy(max_attempts=7, server=tenacity.wait_fixed(2))
    scaled = policy.scaled(0.25)
    for row in ROWS:
        assert waits(scaled, row, 0.3) == [delay * 0.25 for delay in waits(policy, row, 0.3)]
    kept = [field.name for field in dataclasses.fields(policy) if field.name not in FIELDS]
    assert [getattr(scaled, name) for name in kept] == [getattr(policy, name) for name in kept]


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf, "2", True, None])
def test_a_factor_that_is_no_positive_number_is_refused(factor: Any):
    """Scaling by nothing, backwards or by a text is the caller's mistake."""
    with pytest.raises(ConfigurationError, match=r"^factor: .*; pass a positive number"):
        RetryPolicy().scaled(factor)


# ------------------------------------------------------------------------------------------ a value


def test_a_policy_is_a_value():
    """Equal by content, hashable, picklable, copyable, and closed to changes."""
    policy = RetryPolicy(max_attempts=3, strategies=("prefill",)).scaled(0.5)
    for twin in (pickle.loads(pickle.dumps(policy)), copy.copy(policy), copy.deepcopy(policy)):
        assert twin == policy
        assert hash(twin) == hash(policy)
    assert policy != RetryPolicy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_attempts = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(), "RetryPolicy()"),
        (RetryPolicy(max_attempts=10, max_wait=300), "RetryPolicy()"),
        (RetryPolicy(max_attempts=3, total_timeout=9.5), "RetryPolicy(max_attempts=3, total_timeout=9.5)"),
        (RetryPolicy(server=tenacity.wait_fixed(1)), "RetryPolicy(server=wait_fixed)"),
        (RetryPolicy(strategies=("restart",)), "RetryPolicy(strategies=('restart',))"),
        (RetryPolicy(instruction="Secret {anchor}"), "RetryPolicy(instruction=...)"),
    ],
)
def test_the_repr_is_one_line_of_what_differs(policy: RetryPolicy, expected: str):
    """Only what was changed is shown, and never the text of an instruction."""
    assert repr(policy) == expected


# ------------------------------------------------------------------------------------------ refusals

COUNTS = ["max_attempts", "max_attempts_without_progress", "seam_window"]
SECONDS = ["max_wait", "retry_after_cap", "bytes_timeout", "progress_timeout", "thinking_timeout", "max_hold"]
DEADLINES = ["first_event_timeout", "total_timeout"]

WAIT_REMEDY = "pass a tenacity wait strategy that returns seconds, such as tenacity.wait_fixed(5)"
NAMES = "pass None, or a tuple of 'user_turn', 'prefill', 'restart', 'restart_and_verify'"
TEMPLATE = "pass a str with {anchor} in it exactly once and no other field, or None"

REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"max_attempts": 0}, "max_attempts: 0 leaves nothing to do; pass an int of at least 1"),
    ({"max_attempts": 2.5}, "max_attempts: 2.5 is not a whole number; pass an int of at least 1"),
    ({"max_wait": -1}, "max_wait: -1 is out of range; pass a positive number of seconds, at most 1e+09"),
    ({"max_wait": math.nan}, "max_wait: nan is out of range; pass a positive number of seconds, at most 1e+09"),
    (
        {"max_hold": 10**400},
        "max_hold: a value of type int is out of range; pass a positive number of seconds, at most 1e+09",
    ),
    ({"max_hold": "9"}, "max_hold: '9' is not a number; pass a positive number of seconds"),
    ({"max_hold": "9" * 99}, "max_hold: a value of type str is not a number; pass a positive number of seconds"),
    (
        {"thinking_timeout": 200},
        "thinking_timeout: 200 s is less than progress_timeout (300 s); pass at least as long",
    ),
    ({"progress_timeout": 901}, "thinking_timeout: 900 s is less than progress_timeout (901 s); pass at least as long"),
    ({"server": "5"}, f"server: '5' is not a strategy; {WAIT_REMEDY}"),
    ({"server": 5}, f"server: 5 is not a strategy; {WAIT_REMEDY}"),
    ({"server": lambda _: 5}, f"server: a value of type function is not a strategy; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed}, f"server: a value of type ABCMeta is not a strategy; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed(-1)}, f"server: its first wait is -1 s; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed(math.nan)}, f"server: its first wait is nan s; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed(math.inf)}, f"server: its first wait is inf s; {WAIT_REMEDY}"),
    (
        {"server": tenacity.wait_exception(lambda _: dt.timedelta(1))},  # type: ignore[arg-type, return-value]
        f"server: the strategy failed with TypeError; {WAIT_REMEDY}",
    ),
    (
        {"server": tenacity.wait_fixed(301)},
        (
            "server: 301 s is more than max_wait (300 s) and would never be waited; "
            "pass a shorter wait or a larger max_wait"
        ),
    ),
    ({"on_uncertain": "guess"}, "on_uncertain: 'guess' is unknown; pass 'raise' or 'join'"),
    ({"on_uncertain": None}, "on_uncertain: None is unknown; pass 'raise' or 'join'"),
    ({"strategies": ()}, f"strategies: an empty tuple allows no recovery at all; {NAMES}"),
    ({"strategies": "prefill"}, f"strategies: 'prefill' is not a tuple; {NAMES}"),
    ({"strategies": ["prefill"]}, f"strategies: a value of type list is not a tuple; {NAMES}"),
    ({"strategies": ("prefill", "magic")}, f"strategies: 'magic' is unknown; {NAMES}"),
    ({"strategies": ([],)}, f"strategies: a value of type list is unknown; {NAMES}"),
    ({"strategies": ("prefill", "prefill")}, "strategies: a name is there twice; name each once"),
    ({"instruction": 5}, f"instruction: 5 is not a str; {TEMPLATE}"),
    ({"instruction": "Go on."}, f"instruction: its fields are: none; {TEMPLATE}"),
    ({"instruction": "{{anchor}}"}, f"instruction: its fields are: none; {TEMPLATE}"),
    ({"instruction": "{anchor} {anchor}"}, f"instruction: its fields are: {{anchor}}, {{anchor}}; {TEMPLATE}"),
    ({"instruction": "{anchor} {name}"}, f"instruction: its fields are: {{anchor}}, {{name}}; {TEMPLATE}"),
    ({"instruction": "{anchor!r}"}, f"instruction: its fields are: {{anchor!r}}; {TEMPLATE}"),
    ({"instruction": "{anchor:>9}"}, f"instruction: its fields are: {{anchor:>9}}; {TEMPLATE}"),
    ({"instruction": "{}"}, f"instruction: its fields are: {{}}; {TEMPLATE}"),
    (
        {"instruction": "{anchor} }"},
        f"instruction: its braces do not pair (Single '}}' encountered in format string); {TEMPLATE}",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_value_that_cannot_work_is_refused_with_its_name_and_a_way_out(arguments: dict[str, Any], sentence: str):
    """Every refusal names the argument, the problem and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        make(arguments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.0, math.nan, "1", True, None])
def test_a_count_is_a_whole_number_from_one(name: str, value: Any):
    """Nothing else counts attempts or characters, a truth value least of all."""
    with pytest.raises(ConfigurationError) as caught:
        make({name: value})
    assert caught.value.argument == name


@pytest.mark.parametrize("name", SECONDS + DEADLINES)
@pytest.mark.parametrize("value", [0, -0.5, math.nan, math.inf, -math.inf, "1", True, (1,), dt.timedelta(1)])
def test_a_duration_is_a_positive_finite_number(name: str, value: Any):
    """Nothing else is a number of seconds."""
    with pytest.raises(ConfigurationError) as caught:
        make({name: value})
    assert caught.value.argument == name


def test_only_the_deadlines_may_be_missing():
    """Without the two watchdogs a stream could hang for ever, so that they cannot be switched off."""
    assert make(dict.fromkeys(DEADLINES)) == RetryPolicy()
    for name in SECONDS:
        with pytest.raises(ConfigurationError):
            make({name: None})


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 1, "max_attempts_without_progress": 1},
        {"max_wait": 0.001, "retry_after_cap": 1},
        {"server": tenacity.wait_random(0, 1000)},
        {"thinking_timeout": 300, "progress_timeout": 300},
        {"strategies": ("restart_and_verify", "restart", "prefill", "user_turn")},
        {"instruction": "{{Ended}} with “{anchor}”. Go on."},
        {"instruction": "{anchor}"},
        {"on_uncertain": "join"},
    ],
)
def test_an_unusual_policy_that_can_work_is_accepted(arguments: dict[str, Any]):
    """Strictness ends where a policy begins to make sense."""
    policy = make(arguments)
    assert {name: getattr(policy, name) for name in arguments} == arguments


def test_a_short_budget_ends_the_longer_waits_at_once():
    """A policy may have less time than a row waits: that row then gives up, and the others work."""
    policy = RetryPolicy(max_wait=10)
    assert decide(OVERLOADED, History(0.0), policy, draws(0.0), 0.0) == GiveUp(Exhausted.WAITING)
    assert decide(LIMITED, History(0.0), policy, draws(0.0), 0.0) == Again(5.0)
