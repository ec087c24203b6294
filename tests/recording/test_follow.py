"""Law L6: who follows a log gets what stands behind its cursor, in order, once; whoever writes, and whenever."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable._core.store_errors import CursorError, SessionNotFoundError, StoreUnavailableError
from resumable._recording import _follow, _taps
from resumable._recording._follow import Lapse
from resumable.store import Cursor, Marker, Recorded, Status
from tests.recording.scenes import LEASE, Author, Reader, of_the_log, scene_of

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])


STEPS = st.lists(st.one_of(st.integers(1, 7), st.sampled_from(["release", "lapse"])), max_size=8)


@pytest.fixture
def small(monkeypatch):
    """Pages and buffers so small that every log fills several."""
    monkeypatch.setattr(_follow, "PAGE", 3)
    monkeypatch.setattr(_taps, "MAX_HELD", 4)


@COLOURS
@pytest.mark.usefixtures("small")
def test_a_finished_log_is_replayed_from_every_cursor(colour):
    """Behind every entry k of a log that is over come all after it, in order, and then the end (law L6)."""
    with scene_of(colour) as scene:
        author = Author(scene)
        for step in (5, "release", 1, "lapse", "lapse", 4, "end"):
            author.do(step)
        log = author.log
        assert len(log) == 17
        for k in range(len(log)):
            assert Reader(scene.follow(after=log[k].cursor)).result() == log[k + 1 :]
        assert Reader(scene.follow()).result() == log


@COLOURS
@settings(max_examples=40)
@given(steps=STEPS, cut=st.integers(0, 8), starts=st.lists(st.integers(0, 60), min_size=1, max_size=4))
def test_a_live_log_is_followed_from_every_cursor(colour, steps, cut, starts):
    """Whoever begins behind entry k while others write gets k+1, k+2 …, once each and in order (law L6)."""
    with scene_of(colour) as scene, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_follow, "PAGE", 3)
        patch.setattr(_taps, "MAX_HELD", 4)
        author = Author(scene)
        for step in steps[:cut]:
            author.do(step)
        so_far = author.log
        places = [start % (len(so_far) + 1) - 1 for start in starts]
        readers = [Reader(scene.follow(after=so_far[k].cursor if k >= 0 else None)) for k in places]
        for step in [*steps[cut:], "end"]:
            author.do(step)
        log = author.log
        for k, reader in zip(places, readers, strict=True):
            assert of_the_log(reader.result()) == log[k + 1 :]


@COLOURS
def test_breaking_off_and_going_on_loses_nothing(colour):
    """A follower left after any entry, and another begun at its cursor, give together what one would have."""
    with scene_of(colour) as scene:
        author = Author(scene)
        author.do(3)
        author.do("release")
        author.do("end")
        log = author.log
        for count in range(1, len(log)):
            first = scene.follow()
            got = [next(first) for _ in range(count)]
            first.close()
            assert got + Reader(scene.follow(after=first.cursor)).result() == log


@COLOURS
def test_many_followers_get_the_same(colour):
    """Fifty followers of ten sessions, all through one hub, get each its own log, whole."""
    with scene_of(colour) as scene:
        authors = [Author(scene, f"s{number}") for number in range(10)]
        readers = [(author, Reader(scene.follow(author.session_id))) for author in authors for _ in range(5)]
        for _ in range(20):
            for author in authors:
                author.write(3)
        for author in authors:
            author.do("end")
        for author, reader in readers:
            assert reader.result() == author.log


@COLOURS
def test_a_slow_follower_is_alone_with_it(colour):
    """Who does not read holds a bounded buffer, delays neither writer nor reader, and misses nothing."""
    with scene_of(colour) as scene:
        author = Author(scene)
        slow = scene.follow()
        assert isinstance(next(slow), Marker)
        author.write(1)
        assert isinstance(next(slow), Recorded)  # It has read all there is, and tails.
        quick = Reader(scene.follow())
        for written in range(2, 42):
            author.write(100)
            quick.wait_for_count((written - 1) * 100 + 2)
        assert len(slow.feed._entries) <= _taps.MAX_HELD
        assert not slow.feed.is_joined
        author.do("end")
        assert quick.result() == author.log
        assert Reader(slow).result() == author.log[2:]


@COLOURS
def test_what_is_large_is_bounded_in_bytes(colour):
    """A buffer holds no more than a mebibyte of events that nobody takes."""
    with scene_of(colour) as scene:
        author = Author(scene)
        slow = scene.follow()
        next(slow)
        author.write(1)
        next(slow)
        quick = Reader(scene.follow())
        for number in range(20):
            author.write(1, size=100_000)
            quick.wait_for_count(number + 3)
        assert 0 < slow.feed._size <= _taps.MAX_HELD_BYTES
        author.do("end")
        assert Reader(slow).result() == author.log[2:]


@COLOURS
@pytest.mark.parametrize("status", [Status.COMPLETE, Status.FAILED, Status.CANCELLED])
def test_the_end_is_told_and_final(colour, status):
    """The last entry is the marker that says how the session ended, live or later; then the iteration ends."""
    with scene_of(colour) as scene:
        author = Author(scene)
        live = Reader(scene.follow())
        live.wait_for_count(1)
        author.write(2, status)
        for got in (live.result(), Reader(scene.follow()).result()):
            last = got[-1]
            assert isinstance(last, Marker)
            assert (last.status, last.base, len(got)) == (status, 2, 4)
        assert Reader(scene.follow(after=author.log[-1].cursor)).result() == []


@COLOURS
def test_markers_of_takeovers_are_told(colour):
    """Who follows live is told of every change of holder, with the seq that it follows upon."""
    with scene_of(colour) as scene:
        author = Author(scene)
        reader = Reader(scene.follow())
        for step in (2, "release", 1, "lapse", "end"):
            author.do(step)
        markers = [(entry.status, entry.holder, entry.base) for entry in reader.result() if isinstance(entry, Marker)]
        assert markers == [
            (Status.RUNNING, "holder-1", 0),
            (Status.RUNNING, "", 2),
            (Status.RUNNING, "holder-2", 2),
            (Status.RUNNING, "holder-3", 3),
            (Status.COMPLETE, "", 4),
        ]


@COLOURS
@pytest.mark.parametrize("cursor", [Cursor(9_999_999_999_999, 0), Cursor(1_000_000_000, 3)])
def test_a_cursor_the_log_never_gave_is_an_error(colour, cursor):
    """A cursor from the future is an error at once, and again when asked again."""
    with scene_of(colour) as scene:
        Author(scene).write(2)
        follower = scene.follow(after=cursor)
        for _ in range(2):
            with pytest.raises(CursorError):
                next(follower)


@COLOURS
def test_a_session_that_is_not_there_is_an_error(colour):
    """To follow what does not exist fails at once."""
    with scene_of(colour) as scene, pytest.raises(SessionNotFoundError):
        next(scene.follow("nobody"))


@COLOURS
def test_closing_ends_a_wait_from_elsewhere(colour):
    """A follower that is closed while it waits ends, without an error, and stays ended."""
    with scene_of(colour) as scene:
        Author(scene)
        follower = scene.follow()
        reader = Reader(follower)
        reader.wait_for_count(1)
        follower.close()
        follower.close()
        assert len(reader.result()) == 1
        assert list(follower) == []


@COLOURS
def test_closing_the_hub_ends_every_wait(colour):
    """When the store is left, whoever follows is told so, and who comes later too."""
    with scene_of(colour) as scene:
        Author(scene)
        readers = [Reader(scene.follow()) for _ in range(3)]
        for reader in readers:
            reader.wait_for_count(1)
        scene.close_hub()
        readers.append(Reader(scene.follow()))
        for reader in readers:
            failure = reader.failure()
            assert isinstance(failure, StoreUnavailableError)
            assert (failure.reason, failure.retryable) == ("closed", False)


def test_a_follower_that_is_forgotten_is_forgotten():
    """A follower that nobody holds any more needs no closing: the hub lets go of it, and ends."""
    with scene_of("sync") as scene, ExitStack() as stack:
        author = Author(scene)
        follower = scene.follow()
        next(follower)
        author.write(1)
        next(follower)
        hub = scene.hub
        stack.callback(hub.close)
        del follower
        author.write(1)
        thread = hub._thread
        if thread is not None:
            scene.store.wake()
            thread.join(10)
            assert not thread.is_alive()
        assert len(hub._taps) == 0


@COLOURS
def test_a_lapse_is_told_once(colour):
    """When the lease runs out and nobody takes over, who follows is told, once; a takeover is told after it."""
    with scene_of(colour) as scene:
        author = Author(scene)
        author.write(2)
        reader = Reader(scene.follow())
        reader.wait_for_count(3)
        scene.pass_time(LEASE - 1)
        author.write(1)
        reader.wait_for_count(4)
        for _ in range(20):
            scene.pass_time(1.0)
        got = reader.wait_for_count(5)
        assert got[-1] == Lapse(0.0, "holder-1", Status.RUNNING)
        author.take()
        author.do("end")
        assert of_the_log(reader.result()) == author.log
        assert [type(entry) for entry in reader.entries].count(Lapse) == 1


@COLOURS
def test_a_lapse_is_told_to_who_comes_late(colour):
    """Who begins to follow where nobody writes any more is told so: behind a marker that said it, too."""
    with scene_of(colour) as scene:
        author = Author(scene)
        author.write(1)
        scene.pass_time(LEASE + 1)
        readers = [Reader(scene.follow(after=author.log[-1].cursor)) for _ in range(2)]
        for reader in readers:
            assert reader.wait_for_count(1) == [Lapse(0.0, "holder-1", Status.RUNNING)]
        scene.store.orphan("s")
        for reader in readers:
            assert isinstance(reader.wait_for_count(2)[-1], Marker)
        late = Reader(scene.follow(after=author.log[-1].cursor))
        assert late.wait_for_count(1) == [Lapse(0.0, "", Status.ORPHANED)]
