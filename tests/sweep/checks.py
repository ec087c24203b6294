"""
What must be true of everything a caller receives, whatever was cut.

The bytes go through the bare SDK, its typed helper, and a next turn; equal bytes are looked at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import anthropic
import httpx2
import msgspec

from resumable.middleware import Resumable
from resumable.testing import ManualClock
from tests.sweep.recordings import Book

if TYPE_CHECKING:
    from tests.sweep.recordings import Recording
    from tests.sweep.table import Json


class Checked(NamedTuple):
    """
    A whole answer as the SDK sees it.

    Attributes:
        message: As JSON.
        flaws: What is wrong with it, in words.
    """

    message: Json
    flaws: tuple[str, ...]


def grammar_flaws(body: bytes, *, is_whole: bool = True) -> list[str]:
    """
    Find what in a stream is out of the API's grammar (law L1).

    Args:
        body: What the caller received.
        is_whole: Whether the message has to be complete; else a prefix of one is in order.
    """
    flaws: list[str] = []
    opened: set[int] = set()
    order: list[str] = []
    for frame in body.removesuffix(b"\n\n").split(b"\n\n") if body else ():
        name, _, data = frame.removeprefix(b"event: ").partition(b"\ndata: ")
        event = msgspec.json.decode(data)
        kind = event["type"]
        if name.decode() != kind or b"\n" in data:
            flaws.append(f"a frame of {kind} is not one")
        if kind == "ping":
            continue
        if kind != "message_start" and not order:
            flaws.append(f"{kind} before message_start")
        if order[-1:] == ["message_stop"]:
            flaws.append(f"{kind} after message_stop")
        flaws += _block_flaws(event, opened, order)
        order.append(kind)
    once = ("message_start", "message_delta", "message_stop") if is_whole else ("message_start",)
    flaws += [f"{order.count(kind)} × {kind}" for kind in once if order.count(kind) != 1]
    return flaws


def _block_flaws(event: Json, opened: set[int], order: list[str]) -> list[str]:
    kind, index = event["type"], event.get("index", -1)
    if kind == "content_block_start":
        opened.add(index)
        return [] if index == order.count(kind) else [f"block {index} is out of order"]
    if kind == "content_block_delta":
        return [] if index in opened else [f"a delta for block {index}, which is not open"]
    if kind == "content_block_stop":
        is_open = index in opened
        opened.discard(index)
        return [] if is_open else [f"block {index} stops without being open"]
    if kind == "message_delta" and opened:
        return [f"blocks {sorted(opened)} never stop"]
    return []


class Reader:
    """Reads what callers got with the SDK, and asks the next question; what it has seen it knows."""

    def __init__(self, recording: Recording, model: str) -> None:
        self._recording = recording
        self._model = model
        self._known: dict[bytes, Checked] = {}
        self._body = b""
        self._client = _client(httpx2.MockTransport(self._answer))
        self._next = _client(recording.upstream().transport(), middleware=[Resumable(clock=ManualClock())])

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        del request
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self._body)

    def __len__(self) -> int:
        return len(self._known)

    def read(self, body: bytes) -> Checked:
        """Give a whole answer as the SDK's helper assembles it, and what is wrong with it."""
        if body not in self._known:
            self._body = body
            flaws = grammar_flaws(body)
            form: Any = {"output_format": Book} if self._recording.is_structured else {}
            with self._client.messages.stream(**self._recording.body(self._model), **form) as stream:
                final = stream.get_final_message()
            if self._recording.is_structured and final.parsed_output is None:
                flaws.append("structured output does not parse")
            message: Any = final.to_dict(warnings=False)
            self._known[body] = Checked(message, (*flaws, *self._next_turn_flaws(message)))
        return self._known[body]

    def _next_turn_flaws(self, message: Json) -> list[str]:
        """Send an answer back in a history, tool results and all, and say whether upstream refuses it."""
        body = self._recording.body(self._model)
        calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        answer: list[Json] = [{"type": "tool_result", "tool_use_id": call, "content": "done"} for call in calls]
        answer.append({"type": "text", "text": "And how deep is it?"})
        turns = [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": answer}]
        body["messages"] = [*body["messages"], *turns]
        try:
            self._next.messages.create(**body)
        except anthropic.APIStatusError as error:
            return [f"the next turn is refused: {error}"]
        return []

    def close(self) -> None:
        """Close the clients."""
        self._client.close()
        self._next.close()


def _client(transport: httpx2.BaseTransport, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url="http://upstream.test",
        api_key="key",
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(transport=transport),
        **options,
    )
