"""
Recordings of real exchanges, and what a scripted upstream makes of them.

A recording is what was asked and every byte that came, without secrets; `Recorder` makes them. `Replay` sends the same
bytes again, and `Recording.reply` turns a whole message into a reply that can suffer any fault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from ._answer import Answer, Ending, Fault
from ._frames import PHASES, Frame
from ._replies import Block, Json, Raw, Reply, ServerToolResult, ServerToolUse, Text, Thinking, ToolUse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

FORMAT = "resumable-recording-1"
_OK = 200
_ENDINGS: dict[str, Literal["rst", "stall"]] = {"ReadError": "rst", "ReadTimeout": "stall"}
_RESULT = "_tool_result"


@dataclass(frozen=True, slots=True)
class Recording:
    """
    One exchange.

    Attributes:
        request: ``method``, ``path``, ``headers`` and ``body``, without secrets.
        status: HTTP status; 0 when no response came.
        headers: Of the response, those that say something about its body or about when to come back.
        pieces: The body as it arrived: [s] since the piece before, and the bytes.
        ending: ``eof``, ``closed`` by the client, or ``lost``.
        error: Class of the transport's exception, when it was lost.
    """

    request: Json
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[tuple[float, bytes], ...] = ()
    ending: Literal["eof", "closed", "lost"] = "eof"
    error: str | None = None

    @property
    def body(self) -> bytes:
        """All bytes of the body."""
        return b"".join(piece for _, piece in self.pieces)

    @property
    def is_whole(self) -> bool:
        """Whether it is a complete streamed message."""
        return self.status == _OK and any(one.get("type") == "message_stop" for one in self._events())

    def reply(self) -> Reply:
        """
        Make what the model said into a reply.

        Returns:
            The same blocks and ending; ids, signatures and the sizes of deltas are the scripted upstream's own.

        Raises:
            ValueError: The recording holds no complete message.
        """
        if not self.is_whole:
            message = "the recording holds no complete message: replay it with Replay(recording)"
            raise ValueError(message)
        folded = _Folded()
        for one in self._events():
            folded.take(one)
        return folded.reply()

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, as JSON that people can read."""
        pieces = [[round(pause, 6), piece.decode("utf-8", "surrogateescape")] for pause, piece in self.pieces]
        stored = {
            "format": FORMAT,
            "request": self.request,
            "status": self.status,
            "headers": self.headers,
            "ending": self.ending,
            "error": self.error,
            "pieces": pieces,
        }
        Path(path).write_text(json.dumps(stored, indent=1) + "\n", encoding="ascii")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """
        Read it from a file.

        Raises:
            ValueError: It is no recording of this format.
        """
        stored = json.loads(Path(path).read_text(encoding="ascii"))
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            message = f"{path} is no recording of the format {FORMAT}"
            raise ValueError(message)
        return cls(
            request=stored["request"],
            status=stored["status"],
            headers=tuple((name, value) for name, value in stored["headers"]),
            pieces=tuple((pause, text.encode("utf-8", "surrogateescape")) for pause, text in stored["pieces"]),
            ending=stored["ending"],
            error=stored["error"],
        )

    def frames(self) -> tuple[Frame, ...]:
        """Cut the body into SSE records; one that was broken off is the last."""
        records = self.body.replace(b"\r\n", b"\n").split(b"\n\n")
        whole = [record + b"\n\n" for record in records[:-1]]
        broken = [records[-1]] if records[-1] else []
        return tuple(Frame(record, _phase(record)) for record in [*whole, *broken])

    def _events(self) -> Iterator[Json]:
        for one in self.frames():
            if (event := _event(one.payload)) is not None:
                yield event


@dataclass(frozen=True, slots=True)
class Replay(Fault):
    """
    The recorded response takes the place of the answer, byte for byte, and ends as it did.

    Attributes:
        recording: What is sent.
    """

    recording: Recording

    @property
    def reaches_model(self) -> bool:
        """Whether what was recorded came from a model."""
        return self.recording.status == _OK

    def apply(self, answer: Answer) -> Answer:
        """Send the recording instead."""
        recording = self.recording
        ending = Ending()
        if recording.ending == "lost":
            ending = Ending(_ENDINGS.get(recording.error or "", "fin"), early=not recording.status)
        own = tuple(pair for pair in answer.headers if pair[0] == "request-id")
        is_stream = recording.status == _OK and any("event-stream" in value for _, value in recording.headers)
        frames = recording.frames() if is_stream else (Frame(recording.body),)
        return replace(
            answer,
            status=recording.status or answer.status,
            headers=(*own, *recording.headers),
            frames=frames,
            ending=ending,
            length=None if is_stream else len(recording.body),
            whole=recording.is_whole,
        )


@dataclass(slots=True)
class _Folded:
    """The events of one message, folded."""

    starts: list[Json] = field(default_factory=list["Json"])
    deltas: list[list[Json]] = field(default_factory=list["list[Json]"])
    ending: Json = field(default_factory=dict[str, Any])

    def take(self, event: Json) -> None:
        match event.get("type"):
            case "content_block_start":
                self.starts.append(event["content_block"])
                self.deltas.append([])
            case "content_block_delta":
                self.deltas[event["index"]].append(event["delta"])
            case "message_delta":
                self.ending |= event["delta"]
            case _:
                pass

    def reply(self) -> Reply:
        return Reply(
            tuple(_block(start, deltas) for start, deltas in zip(self.starts, self.deltas, strict=True)),
            stop_reason=self.ending.get("stop_reason"),
            stop_sequence=self.ending.get("stop_sequence"),
            stop_details=self.ending.get("stop_details"),
            vary=False,
        )


def _block(start: Json, deltas: list[Json]) -> Block:
    """Give a block of a reply for one that was streamed."""
    match kind := str(start.get("type")):
        case "text":
            citations = [delta["citation"] for delta in deltas if delta.get("type") == "citations_delta"]
            return Text(start.get("text", "") + _joined(deltas, "text"), tuple(citations))
        case "thinking":
            text = start.get("thinking", "") + _joined(deltas, "thinking")
            return Thinking(text, omitted=not text)
        case "tool_use":
            return ToolUse(start["name"], _input(start, deltas))
        case "server_tool_use" | "mcp_tool_use":
            return ServerToolUse(start["name"], _input(start, deltas), kind)
        case _ if kind.endswith(_RESULT):
            return ServerToolResult(start.get("content"), type=kind)
        case _:
            return Raw(start, tuple(deltas))


def _joined(deltas: list[Json], name: str) -> str:
    return "".join(delta.get(name, "") for delta in deltas)


def _input(start: Json, deltas: list[Json]) -> Json:
    written = _joined(deltas, "partial_json")
    value = msgspec.json.decode(written) if written else start.get("input")
    return value if isinstance(value, dict) else {}


def _event(record: bytes) -> Json | None:
    data = b"\n".join(line[5:].strip() for line in record.split(b"\n") if line.startswith(b"data:"))
    try:
        event = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    return event if isinstance(event, dict) else None


def _phase(record: bytes) -> str:
    event = _event(record) or {}
    delta = event.get("delta")
    kind = event.get("type", "")
    if kind == "content_block_delta" and isinstance(delta, dict):
        return PHASES.get(str(delta.get("type")), "")
    return "between_blocks" if kind in {"content_block_start", "content_block_stop"} else str(kind)
