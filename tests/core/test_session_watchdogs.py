"""How long upstream may be silent, and what is no silence: pings, pauses of the caller, thinking, the end."""

from __future__ import annotations

import pytest

from resumable._core.errors import (
    ConnectError,
    Exhausted,
    RetriesExhaustedError,
    StreamInterruptedError,
    StreamStalledError,
    UpstreamStatusError,
)
from resumable._core.states import Read, Sleep, State, Stop
from resumable._core.watch import PAUSE
from tests.core.rig import LOST, Rig
from tests.core.streams import PING, block, error, start, stop, text, thought, tool_input

BEGUN = start() + block(0) + text(0, "Hello")
THINKING = start() + block(0, "thinking") + thought(0)
CALLING = start() + block(0, "server_tool_use", id="s", name="web_search", input={}) + tool_input(0, "{")
STALL = StreamInterruptedError("ReadTimeout")


def failure_of(rig):
    """The failure of the last attempt."""
    return rig.session.report.attempts[-1].failure


def stalled(rig):
    """Name the watchdog that ended the last attempt, and what it allows."""
    failure = failure_of(rig)
    assert isinstance(failure, StreamStalledError)
    return failure.watchdog, failure.limit


@pytest.mark.parametrize(
    ("written", "policy", "watchdog", "limit"),
    [
        (BEGUN, {}, "bytes", 180.0),
        (BEGUN, {"bytes_timeout": 400.0}, "progress", 300.0),
        (b"", {"bytes_timeout": 1000.0}, "progress", 900.0),
        (THINKING, {"bytes_timeout": 1000.0}, "progress", 900.0),
        (CALLING, {"bytes_timeout": 1000.0}, "progress", 900.0),
        (THINKING + stop(0), {"bytes_timeout": 1000.0}, "progress", 300.0),
        (b"", {"first_event_timeout": 20.0}, "first_event", 20.0),
        (BEGUN, {"first_event_timeout": 20.0}, "bytes", 180.0),
        (BEGUN, {"total_timeout": 20.0}, "total", 20.0),
        (b"", {"total_timeout": 20.0, "first_event_timeout": 20.0}, "total", 20.0),
    ],
)
def test_deadline_is_that_of_the_first_watchdog(written, policy, watchdog, limit):
    """The driver waits until then and no longer, and the failure says which one fired."""
    rig = Rig(**policy)
    rig.begin(written)
    assert rig.session.deadline == rig.now + limit
    rig.lose(failure=STALL, after=limit)
    assert stalled(rig) == (watchdog, limit)


def test_silence_short_of_a_watchdog_is_what_it_was():
    """A read that broke early is the connection's failure, not a stall."""
    rig = Rig()
    rig.begin(BEGUN)
    rig.lose(failure=STALL, after=179.0)
    assert failure_of(rig) is STALL


def test_what_is_no_silence_stays_what_it_is_however_late():
    """Upstream's own error is no stall."""
    rig = Rig()
    rig.begin(BEGUN)
    rig.lose(failure=UpstreamStatusError(500), after=1000.0)
    assert isinstance(failure_of(rig), UpstreamStatusError)


def test_connection_that_is_not_made_in_time_has_stalled():
    """The watchdogs run from the request on."""
    rig = Rig(first_event_timeout=5.0)
    rig.open()
    rig.lose(failure=ConnectError("ConnectTimeout", is_timeout=True), after=5.0)
    assert stalled(rig) == ("first_event", 5.0)


@pytest.mark.parametrize("step", [20.0, 179.0])
@pytest.mark.parametrize(("written", "limit"), [(BEGUN, 300.0), (THINKING, 900.0)])
def test_pings_are_bytes_but_no_progress(step, written, limit):
    """A stream that only pings is cut off all the same, by the machine itself: no read ever times out."""
    rig = Rig()
    rig.begin(written)
    began = rig.now
    while rig.session.state is State.STREAMING:
        assert rig.now - began <= limit + step
        rig.read(PING, after=step)
    assert stalled(rig) == ("progress", limit)


def test_text_is_progress():
    """Every delta starts the watchdogs afresh."""
    rig = Rig()
    rig.begin(BEGUN)
    for _ in range(50):
        rig.read(text(0, " more"), after=170.0)
    assert rig.session.state is State.STREAMING
    assert rig.session.deadline == rig.now + 180.0


