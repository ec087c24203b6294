"""The hub's rules: who is given what, who is looked at and when, and what ends a feed."""

from __future__ import annotations

import threading
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.store_errors import SessionNotFoundError, StoreUnavailableError
from resumable._recording import _hub
from resumable._recording._follow import Follower, Lapse
from resumable._recording._hub import backoff
from resumable._recording._taps import LOOK_LIMIT, Feed, Taps
from resumable.store import AsyncMemoryStore, Checkpoint, Cursor, Marker, MemoryStore, Recorded, Status
from resumable.testing._conformance_scene import until
from tests.recording.scenes import Author, Desk, Reader, scene_of

TOKEN = 1000
LOG = [Recorded(TOKEN, seq, b"{}") for seq in range(1, 10)]


def at(seq: int) -> Cursor:
    """Name the place behind an event of the log."""
    return Cursor(TOKEN, seq)


def fed(
    taps: Taps, seq: int, session_id: str = "s", *, now: float = 0.0, patience: float = 30.0
) -> Feed[threading.Event]:
    """Join a feed that stands behind an event."""
    feed = Feed(session_id, threading.Event(), patience)
    feed.cursor = at(seq)
    taps.join(feed, now)
    return feed


def held(session_id: str = "s", left: float = 10.0, status: Status = Status.RUNNING) -> Checkpoint:
    """Make the checkpoint of a session."""
    return Checkpoint(session_id, status, 9, 0, TOKEN, "h", left, 0, None, "", "", 0.0, 0.0, "1", {})


def test_a_feed_that_joins_further_back_gets_no_hole():
    """What a wait brought that began ahead of a feed is not given to it; the next wait begins where it stands."""
    taps = Taps()
    ahead = fed(taps, 4)
    start = taps.cursors()
    behind = fed(taps, 2)
    taps.arrived(start, {"s": LOG[4:6]}, 0.0)
    assert ahead.take().entries == LOG[4:6]
    assert not behind.take().entries
    assert taps.cursors() == {"s": at(2)}
    taps.arrived(taps.cursors(), {"s": LOG[2:7]}, 0.0)
    assert ahead.take().entries == LOG[6:7]
    assert behind.take().entries == LOG[2:7]
    assert taps.cursors() == {"s": at(7)}


