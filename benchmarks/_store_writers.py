"""Writers of one event after the other: ours, one awaited XADD, and two published stores, each as its users call it."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import redis.asyncio

from resumable._recording._desk import AsyncDesk
from resumable._recording._journal import AsyncJournal
from resumable.store import Append, Opening, Status
from resumable.store.redis._stores import AsyncRedisStore
from resumable.store.redis._wire import aexchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from resumable.store import Lease
    from resumable.store.redis._resp import Word

EVENT_BYTES = 107
TTL = 3600  # [s]
LEASE = 60.0  # [s] Of who does not renew it.
_TICK = 0.002  # [s] How often all that is due is written.


def event(number: int, stamp: float = 0.0) -> bytes:
    """Make a delta of 107 bytes that says when it was written."""
    head = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"'
    return (head + f"{number:010d} {stamp:017.6f}"[: EVENT_BYTES - len(head) - 3].encode() + b'"}}').ljust(EVENT_BYTES)


def stamp_of(raw: bytes) -> float:
    """[s] Read when an event was written."""
    return float(raw.rpartition(b'"text":"')[2][11:28].rstrip(b'"} '))


class Writer(Protocol):
    """Writes the events of many sessions."""

    async def open(self, names: Sequence[str]) -> None:
        """Begin sessions."""
        ...

    async def write(self, number: int, events: Sequence[bytes]) -> None:
        """Write events of one of them; returns when the caller may have them."""
        ...

    async def close(self) -> None:
        """End them, and disconnect."""
        ...


class Nothing:
    """What the harness itself costs."""

    async def open(self, names: Sequence[str]) -> None:
        """Do nothing."""

    async def write(self, number: int, events: Sequence[bytes]) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Ours:
    """One journal a session, write-ahead."""

    def __init__(self, url: str) -> None:
        self.store = AsyncRedisStore.from_url(url)
        self.journals: list[AsyncJournal] = []
        self.desk: AsyncDesk | None = None

    async def open(self, names: Sequence[str]) -> None:
        """Take the leases."""
        self.desk = AsyncDesk.of(self.store)
        opening = Opening(b'{"model": "m"}', "hash", "alice")
        for name in names:
            self.journals.append(await AsyncJournal.open(self.desk, name, opening, ttl=TTL))

    async def write(self, number: int, events: Sequence[bytes]) -> None:
        """Write as a call writes its deltas."""
        await self.journals[number].write(events)

    async def close(self) -> None:
        """End the sessions."""
        for journal in self.journals:
            await journal.end(Status.COMPLETE)
        assert self.desk is not None
        await self.desk.close()
        await self.store.close()


class Xadd:
    """One awaited XADD an event: what everybody writes first."""

    def __init__(self, url: str) -> None:
        self.client = redis.asyncio.Redis.from_url(url)
        self.names: list[str] = []

    async def open(self, names: Sequence[str]) -> None:
        """Name the streams."""
        self.names = [f"xadd:{name}" for name in names]

    async def write(self, number: int, events: Sequence[bytes]) -> None:
        """Add each."""
        for one in events:
            await self.client.xadd(self.names[number], {"d": one})

    async def close(self) -> None:
        """Disconnect."""
        await self.client.aclose()


class AssistantStream:
    """The store of assistant-ui's `assistant-stream`."""

    def __init__(self, url: str) -> None:
        # Its package is no dependency of ours: installed for this comparison alone.
        package: Any = import_module("assistant_stream.resumable.stores.redis")
        self.client = redis.asyncio.Redis.from_url(url)
        self.store: Any = package.create_redis_resumable_stream_store(self.client)
        self.names: list[str] = []

    async def open(self, names: Sequence[str]) -> None:
        """Acquire."""
        self.names = list(names)
        for name in names:
            await self.store.acquire(name)

    async def write(self, number: int, events: Sequence[bytes]) -> None:
        """Append each."""
        for one in events:
            await self.store.append(self.names[number], one)

    async def write_all(self, due: Mapping[int, Sequence[bytes]]) -> None:
        """Append each of many."""
        for number, events in due.items():
            await self.write(number, events)

    async def close(self) -> None:
        """Disconnect."""
        await self.client.aclose()


class Together:
    """Our logs, written with as little as can be, so that who follows them has the machine: all that is due at once."""

    def __init__(self, url: str) -> None:
        self.store = AsyncRedisStore.from_url(url)
        self.client: Any = redis.asyncio.Redis.from_url(url)
        self.leases: list[Lease] = []
        self.seqs: list[int] = []

    async def open(self, names: Sequence[str]) -> None:
        """Take the leases."""
        opening = Opening(b'{"model": "m"}', "hash", "alice")
        for name in names:
            acquired = await self.store.acquire(name, "benchmark", duration=LEASE, ttl=TTL, opening=opening)
            self.leases.append(acquired.lease)
        self.seqs = [0] * len(names)

    async def write_all(self, due: Mapping[int, Sequence[bytes]]) -> None:
        """Write to many; the fields are those of a delta."""
        appends: list[Append] = []
        for number, events in due.items():
            appends.append(Append(self.leases[number], self.seqs[number] + 1, events, {"text_chars": 1000}))
            self.seqs[number] += len(events)
        await self.store.append(appends)

    async def close(self) -> None:
        """End the sessions."""
        ends = zip(self.leases, self.seqs, strict=True)
        await self.store.append([Append(lease, seq + 1, (), {}, Status.COMPLETE) for lease, seq in ends])
        await self.client.aclose()
        await self.store.close()


