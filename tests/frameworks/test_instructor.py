"""instructor's partial objects stream through a wrapped client, and the last is whole."""

from __future__ import annotations

from typing import Any

import anyio
import pydantic
import pytest

from resumable.testing import Drop, ErrorEvent, Reject, Reply, ScriptedUpstream, Stall, ToolUse, Truncate
from tests.frameworks.scene import QUESTION, aclient_of, client_of

instructor = pytest.importorskip("instructor", reason="instructor is not installed")


class Book(pydantic.BaseModel):
    """What is asked for."""

    title: str
    chapters: list[str]


WHOLE = Book(title="The lamp", chapters=[f"Chapter {number}" for number in range(12)])
FAULTS: dict[str, Any] = {
    "rst": Drop(phase="tool_json"),
    "fin": Drop(phase="tool_json", how="fin"),
    "clean end": Truncate(phase="tool_json"),
    "overloaded_error": ErrorEvent("overloaded_error", phase="tool_json"),
    "stall": Stall(phase="tool_json"),
    "529": Reject(529),
}


def asked() -> dict[str, Any]:
    """Give the arguments of a call."""
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": "claude-sonnet-5", "max_tokens": 4096, "messages": messages, "response_model": Book}


def streamed(upstream: ScriptedUpstream) -> list[Any]:
    """Stream in a thread."""
    return list(instructor.from_anthropic(client_of(upstream)).create_partial(**asked()))


def astreamed(upstream: ScriptedUpstream) -> list[Any]:
    """Stream in a task."""

    async def run() -> list[Any]:
        client = instructor.from_anthropic(aclient_of(upstream))
        return [book async for book in client.create_partial(**asked())]

    return anyio.run(run)


@pytest.mark.parametrize("call", [streamed, astreamed])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_object_is_whole(call: Any, fault: Any):
    """What is cut is asked for again; no partial object holds what the last one does not."""
    reply = Reply([ToolUse("Book", WHOLE.model_dump())])
    with ScriptedUpstream(reply, [fault], vary=False) as upstream:
        books = call(upstream)
        assert books[-1].model_dump() == WHOLE.model_dump()
        for book in books:
            seen = zip(book.chapters or [], WHOLE.chapters, strict=False)
            assert all(whole.startswith(part) for part, whole in seen)
        assert len(upstream.log.messages) == 2