@given(joins=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_whenever_feeds_join_each_gets_what_follows(joins):
    """Feeds that join anywhere, between or during waits of any reach, get what follows them, once and in order."""
    taps = Taps()
    feeds: list[tuple[int, Feed[threading.Event]]] = []
    for seq, reach in joins:
        start = taps.cursors()
        feeds.append((seq, fed(taps, seq)))
        if start:
            found = LOG[start["s"].seq : start["s"].seq + reach]
            taps.arrived(start, {"s": found} if found else {}, 0.0)
    while (begin := taps.cursors()["s"].seq) < len(LOG):
        taps.arrived({"s": at(begin)}, {"s": LOG[begin:]}, 0.0)
    for seq, feed in feeds:
        assert feed.is_joined
        assert list(feed.take().entries) == LOG[seq:]


def test_a_feed_that_has_seen_what_the_log_does_not_hold_goes_back_to_reading():
    """Where the log goes on without the entry that a feed stands behind, it is given nothing."""
    taps = Taps()
    start = {"s": at(2)}
    fed(taps, 2)
    rewound = fed(taps, 5)
    later = Marker(TOKEN + 1, Status.RUNNING, "h", 3, at(3))
    taps.arrived(start, {"s": [LOG[2], later]}, 0.0)
    delivery = rewound.take()
    assert (delivery.entries, delivery.hint, delivery.is_joined) == ((), None, False)


def test_a_full_feed_keeps_what_it_has():
    """A feed without room leaves the tap with what it holds, in order; others stay."""
    taps = Taps()
    slow, quick = fed(taps, 0), fed(taps, 0)
    big = [Recorded(TOKEN, seq, b"x" * 400_000) for seq in range(1, 5)]
    for entry in big:
        taps.arrived(taps.cursors(), {"s": [entry]}, 0.0)
        assert list(quick.take().entries) == [entry]
    delivery = slow.take()
    assert (delivery.entries, delivery.is_joined) == (big[:2], False)


def test_the_pause_adapts():
    """Few logs are waited on without a pause; a thousand with one of 10 ms."""
    taps = Taps()
    feeds = []
    pauses = {}
    for number in range(1, 1201):
        feeds.append(fed(taps, 0, f"s{number}"))
        pauses[number] = taps.pause
    assert pauses[1] == pauses[63] == 0.0
    assert 0.003 < pauses[100] < 0.004
    assert pauses[1000] == pauses[1200] == pytest.approx(0.01)


def test_the_silent_are_looked_at_when_their_lease_is_over():
    """A look is due at once, then when the lease that it told of is over, but every 5 s at the latest."""
    taps = Taps()
    feed = fed(taps, 0, now=100.0)
    assert (taps.due(100.0), taps.until_look(100.0)) == (["s"], 0.0)
    taps.looked(["s"], [held(left=15.0)], 100.0)
    assert (taps.due(104.9), taps.due(105.1)) == ([], ["s"])
    taps.looked(["s"], [held(left=2.0)], 105.0)
    assert (taps.due(106.9), taps.due(107.1)) == ([], ["s"])
    assert taps.until_look(106.0) == pytest.approx(1.0, abs=0.1)
    assert feed.is_joined
    taps.looked(["s"], [held(left=0.0)], 107.1)
    assert feed.take().hint == held(left=0.0)


def test_who_writes_is_not_looked_at():
    """Each event puts the next look off by what was seen of the lease; a marker asks for one at once."""
    taps = Taps()
    feed = fed(taps, 0, now=0.0)
    taps.looked(["s"], [held(left=3.0)], 0.0)
    for second in range(1, 9):
        taps.arrived(taps.cursors(), {"s": [LOG[second]]}, float(second))
        assert taps.due(second + 2.9) == []
    assert taps.due(11.1) == ["s"]
    taken = Marker(TOKEN + 1, Status.RUNNING, "h", 9, at(9))
    taps.arrived(taps.cursors(), {"s": [taken]}, 9.0)
    assert taps.due(9.0) == ["s"]
    assert feed.is_joined


def test_many_are_looked_at_in_several_flights():
    """No flight of looks holds the server up: a hundred at a time."""
    taps = Taps()
    feeds = [fed(taps, 0, f"s{number}") for number in range(250)]
    sizes = []
    while due := taps.due(1.0):
        sizes.append(len(due))
        taps.looked(due, [held(one) for one in due], 1.0)
    assert (sizes, len(feeds)) == ([LOOK_LIMIT, LOOK_LIMIT, 50], 250)


def test_a_holder_that_comes_back_can_fall_silent_again():
    """Who was told of a lapse is told of the next one, once the holder was seen alive between them."""
    taps = Taps()
    feed = fed(taps, 0)
    feed.is_told = True
    taps.looked(["s"], [held(left=0.0)], 0.0)
    assert feed.is_joined
    taps.looked(["s"], [held(left=5.0)], 2.0)
    taps.looked(["s"], [held(left=0.0)], 8.0)
    assert not feed.is_joined


def test_what_is_about_one_session_is_told_to_its_followers_only():
    """An error that names a session ends its feeds; one that names none ends all of them."""
    taps = Taps()
    one, two = fed(taps, 0, "one"), fed(taps, 0, "two")
    gone = SessionNotFoundError("one")
    taps.refused(gone)
    assert (one.take().hint, two.is_joined, len(taps)) == (gone, True, 1)
    taps.looked(["two", "one"], [StoreUnavailableError("busy", "BUSY"), gone], 0.0)
    assert two.is_joined
    taps.refused(bug := ZeroDivisionError())
    assert (two.take().hint, len(taps)) == (bug, 0)


def test_each_feed_has_its_own_patience():
    """An outage ends a feed when its own patience is over, counted from when it joined."""
    taps = Taps()
    away = StoreUnavailableError("connection", "ConnectionError")
    short, long = fed(taps, 0, patience=1.0), fed(taps, 0, "t", patience=9.0)
    taps.lost(away, 0.0)
    late = fed(taps, 0, "u", now=5.0, patience=1.0)
    taps.lost(away, 5.5)
    assert [feed.is_joined for feed in (short, long, late)] == [False, True, True]
    taps.arrived(taps.cursors(), {}, 6.0)
    taps.lost(away, 7.0)
    assert [feed.is_joined for feed in (long, late)] == [True, True]
    taps.lost(away, 16.0)
    assert len(taps) == 0


def test_a_store_that_is_away_is_asked_less_and_less():
    """The pause after a failed wait doubles from 20 ms to a second."""
    assert [backoff(failures) for failures in (1, 2, 3, 7, 1000)] == pytest.approx([0.02, 0.04, 0.08, 1.0, 1.0])


def test_a_lost_thread_is_replaced(monkeypatch):
    """A hub whose thread is gone, as after a fork, goes on with another, and who waits misses nothing."""
    monkeypatch.setattr(_hub, "_CHECK", 0.01)
    with scene_of("sync") as scene:
        author = Author(scene)
        run = scene.hub._run
        monkeypatch.setattr(scene.hub, "_run", lambda: monkeypatch.setattr(scene.hub, "_run", run))
        reader = Reader(Follower(Desk(scene.store, scene.hub), "s"))  # type: ignore[arg-type]  # Reason: all it reads
        author.do("end")
        assert reader.result() == author.log


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_hub_that_nobody_needs_ends(colour):
    """When the last follower has left, the thread or task ends with its wait; the next one starts another."""
    with scene_of(colour) as scene:
        author = Author(scene)
        for _ in range(2):
            reader = Reader(scene.follow(after=author.log[-1].cursor))
            author.write(1)
            reader.wait_for_count(1)
            reader.follower.close()
            assert len(reader.result()) == 1
            scene.store.wake()
            runs = scene.hub._thread if colour == "sync" else scene.hub._task
            if colour == "sync" and runs is not None:
                runs.join(10)
            assert len(scene.hub._taps) == 0


def test_everybody_is_looked_at_after_an_outage():
    """When the store is back, nobody knows what became of a session meanwhile: each is looked at at once."""
    taps = Taps()
    feeds = [fed(taps, 0, name) for name in ("one", "two")]
    taps.looked(["one", "two"], [held("one"), held("two")], 0.0)
    assert taps.due(1.0) == []
    taps.lost(StoreUnavailableError("connection", "ConnectionError"), 1.0)
    taps.arrived(taps.cursors(), {}, 2.0)
    assert (taps.due(2.0), len(feeds)) == (["one", "two"], 2)
    taps.looked(["one", "two"], [held("one"), held("two")], 2.0)
    taps.arrived(taps.cursors(), {}, 2.5)
    assert taps.due(2.5) == []


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_who_joins_ends_the_wait_that_is_under_way(colour):
    """A log that is added while the hub waits is waited on at once, not when the wait is over; one waking is enough."""
    woken: list[int] = []

    class Waking(MemoryStore):
        def wake(self):
            woken.append(1)
            super().wake()

    class AsyncWaking(AsyncMemoryStore):
        async def wake(self):
            woken.append(1)
            await super().wake()

    with scene_of(colour, (Waking, AsyncWaking)) as scene:
        authors = [Author(scene, name) for name in ("one", "two")]
        first = Reader(scene.follow("one"))
        until(lambda: scene.hub._is_waiting and scene.hub._taps.until_look(scene.clock.now()) > 0)
        assert woken == []
        second = Reader(scene.follow("two"))
        until(lambda: bool(woken))
        for author, reader in zip(authors, (first, second), strict=True):
            author.do("end")
            assert reader.result() == author.log


@pytest.mark.parametrize("hint", [held(left=0.0), SessionNotFoundError("s")])
def test_a_hint_is_believed_where_the_log_has_nothing_more(hint, monkeypatch):
    """What the hub heard is forgotten where reading brings entries, and else the truth; an end is the log's to tell."""
    with scene_of("sync") as scene:
        monkeypatch.setattr(scene.hub, "_start", lambda: None)
        author = Author(scene)
        follower = scene.follow()
        assert isinstance(next(follower), Marker)
        author.write(1)
        follower.feed.hint(hint)
        assert isinstance(next(follower), Recorded)
        follower.feed.hint(hint)
        if isinstance(hint, Exception):
            with pytest.raises(SessionNotFoundError):
                next(follower)
        else:
            assert list(islice(follower, 1)) == [Lapse(0.0, "h", Status.RUNNING)]


async def test_a_bell_of_a_loop_rings_once_for_one():
    """Before he waits, while he does, and for the next when the last one was cancelled."""
    bell = _hub.AsyncBell()
    bell.set()
    await bell.wait()
    bell.clear()
    waiting = bell.wait()
    assert not waiting.done()
    waiting.cancel()
    bell.set()
    await bell.wait()
    bell.clear()
    waiting = bell.wait()
    bell.set()
    bell.set()
    await waiting
