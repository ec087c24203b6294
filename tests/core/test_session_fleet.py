"""A session holds its requests back while other workers are refused."""

from __future__ import annotations

from resumable._core.continuation import Memory
from resumable._core.states import Open, Sleep, Stop
from tests.core.rig import LOST, Rig


class Hints(Memory):
    """A memory with somebody behind it who asks to hold back."""

    wait = 0.0

    def held_back(self) -> float:
        """Say how long."""
        return self.wait


def test_a_first_request_is_held_back():
    """Nothing is sent while others are refused; the report says how long that took, apart from waits of its own."""
    hints = Hints()
    rig = Rig(memory=hints)
    hints.wait = 8.0
    assert rig.ask() == Sleep(8.0)
    rig.now += 8.0
    hints.wait = 0.0
    assert isinstance(rig.ask(), Open)
    report = rig.session.report
    assert (report.deferred, report.waited, report.attempts[0].opened_at) == (8.0, 0.0, rig.now)


def test_a_later_request_is_held_back_after_its_own_wait():
    """A session waits as its policy says, then for the others; both are of its patience."""
    hints = Hints()
    rig = Rig(memory=hints, max_wait=30.0)
    rig.ask()
    hints.wait = 10.0
    rig.session.receive_failure(LOST, rig.now)
    assert rig.ask() == Sleep(10.0)
    rig.now += 10.0
    hints.wait = 6.0
    assert isinstance(rig.ask(), Open)
    assert rig.session._recovery.history.waited == 10.0
    assert [attempt.deferred for attempt in rig.session.report.attempts] == [0.0, 10.0]


def test_a_deadline_is_not_spent_on_others():
    """Where holding back would end the session, its request is sent instead."""
    hints = Hints()
    hints.wait = 10.0
    assert isinstance(Rig(memory=hints, total_timeout=10.0).ask(), Open)
    assert isinstance(Rig(memory=hints, total_timeout=10.1).ask(), Sleep)


def test_who_leaves_is_not_held_back():
    """A session that is closed while it holds back sends nothing."""
    hints = Hints()
    hints.wait = 10.0
    rig = Rig(memory=hints)
    assert isinstance(rig.ask(), Sleep)
    rig.session.close(rig.now)
    assert rig.ask() == Stop(None)
