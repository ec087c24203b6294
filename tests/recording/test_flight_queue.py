"""Which appends share a flight, and when it leaves."""

from __future__ import annotations

import math

from resumable._core.store_errors import FencedError, StoreUnavailableError
from resumable._recording._queue import AIR, BYTES, CROWD, CROWDED, FULL, GATHER, PROBE, Queue, backoff, window
from resumable.store import Append, Appended, Lease

AWAY = StoreUnavailableError("timeout", "TimeoutError")
DONE = Appended(1, 1, None)


class One:
    """A sender with some appends to send."""

    def __init__(self, name: str = "s", count: int = 1, size: int = 1) -> None:
        self.append = Append(Lease(name, "me", 1, 0, 15.0, 60.0), 1, [b"x" * size])
        self.left = count
        self.outcomes: list[object] = []

    @property
    def is_waiting(self) -> bool:
        """While some are left."""
        return self.left > 0

    def load(self, now: float) -> Append | None:
        """Give it."""
        del now
        return self.append if self.left else None

    def settle(self, outcome: Appended | Exception, now: float) -> None:
        """Remember it; what the store did not refuse for now is done."""
        del now
        self.outcomes.append(outcome)
        self.left -= not isinstance(outcome, StoreUnavailableError)

    def until(self, number: int, since: float) -> float:
        """Nobody asks."""
        del number
        return since


def test_first_come_first_served():
    """Everybody who has something to send goes, in order, once; who has nothing is left out."""
    queue, senders = Queue(), [One(str(i)) for i in range(3)]
    for sender in [*senders, senders[0]]:
        queue.join(sender)
    senders[1].left = 0
    assert queue.ready_at() == -math.inf
    batch = queue.take(0.0)
    assert [sender for sender, _ in batch] == [senders[0], senders[2]]
    assert not queue
    assert queue.ready_at() == math.inf


