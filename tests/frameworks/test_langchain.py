"""LangChain's model streams through a wrapped client: every letter once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from resumable.testing import Drop, Reply, ScriptedUpstream, ToolUse
from tests.frameworks.scene import FAULTS, QUESTION, TIMEOUT, middleware

if TYPE_CHECKING:
    from collections.abc import Callable

langchain = pytest.importorskip("langchain_anthropic", reason="langchain-anthropic is not installed")


def model_of(upstream: ScriptedUpstream) -> Any:
    """Make a model the way the page says, on the upstream's clock."""

    class Chat(langchain.ChatAnthropic):  # type: ignore[name-defined,misc]
        """The model of the page."""

        @cached_property
        def _client(self) -> Any:
            return super()._client.with_middleware(middleware(upstream))

        @cached_property
        def _async_client(self) -> Any:
            return super()._async_client.with_middleware(middleware(upstream))

    return Chat(
        model="claude-sonnet-5", max_tokens=4096, base_url=upstream.url, api_key="any", timeout=TIMEOUT, max_retries=2
    )


def streamed(model: Any) -> list[str]:
    """Stream in a thread."""
    return [part.text for part in model.stream(QUESTION)]


def astreamed(model: Any) -> list[str]:
    """Stream in a task."""

    async def run() -> list[str]:
        return [part.text async for part in model.astream(QUESTION)]

    return anyio.run(run)


@pytest.mark.parametrize("call", [streamed, astreamed])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_text_is_whole(call: Callable[[Any], list[str]], fault: Any):
    """No letter is lost or repeated, and the text still comes in parts."""
    with ScriptedUpstream("text", [fault], vary=False) as upstream:
        parts = call(model_of(upstream))
        assert "".join(parts) == upstream.expected_text(QUESTION)
        assert len(parts) > 5
        assert len(upstream.log.messages) == 2


def test_a_tool_is_called_once_and_whole():
    """A call that was cut is asked for again, and the message has one."""
    reply = Reply([ToolUse("look", {"where": "here"})])
    tool = {"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {}}}
    with ScriptedUpstream(reply, [Drop(phase="tool_json")], vary=False) as upstream:
        message = None
        for part in model_of(upstream).bind_tools([tool]).stream(QUESTION):
            message = part if message is None else message + part
        assert message is not None
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("look", {"where": "here"})]
