"""The watchdog keeps its deadlines, forgets what is cancelled or dropped, and outlives none of it."""

from __future__ import annotations

import functools
import math
import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from resumable._watchdog import WATCHDOG, Watchdog

SOON = 0.05  # [seconds] a deadline that real blocking runs into
HANG = 20.0  # [seconds] nothing here takes this long; a test that would hang fails instead


class Clock:
    """A clock that stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        """Tell the time it was set to."""
        return self.now


def thread_of(watchdog: Watchdog) -> threading.Thread | None:
    """Look whether there is a thread now."""
    return watchdog._thread


def wait_at(gate: threading.Event) -> None:
    """Stand for a call that lasts as long as a test wants."""
    assert gate.wait(HANG)


def quiet(watchdog: Watchdog) -> None:
    """Wake the thread and wait for its end, which comes when there is nothing left to watch."""
    watchdog.guard(lambda: None).arm(-math.inf)
    thread = thread_of(watchdog)
    if thread is not None:
        thread.join(HANG)
        assert not thread.is_alive()


def test_reused_descriptor_is_never_shut_down() -> None:
    """A break after the connection was closed does not reach the connection that took over its number."""

    class Response:
        def __init__(self, original: socket.socket) -> None:
            self.extensions = {"network_stream": self}
            self.stream = self
            self.original = original

        def get_extra_info(self, _: str) -> socket.socket:
            return self.original

    watchdog = Watchdog(clock := Clock())
    theirs, ours = socket.socketpair()
    number = ours.fileno()
    guard = watchdog.watch(Response(ours))
    assert guard is not None
    ours.close()
    near, far = socket.socketpair()
    taken = {near.fileno(), far.fileno()}
    if number not in taken:  # As a rule the system hands it out at once.
        os.dup2(near.fileno(), number)
    guard.arm(1.0)
    clock.now = 1.0
    watchdog.look()
    assert guard.fired
    far.sendall(b"still open")
    assert near.recv(16) == b"still open"
    assert theirs.recv(1) == b""
    guard.cancel()
    if number not in taken:
        os.close(number)
    for end in (theirs, near, far):
        end.close()
    quiet(watchdog)


def test_cancel_waits_for_a_break_under_way() -> None:
    """A cancel that comes during a break returns after it, so what follows the cancel is safe from it."""
    watchdog = Watchdog(clock := Clock())
    order: list[str] = []

    def cancel() -> None:
        guard.cancel()
        order.append("cancelled")

    canceller = threading.Thread(target=cancel)

    def break_() -> None:
        canceller.start()
        canceller.join(SOON)  # All the time it needs, if nothing held it back.
        order.append("broken")

    guard = watchdog.guard(break_)
    guard.arm(1.0)
    clock.now = 1.0
    guard.look(clock.now)
    canceller.join(HANG)
    assert order == ["broken", "cancelled"]
    quiet(watchdog)


def test_nothing_is_broken_after_cancel() -> None:
    """A cancelled guard stays silent, also when its reader arms it again and a look has already found it."""
    watchdog = Watchdog(clock := Clock())
    broken: list[float] = []
    guard = watchdog.guard(lambda: broken.append(clock.now))
    guard.cancel()
    guard.cancel()
    guard.arm(0.0)
    clock.now = 1.0
    assert watchdog.look() == math.inf
    assert guard.look(clock.now) == math.inf
    assert broken == []
    assert thread_of(watchdog) is None


def test_finalizer_may_cancel_during_its_own_break() -> None:
    """A finalizer that runs on the watchdog's thread and cancels the guard being looked at does not block it."""
    watchdog = Watchdog(clock := Clock())
    released: list[bool] = []
    guard = watchdog.guard(lambda: guard.cancel(), lambda: released.append(True))  # noqa: PLW0108
    clock.now = 1.0
    guard.arm(1.0)
    looking = threading.Thread(target=watchdog.look, daemon=True)
    looking.start()
    looking.join(HANG)
    assert not looking.is_alive()
    assert released == [True]
    quiet(watchdog)


def test_deadline_moves_both_ways() -> None:
    """Each look obeys the deadline of that moment: later, earlier, or none while nobody reads."""
    watchdog = Watchdog(clock := Clock())
    broken: list[float] = []
    with watchdog.guard(lambda: broken.append(clock.now)) as guard:
        guard.arm(10_000.0)
        clock.now = 9_999.0
        guard.arm(20_000.0)
        clock.now = 10_001.0
        assert watchdog.look() == 20_000.0
        guard.arm(None)
        clock.now = 30_000.0
        assert watchdog.look() == math.inf
        assert broken == []
        guard.arm(30_001.0)
        clock.now = 30_001.0
        assert watchdog.look() == math.inf
        watchdog.look()
        assert broken == [30_001.0]
    quiet(watchdog)


def test_sleeping_thread_obeys_an_earlier_deadline() -> None:
    """A deadline earlier than the one the thread sleeps until wakes it."""
    watchdog = Watchdog()
    broken = threading.Event()
    far = watchdog.guard(lambda: None)
    far.arm(time.monotonic() + 1000 * HANG)
    near = watchdog.guard(broken.set)
    near.arm(time.monotonic() + SOON)
    assert broken.wait(HANG)
    assert near.fired
    assert not far.fired
    far.cancel()
    quiet(watchdog)


