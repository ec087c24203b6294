"""
The recorded streams of the sweep, and the conversations they answer.

Each stands as bytes under `tests/data/sweep`, written once by `python -m tests.sweep record`; a test holds the
scripted upstream to them. A recording has a second wording, because a plain retry never gets the first one again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from resumable.testing import (
    Interrupted,
    Opening,
    Raw,
    Reply,
    ScriptedUpstream,
    ServerToolResult,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
)

FOLDER = Path(__file__).parents[1] / "data" / "sweep"
PREFILL, NO_PREFILL = "claude-haiku-4-5", "claude-haiku-5-5"
MODELS = (PREFILL, NO_PREFILL)
HEADERS = {"x-api-key": "key", "anthropic-version": "2023-06-01", "content-type": "application/json"}


class Book(BaseModel):
    """What structured output is parsed into."""

    title: str
    pages: int
    tags: list[str]


@dataclass(frozen=True)
class Recording:
    """
    One stream and the request that it answers.

    Attributes:
        name: Also the name of its file.
        replies: What the model says, and what it says to a plain retry.
        extra: Fields of the request.
        thinks: Whether the request turns thinking on.
        documents: Whether the request brings a document with citations on.
        is_structured: Whether the request asks for a `Book`.
        is_exclusive: Whether a feature of the request rules prefill out, also where the model takes it.
    """

    name: str
    replies: tuple[Reply, Reply]
    extra: dict[str, Any] = field(default_factory=dict)
    thinks: bool = False
    documents: bool = False
    is_structured: bool = False
    is_exclusive: bool = False

    def body(self, model: str) -> dict[str, Any]:
        """Give the request's body as the SDK takes it."""
        words: list[dict[str, Any]] = [{"type": "text", "text": "Tell me about the river."}]
        if self.documents:
            source = {"type": "text", "media_type": "text/plain", "data": "The river is long."}
            words.insert(0, {"type": "document", "source": source, "citations": {"enabled": True}})
        body = {"model": model, "max_tokens": 20_000, "messages": [{"role": "user", "content": words}], **self.extra}
        if self.thinks:
            adaptive = {"type": "adaptive"}
            body["thinking"] = {"type": "enabled", "budget_tokens": 2048} if model == PREFILL else adaptive
        return body

    def path(self, model: str) -> Path:
        """Say where the recorded bytes are."""
        return FOLDER / f"{self.name}.{model}.sse"

    def stream(self, model: str) -> bytes:
        """Read the recorded bytes."""
        return self.path(model).read_bytes()

    def upstream(self, **options: Any) -> ScriptedUpstream:
        """Make an upstream that says this to the request of `body`."""
        return ScriptedUpstream(self.replies, continuer=comply, **options)

    def spoken(self, model: str) -> bytes:
        """Ask a new upstream and give the bytes it answers with."""
        payload = msgspec.json.encode({**self.body(model), **self.format, "stream": True})
        return self.upstream().exchange("POST", "/v1/messages", HEADERS, payload).answer.body

    @property
    def format(self) -> dict[str, Any]:
        """What the SDK adds to the request where a `Book` is asked for."""
        if not self.is_structured:
            return {}
        schema = {**Book.model_json_schema(), "additionalProperties": False}
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def comply(interrupted: Interrupted) -> Opening:
    """Begin as a model does that was asked to and obeys: with the words between the tags, however few."""
    quoted = re.search(r"<received>(.*)</received>", interrupted.asked, re.DOTALL)
    return Opening(quoted[1] if quoted else "")


def _tool(name: str) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def _page(word: str) -> dict[str, Any]:
    return {
        "type": "web_search_result",
        "url": f"https://example.com/{word}",
        "title": word,
        "encrypted_content": word,
        "page_age": None,
    }


def _cited(text: str, start: int) -> Text:
    location = {
        "type": "char_location",
        "cited_text": text,
        "document_index": 0,
        "document_title": "notes",
        "start_char_index": start,
        "end_char_index": start + len(text),
        "file_id": None,
    }
    return Text(text, citations=(location,))


def _ran(output: str) -> dict[str, Any]:
    return {
        "type": "code_execution_result",
        "stdout": output,
        "stderr": "",
        "return_code": 0,
        "content": [],
    }


_WEATHER = {"tools": [_tool("get_weather"), _tool("get_time")]}
_SEARCH = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
_CODE = {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}