class Bare(Together):
    """The same logs, without fences and checkpoints: a third of the server's work, where followers are the question."""

    async def write_all(self, due: Mapping[int, Sequence[bytes]]) -> None:
        """Write to many."""
        commands: list[Sequence[Word]] = []
        for number, events in due.items():
            lease = self.leases[number]
            for one in events:
                self.seqs[number] += 1
                commands.append(("XADD", self.log(lease), f"{lease.token}-{self.seqs[number]}", "d", one))
        await aexchange(self.client, commands)

    async def close(self) -> None:
        """Have the checkpoints say what the logs hold, and end the sessions."""
        for lease, seq in zip(self.leases, self.seqs, strict=True):
            await self.client.hset(self.log(lease).removesuffix("log") + "meta", "last_seq", seq)
        await super().close()

    @staticmethod
    def log(lease: Lease) -> str:
        """Name the log of a session."""
        return f"resumable:{{{lease.session_id}}}:log"


class ResumableStream:
    """PyPI's `resumable-stream`: keeps the text in memory, and publishes it to who listens; here one each."""

    def __init__(self, url: str) -> None:
        package: Any = import_module("resumable_stream.redis_adapter")
        self.publisher: Any = package.RedisPublisher(url)
        self.subscriber: Any = package.RedisSubscriber(url)
        self.queues: list[asyncio.Queue[str | None]] = []
        self.readers: list[asyncio.Task[None]] = []

    async def open(self, names: Sequence[str]) -> None:
        """Start the producers, and a listener each."""
        package: Any = import_module("resumable_stream")
        await self.publisher.connect()
        await self.subscriber.connect()
        context = package.create_resumable_stream_context(publisher=self.publisher, subscriber=self.subscriber)
        for name in names:
            queue: asyncio.Queue[str | None] = asyncio.Queue()
            self.queues.append(queue)
            made = await context.create_new_resumable_stream(name, lambda queue=queue: _drain(queue))
            heard = await context.resume_existing_stream(name)
            self.readers += [asyncio.create_task(_read(one)) for one in (made, heard)]
        await asyncio.sleep(0.2)

    async def write(self, number: int, events: Sequence[bytes]) -> None:
        """Hand each over; it knows no acknowledgement, so that it goes on at once."""
        for one in events:
            self.queues[number].put_nowait(one.decode())
        await asyncio.sleep(0)

    async def close(self) -> None:
        """End, and wait until everything was published and heard."""
        for queue in self.queues:
            queue.put_nowait(None)
        await asyncio.wait(self.readers, timeout=20)
        await self.publisher.close()
        await self.subscriber.close()


async def _drain(queue: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (one := await queue.get()) is not None:
        yield one


async def _read(made: AsyncIterator[str]) -> None:
    async for _ in made:
        pass


class Paced:
    """
    What a paced run came to.

    Attributes:
        events: How many were written.
        cpu: [s] Of this process.
        wall: [s] How long it took.
        sleeps: How often a session waited for its next event; who is late does not.
        waits: [s] How long each write took.
    """

    def __init__(self) -> None:
        self.events = 0
        self.cpu = 0.0
        self.wall = 0.0
        self.sleeps = 0
        self.waits: list[float] = []


async def paced(writer: Writer, *, sessions: int, rate: float, seconds: float) -> Paced:
    """
    Let every session have an event so many times a second.

    What came while a write was under way is in the next one, as a read of a socket brings it.

    Args:
        writer: Whose sessions are open.
        sessions: How many.
        rate: [events/s] Of each.
        seconds: [s] For how long.
    """
    done = Paced()
    made = [event(number) for number in range(int(seconds * rate))]  # beforehand: a stream is not made by its writer
    begin = time.perf_counter() + 0.05

    async def run(number: int) -> None:
        start = begin + number / sessions / rate
        total, sent = int(seconds * rate), 0
        while sent < total:
            now = time.perf_counter()
            due = start + sent / rate
            if due > now:
                done.sleeps += 1
                await asyncio.sleep(due - now)
                now = time.perf_counter()
            count = min(max(int((now - start) * rate) + 1 - sent, 1), total - sent)
            await writer.write(number, made[sent : sent + count])
            done.waits.append(time.perf_counter() - now)
            sent += count
        done.events += sent

    cpu = time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(run(number))
    done.cpu, done.wall = time.process_time() - cpu, time.perf_counter() - begin
    return done


async def stamped(writer: Together | AssistantStream, *, sessions: int, rate: float, seconds: float) -> None:
    """
    Let every session have an event so many times a second that says when it was written; they are not in step.

    Args:
        writer: Whose sessions are open.
        sessions: How many.
        rate: [events/s] Of each.
        seconds: [s] For how long.
    """
    begin, written, total = time.monotonic(), 0, int(seconds * rate) * sessions
    while written < total:
        now = time.monotonic()
        upto = min(int((now - begin) * rate * sessions), total)
        due: dict[int, list[bytes]] = {}
        for count in range(written, upto):
            due.setdefault(count % sessions, []).append(event(count // sessions, now))
        if due:
            await writer.write_all(due)
        written = upto
        await asyncio.sleep(_TICK)


async def in_turn(writer: Writer, events: int) -> float:
    """[s of CPU] Write events one after the other, each awaited."""
    cpu = time.process_time()
    for number in range(events):
        await writer.write(0, [event(number)])
    return time.process_time() - cpu
