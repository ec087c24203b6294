"""What workers tell each other, and how long they hold back for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.errors import StreamInterruptedError, UpstreamEventError, UpstreamStatusError
from resumable._core.fleet import LONGEST, Courtesy, Hint, held_back, hint_of, read_hint

RATE, OVERLOAD = "rate_limited", "overloaded"


def refused(status: int, retry_after: float | None = None, error_code: str | None = None) -> UpstreamStatusError:
    """Make a refusal."""
    return UpstreamStatusError(status=status, retry_after=retry_after, error_code=error_code)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (refused(429, 10.0), (RATE, Hint(10_000, 5_000))),
        (refused(429, 0.5), (RATE, Hint(500, 1_000))),
        (refused(429, 100.0), (RATE, Hint(100_000, 30_000))),
        (refused(429), (RATE, Hint(5_000, 2_500))),
        (refused(429, -1.0), (RATE, Hint(5_000, 2_500))),
        (refused(529), (OVERLOAD, Hint(5_000, 10_000))),
        (refused(529, 4.0), (OVERLOAD, Hint(4_000, 2_000))),
        (UpstreamEventError("overloaded_error", None), (OVERLOAD, Hint(5_000, 10_000))),
        (UpstreamEventError("rate_limit_error", None), (RATE, Hint(5_000, 2_500))),
        (refused(429, LONGEST + 1), None),
        (refused(429, float("inf")), None),
        (refused(429, 10.0, "enforced_spend_limit_reached"), None),
        (refused(500, 10.0), None),
        (StreamInterruptedError("EOF"), None),
    ],
    ids=repr,
)
def test_what_is_passed_on(failure, told):
    """A rate limit and an overload with their times; nothing that only one worker is concerned by."""
    assert hint_of(failure) == told


@given(st.floats(min_value=0.001, max_value=LONGEST), st.sampled_from([429, 529]))
def test_what_is_passed_on_can_be_read(retry_after, status):
    """Every hint that is written is believed by who reads it, and asks for no less than upstream did."""
    found = hint_of(refused(status, retry_after))
    assert found is not None
    assert read_hint(found[1].encode()) == found[1]
    assert retry_after <= found[1].wait_ms / 1000 < retry_after + 0.002


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b"refused",
        b'{"wait_ms":1}',
        b'{"wait_ms":"9","spread_ms":0}',
        b'{"wait_ms":0,"spread_ms":0}',
        b'{"wait_ms":-5,"spread_ms":0}',
        b'{"wait_ms":120001,"spread_ms":0}',
        b'{"wait_ms":1,"spread_ms":-1}',
        b'{"wait_ms":1,"spread_ms":30001}',
        b'{"wait_ms":1e400,"spread_ms":0}',
        b'{"wait_ms":NaN,"spread_ms":0}',
    ],
    ids=repr,
)
def test_what_no_worker_writes_is_not_believed(value):
    """Nonsense and absurd times are no hints."""
    assert read_hint(value) is None


@given(st.binary(max_size=60))
def test_reading_is_total(value):
    """Whatever stands in a store, reading it gives a hint within the bounds, or none."""
    hint = read_hint(value)
    assert hint is None or hint.life <= 150.0


@given(
    st.builds(Hint, st.integers(1, 120_000), st.integers(0, 30_000)),
    st.floats(allow_nan=False),
    st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_nobody_holds_back_longer_than_upstream_said(hint, left, unit):
    """However long a store claims a hint has left, the wait is upstream's and this worker's part of the spread."""
    wait = held_back(hint, left, unit)
    assert 0.0 <= wait <= hint.wait_ms / 1000 + unit * hint.spread + 1e-9


def test_workers_come_back_one_after_another():
    """With a hint's time over, each holds back for its place in the spread, and then no more."""
    hint = Hint(10_000, 4_000)
    assert [held_back(hint, 14.0, unit) for unit in (0.0, 0.5, 0.75)] == [10.0, 12.0, 13.0]
    assert [held_back(hint, 4.0, unit) for unit in (0.0, 0.5, 0.75)] == [0.0, 2.0, 3.0]
    assert held_back(hint, 1.0, 0.5) == 0.0


class Asked:
    """What a fleet asks for."""

    def __init__(self, wait: float) -> None:
        self.wait = wait

    def __call__(self) -> float:
        """Say how long."""
        return self.wait


def test_a_session_holds_back_and_says_how_long():
    """It asks again after each sleep, and counts from the first to the request."""
    fleet = Asked(10.0)
    courtesy = Courtesy(fleet, 300.0, 120.0)
    assert courtesy.wait(100.0, float("inf")) == 10.0
    fleet.wait = 25.0
    assert courtesy.wait(110.0, float("inf")) == 25.0
    fleet.wait = 0.0
    assert courtesy.wait(135.0, float("inf")) == 0.0
    assert courtesy.end(135.0) == 35.0
    assert courtesy.end(140.0) == 0.0


@pytest.mark.parametrize(
    ("asked", "max_wait", "cap", "until"),
    [
        (10.0, 19.0, 120.0, 1e9),
        (10.0, 300.0, 9.0, 1e9),
        (10.0, 300.0, 120.0, 110.0),
        (float("nan"), 300.0, 120.0, 1e9),
        (float("inf"), 300.0, 120.0, 1e9),
        (-1.0, 300.0, 120.0, 1e9),
    ],
)
def test_what_does_not_fit_is_not_waited_for(asked, max_wait, cap, until):
    """Beyond half of the patience, the longest single wait or the deadline, the request is sent at once."""
    assert Courtesy(Asked(asked), max_wait, cap).wait(100.0, until) == 0.0


def test_hints_in_a_row_end_with_half_of_the_patience():
    """However often others are refused, one session holds back for half of what it may wait in all."""
    courtesy, now = Courtesy(Asked(20.0), 100.0, 120.0), 0.0
    while (wait := courtesy.wait(now, float("inf"))) and now < 1000:
        now += wait
    assert courtesy.end(now) == 40.0
    assert courtesy.wait(now, float("inf")) == 0.0
