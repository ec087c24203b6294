"""What came of a passage through the storm: what failed, and what a caller got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resumable._core.report import Report
    from resumable._core.seam import Seam


@dataclass(slots=True)
class FailedAttempt:
    """
    One attempt that failed.

    Attributes:
        number: From 1.
        fault: Name of what the upstream was told to do to it; `None` when it failed by itself.
        what: The same for people.
        failure: What the library saw.
        verdict: What it decided: `retry`, `continue`, `finish`, `give_up`.
        delay: [s] Which it waited before the next attempt.
        at: [characters] What the caller had then.
        noticed_at: [s] When the library saw it, on the monotonic clock.
        back_after: [s] From then to the caller's next text; `None` if none came.
        seam: How the next attempt joined; `None` where nothing was joined.
    """

    number: int
    fault: str | None
    what: str
    failure: str
    verdict: str
    delay: float
    at: int
    noticed_at: float
    back_after: float | None = None
    seam: Seam | None = None


@dataclass(slots=True)
class Heard:
    """
    What a caller got.

    Attributes:
        text: In all.
        stop_reason: What the message says; `None` when it never came.
        error: What the caller had to catch.
        report: What recovery did; `None` without it.
    """

    text: str = ""
    stop_reason: str | None = None
    error: Exception | None = None
    report: Report | None = None


@dataclass(slots=True)
class Outcome:
    """
    What came of it.

    Attributes:
        expected: Text of the fault-free answer.
        heard: What the caller got.
        bare: What a caller of the SDK alone got out of the same storm.
        failed: The attempts that failed, in order.
        attempts: [attempts] In total.
        requests: [requests] For a message, as the upstream counted them.
        elapsed: [s] From the call to its end.
    """

    expected: str
    heard: Heard
    bare: Heard
    failed: list[FailedAttempt]
    attempts: int
    requests: int
    elapsed: float

    @property
    def is_identical(self) -> bool:
        """Whether the caller got the fault-free answer: its bytes and its ending, and no error."""
        heard = self.heard
        return heard.error is None and heard.stop_reason == "end_turn" and heard.text == self.expected

    @property
    def seams(self) -> list[Seam]:
        """How the continuations joined, in order."""
        return [] if self.heard.report is None else self.heard.report.seams

    @property
    def waited(self) -> float:
        """[s] Between attempts."""
        return sum(one.delay for one in self.failed)
