"""What the policy's defaults are and how tenacity's strategies work inside it."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import math
import pickle
from itertools import repeat
from typing import TYPE_CHECKING, Any, get_args

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st
from tenacity.wait import wait_base

from resumable._core.continuation import DEFAULT_INSTRUCTION, Strategy
from resumable._core.errors import (
    ConfigurationError,
    Exhausted,
    StreamInterruptedError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.retry import Again, GiveUp, History, Row, decide
from resumable._policy import RetryPolicy, StrategyName

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
        "seam_window": 600,
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


def test_the_policy_names_the_strategies_that_the_core_knows():
    """Every name that the policy allows is one of the core's, and none is missing but the first attempt's."""
    names = {strategy.value for strategy in Strategy} - {"original"}
    assert set(get_args(StrategyName)) == names


def test_the_built_in_instruction_would_be_accepted():
    """What the policy asks of a caller's template, ours fulfils."""
    assert RetryPolicy(instruction=DEFAULT_INSTRUCTION).instruction == DEFAULT_INSTRUCTION


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
    arguments: dict[str, Any] = {name: tenacity.wait_fixed(77)}
    policy = RetryPolicy(**arguments)
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
