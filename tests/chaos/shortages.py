"""One server that lacks memory, a disk to write to, or a steady clock, for a while at a time."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from tests.chaos.clocks import STEP, ServerClock
from tests.chaos.places import Alone
from tests.chaos.plan import Deed
from tests.store.servers import short_directory

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from tests.chaos.plan import Event, Plan

ROOM: Final = 20_000  # [bytes] left to a server until it is full
DISK: Final = 96  # [MiB] of the disk that is filled


class ShortOfMemory(Alone):
    """A server whose memory is full at times: it refuses what would need more."""

    def befall(self, event: Event) -> bool:
        """As `Place.befall`."""
        if event.deed is not Deed.MEMORY:
            return super().befall(event)
        with self.server.client as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + ROOM)
            time.sleep(event.lasting)
            client.config_set("maxmemory", 0)
        return True

    def mend(self) -> None:
        """As `Place.mend`."""
        super().mend()
        with self.server.client as client:
            client.config_set("maxmemory", 0)


class ShortOfDisk(Alone):
    """
    A server on a disk of its own (a small tmpfs), full at times.

    With `everysec` it refuses what it would have to write; with `always` it ends itself, and is started again.
    """

    def __init__(self, plan: Plan, stack: ExitStack, program: str) -> None:
        directory = short_directory(stack)
        mount(directory, stack)
        self._ballast = directory / "ballast"
        super().__init__(plan, stack, program, directory=directory)

    def befall(self, event: Event) -> bool:
        """As `Place.befall`."""
        if event.deed is not Deed.DISK:
            return super().befall(event)
        left = os.statvfs(self.server.directory)
        with suppress(OSError), self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(left.f_bavail * left.f_frsize - ROOM, 1))
        time.sleep(event.lasting)
        self._clear()
        return True

    def mend(self) -> None:
        """As `Place.mend`."""
        super().mend()
        self._clear()

    def _clear(self) -> None:
        self._ballast.unlink(missing_ok=True)
        if not self.server.answers():
            self.server.restart()


class Unsteady(Alone):
    """A server whose clock steps."""

    def __init__(self, plan: Plan, stack: ExitStack, program: str) -> None:
        directory = short_directory(stack)
        self._clock = ServerClock(directory)
        super().__init__(plan, stack, program, directory=directory, environment=self._clock.environment)

    def befall(self, event: Event) -> bool:
        """As `Place.befall`."""
        if event.deed is not Deed.CLOCK:
            return super().befall(event)
        # Back by more than a lease, all that are held hang; so it comes back from there soon.
        lease = self.plan.lease
        steps = (0.0, lease / 2, -lease / 2, 2 * lease, -2 * lease, STEP, -STEP)
        self._clock.set(steps[event.whom % len(steps)])
        return True

    def mend(self) -> None:
        """As `Place.mend`; no lease is left that runs out in ten minutes."""
        super().mend()
        self._clock.set(self._clock.highest + self.plan.lease)


def mount(directory: Path, stack: ExitStack) -> None:
    """Put a small disk there, or skip loudly: that takes root."""
    size = f"size={DISK}m"
    argv = ["mount", "-t", "tmpfs", "-o", size, "storm", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a disk to fill: {done.stderr.strip()}")
    stack.callback(subprocess.run, ["umount", "-l", str(directory)], check=False)
