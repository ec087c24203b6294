"""Leases are kept apart from iteration, cancels are heard, and nobody keeps what is not his any more."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest

from resumable._core.errors import LocalProtocolError
from resumable._core.store_errors import (
    FencedError,
    LeaseHeldError,
    SessionEndedError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._journal import AsyncJournal, Journal
from resumable.store import AsyncMemoryStore, Grant, MemoryStore, Status
from resumable.store.redis._stores import RedisStore
from tests.recording.benches import OPENING, bench, colour, quiet_server, together, until

__all__ = ["bench", "colour", "quiet_server"]

SHORT = 0.6  # [s] Renewed every 0.2 s.


def test_a_caller_may_pause_for_longer_than_his_lease(bench):
    """Nobody can take the session meanwhile, and he goes on writing."""
    journal = bench.open(lease=SHORT)
    journal.write([b"a"])
    began = time.monotonic()
    while time.monotonic() - began < 3 * SHORT:
        with pytest.raises(LeaseHeldError):
            bench.store.acquire("s", "other", duration=1, ttl=9)
    journal.write([b"b"])
    assert bench.log() == [b"a", b"b"]


def test_whom_nobody_holds_loses_his_session(bench):
    """A writer that was dropped without a word is one that died: its lease runs out."""
    journal = bench.open(lease=SHORT)
    journal.write([b"a"])
    del journal
    gc.collect()
    until(lambda: not bench.store.get("s").is_held, 5)
    assert bench.open(lease=SHORT).acquired.grant is Grant.TAKEN


def test_a_cancel_from_elsewhere_is_heard_within_a_second(bench):
    """Also while the holder does nothing at all, with a lease that is renewed only every 5 s; and it is told once."""
    journal = bench.open()
    heard: list[float] = []
    journal.on_cancel = lambda: heard.append(time.monotonic())
    journal.write([b"a"])
    began = time.monotonic()
    bench.store.cancel("s", "enough")
    until(lambda: heard)
    assert heard[0] - began < 1.0
    assert journal.cancel_reason == "enough"
    bench.store.cancel("s", "again")
    journal.write([b"b"])
    journal.end(Status.CANCELLED)
    assert bench.store.get("s").status is Status.CANCELLED
    assert len(heard) == 1


def test_a_cancel_that_was_heard_before_anybody_listens_is_told_at_once(bench):
    """A callback that is set late is called where it is set."""
    journal = bench.open()
    bench.store.cancel("s")
    until(lambda: journal.cancel_reason)
    heard: list[int] = []
    journal.on_cancel = lambda: heard.append(1)
    assert heard == [1]


def test_every_cancel_of_many_is_heard(bench):
    """Twenty sessions, all cancelled at once, each told once."""
    journals = [bench.open(f"s{i}") for i in range(20)]
    heard: list[str] = []
    for journal in journals:
        journal.on_cancel = lambda its=journal: heard.append(its.session_id)
    until(lambda: len(bench.store.list(limit=99)) == 20)
    for journal in journals:
        bench.store.cancel(journal.session_id)
    assert until(lambda: len(heard) == 20) < 2.0
    assert sorted(heard) == sorted(journal.session_id for journal in journals)


@pytest.mark.parametrize(("how", "error"), [("taken", FencedError), ("deleted", SessionNotFoundError)])
def test_who_lost_his_session_hears_it_from_the_keeper(bench, how, error):
    """Without writing anything; and his next write says why."""
    journal = bench.open(lease=SHORT)
    lost: list[int] = []
    journal.on_lost = lambda: lost.append(1)
    if how == "taken":
        bench.store.release(journal.lease)
        bench.store.acquire("s", "other", duration=99, ttl=99)
    else:
        bench.store.delete("s")
    until(lambda: lost)
    with pytest.raises(error):
        journal.write([b"a"])
    late: list[int] = []
    journal.on_lost = lambda: late.append(1)
    assert (lost, late) == ([1], [1])


def test_an_end_and_a_release_are_no_loss(bench):
    """However they cross the keeper's renewals."""
    for i in range(20):
        journal = bench.open(f"s{i}", lease=0.05)
        lost: list[int] = []
        journal.on_lost = lambda lost=lost: lost.append(1)
        journal.write([b"a"])
        if i % 2:
            journal.end(Status.COMPLETE)
        else:
            journal.release()
        assert lost == []
    assert bench.store.get("s1").status is Status.COMPLETE
    assert not bench.store.get("s0").is_held


def test_a_callback_that_fails_harms_nobody(bench, caplog):
    """It is logged; other leases are kept."""
    journal, other = bench.open("s", lease=SHORT), bench.open("t", lease=SHORT)
    called: list[int] = []

    def broken() -> None:
        called.append(1)
        raise ZeroDivisionError

    journal.on_cancel = broken
    bench.store.cancel("s")
    until(lambda: called)
    began = time.monotonic()
    while time.monotonic() - began < 2 * SHORT:
        assert bench.store.get("t").is_held
    other.write([b"a"])
    until(lambda: "resumable.listener_failed" in caplog.text)