RECORDINGS = (
    Recording(
        "text",
        (
            Reply(
                [
                    Text(
                        "\n# The river\n\nIt is long, and it is  cold.\n\n```python\ndef flow(n):\n"
                        '    return "n" * n\n```\n\nIt is long, and it is "quiet" here.\n'
                    )
                ]
            ),
            Reply([Text("Rivers, in other words: they come from the hills and go to the sea.")]),
        ),
    ),
    Recording(
        "unicode",
        (
            Reply(
                [
                    Text(
                        "河流很长，水很清。\u3000日本語の文章です。 한국어 "
                        "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd e\u0301 "
                        "line\u2028and\u2029and\u0085next\u00a0one שלום \ufeff\U0001d518\u200b end\u200d"
                    )
                ]
            ),
            Reply([Text("\u2028再び：河は長い。 \U0001f30a")]),
        ),
    ),
    Recording(
        "thinking",
        (
            Reply([Thinking("Is it long? I think so."), Text("It is long. Very long, in fact.")]),
            Reply([Thinking("Once more: yes."), Text("Yes, the river is a long one.")]),
        ),
        thinks=True,
        is_exclusive=True,
    ),
    Recording(
        "thinking_tools",
        (
            Reply([Thinking("I should look."), Text("Let me look. "), ToolUse("get_weather", {"city": "Köln"})]),
            Reply([Thinking("Look first."), Text("I will look it up."), ToolUse("get_time", {"city": "Bonn"})]),
        ),
        extra=_WEATHER,
        thinks=True,
        is_exclusive=True,
    ),
    Recording(
        "tools",
        (
            Reply([Text("I will ask for it.\n\n"), ToolUse("get_weather", {"city": "Köln", "days": [1, 2]})]),
            Reply([Text("Asking once more."), ToolUse("get_weather", {"city": "Bonn"})]),
        ),
        extra=_WEATHER,
    ),
    Recording(
        "parallel_tools",
        (
            Reply(
                [ToolUse("get_weather", {"city": "Köln"}), ToolUse("get_time"), ToolUse("get_time", {"city": "Bonn"})]
            ),
            Reply([ToolUse("get_weather", {"city": "Ulm"})]),
        ),
        extra=_WEATHER,
    ),
    Recording(
        "server_tools",
        (
            Reply(
                [
                    Text("I will search. "),
                    ServerToolUse("web_search", {"query": "river"}),
                    ServerToolResult([_page("river")]),
                    Text("\n\nIt is long, and it is cold."),
                ]
            ),
            Reply(
                [ServerToolUse("web_search", {"query": "a"}), ServerToolResult([_page("a")]), Text("It is a river.")]
            ),
        ),
        extra=_SEARCH,
        is_exclusive=True,
    ),
    Recording(
        "parallel_server_tools",
        (
            Reply(
                [
                    ServerToolUse("code_execution", {"code": "1"}),
                    ServerToolUse("code_execution", {"code": "2"}),
                    ServerToolResult(_ran("1"), call=0),
                    ServerToolResult(_ran("2"), call=1),
                    Text("They are one and two."),
                ]
            ),
            Reply([Text("I can count without: one, two.")]),
        ),
        extra=_CODE,
    ),
    Recording(
        "interleaved",
        (
            Reply(
                [
                    Thinking("Search."),
                    ServerToolUse("web_search", {"query": "river"}),
                    ServerToolResult([_page("river")]),
                    Thinking("Now say it."),
                    Text("It is long, I read. "),
                    Thinking("More?"),
                    Text("And it is quite cold."),
                ]
            ),
            Reply([Thinking("No need."), Text("Without a search: it is long.")]),
        ),
        extra=_SEARCH,
        thinks=True,
        is_exclusive=True,
    ),
    Recording(
        "citations",
        (
            Reply(
                [
                    Text("As the notes say: "),
                    _cited("the river is long", 0),
                    Text(" and "),
                    _cited("it is cold.", 40),
                    _cited(" It is quiet there.", 60),
                ]
            ),
            Reply([_cited("A long river", 0), Text(" it is.")]),
        ),
        documents=True,
        is_exclusive=True,
    ),
    Recording(
        "structured",
        (
            Reply([Text('{"title":"The river","pages":12,"tags":["long","cold"]}')]),
            Reply([Text('{"title":"Rivers","pages":7,"tags":[]}')]),
        ),
        is_structured=True,
        is_exclusive=True,
    ),
    Recording(
        "unknown_block",
        (
            Reply(
                [
                    Text("Here is one. "),
                    Raw({"type": "sketch", "id": "sketch_1"}, deltas=({"type": "sketch_delta", "line": "~~~"},)),
                    Text("That was a long river."),
                ]
            ),
            Reply([Text("A river, drawn: ~~~")]),
        ),
    ),
)
BY_NAME = {recording.name: recording for recording in RECORDINGS}


def record() -> None:
    """Write every recording anew; its file is what the sweep cuts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for recording in RECORDINGS:
        for model in MODELS:
            recording.path(model).write_bytes(recording.spoken(model))
