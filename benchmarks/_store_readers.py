"""
A process that follows, for the benchmark of the store: it prints `ready`, then what it saw, as JSON.

    python benchmarks/_store_readers.py <url> <ours, xread or assistant-stream> <followers> <session> [<session> ...]
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from benchmarks._store_writers import stamp_of
from resumable._recording._desk import AsyncDesk
from resumable._recording._follow import AsyncFollower
from resumable.store import Recorded
from resumable.store.redis._stores import AsyncRedisStore

if TYPE_CHECKING:
    from collections.abc import Callable


async def ours(url: str, names: list[str], note: Callable[[bytes], None]) -> None:
    """Follow with the library."""
    store = AsyncRedisStore.from_url(url)
    desk = AsyncDesk.of(store)

    async def follow(name: str) -> None:
        async with AsyncFollower(desk, name) as follower:
            async for entry in follower:
                if isinstance(entry, Recorded):
                    note(entry.event)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(follow(name))
    await desk.close()
    await store.close()


async def xread(url: str, names: list[str], note: Callable[[bytes], None]) -> None:
    """Follow our logs as everybody does first: one XREAD BLOCK and one connection for each follower."""
    client: Any = redis.asyncio.Redis.from_url(url, max_connections=len(names) + 1, socket_timeout=None)

    async def follow(name: str) -> None:
        log, last = f"resumable:{{{name}}}:log", b"0-0"
        while True:
            for _, entries in await client.xread({log: last}, count=500, block=5000):
                last = entries[-1][0]
                for _, fields in entries:
                    if b"d" in fields:
                        note(fields[b"d"])
                    elif fields[b"status"] == b"complete":
                        return

    await asyncio.gather(*(follow(name) for name in names))
    await client.aclose()


async def assistant_stream(url: str, names: list[str], note: Callable[[bytes], None]) -> None:
    """Follow with assistant-ui's store."""
    package: Any = import_module("assistant_stream.resumable.stores.redis")
    client = redis.asyncio.Redis.from_url(url)
    store = package.create_redis_resumable_stream_store(client)

    async def follow(name: str) -> None:
        async for entry in store.read(name, "", asyncio.Event()):
            note(entry.chunk)

    await asyncio.gather(*(follow(name) for name in names))
    await client.aclose()


FOLLOW = {"ours": ours, "xread": xread, "assistant-stream": assistant_stream}


async def main() -> None:
    """Follow to the end, and say how late everything was."""
    url, kind, followers, *sessions = sys.argv[1:]
    names = [sessions[number % len(sessions)] for number in range(int(followers))]
    lags: list[float] = []
    follow = FOLLOW[kind](url, names, lambda raw: lags.append(time.monotonic() - stamp_of(raw)))
    task = asyncio.create_task(follow)
    await asyncio.sleep(0.3 + len(names) / 500)  # Everybody waits.
    gc.collect()
    gc.freeze()  # What was imported is no reader's garbage.
    print("ready", flush=True)
    cpu = time.process_time()
    await task
    lags.sort()
    said = {"seen": len(lags), "p50": lags[len(lags) // 2], "p99": lags[len(lags) * 99 // 100]}
    print(json.dumps(said | {"cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
