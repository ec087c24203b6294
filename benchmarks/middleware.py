"""
What the middleware adds to the bare SDK: per event, with length, and on a long tool call.

Pairs are interleaved in one process, over an in-process body, without a store; the clock is the
process's CPU time. From process to process the same code differs by points of a percent, by where
it lies in memory; so each surface is measured in several, and the median counts. Only the ratios
mean anything on another machine. Run it alone:

    python benchmarks/middleware.py [--quick] [--json]
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import socket
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import resumable
from benchmarks._report import Figure, Report, parse_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    Call = Callable[[], None]

CREATE_LIMIT = 14.0  # [%] Most that may be added to create(stream=True).
TEXT_LIMIT = 6.0  # [%] Most that may be added to .text_stream.
GROWTH_LIMIT = 1.25  # [ratio] Cost per event of the longest stream over the shortest's: constant, but for noise.
TOOL_GAIN = 40.0  # [ratio] Least gain on a long tool call.

WORDS = (" the", " answer", " goes", " on", ",", " word", " by", " word", " until", " it", " is", " whole", ".", "\n\n")


class Chunks(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that was cut into reads beforehand."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class Line:
    """A network stream as the transports of the SDK offer it: deadlines are kept on its socket, as in life."""

    def __init__(self) -> None:
        self._ends = socket.socketpair()

    def get_extra_info(self, info: str) -> socket.socket | None:
        """Give the socket."""
        return self._ends[0] if info == "socket" else None


class Upstream(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers every request with the same body."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks
        self._line = Line()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:  # noqa: ARG002  # Reason: httpx's interface
        """Answer at once."""
        return httpx2.Response(
            200,
            headers={"content-type": "text/event-stream"},
            stream=Chunks(self._chunks),
            extensions={"network_stream": self._line},
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer at once."""
        return self.handle_request(request)


def frame(kind: str, **fields: object) -> bytes:
    """Encode one event as upstream does."""
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def message(block: dict[str, Any], deltas: list[dict[str, Any]], stop_reason: str) -> list[bytes]:
    """Make the frames of a message with one block."""
    usage = {"input_tokens": 12, "output_tokens": 1}
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5", "content": []}
    return [
        frame("message_start", message={**start, "stop_reason": None, "stop_sequence": None, "usage": usage}),
        frame("content_block_start", index=0, content_block=block),
        *(frame("content_block_delta", index=0, delta=delta) for delta in deltas),
        frame("content_block_stop", index=0),
        frame(
            "message_delta",
            delta={"stop_reason": stop_reason, "stop_sequence": None},
            usage={"output_tokens": len(deltas)},
        ),
        frame("message_stop"),
    ]