def test_deadline_set_during_a_look_is_not_missed() -> None:
    """A guard that is armed after a look has passed it, and before the thread sleeps, still breaks in time."""
    for _ in range(30):  # A look goes round in no particular order; in half of the rounds it passes `late` first.
        watchdog = Watchdog()
        broken = threading.Event()
        late = watchdog.guard(broken.set)
        first = watchdog.guard(functools.partial(late.arm, time.monotonic()))
        first.arm(0.0)
        assert broken.wait(HANG)
        quiet(watchdog)


def test_failing_break_leaves_the_others_watched(caplog: pytest.LogCaptureFixture) -> None:
    """A break that raises is logged, and the other streams are still watched."""
    watchdog = Watchdog(clock := Clock())
    broken: list[str] = []

    def fail() -> None:
        raise LookupError

    guards = [watchdog.guard(fail), watchdog.guard(lambda: broken.append("other"))]
    clock.now = 1.0
    for guard in guards:
        guard.deadline = 1.0
    assert watchdog.look() == math.inf
    assert broken == ["other"]
    assert [record.getMessage() for record in caplog.records] == ["resumable.break_failed"]


def test_thread_lives_while_there_is_a_deadline() -> None:
    """The thread starts with the first deadline, is a daemon, and ends when there is nothing left to watch."""
    watchdog = Watchdog()
    gate = threading.Event()
    guard = watchdog.guard(functools.partial(wait_at, gate))
    assert thread_of(watchdog) is None
    guard.arm(0.0)
    thread = thread_of(watchdog)  # Still there: it waits at the gate.
    assert thread is not None
    assert thread.daemon
    gate.set()
    thread.join(HANG)
    assert not thread.is_alive()
    assert guard.fired
    assert thread_of(watchdog) is None
    assert watchdog.next_look == math.inf


def test_thread_stays_while_somebody_may_read_again() -> None:
    """A thread that finds everybody between two reads stays: the next read starts no other, and need not wake it."""
    watchdog = Watchdog()
    with watchdog.guard(lambda: None) as guard:
        guard.arm(time.monotonic() + HANG)
        thread = thread_of(watchdog)
        assert thread is not None
        guard.arm(None)
        watchdog.guard(lambda: None).arm(-math.inf)  # It looks, and finds that nobody reads.
        for _ in range(1000):
            if math.isfinite(watchdog.next_look) and watchdog.next_look > 0:
                break
            thread.join(0.001)
        assert thread is thread_of(watchdog)
        assert time.monotonic() < watchdog.next_look < time.monotonic() + HANG
    quiet(watchdog)


def test_no_thread_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, arming does not raise: the transport's read timeout remains."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError

    watchdog = Watchdog()
    guard = watchdog.guard(lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        guard.arm(0.0)
    assert not guard.fired
    assert thread_of(watchdog) is None
    guard.arm(0.0)
    quiet(watchdog)
    assert guard.fired


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Forking beside a thread is the subject.
def test_forked_child_starts_afresh() -> None:
    """A child forked in the middle of a break watches its own streams, and leaves the parent's connection alone."""
    near, far = socket.socketpair()
    inherited = WATCHDOG.guard(lambda: near.shutdown(socket.SHUT_RDWR))
    inherited.arm(time.monotonic() + 1000 * HANG)
    with inherited._lock:
        child = os.fork()
        if child == 0:  # pragma: no cover  Reason: another process.
            code = 1
            with suppress(BaseException):
                inherited.cancel()
                inherited.arm(0.0)
                broken = threading.Event()
                own = WATCHDOG.guard(broken.set)
                own.arm(time.monotonic())
                code = 0 if broken.wait(HANG) and not inherited.fired else 2
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    far.sendall(b"still open")
    assert near.recv(16) == b"still open"
    inherited.cancel()
    near.close()
    far.close()


def test_restart_asks_nothing_of_those_left_behind() -> None:
    """What a child does after a fork works though a thread that stayed behind held every lock."""
    watchdog = Watchdog()
    broken: list[str] = []
    inherited = watchdog.guard(lambda: broken.append("inherited"))
    inherited.arm(time.monotonic() + 1000 * HANG)
    sleeper = thread_of(watchdog)
    assert sleeper is not None
    held, done = threading.Event(), threading.Event()
    wakeup = watchdog._wakeup
    patient: list[bool] = []

    def hold() -> None:
        with inherited._lock, wakeup:
            held.set()
            patient.append(done.wait(HANG))

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(HANG)
    watchdog.restart()
    inherited.cancel()
    with watchdog.guard(lambda: broken.append("own")) as own:
        own.arm(0.0)
        quiet(watchdog)
    assert broken == ["own"]
    done.set()
    holder.join(HANG)
    assert patient == [True]
    with wakeup:
        wakeup.notify()  # The old thread is still there, this being no fork; it finds nothing and ends.
    sleeper.join(HANG)
    assert not sleeper.is_alive()
