"""What becomes of followers when the store is away, forgets, or holds what cannot be read: an error or nothing."""

from __future__ import annotations

import pytest
from msgspec import structs

from resumable._core.store_errors import LogLostError, SessionNotFoundError, StoreUnavailableError
from resumable.store import AsyncMemoryStore, MemoryStore, Status
from resumable.testing import ManualClock
from resumable.testing._conformance_scene import until
from tests.recording.scenes import Author, Reader, of_the_log, scene_of

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])
AWAY = StoreUnavailableError("connection", "ConnectionError")
BARRED = StoreUnavailableError("auth", "AuthenticationError", retryable=False)


class Outage:
    """
    What keeps readers from a store, for some calls.

    Attributes:
        calls: How many calls fail from now on.
        error: With what.
        failed: How many have.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception = AWAY
        self.failed = 0

    def strike(self) -> None:
        """Fail, if it is still on."""
        if self.calls:
            self.calls -= 1
            self.failed += 1
            raise self.error


def shaky(outage: Outage):
    """Make both kinds of stores whose reading fails during an outage; writing goes on."""

    class Shaky(MemoryStore):
        def read(self, *args, **options):
            outage.strike()
            return super().read(*args, **options)

        def wait(self, *args, **options):
            outage.strike()
            return super().wait(*args, **options)

        def look(self, *args, **options):
            outage.strike()
            return super().look(*args, **options)

    class AsyncShaky(AsyncMemoryStore):
        async def read(self, *args, **options):
            outage.strike()
            return await super().read(*args, **options)

        async def wait(self, *args, **options):
            outage.strike()
            return await super().wait(*args, **options)

        async def look(self, *args, **options):
            outage.strike()
            return await super().look(*args, **options)

    return Shaky, AsyncShaky


@COLOURS
def test_a_short_outage_is_not_seen(colour):
    """Calls that fail for less than patience are made again; nothing is missed and nothing comes twice."""
    outage = Outage()
    with scene_of(colour, shaky(outage)) as scene:
        author = Author(scene)
        author.write(2)
        outage.calls = 3
        readers = [Reader(scene.follow()) for _ in range(3)]
        for reader in readers:
            reader.wait_for_count(3)
        for _ in range(10):
            outage.calls = 4
            author.write(3)
            until(lambda: not outage.calls)
        author.do("end")
        assert [of_the_log(reader.result()) for reader in readers] == [author.log] * 3
        assert outage.failed == 43


@COLOURS
def test_a_long_outage_is_an_error_after_patience(colour):
    """A store that stays away is an error when patience ends, not before; who asks again goes on where it was."""
    outage, clock = Outage(), ManualClock(1000.0)
    with scene_of(colour, shaky(outage), clock=clock) as scene:
        author = Author(scene, lease=1000.0)
        author.write(1)
        reader = Reader(follower := scene.follow(patience=30.0))
        reader.wait_for_count(2)
        began = clock.now()
        outage.calls = 10_000
        scene.store.wake()
        failure = reader.failure()
        assert isinstance(failure, StoreUnavailableError)
        assert (failure.reason, failure is AWAY) == ("connection", False)
        assert 30.0 <= clock.now() - began <= 33.0
        assert isinstance(Reader(follower).failure(), StoreUnavailableError)
        outage.calls = 0
        author.do("end")
        assert [*reader.entries, *Reader(follower).result()] == author.log


@COLOURS
@pytest.mark.parametrize("is_tailing", [False, True])
def test_what_does_not_heal_is_an_error_at_once(colour, is_tailing):
    """A store that refuses for good is not asked for as long as patience would last."""
    outage, clock = Outage(), ManualClock(1000.0)
    with scene_of(colour, shaky(outage), clock=clock) as scene:
        Author(scene, lease=1000.0)
        outage.error = BARRED
        if not is_tailing:
            outage.calls = 10_000
        reader = Reader(scene.follow())
        if is_tailing:
            reader.wait_for_count(1)
            outage.calls = 10_000
            scene.store.wake()
        failure = reader.failure()
        outage.calls = 0
        assert isinstance(failure, StoreUnavailableError)
        assert failure.reason == "auth"
        assert clock.now() - 1000.0 < 2.0


@COLOURS
def test_a_session_that_is_deleted_is_an_error(colour):
    """Who follows a session that vanishes is told within seconds, though nothing arrives."""
    with scene_of(colour) as scene:
        Author(scene, lease=1000.0)
        reader = Reader(scene.follow())
        reader.wait_for_count(1)
        scene.store.delete("s")
        scene.pass_time(5.1)
        assert isinstance(reader.failure(), SessionNotFoundError)


@COLOURS
def test_a_bug_is_told_to_everybody(colour):
    """An exception that no store raises ends every follower with it, and nobody waits for ever."""
    outage = Outage()
    with scene_of(colour, shaky(outage)) as scene:
        author = Author(scene)
        readers = [Reader(scene.follow()) for _ in range(3)]
        for reader in readers:
            reader.wait_for_count(1)
        outage.error, outage.calls = ZeroDivisionError("bug"), 1
        scene.store.wake()
        assert [type(reader.failure()) for reader in readers] == [ZeroDivisionError] * 3
        author.do("end")
        assert Reader(scene.follow()).result() == author.log


def torn(looks: list[int]):
    """Make both kinds of stores whose checkpoints say "complete" for so many looks, whatever the log says."""

    def tear(told):
        looks[0] -= 1
        return (
            told
            if looks[0] < 0
            else [structs.replace(one, status=Status.COMPLETE, marker=one.marker + 1) for one in told]
        )

    class Torn(MemoryStore):
        def look(self, *args, **options):
            return tear(super().look(*args, **options))

    class AsyncTorn(AsyncMemoryStore):
        async def look(self, *args, **options):
            return tear(await super().look(*args, **options))

    return Torn, AsyncTorn


@COLOURS
def test_an_end_that_the_log_does_not_hold_is_none(colour):
    """In a failover the checkpoint may be another server's: a reader ends where the log does, and no sooner."""
    looks = [3]
    with scene_of(colour, torn(looks)) as scene:
        author = Author(scene)
        author.write(2)
        reader = Reader(scene.follow())
        reader.wait_for_count(3)
        until(lambda: looks[0] < 0)
        author.write(3)
        author.do("end")
        assert of_the_log(reader.result()) == author.log


@COLOURS
def test_a_marker_is_not_the_end_because_a_reader_begins_behind_it(colour):
    """Who goes on behind the marker of a takeover ends where the log does, too."""
    looks = [3]
    with scene_of(colour, torn(looks)) as scene:
        author = Author(scene)
        reader = Reader(scene.follow(after=author.log[0].cursor))
        until(lambda: looks[0] < 0)
        author.write(3)
        author.do("end")
        assert of_the_log(reader.result()) == author.log[1:]


@COLOURS
def test_an_end_that_the_log_never_holds_is_an_error(colour):
    """Where checkpoint and log disagree for as long as patience lasts, half of the session is gone."""
    clock = ManualClock(1000.0)
    with scene_of(colour, torn([10_000]), clock=clock) as scene:
        author = Author(scene, lease=1000.0)
        author.write(2)
        failure = Reader(scene.follow(patience=30.0)).failure()
        assert isinstance(failure, LogLostError)
        assert clock.now() >= 1030.0
