"""When silence becomes a failure: each watchdog by itself, and which of them is told."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.errors import StreamStalledError
from resumable._core.watch import LINGER, PAUSE, Watch


@dataclass(frozen=True)
class Limits:
    """Watchdogs by value, each with a number of its own."""

    bytes_timeout: float = 180.0
    progress_timeout: float = 300.0
    thinking_timeout: float = 900.0
    first_event_timeout: float | None = None
    total_timeout: float | None = None


QUICK = Limits(bytes_timeout=1000.0, progress_timeout=3.0, thinking_timeout=9.0)


def opened(limits: Limits, now: float = 100.0) -> Watch:
    """Start the watchdogs of a session and of its first attempt at one moment."""
    watch = Watch(limits, now)
    watch.open(now)
    return watch


def fired(watch: Watch, now: float) -> tuple[str, float] | None:
    """Name of the watchdog that has fired, and what it allows."""
    stalled = watch.stall(now)
    return None if stalled is None else (stalled.watchdog, stalled.limit)


@pytest.mark.parametrize(
    ("limits", "watchdog", "limit"),
    [
        (Limits(bytes_timeout=5.0), "bytes", 5.0),
        (Limits(thinking_timeout=5.0), "progress", 5.0),
        (Limits(first_event_timeout=5.0), "first_event", 5.0),
        (Limits(total_timeout=5.0), "total", 5.0),
        (Limits(first_event_timeout=0.0), "first_event", 0.0),
        (Limits(total_timeout=0.0), "total", 0.0),
    ],
)
def test_each_watchdog_fires_at_its_limit(limits, watchdog, limit):
    """The deadline is the first limit to be reached; there, and not before, its watchdog is told."""
    watch = opened(limits)
    assert watch.deadline == 100.0 + limit
    assert fired(watch, math.nextafter(watch.deadline, 0)) is None
    assert fired(watch, watch.deadline) == (watchdog, limit)


def test_the_first_watchdog_to_be_told_is_the_one_that_decides_most():
    """Where several have fired, the session's end comes before the attempt's."""
    order = []
    limits = Limits(1.0, 1.0, 1.0, 1.0, 1.0)
    for relaxed in ({}, {"total_timeout": None}, {"first_event_timeout": None}, {"thinking_timeout": 9.0}):
        limits = Limits(**{**vars(limits), **relaxed})
        stalled = opened(limits).stall(200.0 if "thinking_timeout" not in relaxed else 105.0)
        assert isinstance(stalled, StreamStalledError)
        order.append(stalled.watchdog)
    assert order == ["total", "first_event", "progress", "bytes"]


def test_bytes_are_no_progress():
    """Pings rearm the watchdog of bytes alone; an event rearms both, and ends the wait for the first."""
    watch = opened(Limits(bytes_timeout=5.0, thinking_timeout=9.0, progress_timeout=9.0, first_event_timeout=20.0))
    watch.receive(104.0, progressed=False, is_slow=False)
    assert watch.deadline == 109.0
    assert fired(watch, 109.0) == ("progress", 9.0)
    watch.receive(106.0, progressed=True, is_slow=False)
    assert watch.deadline == 111.0
    assert fired(watch, 111.0) == ("bytes", 5.0)
    watch.receive(119.0, progressed=True, is_slow=False)
    assert fired(watch, 121.0) is None


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=8))
def test_text_and_pings_rearm_as_events_do(arrivals):
    """The short way of noting text or pings leaves the same deadline as the long one, once an event has come."""
    long, short = opened(Limits(first_event_timeout=50.0)), opened(Limits(first_event_timeout=50.0))
    for watch in (long, short):
        watch.receive(100.0, progressed=True, is_slow=False)
    now = 100.0
    for pause, progressed in arrivals:
        now += pause
        long.receive(now, progressed=progressed, is_slow=False)
        short.receive_more(now, progressed=progressed)
        assert short.deadline == long.deadline


def test_what_is_slow_may_be_silent_for_longer():
    """Thinking, a server tool, and the time before the first event have the longer limit."""
    watch = opened(QUICK)
    assert watch.deadline == 109.0
    watch.receive(101.0, progressed=True, is_slow=True)
    assert watch.deadline == 110.0
    watch.receive(102.0, progressed=True, is_slow=False)
    assert watch.deadline == 105.0


def test_a_watchdog_that_fired_without_progress_gives_more_time():
    """Each attempt that stalls doubles the next one's patience, until something comes."""
    watch = opened(QUICK)
    limits = []
    for _ in range(3):
        stalled = watch.stall(watch.deadline)
        assert stalled is not None
        limits.append(stalled.limit)
        watch.open(watch.deadline)
    assert limits == [9.0, 18.0, 36.0]
    watch.receive(1000.0, progressed=True, is_slow=True)
    watch.open(1000.0)
    assert watch.deadline == 1009.0


def test_other_watchdogs_give_no_more_time():
    """Only a stall of progress says that upstream may simply be slow."""
    watch = opened(Limits(bytes_timeout=1.0, thinking_timeout=9.0))
    assert fired(watch, 101.0) == ("bytes", 1.0)
    watch.open(101.0)
    watch.receive(109.5, progressed=False, is_slow=True)
    assert fired(watch, 110.0) == ("progress", 9.0)


def test_an_attempt_begins_with_fresh_watchdogs():
    """Opening rearms everything but the session's total."""
    watch = opened(Limits(first_event_timeout=5.0, total_timeout=60.0))
    watch.linger(100.0)
    watch.open(150.0)
    assert watch.deadline == 155.0
    watch.receive(151.0, progressed=True, is_slow=False)
    assert watch.deadline == 160.0


@pytest.mark.parametrize(("pause", "left_out"), [(PAUSE, 0.0), (PAUSE * 4, PAUSE * 4)])
def test_a_caller_who_was_away_is_no_silent_upstream(pause, left_out):
    """A pause of the caller's is left out of every silence, but not of the session's total time."""
    limits = {"bytes_timeout": 50.0, "thinking_timeout": 50.0, "first_event_timeout": 50.0}
    for name in limits:
        watch = opened(Limits(**{**dict.fromkeys(limits, 1000.0), name: 50.0}))
        watch.resume(100.0 + pause)
        assert watch.deadline == 150.0 + left_out
    total = opened(Limits(total_timeout=60.0))
    total.resume(100.0 + pause)
    assert total.deadline == 160.0


def test_a_complete_message_has_little_time_to_end():
    """After the message only the end of its body is awaited, and that is no stall."""
    watch = opened(Limits())
    watch.linger(100.0)
    assert watch.deadline == 100.0 + LINGER
    assert fired(watch, watch.deadline) is None
    watch.receive(101.0, progressed=True, is_slow=False)
    assert watch.deadline == 100.0 + LINGER, "what still comes gives it no more time"
    watch.resume(101.0 + PAUSE * 3)
    assert watch.deadline == 100.0 + LINGER, "nor does a caller who was away"
