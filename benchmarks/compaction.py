"""
How small a session becomes when it is compacted, and what reading it costs then.

2,000 text deltas of about 107 bytes: the prose of this project's own documents, cut into pieces of irregular length.
Sizes are the server's own (`MEMORY USAGE` of the log), times are of whole replays over loopback.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from benchmarks._report import Figure, Report, parse_options
from benchmarks._store_server import server
from resumable.store import MAX_EVENTS, Append, Opening, Status
from resumable.store._packs import pack_log
from resumable.store.redis._stores import RedisStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable.store import Entry, Store

EVENTS: Final = 2000
SESSIONS: Final = 20
QUICK: Final = 5
_LENGTH: Final = 27  # characters of text in a delta: 107 bytes with what is around it
_MS: Final = 1000


def deltas(seed: int) -> list[bytes]:
    """Cut prose into events, beginning somewhere else for each session."""
    pages = sorted((Path(__file__).resolve().parents[1] / "docs").rglob("*.md"))
    prose = " ".join(" ".join(page.read_text(encoding="utf-8") for page in pages).split())
    random = Random(seed)
    at = random.randrange(len(prose) - EVENTS * 2 * _LENGTH)
    events: list[bytes] = []
    for _ in range(EVENTS):
        length = max(1, round(random.gauss(_LENGTH, 8)))
        delta = {"type": "text_delta", "text": prose[at : at + length]}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        events.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
        at += length
    return events


def written(store: Store, session_id: str, events: Sequence[bytes]) -> None:
    """Write a whole session."""
    opening = Opening(b"{}", "hash")
    lease = store.acquire(session_id, "bench", duration=60.0, ttl=600.0, opening=opening).lease
    for at in range(0, len(events), MAX_EVENTS):
        store.append([Append(lease, at + 1, events[at : at + MAX_EVENTS])])
    store.append([Append(lease, len(events) + 1, end=Status.COMPLETE)])


def replayed(store: Store, session_id: str) -> tuple[list[Entry], float]:
    """Read a whole session, and say how long that took [s]."""
    began = time.perf_counter()
    log: list[Entry] = []
    while page := store.read(session_id, after=log[-1].cursor if log else None):
        log += page
    return log, time.perf_counter() - began


def main() -> int:
    """Measure, and print the figures."""
    report = Report("compaction", parse_options(__doc__))
    raw = before = after = 0
    times: dict[str, list[float]] = {"replay as written": [], "compact": [], "replay compact": []}
    with server() as (url, _), redis.Redis.from_url(url) as client:
        store = RedisStore.from_url(url)
        for i in range(QUICK if report.options.quick else SESSIONS):
            its, events = f"s{i}", deltas(i)
            log_key = f"resumable:{{{its}}}:log"
            written(store, its, events)
            raw += sum(map(len, events))
            before += client.memory_usage(log_key, samples=0)
            log, spent = replayed(store, its)
            times["replay as written"].append(spent)
            began = time.perf_counter()
            store.compact(its, pack_log(log))
            times["compact"].append(time.perf_counter() - began)
            after += client.memory_usage(log_key, samples=0)
            again, spent = replayed(store, its)
            times["replay compact"].append(spent)
            if again != log:
                raise SystemExit("what is read has changed")  # noqa: EM101, TRY003  # Reason: not an error of the library
        store.close()
    report.add_table(
        "2,000 deltas, medians",
        ["what", "ms"],
        [[name, statistics.median(spent) * _MS] for name, spent in times.items()],
    )
    report.add(Figure("log compact, of the bytes of its events", after / raw, at_most=0.2, digits=3))
    report.add(Figure("log compact, of the log as written", after / before, at_most=0.2, digits=3))
    ratio = statistics.median(times["replay compact"]) / statistics.median(times["replay as written"])
    report.add(Figure("replay compact, of replay as written", ratio))
    return report.conclude()


if __name__ == "__main__":
    raise SystemExit(main())
