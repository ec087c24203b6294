"""A session's writer: what it opens, writes, ends and leaves, and what it is told when it is no longer the writer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable._core.errors import ConfigurationError, LocalProtocolError
from resumable._core.store_errors import (
    DivergedError,
    FencedError,
    LeaseHeldError,
    SessionConflictError,
    SessionEndedError,
    SessionForbiddenError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from resumable._recording._desk import AsyncDesk
from resumable._recording._journal import AsyncJournal
from resumable._recording._rules import LAG
from resumable.store import MAX_EVENTS, AsyncMemoryStore, Grant, Marker, Opening, Status
from tests.recording.benches import (
    OPENING,
    AsyncLossyStore,
    LossyStore,
    bench,
    bench_at,
    colour,
    quiet_server,
    together,
    until,
)

if TYPE_CHECKING:
    from tests.recording.benches import Writer

__all__ = ["bench", "colour", "quiet_server"]


def test_what_is_written_is_there_when_the_call_returns(bench):
    """Write-ahead: events in order, fields with them, the end behind them."""
    journal = bench.open()
    assert (journal.acquired.grant, journal.session_id, journal.last_seq, journal.next_seq) == (
        Grant.CREATED,
        "s",
        0,
        1,
    )
    assert journal.cursor == (journal.lease.token, 0)
    journal.write((), {"attempt": 1})
    assert bench.store.get("s").number("attempt") == 1
    journal.write([b"a", b"b"], {"text_chars": 2})
    assert bench.log() == [b"a", b"b"]
    assert bench.store.get("s").number("text_chars") == 2
    assert journal.cursor == (journal.lease.token, 2)
    journal.end(Status.COMPLETE, [b"c"], {"usage": "{}"})
    assert bench.log() == [b"a", b"b", b"c"]
    assert bench.store.get("s").status is Status.COMPLETE
    assert (journal.last_seq, journal.next_seq, journal.gap, journal.cancel_reason) == (3, 4, None, None)
    for late in (lambda: journal.write([b"d"]), lambda: journal.end(Status.FAILED)):
        with pytest.raises(LocalProtocolError):
            late()
    journal.release()
    assert bench.store.get("s").status is Status.COMPLETE


def test_a_long_write_is_cut_and_whole(bench):
    """More events than one append takes."""
    journal = bench.open()
    events = [b"%d" % i for i in range(3 * MAX_EVENTS + 7)]
    journal.write(events, {"n": 1})
    assert bench.log() == events
    assert bench.store.get("s").number("n") == 1


def test_what_cannot_be_opened_says_why(bench):
    """As the store says it."""
    with pytest.raises(SessionNotFoundError):
        bench.open(opening=None)
    journal = bench.open()
    with pytest.raises(LeaseHeldError):
        bench.open()
    with pytest.raises(SessionConflictError):
        bench.open(opening=Opening(b"{}", "another", "alice"))
    with pytest.raises(SessionForbiddenError):
        bench.open(opening=Opening(b"{}", "hash", "bob"))
    journal.end(Status.FAILED)
    with pytest.raises(SessionEndedError):
        bench.open()
    with pytest.raises(ConfigurationError):
        bench.open("t", durability="sloppy")
    with pytest.raises(ConfigurationError):
        bench.open("no id!")


def test_who_releases_is_followed_at_once(bench):
    """What was on its way is written; the next holder need not wait; the old one is fenced."""
    journal = bench.open(durability="relaxed")
    journal.write([b"a", b"b"])
    journal.release()
    assert bench.log() == [b"a", b"b"]
    following = bench.open()
    assert (following.acquired.grant, following.acquired.last_seq) == (Grant.TAKEN, 2)
    assert following.next_seq == 3
    following.write([b"c"])
    with pytest.raises(LocalProtocolError):
        journal.write([b"x"])
    journal.release()
    assert bench.log() == [b"a", b"b", b"c"]
    markers = [entry.holder for entry in bench.store.read("s") if isinstance(entry, Marker)]
    assert markers == [journal.lease.holder, "", following.lease.holder]


def taken(bench, journal: Writer) -> None:
    """Have somebody else take the session over while its holder does not notice."""
    bench.desk.keeper.drop(journal.lease)
    until(lambda: not bench.store.get("s").is_held)
    bench.store.acquire("s", "other", duration=99, ttl=99)


def test_who_was_written_ahead_becomes_a_reader(bench):
    """Fenced, having delivered nothing that the log does not hold: he knows where to read on, as often as he asks."""
    journal = bench.open(lease=0.3)
    journal.write([b"a"])
    taken(bench, journal)
    for _ in range(2):
        with pytest.raises(FencedError, match="other"):
            journal.write([b"b"])
    assert bench.log() == [b"a"]
    assert journal.cursor == (journal.lease.token, 1)
    assert len(bench.store.read("s", after=journal.cursor)) == 1
    journal.release()
    with pytest.raises(FencedError):
        journal.end(Status.COMPLETE)


@pytest.mark.parametrize("how", ["write", "end"])
def test_who_delivered_more_has_diverged(bench, how):
    """Relaxed, he learns too late that he was fenced: what his caller saw is not what readers see."""
    journal: Any = bench.open(lease=0.3, durability="relaxed")
    journal.write([b"a"])
    until(lambda: journal.last_seq == 1)
    taken(bench, journal)
    journal.write([b"b"])
    if how == "write":
        until(lambda: journal._ledger.error)
    with pytest.raises(DivergedError) as caught:
        journal.write([b"c"]) if how == "write" else journal.end(Status.COMPLETE)
    assert (caught.value.session_id, caught.value.last_seq) == ("s", 1)
    assert bench.log() == [b"a"]


def test_relaxed_does_not_wait_and_an_end_does(bench):
    """Events are on their way when the call returns, all of them there when the session ends."""
    journal = bench.open(durability="relaxed")
    events = [b"%d" % i for i in range(200)]
    for event in events:
        journal.write([event])
    assert journal.next_seq == 201
    journal.end(Status.COMPLETE)
    assert bench.log() == events
    assert journal.gap is None


def test_relaxed_is_bounded(bench):
    """The log is never further behind than the bound and a write."""
    journal = bench.open(durability="relaxed")
    for _ in range(40):
        journal.write([b"x" * (LAG // 8)])
        assert (journal.next_seq - 1 - journal.last_seq) * (LAG // 8) <= LAG + LAG // 8
    journal.end(Status.COMPLETE)
    assert len(bench.log()) == 40


@pytest.mark.parametrize("fates", [["lost"], ["cut"], ["lost", "cut", "lost", "ok", "cut"], ["lost"] * 4])
def test_answers_that_are_lost_are_no_loss(colour, fates):
    """Sent again as it was; the caller sees nothing but a delay."""
    with bench_at(None, colour, lambda store: (LossyStore if colour == "sync" else AsyncLossyStore)(store, fates)) as b:
        journals = [b.open(f"s{i}") for i in range(3)]
        events = [b"%d" % i for i in range(8)]

        def write(journal: Writer) -> None:
            for event in events[:-1]:
                journal.write([event], {"last": event})
            journal.end(Status.COMPLETE, events[-1:])

        together(*(lambda journal=journal: write(journal) for journal in journals))
        for journal in journals:
            assert b.log(journal.session_id) == events
            assert b.store.get(journal.session_id).text("last") == "6"
            assert journal.gap is None


def test_sessions_of_a_process_do_not_mix(bench):
    """Thirty at once, each with its own events, fields and end."""

    def one(number: int) -> None:
        journal = bench.open(f"s{number}")
        for i in range(20):
            journal.write([b"%d.%d" % (number, i)], {"n": i})
        journal.end(Status.FAILED if number % 2 else Status.COMPLETE)

    together(*(lambda number=number: one(number) for number in range(30)))
    for number in range(30):
        assert bench.log(f"s{number}") == [b"%d.%d" % (number, i) for i in range(20)]
        checkpoint = bench.store.get(f"s{number}")
        assert checkpoint.number("n") == 19
        assert checkpoint.status is (Status.FAILED if number % 2 else Status.COMPLETE)


def test_a_write_that_its_task_gave_up_may_be_in_the_log():
    """The next one goes behind it, whatever became of it."""

    async def scenario() -> None:
        store = AsyncMemoryStore()
        desk = AsyncDesk.of(store)
        journal = await AsyncJournal.open(desk, "s", OPENING)
        for i in range(1, 10):
            write = asyncio.create_task(journal.write([b"%d" % i]))
            for _ in range(i % 3):
                await asyncio.sleep(0)
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
        await journal.write([b"last"])
        events = [entry.event for entry in await store.read("s") if not isinstance(entry, Marker)]
        assert events[-1] == b"last"
        assert events == [*sorted(events[:-1]), b"last"]
        await desk.close()

    asyncio.run(scenario())


def test_a_store_that_is_away_opens_nothing(colour):
    """It is told at once, whatever the policy, since nobody knows whose the session is."""
    with bench_at("redis://127.0.0.1:1/0", colour) as b:
        with pytest.raises(StoreUnavailableError):
            b.open()
        assert not b.desk.keeper.may_take_over(b.desk.now())
