"""pydantic-ai's agent streams through a wrapped client: every letter once."""

from __future__ import annotations

from typing import Any

import anyio
import pydantic
import pytest

from resumable.testing import Drop, Reply, ScriptedUpstream, ToolUse
from tests.frameworks.scene import FAULTS, QUESTION, aclient_of

ai = pytest.importorskip("pydantic_ai", reason="pydantic-ai-slim[anthropic] is not installed")
models = pytest.importorskip("pydantic_ai.models.anthropic")
providers = pytest.importorskip("pydantic_ai.providers.anthropic")


class Book(pydantic.BaseModel):
    """What is asked for as structured output."""

    title: str
    pages: int


def agent_of(upstream: ScriptedUpstream, **options: Any) -> Any:
    """Make an agent the way the page says, on the upstream's clock."""
    provider = providers.AnthropicProvider(anthropic_client=aclient_of(upstream))
    return ai.Agent(models.AnthropicModel("claude-sonnet-5", provider=provider), **options)


async def streamed(agent: Any) -> list[str]:
    """Stream the text's deltas."""
    async with agent.run_stream(QUESTION) as result:
        return [text async for text in result.stream_text(delta=True, debounce_by=None)]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_text_is_whole(fault: Any):
    """No letter is lost or repeated, and the text still comes in parts."""
    with ScriptedUpstream("text", [fault], vary=False) as upstream:
        parts = anyio.run(streamed, agent_of(upstream))
        assert "".join(parts) == upstream.expected_text(QUESTION)
        assert len(parts) > 5
        assert len(upstream.log.messages) == 2


def test_structured_output_is_whole():
    """Its tool call is cut, asked for again, and parsed once."""
    reply = Reply([ToolUse("final_result", {"title": "The lamp", "pages": 12})])
    with ScriptedUpstream(reply, [Drop(phase="tool_json")], vary=False) as upstream:

        async def run() -> Any:
            async with agent_of(upstream, output_type=Book).run_stream(QUESTION) as result:
                return await result.get_output()

        assert anyio.run(run) == Book(title="The lamp", pages=12)
        assert len(upstream.log.messages) == 2