def test_a_flight_is_bounded():
    """In appends and in bytes; what does not fit goes in the next."""
    queue = Queue()
    for i in range(FULL + 1):
        queue.join(One(str(i)))
    assert (len(queue.take(0.0)), len(queue.take(0.0))) == (FULL, 1)
    for i in range(4):
        queue.join(One(str(i), size=BYTES // 2 + 1))
    assert (len(queue.take(0.0)), len(queue.take(0.0))) == (2, 2)


def test_each_has_its_own_outcome_and_may_stay():
    """Who has more goes again at once; who is done leaves, also when he has joined meanwhile."""
    queue, more, done = Queue(), One(count=2), One("t")
    queue.join(more)
    queue.join(done)
    batch = queue.take(0.0)
    queue.join(done)
    refused = FencedError("t", 1, 2)
    queue.settle(batch, [DONE, refused], 1.0)
    assert (more.outcomes, done.outcomes) == ([DONE], [refused])
    assert queue.take(1.0) == [(more, more.append)]


def test_a_store_that_is_away_is_left_alone_longer_and_longer():
    """Who waits for it goes on waiting; who comes new may try."""
    queue, sender = Queue(), One()
    queue.join(sender)
    now = 0.0
    for failures in range(1, 9):
        batch = queue.take(now)
        queue.settle(batch, [AWAY], now)
        assert queue.is_away
        assert queue.ready_at() == now + backoff(failures)
        queue.join(sender)
        assert queue.take(now) == []
        now = queue.ready_at()
    assert backoff(1) < backoff(2) <= backoff(100) <= 1.0
    new = One("t")
    queue.join(new)
    assert queue.take(now - 0.1) == [(new, new.append)]
    queue.settle([(new, new.append)], [DONE], now)
    assert not queue.is_away


def test_one_that_is_refused_for_now_does_not_stop_the_others():
    """A full memory refuses the large; only they wait."""
    queue, large, small = Queue(), One(), One("t", count=2)
    queue.join(large)
    queue.join(small)
    queue.settle(queue.take(0.0), [AWAY, DONE], 0.0)
    assert not queue.is_away
    assert queue.take(0.0) == [(small, small.append)]
    assert queue.take(backoff(1)) == [(large, large.append)]


def test_what_nobody_heard_of_goes_again():
    """A flight that was interrupted is sent again."""
    queue, sender = Queue(), One()
    queue.join(sender)
    batch = queue.take(0.0)
    queue.put_back(batch)
    assert queue.take(0.0) == batch
    queue.join(sender)
    queue.clear()
    assert not queue


def crowd(queue: Queue, count: int) -> list[One]:
    """Let some join that have two appends each."""
    senders = [One(str(i), count=2) for i in range(count)]
    for sender in senders:
        queue.join(sender)
    return senders


def test_only_a_crowd_waits_for_company():
    """Alone nobody waits; a large flight is followed by a pause of two milliseconds at most."""
    assert [window(n) for n in (0, 1, 16)] == [0, 0, 0]
    assert 0 < window(17) < window(40) <= window(1000) <= 0.002
    queue = Queue()
    crowd(queue, 90)
    queue.settle(queue.take(0.0), [DONE] * 90, 5.0)
    assert queue.ready_at() == 5.0 + window(90)


def test_a_full_flight_waits_for_nobody():
    """Neither for company nor, while there is room in the air, for another to land; what is not full waits for both."""
    queue = Queue()
    crowd(queue, FULL)
    batches = [queue.take(0.0)]
    crowd(queue, 1)
    assert queue.ready_at() == math.inf
    crowd(queue, FULL)
    assert queue.ready_at() == -math.inf
    queue.settle(batches[0], [DONE] * FULL, 5.0)
    assert queue.ready_at() == -math.inf
    for _ in range(AIR):
        crowd(queue, FULL)
        batches.append(queue.take(5.0))
    crowd(queue, FULL)
    assert queue.ready_at() == math.inf


def test_in_a_crowd_that_stays_flights_are_larger_and_go_one_at_a_time():
    """It is given time to get shorter first; one that leaves and finds fewer waiting ends it."""
    queue = Queue()
    senders = crowd(queue, CROWD)
    batch = queue.take(0.0)
    assert len(batch) == FULL
    assert queue.ready_at() == -math.inf
    queue.settle(batch, [DONE] * FULL, 0.0)
    for sender in senders:
        sender.left = 1
    batch = queue.take(PROBE)
    assert len(batch) == CROWDED
    assert queue.ready_at() == math.inf
    queue.settle(batch, [DONE] * CROWDED, PROBE)
    assert queue.ready_at() == -math.inf
    assert len(queue.take(PROBE)) == FULL
    assert queue.ready_at() == -math.inf


def test_a_crowd_is_now_and_then_tried_without():
    """One flight at a time may be what keeps it."""
    queue = Queue()
    crowd(queue, 20 * CROWD)
    sizes: list[int] = []
    for now in (0.0, PROBE, PROBE + GATHER / 2, PROBE + GATHER, 1.5 * PROBE + GATHER, 2 * PROBE + GATHER):
        batch = queue.take(now)
        sizes.append(len(batch))
        queue.settle(batch, [DONE] * len(batch), now)
    assert sizes == [FULL, CROWDED, CROWDED, FULL, FULL, CROWDED]


def test_a_session_is_in_one_flight_at_a_time():
    """Who joins while he is in the air goes in the next flight, when he has landed and has more."""
    queue, sender = Queue(), One(count=2)
    queue.join(sender)
    batch = queue.take(0.0)
    queue.join(sender)
    assert not queue
    assert queue.take(0.0) == []
    queue.settle(batch, [DONE], 0.0)
    assert queue.take(0.0) == batch


def test_a_store_that_is_away_is_asked_by_one_flight():
    """However many are waiting: the next one leaves when it has said something."""
    queue = Queue()
    crowd(queue, FULL)
    queue.settle(queue.take(0.0), [AWAY] * FULL, 0.0)
    crowd(queue, 1)
    assert len(queue.take(0.0)) == 1
    crowd(queue, 2 * FULL)
    assert queue.ready_at() == math.inf
