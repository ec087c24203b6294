"""Clocks that step: the wall clock of a process that writes or reads, and that of a server."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Final

import pytest

STEP: Final = 600.0  # [s] that a clock steps at most, either way; sessions live longer.
_LIBRARY: Final = "libfaketime.so.1"
_FOLDERS: Final = (Path("/usr/lib"), Path("/usr/local/lib"))


def step_for_ever(name: str) -> None:
    """Let the wall clock of this process step twice a second; its monotonic clock goes on as it should."""
    chance, real, monotonic = random.Random(f"clock {name}"), time.time, time.monotonic
    steps: list[float] = [monotonic(), 0.0]

    def stepping() -> float:
        if monotonic() - steps[0] > 0.5:
            steps[:] = [monotonic(), chance.choice((0.0, 1.0, -1.0, STEP, -STEP))]
        return real() + steps[1]

    time.time = stepping


class ServerClock:
    """
    The clock of one server, put forward and back through `libfaketime`; its monotonic clock is left alone.

    Attributes:
        offset: [s] By how much it is ahead now.
        highest: [s] By how much it was ahead at most.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.offset = self.highest = 0.0
        self.set(0.0)

    @property
    def environment(self) -> dict[str, str]:
        """What the server is started with."""
        return dict(os.environ) | {
            "LD_PRELOAD": str(_find()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: float) -> None:
        """Put it ahead of the true time by *offset* [s]."""
        other = self._file.with_suffix(".new")
        other.write_text(f"{offset:+.3f}\n")
        other.replace(self._file)
        self.offset, self.highest = offset, max(offset, self.highest)


def _find() -> Path:
    """Find the library, or skip loudly."""
    for folder in _FOLDERS:
        for path in sorted(folder.glob(f"**/faketime/{_LIBRARY}")):
            return path
    pytest.skip(f"no {_LIBRARY} here: install Debian's libfaketime")
