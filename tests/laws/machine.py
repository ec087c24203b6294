"""The core's session alone, fed with bytes: no SDK, no transport, many more cases in the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

from resumable import RetryPolicy
from resumable._core.continuation import Memory
from resumable._core.hold import DEFAULT_HOLD
from resumable._core.report import Report
from resumable._core.session import Session
from resumable._core.states import Open, Read, Sleep, Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MOST = 100


@dataclass
class Played:
    """
    What came of a session.

    Attributes:
        session: The machine.
        out: Frames for the caller.
        error: What it ended with.
        waits: [s] In order.
    """

    session: Session
    out: bytearray = field(default_factory=bytearray)
    error: Any = None
    waits: list[float] = field(default_factory=list)


def machine(body: dict[str, Any], policy: RetryPolicy | None = None) -> Session:
    """Make a session at time 0."""
    return Session(
        body,
        policy=policy or RetryPolicy(),
        hold=DEFAULT_HOLD,
        memory=Memory(),
        chance=lambda: 0.5,
        report=Report("session"),
        now=0.0,
    )


def pieces(body: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut a body into pieces of these sizes, used in turn."""
    at = 0
    for size in cycle(sizes):
        if at >= len(body):
            return
        yield body[at : at + size]
        at += size


def play(body: dict[str, Any], answers: Sequence[bytes], sizes: Sequence[int]) -> Played:
    """
    Drive a session until it stops; each answer ends cleanly, the last one is given again to later attempts.

    Args:
        body: The request.
        answers: What the attempts get, in turn.
        sizes: [bytes] Of the pieces they come in.
    """
    session = machine(body)
    played = Played(session)
    now = 0.0
    reading: Iterator[bytes] = iter(())
    while not isinstance(action := session.next_action(now), Stop):
        if isinstance(action, Open):
            assert action.number < _MOST, "attempts without end"
            reading = pieces(answers[min(action.number, len(answers)) - 1], sizes)
            session.receive_response(now)
        elif isinstance(action, Read):
            data = next(reading, b"")
            played.out += session.receive_data(data, now) if data else session.receive_eof(now)
        elif isinstance(action, Sleep):
            played.waits.append(action.delay)
            now += action.delay
    played.error = action.error
    return played
