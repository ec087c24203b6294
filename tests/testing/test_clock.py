"""Virtual time: it passes only by waiting."""

from __future__ import annotations

import threading

import anyio

from resumable.testing import ManualClock


def test_time_passes_by_waiting_only():
    """Waits of both colours move the clock and are recorded; advancing is not a wait."""
    clock = ManualClock(start=5.0)
    clock.sleep(2.0)
    anyio.run(clock.asleep, 3.0)
    clock.advance(1.0)
    assert clock.now() == 11.0
    assert clock.waits == [2.0, 3.0]
    assert repr(clock) == "ManualClock(now=11, waits=2)"


def test_time_does_not_go_back():
    """A negative wait is recorded but takes no time away."""
    clock = ManualClock()
    clock.sleep(-1.0)
    clock.advance(-1.0)
    assert clock.now() == 0.0


def test_threads_share_a_clock():
    """Waits of many threads all count."""
    clock = ManualClock()

    def wait():
        for _ in range(100):
            clock.sleep(1.0)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now() == 800.0
