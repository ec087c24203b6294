"""
A clock that moves only when somebody waits on it.

It stands in for the wall clock in tests, so that a backoff of minutes takes no time and is still measured.
"""

from __future__ import annotations

import threading


class ManualClock:
    """
    Time that is advanced by waiting, shared by any number of threads and tasks.

    Nobody has to close it.

    Attributes:
        waits: [seconds] Every wait asked for, in order.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._guard = threading.Lock()
        self.waits: list[float] = []

    def now(self) -> float:
        """Tell the present time [seconds]; it never goes back."""
        return self._now

    def advance(self, seconds: float) -> None:
        """
        Let time pass without recording a wait.

        Args:
            seconds: [seconds] How far to go; a negative value is ignored.
        """
        with self._guard:
            self._now += max(0.0, seconds)

    def sleep(self, seconds: float) -> None:
        """
        Wait in virtual time, which takes none.

        Args:
            seconds: [seconds] Length of the wait.
        """
        with self._guard:
            self.waits.append(seconds)
            self._now += max(0.0, seconds)

    async def asleep(self, seconds: float) -> None:  # Reason: the twin of `sleep`
        """
        Wait in virtual time, which takes none.

        Args:
            seconds: [seconds] Length of the wait.
        """
        self.sleep(seconds)

    def __repr__(self) -> str:
        return f"ManualClock(now={self._now:g}, waits={len(self.waits)})"
