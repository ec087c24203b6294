"""
One cell of the sweep: a recording, a model, a cut and a fault, driven to its end.

Without the SDK, for the bulk; the ways through the SDK are in `ways`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from resumable import RetryPolicy
from resumable._core.continuation import Memory
from resumable._core.errors import AttemptError, RecoveryError, StreamInterruptedError, StreamStalledError
from resumable._core.hold import effective_hold
from resumable._core.report import Report
from resumable._core.session import Session
from resumable._core.states import Open, Sleep, Stop
from resumable.middleware._failures import of_status
from resumable.testing import Drop, ErrorEvent, ManualClock, ScriptedUpstream, Stall
from tests.sweep.recordings import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from resumable.testing import Fault
    from tests.sweep.recordings import Recording
    from tests.sweep.table import Json

POLICY = RetryPolicy()
_SILENT = "bytes"
FAULTS: dict[str, Callable[[int], Fault]] = {
    "RST": lambda cut: Drop(at_byte=cut, how="rst"),
    "FIN": lambda cut: Drop(at_byte=cut, how="fin"),
    "clean EOF": lambda cut: Drop(at_byte=cut, how="eof"),
    "event: error": lambda cut: ErrorEvent("overloaded_error", at_byte=cut),
    "stall": lambda cut: Stall(at_byte=cut),
}


class Cell(NamedTuple):
    """
    Where a stream is cut, and how.

    Attributes:
        recording: The stream.
        model: The model asked.
        cut: [bytes] So much arrives.
        fault: Out of `FAULTS`.
    """

    recording: Recording
    model: str
    cut: int
    fault: str

    def upstream(self, clock: ManualClock | None = None) -> ScriptedUpstream:
        """Make the upstream whose first answer is cut here."""
        return self.recording.upstream(faults=[FAULTS[self.fault](self.cut)], clock=clock)

    def __str__(self) -> str:
        return f"{self.recording.name}, {self.model}, {self.fault} after {self.cut} bytes"


@dataclass
class Result:
    """
    What came of a cell.

    Attributes:
        body: What the caller received; empty where only the SDK has seen it.
        message: What the caller holds in the end, where the SDK assembled it.
        error: Name of the error's class, if one was raised.
        partial: The error's.
        asked: What upstream took each request for.
        is_estimated: Whether the usage is marked as one.
    """

    body: bytes = b""
    message: Json | None = None
    error: str | None = None
    partial: Mapping[str, Any] | None = None
    asked: tuple[str, ...] = ()
    is_estimated: bool = False


@dataclass
class _Wire:
    """Speaks to a scripted upstream without HTTP; a read brings one event, or all that arrives."""

    upstream: ScriptedUpstream
    clock: ManualClock
    brings_all: bool
    frames: Iterator[bytes] = field(default_factory=lambda: iter(()))
    how: str = "eof"
    received: int = 0

    def open(self, action: Open) -> str | None:
        payload = msgspec.json.encode(action.plan.body)
        exchange = self.upstream.exchange("POST", "/v1/messages", HEADERS, payload)
        self.upstream.settle(exchange, whole=exchange.answer.ending.how == "eof")
        answer = exchange.answer
        if answer.status >= 400:
            raise of_status(answer.status, dict(answer.headers), answer.body)
        self.frames = iter([answer.body] if self.brings_all else [frame.payload for frame in answer.frames])
        self.how, self.received = answer.ending.how, 0
        return dict(answer.headers).get("request-id")

    def read(self, deadline: float) -> bytes:
        data = next(self.frames, b"")
        self.received += len(data)
        if data or self.how == "eof":
            return data
        if self.how == "stall":
            self.clock.advance(deadline - self.clock.now())
            raise StreamStalledError(_SILENT, POLICY.bytes_timeout)
        raise StreamInterruptedError("ReadError" if self.how == "rst" else "RemoteProtocolError", self.received)


def _bytes(session: Session, wire: _Wire, clock: ManualClock) -> Iterator[bytes]:
    """Do what a session asks for, and give what it delivers."""
    while not isinstance(action := session.next_action(clock.now()), Stop):
        try:
            if isinstance(action, Open):
                session.receive_response(clock.now(), wire.open(action))
            elif isinstance(action, Sleep):
                clock.sleep(action.delay)
            else:
                session.resume(clock.now())
                data = wire.read(session.deadline)
                yield session.receive_data(data, clock.now()) if data else session.receive_eof(clock.now())
        except AttemptError as failure:
            yield session.receive_failure(failure, clock.now())
    if action.error is not None:
        raise action.error


def run(cell: Cell) -> Result:
    """Drive one cell to its end, without the SDK."""
    clock = ManualClock()
    upstream = cell.upstream(clock)
    body = {**cell.recording.body(cell.model), **cell.recording.format, "stream": True}
    session = Session(
        body,
        policy=POLICY,
        hold=effective_hold(None, body, ""),
        memory=Memory(),
        chance=lambda: 0.5,
        report=Report("sweep"),
        now=clock.now(),
    )
    result = Result()
    try:
        result.body = b"".join(_bytes(session, _Wire(upstream, clock, brings_all=cell.cut % 2 == 1), clock))
    except RecoveryError as error:
        result.error, result.partial = type(error).__name__, error.partial
    result.asked = tuple(upstream.log.strategies)
    result.is_estimated = session.report.has_estimates
    return result
