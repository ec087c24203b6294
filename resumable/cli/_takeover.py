"""The demo's second act: a process is killed in mid-sentence, and another finishes what it said."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Final

import resumable
from resumable.cli._storm import ANSWER
from resumable.testing import Reply, ScriptedUpstream, Slow, Stall, Text

if TYPE_CHECKING:
    from subprocess import Popen

_SESSION: Final = "demo"
#: [frames] So far the first process comes.
_STALL_AT: Final = 60
#: [bytes] So much of it is waited for.
_ENOUGH: Final = 200
_SPEAKER: Final = "resumable.cli._speaker"


@dataclass(frozen=True, slots=True)
class Takeover:
    """
    What came of it.

    Attributes:
        killed: What the caller of the process had that was killed.
        resumed: What the caller of the next one got, from the beginning.
        back_after: [s] From the kill to the first new text.
        requests: Sent upstream by both together.
    """

    killed: str
    resumed: str
    back_after: float
    requests: int

    @property
    def is_identical(self) -> bool:
        """Whether the two join byte for byte, into the fault-free answer."""
        return self.resumed == ANSWER and self.resumed.startswith(self.killed) and bool(self.killed)


def take_over(pace: float = 0.0) -> Takeover:
    """
    Let a process be killed in mid-sentence, and another resume its session by ID, on an embedded store of their own.

    Args:
        pace: [s] Between two frames.

    Raises:
        ConfigurationError: There is no server program here; the error says what to do.
    """
    calm = Slow(pace)
    with (
        TemporaryDirectory(prefix="resumable-") as home,
        ScriptedUpstream(
            Reply([Text(ANSWER)]), lambda number, _: (calm, Stall(after=_STALL_AT)) if number == 1 else calm, "anchor"
        ) as upstream,
    ):
        store = f"embedded://{home}"
        with resumable.Sessions(store) as sessions:
            sessions.list()  # The server stays while somebody uses it.
            killed, died_at = _kill(_speak(upstream, store))
            second = _speak(upstream, store)
            with second, _output(second) as output:
                resumed = output.read(len(killed) + 1)
                back_after = time.monotonic() - died_at
                resumed += output.read()
        return Takeover(killed.decode(), resumed.decode(), back_after, len(upstream.log))


def _speak(upstream: ScriptedUpstream, store: str) -> Popen[bytes]:
    command = [sys.executable, "-m", _SPEAKER, upstream.url, store, _SESSION]
    return subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603  # Reason: this very program


def _kill(speaker: Popen[bytes]) -> tuple[bytes, float]:
    """Kill a process that has begun to speak; give all that its caller had, and when [s] it died."""
    with speaker, _output(speaker) as output:
        said = output.read(_ENOUGH)
        speaker.kill()
        return said + output.read(), time.monotonic()


def _output(speaker: Popen[bytes]) -> IO[bytes]:
    assert speaker.stdout is not None  # Invariant: `_speak` asked for it.
    return speaker.stdout
