"""Sessions whose store was away when they began: kept when it comes back, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from resumable._core.report import Report
from resumable._core.store_errors import DivergedError, StoreUnavailableError
from resumable._recording import _late
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._late import AsyncLate, Late
from resumable._recording._terms import Terms
from resumable.store import AsyncMemoryStore, Cursor, Marker, MemoryStore, Opening, Recorded, Status
from resumable.testing._conformance_scene import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.from_thread import BlockingPortal

OPENING = Opening(b'{"body":{}}', "hash")
COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])
AWAY = StoreUnavailableError("connection", "ConnectionError")


class Bench:
    """
    A late session of a colour, and the store it is late for.

    Attributes:
        report: Of its stream.
        error: What the store answers to everything, or `None` where it is there.
    """

    def __init__(self, colour: str, portal: BlockingPortal) -> None:
        self._portal = portal
        self.error: Exception | None = AWAY
        self.asked = 0
        self.now = 0.0
        self.report = Report("s", unkept="connection")
        self.whole = MemoryStore()
        bench = self

        class Away(MemoryStore):
            def look(self, *args: Any) -> Any:
                bench.strike()
                return super().look(*args)

        class AsyncAway(AsyncMemoryStore):
            async def look(self, *args: Any) -> Any:
                bench.strike()
                return await super().look(*args)

        self._is_async = colour == "async"
        self._store: Any = AsyncAway() if self._is_async else Away()
        self._store._sessions = self.whole._sessions
        self.desk, self.late = self.run(self._make)

    def strike(self) -> None:
        """Fail, while the store is away."""
        self.asked += 1
        if self.error is not None:
            raise self.error

    def _make(self) -> Any:
        if not self._is_async:
            desk = Desk(self._store, now=lambda: self.now)
            late = Late(desk, OPENING, Terms(), self.report)
            desk.reception.admit(late)
            return desk, late

        async def make() -> Any:
            adesk = AsyncDesk(self._store, now=lambda: self.now)
            alate = AsyncLate(adesk, OPENING, Terms(), self.report)
            adesk.reception.admit(alate)
            return adesk, alate

        return make()

    def run(self, call: Any, *args: Any) -> Any:
        """Call a method of the colour."""
        if not self._is_async:
            return call(*args)

        async def there() -> Any:
            return await call(*args)

        return self._portal.call(there)

    def write(self, *args: Any) -> None:
        """Write."""
        self.run(self.late.write, *args)

    def end(self, *args: Any) -> None:
        """End."""
        self.run(self.late.end, *args)

    def come_back(self) -> None:
        """Let the store be there."""
        self.error = None
        until(lambda: self.late.is_settled)

    def log(self) -> list[Any]:
        """Read the log: events as they are, and what became of the session."""
        return [one.event if isinstance(one, Recorded) else one.status for one in self.whole.read("s")]

    def close(self) -> None:
        """Leave."""
        self.run(self.desk.close)


@pytest.fixture
def bench(colour: str) -> Iterator[Bench]:
    """One of a colour."""
    with start_blocking_portal() as portal:
        made = Bench(colour, portal)
        yield made
        made.close()


@COLOURS
def test_what_was_held_is_written_when_the_store_is_back(bench: Bench):
    """All of it in order, what comes later behind it, and the checkpoint says how far the log was behind."""
    bench.write([b"1", b"2"], {"attempt": 1})
    bench.write([b"3"], {"attempt": 2})
    until(lambda: bench.asked > 2)
    assert (bench.late.next_seq, bench.late.last_seq, bench.report.unkept) == (4, 0, "connection")
    bench.now = 5.0
    bench.come_back()
    assert bench.report.unkept is None
    bench.write([b"4"])
    assert bench.log() == [Status.RUNNING, b"1", b"2", b"3", b"4"]
    bench.end(Status.COMPLETE, [b"5"])
    assert bench.log()[-2:] == [b"5", Status.COMPLETE]
    fields = bench.whole.get("s").fields
    assert (fields["attempt"], fields["gap"]) == (b"2", b'{"outages":1,"seconds":5.0,"events":3}')
    assert bench.desk.flight.backlog.size == 0


@COLOURS
def test_a_stream_that_ended_meanwhile_is_kept_whole(bench: Bench):
    """Its caller is gone; the process is still there."""
    bench.write([b"1"])
    bench.end(Status.COMPLETE, [b"2"], {"stop_reason": "end_turn"})
    bench.come_back()
    until(lambda: bench.whole.get("s").status is Status.COMPLETE)
    assert bench.log() == [Status.RUNNING, b"1", b"2", Status.COMPLETE]


@COLOURS
def test_another_answer_under_that_name_stays_as_it_is(bench: Bench):
    """Two answers are never put under one name: this one stays unkept."""
    lease = bench.whole.acquire("s", "other", duration=60.0, ttl=60.0, opening=OPENING).lease
    bench.write([b"1"])
    bench.come_back()
    bench.write([b"2"])
    bench.end(Status.COMPLETE, [b"3"])
    assert (bench.log(), bench.report.unkept) == ([Status.RUNNING], "connection")
    assert bench.whole.get("s").token == lease.token
    assert bench.desk.flight.backlog.size == 0


@COLOURS
@pytest.mark.parametrize("why", ["room", "time", "auth", "release", "bug"])
def test_when_it_stays_unkept(
    bench: Bench, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Where there is no room, the end was too long ago, waiting heals nothing, or nobody wants it: nothing is held."""
    bench.write([b"1"])
    if why == "room":
        monkeypatch.setattr(_late, "BACKLOG", 3)
        bench.write([b"234"])
    elif why == "time":
        bench.end(Status.COMPLETE)
        bench.now = 301.0
    elif why == "auth":
        bench.error = StoreUnavailableError("auth", "AuthenticationError", retryable=False)
    elif why == "bug":
        bench.error = ZeroDivisionError()
    else:
        bench.run(bench.late.release)
    until(lambda: bench.late.is_settled)
    bench.write([b"5"])
    bench.error = None
    reasons = {"room": "backlog", "time": "timeout", "auth": "auth", "release": "released", "bug": "error"}
    assert f"resumable.session_stays_unkept session=s reason={reasons[why]}" in caplog.text
    assert bench.whole.look(["s"])[0].__class__.__name__ == "SessionNotFoundError"
    assert bench.desk.flight.backlog.size == 0
    assert bench.report.unkept == "connection"


@COLOURS
def test_who_takes_it_over_at_once_diverges(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """The caller has what the log does not hold: he must not read on as if it did."""
    lost: list[bool] = []
    bench.late.on_lost = lambda: lost.append(True)
    bench.write([b"1"])
    whole = bench.whole
    acquire = whole._sessions.acquire

    def acquire_twice(*args: Any, **options: Any) -> Any:
        acquired = acquire(*args, **options)
        monkeypatch.setattr(whole._sessions, "acquire", acquire)
        session = whole._sessions._sessions["s"]
        session.token += 1
        session.holder = "other"
        session.log.append(Marker(session.token, Status.RUNNING, "other", 0, Cursor(acquired.lease.token, 0)))
        return acquired

    monkeypatch.setattr(whole._sessions, "acquire", acquire_twice)
    bench.come_back()
    with pytest.raises(DivergedError):
        bench.write([b"2"])
    until(lambda: lost == [True])
