"""Writers at real servers that lose answers, fall silent, are killed, started anew, or full; in both colours."""

from __future__ import annotations

import json
import random
import time
from functools import partial

import pytest

from resumable._core.store_errors import (
    FencedError,
    LeaseHeldError,
    LogLostError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from resumable._recording._rules import PATIENCE
from resumable.store import Grant, Status
from tests.recording.benches import LIMIT, Bench, Writer, bench_at, colour, together, until
from tests.store.proxy import Fate

__all__ = ["colour"]

BOUND = PATIENCE + 5.0  # [s] A flight under way takes up to 4 s more; and the machine is busy.


def caught_up(bench: Bench, expected: list[bytes]) -> None:
    """Wait until the log has caught up, then check it whole."""
    until(lambda: bench.store.get("s").last_seq >= len(expected))
    assert bench.log() == expected


def has_come(journal: Writer, seq: int) -> bool:
    """Whether a journal has come so far."""
    return journal.last_seq > seq


def take(journal: Writer, *events: bytes) -> float:
    """Write, and tell how long it took [s]."""
    began = time.monotonic()
    journal.write(events)
    return time.monotonic() - began


@pytest.mark.parametrize("seed", range(3))
def test_a_schedule_of_lost_answers(proxy, colour, seed):
    """A connection that is cut every third time, before or behind the command: dense logs, no duplicate, no gap."""
    chance = random.Random(seed)
    with bench_at(proxy.url, colour) as bench:
        journals = [bench.open(f"s{i}") for i in range(4)]
        proxy.rule = lambda _: chance.choices([Fate.PASS, Fate.LOSE_REPLY, Fate.CUT], [4, 1, 1])[0]

        def one(journal: Writer) -> None:
            for i in range(30):
                journal.write([b"%d" % i], {"n": i})

        together(*(lambda journal=journal: one(journal) for journal in journals))
        proxy.heal()
        for journal in journals:
            journal.end(Status.COMPLETE)
            assert bench.log(journal.session_id) == [b"%d" % i for i in range(30)]
            assert bench.store.get(journal.session_id).number("n") == 29


@pytest.mark.parametrize("way", ["refuse", "blackhole"])
def test_an_outage_is_borne_and_caught_up(proxy, colour, way):
    """One bounded wait, then none; when the store is back, the log has everything, in order, and the gap is told."""
    with bench_at(proxy.url, colour) as bench:
        journal = bench.open()
        journal.write([b"0"])
        getattr(proxy, way)()
        assert PATIENCE - 0.5 < take(journal, b"1") < BOUND
        for i in range(2, 50):
            assert take(journal, b"%d" % i) < 1.0
        assert journal.gap is not None
        assert (journal.gap.outages, journal.gap.events) == (1, 49)
        assert journal.last_seq == 1
        proxy.accept() if way == "refuse" else proxy.heal()
        assert take(journal, b"50") < BOUND
        caught_up(bench, [b"%d" % i for i in range(51)])
        journal.end(Status.COMPLETE)
        told = json.loads(bench.store.get("s").text("gap"))
        assert (told["outages"], told["events"]) == (1, journal.gap.events)
        assert 0 < told["seconds"] <= round(journal.gap.seconds, 3)


def test_a_log_catches_up_without_its_writer(proxy, colour):
    """Also when the caller writes nothing more, and when the session has ended meanwhile."""
    with bench_at(proxy.url, colour) as bench:
        journal = bench.open(durability="relaxed")
        proxy.refuse()
        for i in range(20):
            journal.write([b"%d" % i])
        began = time.monotonic()
        journal.end(Status.COMPLETE, [b"20"])
        assert time.monotonic() - began < BOUND
        proxy.accept()
        caught_up(bench, [b"%d" % i for i in range(21)])
        until(lambda: bench.store.get("s").status is Status.COMPLETE)


@pytest.mark.parametrize("way", ["refuse", "blackhole"])
def test_to_fail_is_to_raise_in_bounded_time(proxy, colour, way, monkeypatch):
    """Under "fail" nothing is delivered that the log does not hold; when the store is back, the session goes on."""
    monkeypatch.setattr("resumable._recording._ledger.LONG_PATIENCE", PATIENCE)
    with bench_at(proxy.url, colour) as bench:
        journal = bench.open(store_outage="fail")
        journal.write([b"0"])
        getattr(proxy, way)()
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            journal.write([b"1"])
        assert PATIENCE - 0.5 < time.monotonic() - began < BOUND
        assert journal.gap is None
        proxy.accept() if way == "refuse" else proxy.heal()
        journal.write([b"2"])
        assert bench.log() == [b"0", b"1", b"2"]


def test_a_silent_server_that_wakes(start_server, colour):
    """Stopped in its tracks and let go: what it was told meanwhile it may do late, and nothing is there twice."""
    server = start_server()
    with bench_at(server.url, colour) as bench:
        journal = bench.open()
        journal.write([b"0"])
        server.pause()
        assert take(journal, b"1") < BOUND
        journal.write([b"2"])
        server.resume()
        journal.write([b"3"])
        caught_up(bench, [b"0", b"1", b"2", b"3"])


def test_a_server_that_is_killed_and_started_again(start_server, colour):
    """What it had acknowledged is there; the writer goes on as soon as it is, its lease with it."""
    server = start_server(appendfsync="always")
    with bench_at(server.url, colour) as bench:
        journals = [bench.open(f"s{i}", lease=2.0) for i in range(5)]

        def one(journal: Writer) -> None:
            for i in range(300):
                journal.write([b"%d" % i])

        def killer() -> None:
            for goal in (20, 80, 160):
                until(partial(has_come, journals[0], goal))
                server.restart()

        together(killer, *(lambda journal=journal: one(journal) for journal in journals))
        for journal in journals:
            journal.end(Status.COMPLETE)
            assert bench.log(journal.session_id) == [b"%d" % i for i in range(300)]


def test_what_a_server_lost_is_written_again(start_server, colour):
    """A server that forgot the last seconds gets them again, byte for byte, and no reader sees a difference."""
    server = start_server(appendonly=False)
    with bench_at(server.url, colour) as bench, server.client as client:
        journal = bench.open()
        journal.write([b"0"])
        client.save()
        for i in range(1, 20):
            journal.write([b"%d" % i], {"n": i})
        seen = bench.store.read("s")
        server.restart()
        journal.write([b"20"])
        assert bench.log() == [b"%d" % i for i in range(21)]
        assert bench.store.read("s")[:20] == seen[:20]
        assert bench.store.get("s").number("n") == 19


@pytest.mark.parametrize("durability", ["write-ahead", "relaxed"])
def test_a_server_that_lost_everything(start_server, colour, durability):
    """Started empty, it knows of no session: the writer is told, and nothing is invented."""
    server = start_server(appendonly=False)
    with bench_at(server.url, colour) as bench:
        journal = bench.open(durability=durability)
        journal.write([b"0"])
        until(lambda: journal.last_seq == 1)
        server.restart()
        with pytest.raises(SessionNotFoundError):
            until(lambda: journal.write([b"1"]), 20)


def test_half_a_session_is_told(server, colour):
    """A log that was evicted is not begun anew."""
    with bench_at(server.url, colour) as bench, server.client as client:
        journal = bench.open()
        journal.write([b"0"])
        client.delete("resumable:{s}:log")
        with pytest.raises(LogLostError):
            journal.write([b"1"])


def test_a_full_memory_is_an_outage(server, colour):
    """The stream goes on; when there is memory again, so does the log."""
    with bench_at(server.url, colour) as bench, server.client as client:
        journal = bench.open()
        client.config_set("maxmemory", "1")
        try:
            assert PATIENCE - 0.5 < take(journal, b"0") < BOUND
            assert take(journal, b"1") < 1.0
        finally:
            client.config_set("maxmemory", "0")
        caught_up(bench, [b"0", b"1"])


def test_holders_come_first_after_a_restart(start_server, colour):
    """A lease that ran out while the server was away is taken by nobody for a full lease, and its holder goes on."""
    server = start_server(appendfsync="always")
    lease = 2.0
    with bench_at(server.url, colour) as holding, bench_at(server.url, colour) as other:
        alive, dead = holding.open("alive", lease=lease), holding.open("dead", lease=lease)
        alive.write([b"a"])
        dead.write([b"d"])
        holding.desk.keeper.drop(dead.lease)
        server.kill()
        time.sleep(lease + 0.5)  # The lease runs out while nobody can renew it.
        server.start()
        began = time.monotonic()
        for name in ("alive", "dead"):
            with pytest.raises(LeaseHeldError) as caught:
                other.open(name, lease=lease)
            assert 0 < caught.value.expires_in <= lease
        until(lambda: opened(other, "dead", lease), 10)
        assert time.monotonic() - began > lease - 1.0  # Servers tell whole seconds.
        assert opened(other, "alive", lease) is None
        alive.write([b"b"])
        assert holding.log("alive") == [b"a", b"b"]


def opened(bench: Bench, name: str, lease: float) -> Grant | None:
    """Try to open a session."""
    try:
        return bench.open(name, lease=lease).acquired.grant
    except LeaseHeldError:
        return None


def test_who_saw_the_store_away_takes_nothing_over_at_once(proxy, colour):
    """Its own connection was gone, the server was not: others may have been cut off as well."""
    with bench_at(proxy.url, colour) as bench:
        proxy.refuse()
        with pytest.raises(StoreUnavailableError):
            bench.open()
        assert not bench.desk.keeper.may_take_over(bench.desk.now(), 1e9)
        proxy.accept()
        bench.open("new", lease=2.0)
        assert not bench.desk.keeper.may_take_over(bench.desk.now(), 2.0)
        until(lambda: bench.desk.keeper.may_take_over(bench.desk.now(), 2.0), 4)


def test_a_writer_that_was_away_for_too_long_is_fenced(proxy, colour):
    """Cut off alone, while another takes the session: he has diverged only if he delivered what the log lacks."""
    with bench_at(proxy.url, colour) as bench, bench_at(f"unix://{proxy.target}", colour) as other:
        journal = bench.open(lease=1.0, store_outage="fail")
        journal.write([b"a"])
        proxy.refuse()
        until(lambda: not other.store.get("s").is_held, LIMIT)
        until(lambda: opened(other, "s", 1.0), LIMIT)
        proxy.accept()
        with pytest.raises(FencedError):
            journal.write([b"b"])
        assert other.log() == [b"a"]


def test_leases_outlive_a_cut(proxy, colour):
    """A connection that is cut now and then costs nobody his lease."""
    with bench_at(proxy.url, colour) as bench:
        journal = bench.open(lease=2.0)
        for _ in range(8):
            proxy.cut_all()
            began = time.monotonic()
            while time.monotonic() - began < 0.4:
                assert bench.store.get("s").is_held
        journal.write([b"a"])