def test_the_loops_end_when_there_is_nothing_to_keep(monkeypatch):
    """And begin again with the next session."""
    monkeypatch.setattr("resumable._recording._keeper._IDLE", 0.05)
    monkeypatch.setattr("resumable._recording._keeper._LISTEN", 0.05)
    store = MemoryStore()
    desk = Desk.of(store)
    for i in range(2):
        journal = Journal.open(desk, f"s{i}", OPENING)
        assert set(desk.keeper._threads) == {"resumable-keeper", "resumable-cancels"}
        journal.end(Status.COMPLETE)
        until(lambda: not desk.keeper._threads, 5)
    desk.close()


def test_a_desk_is_shared_until_the_last_one_leaves():
    """Everybody who names the store gets the same; the last to close ends it; another begins afresh."""
    store = MemoryStore()
    desk = Desk.of(store)
    assert Desk.of(store) is desk
    assert Desk.of(MemoryStore()) is not desk
    desk.close()
    journal = Journal.open(desk, "s", OPENING, lease=SHORT)
    desk.close()
    assert Desk.of(store) is not desk
    until(lambda: not store.get("s").is_held)
    journal.write([b"a"])  # Appends keep it as well.


def test_a_desk_belongs_to_its_loop():
    """The same store in two loops has two."""
    store = AsyncMemoryStore()
    desks: list[AsyncDesk] = []

    async def scenario() -> None:
        desk = AsyncDesk.of(store)
        assert AsyncDesk.of(store) is desk
        desks.append(desk)
        journal = await AsyncJournal.open(desk, f"s{len(desks)}", OPENING)
        await journal.write([b"a"])
        await desk.close()
        await desk.close()
        assert AsyncDesk.of(store) is not desk

    asyncio.run(scenario())
    asyncio.run(scenario())
    assert desks[0] is not desks[1]


def test_a_loop_may_end_without_closing_anything():
    """Nothing is left that warns, and nothing hangs."""

    async def scenario() -> None:
        desk = AsyncDesk.of(AsyncMemoryStore())
        journal = await AsyncJournal.open(desk, "s", OPENING, durability="relaxed")
        await journal.write([b"a"])

    asyncio.run(scenario())


def in_child(work) -> int:
    """Do something in a forked child and give its exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  # Reason: the parent is told by the code
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_owns_nothing(server):
    """It keeps no lease and writes nothing of its parent's; sessions of its own it may have; the parent goes on."""
    store = RedisStore.from_url(server.url)
    desk = Desk.of(store)
    journal = Journal.open(desk, "s", OPENING, lease=SHORT)
    called: list[int] = []
    journal.on_lost = lambda: called.append(1)
    journal.write([b"a"])

    def child() -> None:
        with pytest.raises(LocalProtocolError):
            journal.write([b"child"])
        own = RedisStore.from_url(server.url)
        assert Desk.of(store) is not desk
        mine = Journal.open(Desk.of(own), "t", OPENING)
        mine.write([b"t"])
        mine.end(Status.COMPLETE)
        assert threading.active_count() < 5
        assert called == []

    assert in_child(child) == 0
    time.sleep(2 * SHORT)  # Longer than the lease: the parent's keeper must have lived on.
    assert store.get("s").is_held
    journal.write([b"b"])
    assert store.get("t").status is Status.COMPLETE
    assert store.get("s").last_seq == 2
    desk.close()
    store.close()


def test_what_ends_a_session_elsewhere_ends_its_writer(bench):
    """A session that was ended in place, after its lease had run out, takes nothing more."""
    journal = bench.open(lease=SHORT)
    bench.desk.keeper.drop(journal.lease)
    until(lambda: not bench.store.get("s").is_held)
    bench.store.cancel("s")
    with pytest.raises(SessionEndedError):
        journal.write([b"a"])


def test_a_store_that_is_closed_under_its_keeper_is_no_disaster(bench):
    """Threads and tasks end; the writer is told that it is closed."""
    journal = bench.open(lease=SHORT)
    bench.store.close()
    with pytest.raises(StoreUnavailableError):
        journal.write([b"a"])
    with pytest.raises(StoreUnavailableError):
        bench.open("t")


def test_many_sessions_are_kept_together(bench):
    """Many leases, opened at the same time, all kept for as long as their writers live."""
    journals = []
    together(*(lambda i=i: journals.append(bench.open(f"s{i}", lease=2.0)) for i in range(30)))
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        assert not bench.store.due()
    assert len(journals) == 30