@pytest.mark.parametrize("written", [text(0, "."), text(0, " "), PING, stop(0), b"event: x\n", b": comment\n\n"])
def test_total_time_is_over_whatever_arrives(written):
    """No stream outlives it, not even one that makes progress all the time."""
    rig = Rig(total_timeout=60.0)
    rig.begin(BEGUN)
    rig.read(written, after=59.0)
    assert rig.session.state is State.STREAMING
    rig.read(PING if written == stop(0) else written, after=1.0)
    assert stalled(rig) == ("total", 60.0)
    assert isinstance(rig.error, RetriesExhaustedError)
    assert rig.error.limit is Exhausted.TOTAL


def test_thinking_that_never_ends_is_over_with_the_total_time():
    """Events that are no text count as little against it."""
    rig = Rig(total_timeout=60.0)
    rig.begin(THINKING)
    rig.read(thought(0), after=60.0)
    assert stalled(rig) == ("total", 60.0)


def test_slow_thinking_gets_twice_as_long_the_next_time():
    """After the progress watchdog fired without progress its limit doubles, until there is some."""
    rig = Rig(bytes_timeout=1e6)
    limits = []
    for _ in range(3):
        rig.begin()
        limits.append(rig.session.deadline - rig.now)
        rig.lose(failure=STALL, after=limits[-1])
    assert limits == [900.0, 1800.0, 3600.0]
    rig.begin(start())
    rig.lose(failure=STALL)
    rig.begin()
    assert rig.session.deadline - rig.now == 900.0


def test_caller_who_was_away_is_not_an_upstream_that_was_silent():
    """A pause between two reads is left out; a driver notes it when the session has seen nothing for so long."""
    rig = Rig()
    rig.begin(BEGUN)
    rig.now += 3600.0
    assert rig.now - rig.session.seen_at > PAUSE
    assert rig.ask() == Read()
    rig.session.resume(rig.now)
    assert rig.session.deadline == rig.now + 180.0
    rig.read(PING)
    assert rig.session.state is State.STREAMING


def test_pause_of_the_caller_is_within_the_total_time():
    """What the caller set for everything holds for the pauses too."""
    rig = Rig(total_timeout=60.0)
    rig.begin(BEGUN)
    rig.now += 3600.0
    rig.session.resume(rig.now)
    assert rig.session.deadline < rig.now


def test_wait_that_would_outlast_the_total_time_is_not_begun():
    """The session ends when it is known, not when the time is over."""
    rig = Rig(total_timeout=30.0)
    rig.begin(BEGUN)
    rig.read(error())
    assert isinstance(rig.error, RetriesExhaustedError)
    assert (rig.error.limit, rig.now) == (Exhausted.TOTAL, 1000.0)


def test_waits_between_attempts():
    """At once, then half a second and doubled; progress starts them afresh."""
    rig = Rig()
    for delay in (0.0, 0.5, 1.0, 2.0):
        rig.begin(start())
        rig.lose()
        assert rig.session.report.attempts[-1].delay == delay
    assert rig.ask() == Sleep(2.0)
    rig.begin(BEGUN)
    rig.lose()
    assert rig.session.report.attempts[-1].delay == 0.0


def test_attempts_that_bring_nothing_are_limited():
    """Five in a row by default; an attempt that brought text does not count among them."""
    rig = Rig()
    for _ in range(3):
        rig.begin(start())
        rig.lose()
    rig.begin(start(), block(0), text(0, "Hello"))
    rig.lose()
    for _ in range(5):
        assert rig.session.state is State.WAITING
        rig.begin(start())
        rig.lose()
    assert isinstance(rig.error, RetriesExhaustedError)
    assert (rig.error.limit, rig.error.attempts) == (Exhausted.NO_PROGRESS, 9)


def test_response_that_comes_after_the_caller_has_left_is_late():
    """It is not read."""
    rig = Rig()
    rig.open()
    rig.session.close(rig.now)
    rig.session.receive_response(rig.now)
    assert rig.session.receive_data(BEGUN, rig.now) == b""
    assert rig.session.receive_failure(LOST, rig.now) == b""
    assert rig.ask() == Stop(None)


def test_last_frame_may_be_the_failure():
    """An error event without its blank line says more than the end of the body behind it."""
    rig = Rig()
    rig.begin(BEGUN, error("overloaded_error").removesuffix(b"\n\n"))
    rig.end()
    assert str(failure_of(rig)) == "upstream sent an error event (overloaded_error)"