def text_frames(events: int) -> list[bytes]:
    """Make an answer of *events* text deltas of 4 to 12 characters."""
    texts = [WORDS[i % len(WORDS)] + WORDS[(i * 7 + 3) % len(WORDS)] for i in range(events)]
    return message({"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in texts], "end_turn")


def tool_frames(deltas: int) -> list[bytes]:
    """Make a tool call whose input arrives in *deltas* deltas."""
    inside = [f'"key{i}":"value {i}",' for i in range(deltas - 2)]
    parts = ["{", *inside, '"last":"one"}']
    block = {"type": "tool_use", "id": "toolu_1", "name": "record", "input": {}}
    return message(block, [{"type": "input_json_delta", "partial_json": part} for part in parts], "tool_use")


def reads(frames: list[bytes], size: int | None) -> list[bytes]:
    """Cut a body into reads of one event, or of *size* bytes."""
    if size is None:
        return frames
    whole = b"".join(frames)
    return [whole[at : at + size] for at in range(0, len(whole), size)]


@dataclass(frozen=True)
class Pair:
    """Two clients over the same body: the bare one and the wrapped one, in both colours."""

    bare: anthropic.Anthropic
    wrapped: anthropic.Anthropic
    async_bare: anthropic.AsyncAnthropic
    async_wrapped: anthropic.AsyncAnthropic

    @classmethod
    def over(cls, chunks: list[bytes]) -> Pair:
        """Make the clients."""
        transport = Upstream(chunks)
        bare = anthropic.Anthropic(
            api_key="none", base_url="http://in.process", http_client=anthropic.DefaultHttpxClient(transport=transport)
        )
        async_bare = anthropic.AsyncAnthropic(
            api_key="none",
            base_url="http://in.process",
            http_client=anthropic.DefaultAsyncHttpxClient(transport=transport),
        )
        return cls(bare, resumable.wrap(bare), async_bare, resumable.wrap(async_bare))


REQUEST: Any = {
    "model": "claude-sonnet-5",
    "max_tokens": 64_000,
    "messages": [{"role": "user", "content": "Go on and on."}],
}


def create(client: anthropic.Anthropic) -> None:
    """Read a stream of events."""
    for _ in client.messages.create(stream=True, **REQUEST):
        pass


def text_stream(client: anthropic.Anthropic) -> None:
    """Read a stream of text."""
    with client.messages.stream(**REQUEST) as stream:
        for _ in stream.text_stream:
            pass


async def acreate(client: anthropic.AsyncAnthropic) -> None:
    """Read a stream of events."""
    async for _ in await client.messages.create(stream=True, **REQUEST):
        pass


async def atext_stream(client: anthropic.AsyncAnthropic) -> None:
    """Read a stream of text."""
    async with client.messages.stream(**REQUEST) as stream:
        async for _ in stream.text_stream:
            pass


def cpu(call: Callable[[], object]) -> float:
    """Time one call [s of CPU]."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        call()
        return time.process_time() - start
    finally:
        gc.enable()


def compare(bare: Call, wrapped: Call, rounds: int) -> tuple[float, float]:
    """Interleave the two and return the median of each [s]; every other round the order is turned."""
    times: tuple[list[float], list[float]] = ([], [])
    bare()
    wrapped()
    for turn in range(rounds):
        order = ((0, bare), (1, wrapped)) if turn % 2 == 0 else ((1, wrapped), (0, bare))
        for side, call in order:
            times[side].append(cpu(call))
    return statistics.median(times[0]), statistics.median(times[1])


def surfaces(pair: Pair, runner: asyncio.Runner) -> list[tuple[str, float, Call, Call]]:
    """List name, target, and the two calls of every surface."""

    def run(
        read: Callable[[anthropic.AsyncAnthropic], Coroutine[Any, Any, None]], client: anthropic.AsyncAnthropic
    ) -> None:
        runner.run(read(client))

    return [
        ("create", CREATE_LIMIT, partial(create, pair.bare), partial(create, pair.wrapped)),
        ("text_stream", TEXT_LIMIT, partial(text_stream, pair.bare), partial(text_stream, pair.wrapped)),
        (
            "async create",
            CREATE_LIMIT,
            partial(run, acreate, pair.async_bare),
            partial(run, acreate, pair.async_wrapped),
        ),
        (
            "async text_stream",
            TEXT_LIMIT,
            partial(run, atext_stream, pair.async_bare),
            partial(run, atext_stream, pair.async_wrapped),
        ),
    ]


def pairs(events: int, rounds: int) -> list[tuple[str, str, float, float, float]]:
    """Give name, reads, target [%], and both costs [s] of every surface, as they are in this process."""
    found: list[tuple[str, str, float, float, float]] = []
    with asyncio.Runner() as runner:
        for title, size in (("one event a read", None), ("64 KiB reads", 64 * 1024)):
            pair = Pair.over(reads(text_frames(events), size))
            for name, limit, bare, wrapped in surfaces(pair, runner):
                found.append((name, title, limit, *compare(bare, wrapped, rounds)))
    return found


def added(report: Report, *, events: int, rounds: int, processes: int) -> None:
    """Measure what the middleware adds per event, for each surface and size of read."""
    fresh = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with fresh as pool:
        measured = [pool.submit(pairs, events, rounds).result() for _ in range(processes)]
    rows: list[list[str | float]] = []
    for one in zip(*measured, strict=True):
        name, title, limit, *_ = one[0]
        shares = [(ours / base - 1) * 100 for *_, base, ours in one]
        base, ours = (statistics.median(cost[side] for cost in one) / events * 1e6 for side in (3, 4))
        rows.append([name, title, base, ours, statistics.median(shares), min(shares), max(shares)])
        report.add(Figure(f"added to {name}, {title}", statistics.median(shares), "%", at_most=limit, digits=1))
    header = ["surface", "reads", "bare [µs]", "wrapped [µs]", "added [%]", "least", "most"]
    report.add_table(f"Cost per event (CPU), median of {processes} processes", header, rows)


def repeat(times: int, client: anthropic.Anthropic) -> None:
    """Read the stream of events several times over."""
    for _ in range(times):
        create(client)


def growth(report: Report, *, lengths: tuple[int, ...], rounds: int) -> None:
    """Measure whether the wrapped cost per event, over the bare one, stays the same however long the stream."""
    rows: list[list[float]] = []
    for events in lengths:
        pair = Pair.over(text_frames(events))
        times = max(1, lengths[-1] // events // 10)  # Short streams several times, so that each is long enough to time.
        base, ours = compare(partial(repeat, times, pair.bare), partial(repeat, times, pair.wrapped), rounds)
        scale = 1e6 / (events * times)
        rows.append([events, base * scale, ours * scale, (ours - base) * scale])
    header = ["events", "bare [µs]", "wrapped [µs]", "difference [µs]"]
    report.add_table("Cost per event by length (CPU)", header, rows)
    # Each length over the bare SDK beside it: minutes lie between the lengths, and the machine has hours of its own.
    ratio = (rows[-1][2] / rows[-1][1]) / (rows[0][2] / rows[0][1])
    report.add(Figure(f"cost per event, {lengths[-1]:,} over {lengths[0]:,} events", ratio, "x", at_most=GROWTH_LIMIT))


def final_input(client: anthropic.Anthropic) -> object:
    """Read a tool call through the helper and return its input."""
    with client.messages.stream(**REQUEST) as stream:
        block = stream.get_final_message().content[0]
    return block.input if block.type == "tool_use" else None


def tool(report: Report, *, deltas: int, judged: bool) -> None:
    """Measure a long tool call through the helper, which parses the whole input again at every delta."""
    pair = Pair.over(reads(tool_frames(deltas), None))
    ours = min(cpu(partial(final_input, pair.wrapped)) for _ in range(3))
    base = cpu(partial(final_input, pair.bare))
    received = final_input(pair.wrapped)
    whole = isinstance(received, dict) and len(received) == deltas - 1
    header = ["deltas", "bare [s]", "wrapped [s]"]
    report.add_table("A tool call through .stream() (CPU)", header, [[deltas, base, ours]])
    target = TOOL_GAIN if judged else None
    report.add(Figure(f"gain on a tool call of {deltas:,} deltas", base / ours, "x", at_least=target, digits=0))
    report.add(Figure("keys of its input that arrived", float(whole) * 100, "%", at_least=100, digits=0))


def main() -> int:
    """Measure and print; see the module's text."""
    options = parse_options(__doc__)
    report = Report("middleware", options)
    quick = options.quick
    added(report, events=1_000 if quick else 4_000, rounds=5 if quick else 11, processes=3 if quick else 7)
    growth(report, lengths=(1_000, 10_000) if quick else (1_000, 10_000, 100_000), rounds=5 if quick else 11)
    tool(report, deltas=5_000 if quick else 20_000, judged=not quick)
    return report.conclude()


if __name__ == "__main__":
    raise SystemExit(main())
