"""When a lease is renewed, what its listener hears, and what may be taken over after an absence."""

from __future__ import annotations

import math

import pytest

from resumable._core.store_errors import (
    FencedError,
    LeaseHeldError,
    SessionConflictError,
    SessionEndedError,
    StoreUnavailableError,
)
from resumable._recording._roster import FLIGHT, Roster, Vigil, refuse_takeover
from resumable.store import Appended, Checkpoint, Lease, MemoryStore, Opening, Vitals

AWAY = StoreUnavailableError("timeout", "TimeoutError")


class Hearer:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def lost(self, error: Exception) -> None:
        """Remember it."""
        self.heard.append(error)

    def cancelled(self, reason: str) -> None:
        """Remember it."""
        self.heard.append(reason)

    def disown(self) -> None:
        """Remember it."""
        self.heard.append("disowned")


def lease(name: str = "s", duration: float = 15.0) -> Lease:
    """A lease of its own holder."""
    return Lease(name, f"holder of {name}", 1, 0, duration, 60.0)


def tell(roster: Roster) -> None:
    """Tell what there is to tell."""
    for notice in roster.notices():
        notice()


def test_a_lease_is_renewed_every_third_of_it():
    """Not before, then until it is answered; then again a third later."""
    roster, hearer = Roster(), Hearer()
    roster.keep(lease(), hearer, 100.0)
    assert roster.due_at() == 105.0
    assert roster.due(104.9) == []
    assert roster.due(105.0) == [lease()]
    roster.renewed([lease()], [AWAY], 105.0)
    assert 105.0 < roster.due_at() < 106.0
    roster.renewed([lease()], [Appended(0, 0, None)], 106.0)
    assert roster.due_at() == 111.0
    assert hearer.heard == []


def test_what_is_due_soon_goes_along():
    """Leases that are due within a sixth of their time share a flight, and a flight is bounded."""
    roster, hearer = Roster(), Hearer()
    for i in range(FLIGHT + 10):
        roster.keep(lease(str(i)), hearer, 100.0 + (i % 3))
    assert len(roster.due(105.0)) == FLIGHT
    short, later = Roster(), lease("t", 60.0)
    short.keep(lease(), hearer, 100.0)
    short.keep(later, hearer, 100.0)
    assert short.due(105.0) == [lease()]


def test_a_lease_is_kept_while_its_listener_lives():
    """Whom nobody holds any more keeps no session; nor does who left."""
    roster, hearer = Roster(), Hearer()
    roster.keep(lease(), Hearer(), 100.0)
    roster.keep(lease("t"), hearer, 100.0)
    assert roster.due(105.0) == [lease("t")]
    roster.drop(lease("t"))
    assert not roster.is_needed
    roster.renewed([lease("t")], [FencedError("t", 1, 2)], 105.0)
    assert (roster.due_at(), roster.notices(), hearer.heard) == (math.inf, [], [])


@pytest.mark.parametrize("error", [FencedError("s", 1, 2), SessionEndedError("s", "cancelled", 3)])
def test_who_lost_his_lease_hears_it_once(error):
    """And it is not renewed any more."""
    roster, hearer = Roster(), Hearer()
    roster.keep(lease(), hearer, 100.0)
    roster.renewed([lease()], [error], 105.0)
    assert roster.due_at() < 0
    assert roster.is_needed
    tell(roster)
    roster.lost(lease(), error)
    roster.asked(lease(), "late")
    tell(roster)
    assert hearer.heard == [error]
    assert not roster.is_needed


def test_a_cancel_is_heard_at_once_and_told_once():
    """A hint makes the lease due; the answer to its renewal says why; later ones say nothing new."""
    roster, hearer = Roster(), Hearer()
    roster.keep(lease(), hearer, 100.0)
    assert not roster.hear(["other"], 101.0)
    assert roster.due(101.0) == []
    assert roster.hear(["s", "other"], 101.0)
    assert roster.due(101.0) == [lease()]
    for at in (101.0, 106.0):
        roster.renewed([lease()], [Appended(0, 0, "why")], at)
        tell(roster)
    roster.asked(lease(), "why")
    tell(roster)
    assert hearer.heard == ["why"]
    roster.hear(None, 107.0)
    assert roster.due(107.0) == []


def test_a_cancel_that_comes_before_the_lease_is_kept_is_heard():
    """Between the store's grant and the keeper there is a moment; a hint in it is remembered for a while."""
    roster, hearer = Roster(), Hearer()
    roster.hear(["s", "t"], 100.0)
    roster.keep(lease(), hearer, 100.1)
    assert roster.due_at() == 100.1
    roster.keep(lease("t"), hearer, 200.0)
    roster.drop(lease())
    assert roster.due_at() == 205.0


def test_who_is_forked_hears_nothing_but_that():
    """Everybody is let go."""
    roster, hearer = Roster(), Hearer()
    roster.keep(lease(), hearer, 100.0)
    roster.keep(lease("t"), Hearer(), 100.0)
    roster.disown()
    assert hearer.heard == ["disowned"]
    assert not roster.is_needed


def test_nothing_is_taken_over_for_a_lease_after_an_absence():
    """It counts from when the store is back, since no holder could renew before."""
    vigil = Vigil()
    vigil.back(0.0)
    assert vigil.takeover_in(15.0, 0.0) == 0
    vigil.away(AWAY)
    assert vigil.takeover_in(15.0, 1e9) == math.inf
    vigil.back(100.0)
    vigil.back(110.0)
    assert vigil.takeover_in(15.0, 110.0) == 5.0
    assert vigil.takeover_in(15.0, 115.0) == 0


def test_a_refusal_that_is_ours_alone_is_no_absence():
    """A password that is wrong here is not wrong for the holders."""
    vigil = Vigil()
    vigil.away(StoreUnavailableError("auth", "AuthenticationError", retryable=False))
    assert vigil.takeover_in(15.0, 0.0) == 0


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([Vitals("a", 3.0, "master")], 12.0),
        ([Vitals("a", 900.0, "master")], 0.0),
        ([Vitals("a", 900.0, "master"), Vitals("a", 900.0, "master")], 0.0),
        ([Vitals("a", 900.0, "master"), Vitals("b", 900.0, "master")], 15.0),
        ([Vitals(None, None, None), Vitals(None, None, None)], 0.0),
    ],
    ids=["started", "old", "same", "promoted", "silent"],
)
def test_a_server_that_was_started_anew_is_an_absence_too(told, left):
    """However short; another server with a long life is one that was promoted."""
    vigil = Vigil()
    for vitals in told:
        vigil.told(vitals, 100.0)
    assert vigil.takeover_in(15.0, 100.0) == left


def there() -> Checkpoint:
    """A session of somebody's."""
    store = MemoryStore()
    store.acquire("s", "other", duration=1.0, ttl=60.0, opening=Opening(b"{}", "h"))
    return store.get("s")


def test_a_takeover_that_must_wait_says_how_long():
    """As for a lease that is held; another request is a conflict first."""
    with pytest.raises(LeaseHeldError) as caught:
        refuse_takeover(there(), Opening(b"{}", "h"), 12.0)
    assert (caught.value.holder, caught.value.expires_in) == ("other", 12.0)
    with pytest.raises(LeaseHeldError):
        refuse_takeover(there(), None, 12.0)
    with pytest.raises(SessionConflictError):
        refuse_takeover(there(), Opening(b"{}", "another"), 12.0)
